"""What a training is made of at one moment: tensors, and a note of plain values."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class State:
    """Tensors of several owners, and a note that JSON can hold.

    Args:
        tensors: by name, under prefixes that say whose they are: ``model``, ``strategy``; within a task also
            ``optimizer``, ``progress`` (the strategy's) and ``random``.
        note: ``rows`` of the tables so far; within a task also the ``epochs`` and ``updates`` of it that are done.
    """

    tensors: dict[str, Tensor]
    note: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors of one owner under their own names."""
        start = f"{prefix}."
        return {key.removeprefix(start): value for key, value in self.tensors.items() if key.startswith(start)}

"""What a training is made of at one moment: tensors, and a note of plain values."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from strategies.state import from_state


@dataclass(frozen=True)
class State:
    """Tensors of several owners, and a note that JSON can hold.

    Args:
        tensors: by name, under prefixes that say whose they are: ``model``, ``strategy``, ``identifier``; within a task
            ``model``, ``optimizer``, ``progress`` (the strategy's) and ``random``.
        note: ``rows`` of the tables so far; within a task also the ``epochs`` and ``updates`` of it that are done, and
            the ``learning_rate``.
    """

    tensors: dict[str, Tensor]
    note: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors of one owner under their own names."""
        return from_state(prefix, self.tensors)


def tensor_digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """SHA-256 of each tensor's type, shape and bytes, in the order of names."""
    digests = {}
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        told = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
        told.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
        digests[name] = told.hexdigest()
    return digests

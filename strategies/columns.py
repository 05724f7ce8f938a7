"""Networks of one architecture that run one after another; each reads what enters the layers of those before it."""

import torch
from torch import Tensor, nn

from benchmark.core.errors import UserError
from strategies.separate import Switch
from strategies.surgery import geometry
from strategies.tasks import Cursor


class ColumnConv2d(nn.Conv2d):
    """A convolution of a column; it notes what enters it, and adds what earlier columns bring.

    Args:
        conv: the convolution; its options, weight and bias are kept.
        place: its name within a column.
        column: number of its column, from 0.
        entered: see :class:`Columns`.
        lateral: makes of what entered the convolution in all earlier columns what is added to its output; None for
            nothing.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        place: str,
        column: int,
        entered: list[dict[str, list[Tensor]]],
        lateral: nn.Module | None = None,
    ) -> None:
        super().__init__(**geometry(conv), device="meta")
        self.weight, self.bias = conv.weight, conv.bias
        self.place, self.column, self.entered, self.lateral = place, column, entered, lateral

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, k_in, H, W) to the convolution of it, plus what the lateral makes of the earlier columns.

        Raises:
            UserError: what entered this call of earlier columns is not known, or not of the same size.
        """
        if len(self.entered) <= self.column:
            raise _refused(self.place, "was called outside of a forward pass of its network")
        calls = self.entered[self.column].setdefault(self.place, [])
        earlier = [column[self.place][len(calls) : len(calls) + 1] for column in self.entered[: self.column]]
        if any(not same or same[0].shape != input.shape for same in earlier):
            raise _refused(self.place, "is called more often, or on another size, in one column than in another")
        # a copy, as later layers may write to it; nobody reads what enters the last column
        calls.append(input[:0] if self.column == len(self.entered) - 1 else input.detach().clone())
        own = super().forward(input)
        return own if self.lateral is None else own + self.lateral([same[0] for same in earlier])


def _refused(place: str, reason: str) -> UserError:
    return UserError(
        f"Layer '{place}' {reason}. Where columns read what enters each other's layers (pnn), a network has to call "
        "each nn.Conv2d in every forward pass, as often and on the same sizes in all; reading its weight, or computing "
        "activations again in the backward pass (checkpointing), passes it over. Change this layer or leave it out."
    )


class Columns(Switch):
    """A column for each task; the selected one is in use, with all that began before it.

    Attributes:
        entered: during a pass, for each column in use, by name of a convolution, what entered it, call after call;
            empty between passes.
    """

    def __init__(self, cursor: Cursor) -> None:
        super().__init__(cursor)
        self.entered: list[dict[str, list[Tensor]]] = []

    def up_to(self, task: int) -> list[str]:
        """The names of the columns that a task needs, its own last."""
        order = list(self)
        return order[: order.index(str(task)) + 1]

    def forward(self, x: Tensor) -> Tensor:
        """Restore images (N, 3, H, W) with the selected column.

        Raises:
            UserError: a convolution of the network is not called, or not alike in all columns.
        """
        *earlier, own = self.up_to(self.cursor.selected)
        self.entered += [{} for _ in (*earlier, own)]
        try:
            with torch.no_grad():
                for column in earlier:
                    self._run(column, x.clone())
            return self._run(own, x)
        finally:
            self.entered.clear()

    def _run(self, column: str, x: Tensor) -> Tensor:
        restored = self[column](x)
        for layer in self[column].modules():
            if isinstance(layer, ColumnConv2d):
                calls = [len(one.get(layer.place, ())) for one in self.entered[: layer.column + 1]]
                if len({0, *calls}) != 2:
                    raise _refused(
                        layer.place, f"was called {calls[-1]} times in a pass, {calls[0]} in the first column"
                    )
        return restored

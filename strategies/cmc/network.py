"""Whole networks of CMC convolutions: conversion, and the kernels of all layers at once."""

import pickle
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from benchmark.core.errors import UserError
from strategies.cmc.estimate import Estimate
from strategies.cmc.layer import CMCConv2d
from strategies.kernels import KernelNetwork, converted
from strategies.kernels import fold as fold  # where users of CMC have always found it
from strategies.surgery import convolutions
from strategies.tasks import FREE


def convert(module: nn.Module, t: int = 5, t_ends: int | None = None, seed: int = 0) -> nn.Module:
    """A copy of a network with every ``nn.Conv2d`` turned into a :class:`CMCConv2d`.

    Subclasses of ``nn.Conv2d``, transposed, one- and three-dimensional convolutions and fixed filters (whose weight
    does not require a gradient) are no part of the memory; they belong to the task, as normalisation does.

    Args:
        module: any network; its convolutions' shapes and options are kept, their weights are not.
        t: rows of memory in every layer.
        t_ends: rows of memory in the first and the last convolution instead (10 in Table 5).
        seed: seed of the run.

    Raises:
        UserError: the network has no convolution, or something that cannot be kept or protected; see
            :func:`strategies.surgery.convolutions`.
    """
    names = list(convolutions(module))
    ends = {*names[:1], *names[-1:]}

    def make(conv: nn.Conv2d, name: str) -> CMCConv2d:
        return CMCConv2d(conv, t if t_ends is None or name not in ends else t_ends, name, seed)

    return converted(module, make, "CMC")


class CMCNetwork(KernelNetwork):
    """A converted backbone; see :class:`strategies.kernels.KernelNetwork`.

    Args:
        backbone: a network from :func:`convert`.
        begin_layer: how a layer begins a task, usually ``CMCConv2d.begin`` with its settings bound.
    """

    def __init__(self, backbone: nn.Module, begin_layer: Callable[[CMCConv2d], None]) -> None:
        super().__init__(backbone, CMCConv2d, "CMC")
        self.begin_layer = BeginLayer(begin_layer)
        self.estimate: Estimate | None = None

    def begin_layers(self) -> None:
        """Allocate memory for the next task in every layer.

        Raises:
            UserError: a layer has too little free memory; then the task has begun in none.
        """
        selected = self.cursor.selected
        try:
            for layer in self.layers:
                self.begin_layer(layer)
        except Exception:
            for layer in self.layers:
                _take_back(layer)
            self.cursor.selected = selected
            raise

    def end(self) -> None:
        """Freeze the task that was being learned.

        Raises:
            UserError: no task is being learned.
        """
        self.estimate = None
        super().end()

    def forward_single_task(self, x: Tensor, task_label: int) -> Tensor:
        """Restore images (N, C, H, W) of one task; the kernels of the task in training are estimated all at once.

        Raises:
            UserError: the task was never learned.
        """
        kinds = {(layer.memory.dtype, layer.memory.device) for layer in self.layers}
        if task_label != self.cursor.learning or len(kinds) > 1:
            return super().forward_single_task(x, task_label)
        if self.estimate is None or not self.estimate.fits:
            self.estimate = Estimate(self.layers)
        for layer, kernel in zip(self.layers, self.estimate.kernels(), strict=True):
            layer.given = kernel
        try:
            return super().forward_single_task(x, task_label)
        finally:
            for layer in self.layers:
                layer.given = None


def _take_back(layer: CMCConv2d) -> None:
    """Let a layer be as it was before its task in training began, if it has one."""
    if layer.learning is None:
        return
    layer.owner.masked_fill_(layer.owner == layer.learning, FREE)
    for name in [name for name, _ in layer.named_parameters(recurse=False)]:
        delattr(layer, name)
    layer.inherits.pop()
    layer.index = layer.estimate = None


class BeginLayer:
    """The function that begins a task in a layer; a network can be pickled even if this function cannot.

    Args:
        function: the function, or None if it is lost.
        lost: the name of a function that could not be pickled.
    """

    def __init__(self, function: Callable[[CMCConv2d], None] | None, lost: str = "") -> None:
        self.function, self.lost = function, lost

    def __call__(self, layer: CMCConv2d) -> None:
        """Begin a task in a layer.

        Raises:
            UserError: the function was lost in pickling.
        """
        if self.function is None:
            raise UserError(
                f"The function that begins a task, {self.lost}, could not be pickled with the network. Set it again, "
                "network.begin_layer = ..., or make the network with functools.partial(CMCConv2d.begin, fraction=...)."
            )
        self.function(layer)

    def __deepcopy__(self, memo: dict[int, Any]) -> "BeginLayer":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            pickle.dumps(self.function)
        except (pickle.PicklingError, AttributeError, TypeError):
            return BeginLayer, (None, getattr(self.function, "__qualname__", repr(self.function)))
        return BeginLayer, (self.function, self.lost)

"""Whole networks of CMC convolutions: conversion, switching between tasks, folding."""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmark.errors import UserError
from strategies.base import TaskNetwork
from strategies.cmc.layer import CMCConv2d, geometry
from strategies.surgery import replace_layers


def convert(module: nn.Module, t: int = 5, t_ends: int | None = None, seed: int = 0) -> nn.Module:
    """A copy of a network with every ``nn.Conv2d`` replaced by a :class:`CMCConv2d`.

    Args:
        module: any network; its convolutions' shapes and options are kept, their weights are not.
        t: rows of memory in every layer.
        t_ends: rows of memory in the first and the last convolution instead (10 in Table 5).
        seed: seed of the run.

    Raises:
        UserError: the network has no convolution.
    """
    module = copy.deepcopy(module)
    names = [name for name, layer in module.named_modules() if type(layer) is nn.Conv2d]
    if not names:
        raise UserError(f"CMC replaces convolutions, and {type(module).__name__} has no nn.Conv2d layer.")
    ends = {names[0], names[-1]}

    def make(layer: nn.Conv2d, name: str) -> nn.Module:
        return CMCConv2d(layer, t_ends if t_ends and name in ends else t, name, seed)

    return replace_layers(module, nn.Conv2d, make)


def fold(network: "CMCNetwork", task: int) -> nn.Module:
    """One task as a plain copy of the backbone, for deployment; its outputs equal the network's.

    Raises:
        UserError: the task was never learned.
    """
    if task not in network.known:
        raise UserError(f"Task {task} was never learned. Learned so far: {network.known or 'none'}.")
    network.activate(task)

    def make(layer: CMCConv2d, _: str) -> nn.Module:
        bias = layer.current_bias()
        plain = nn.Conv2d(**(geometry(layer) | {"bias": layer.has_bias})).to(layer.memory)
        with torch.no_grad():
            plain.weight.copy_(layer.kernel())
            if plain.bias is not None and bias is not None:
                plain.bias.copy_(bias)
        return plain

    return replace_layers(copy.deepcopy(network.backbone), CMCConv2d, make).eval()


class CMCNetwork(TaskNetwork):
    """A converted backbone that begins, ends and switches tasks in all its layers together.

    Parameters and buffers outside the convolutions (normalisation, PReLU, linear layers, ...) belong to the task
    like biases do: every task has its own copy, started from that of the task before.

    Args:
        backbone: a network from :func:`convert`.
        begin: how a layer begins a task, usually ``CMCConv2d.begin_task`` with its settings bound.
    """

    def __init__(self, backbone: nn.Module, begin: Callable[[CMCConv2d], None]) -> None:
        super().__init__()
        self.backbone = backbone
        self.begin = begin
        self.layers = [layer for layer in backbone.modules() if isinstance(layer, CMCConv2d)]
        self.current = 0

    def add_task(self, task: int) -> None:
        """Allocate memory for a task in every layer.

        Raises:
            UserError: a layer has too little free memory, or tasks come out of order.
        """
        if task != len(self.known):
            raise UserError(f"CMC learns tasks in order: task {len(self.known)} is next, not {task}.")
        if self.known:
            self.activate(self.known[-1])
        for layer in self.layers:
            self.begin(layer)
        for i, tensor in enumerate(self._others()):
            self.register_buffer(f"other_{task}_{i}", tensor.detach().clone())
        self.current = task

    def end_task(self) -> None:
        """Freeze the task that was being learned."""
        for layer in self.layers:
            layer.end_task()
        self._keep_others()

    def activate(self, task: int) -> None:
        """Choose the task that the next forward passes are for.

        Raises:
            UserError: the task was never learned.
        """
        for layer in self.layers:
            layer.activate(task)
        if task != self.current:
            self._keep_others()
            for i, tensor in enumerate(self._others()):
                tensor.data.copy_(self.get_buffer(f"other_{task}_{i}"))
            self.current = task

    def _keep_others(self) -> None:
        for i, tensor in enumerate(self._others()):
            self.get_buffer(f"other_{self.current}_{i}").copy_(tensor.detach())

    def _others(self) -> Iterator[Tensor]:
        """Parameters and buffers of the backbone that lie outside its CMC layers, in a fixed order."""
        for layer in self.backbone.modules():
            if not isinstance(layer, CMCConv2d):
                yield from layer.parameters(recurse=False)
                yield from layer.buffers(recurse=False)

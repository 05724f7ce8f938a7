"""Whole networks of CMC convolutions: conversion, switching between tasks, folding."""

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from benchmark.core.errors import UserError
from strategies.base import TaskNetwork
from strategies.cmc.estimate import Estimate
from strategies.cmc.layer import CMCConv2d
from strategies.surgery import BARE, convolutions, copied, exchange, geometry, replace_convolutions


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
    if not names:
        raise UserError(f"CMC replaces convolutions, and {type(module).__name__} has no nn.Conv2d layer to be trained.")
    ends = {names[0], names[-1]}

    def make(layer: nn.Conv2d, name: str) -> nn.Module:
        if layer.bias is not None and not layer.bias.requires_grad:
            raise UserError(
                f"Layer '{name}' has a frozen bias and a weight that is trained; CMC makes both anew for every task. "
                "Let both require a gradient, neither, or use bias=False."
            )
        return CMCConv2d(layer, t_ends if t_ends and name in ends else t, name, seed)

    return replace_convolutions(copied(module), make)


def fold(network: "CMCNetwork", task: int) -> nn.Module:
    """One task as a plain copy of the backbone, for deployment; its outputs equal the network's.

    Hooks on its layers are copied with it.

    Raises:
        UserError: the task was never learned.
    """
    own = frozenset(vars(CMCConv2d(nn.Conv2d(1, 1, 1), t=1)))
    with network.showing(task):
        backbone = copied(network.backbone)
    outside = tensors_outside(backbone, CMCConv2d)
    for layer in list(backbone.modules()):
        if isinstance(layer, CMCConv2d):
            plain = skip_init(nn.Conv2d, **geometry(layer), device=layer.memory.device, dtype=layer.memory.dtype)
            with torch.no_grad():
                plain.weight.copy_(layer.weight)
                if plain.bias is not None and layer.bias is not None:
                    plain.bias.copy_(layer.bias)
            exchange(layer, plain, but=own - BARE)
    for places, trained in zip(outside, network.trained, strict=True):
        _tensor(places).requires_grad_(trained)
    return backbone.eval()


Place = tuple[nn.Module, str]
"""Where a tensor hangs: a module, and the tensor's name in it."""


class CMCNetwork(TaskNetwork):
    """A converted backbone that begins, ends and switches tasks in all its layers together.

    Parameters and buffers outside the CMC convolutions (normalisation, PReLU, linear layers, ...) belong to the task
    like biases do: every task has its own, started from those of the task before. The selected task's lie at their
    usual places in the backbone. Those of the task in training are the same objects all the while, and wait in this
    module while another task is selected, so that optimizers and gradients hold. Those of frozen tasks are buffers
    ``other_{task}_{i}``, of which only copies are ever put into the backbone.

    A frozen task runs in evaluation mode even if the network is in training mode, and gives equal outputs in both.

    Its state is the same whichever task is selected: at the usual places are the tensors of the newest task. After
    loading, the newest task is selected.

    Args:
        backbone: a network from :func:`convert`.
        begin_layer: how a layer begins a task, usually ``CMCConv2d.begin`` with its settings bound.
    """

    def __init__(self, backbone: nn.Module, begin_layer: Callable[[CMCConv2d], None]) -> None:
        super().__init__()
        self.backbone = backbone
        self.begin_layer = BeginLayer(begin_layer)
        self.layers = self.following(CMCConv2d)
        self.estimate: Estimate | None = None
        self.places = tensors_outside(backbone, CMCConv2d)
        self.trained = [_tensor(places).requires_grad for places in self.places]

    def begin(self, task: int) -> None:
        """Allocate memory for a task in every layer.

        Raises:
            UserError: a layer has too little free memory, or tasks come out of order or before the last one ended.
        """
        learning = self.cursor.learning
        if learning is not None:
            raise UserError(f"CMC learns one task at a time: end task {learning} before task {task} begins.")
        if task != len(self.known):
            raise UserError(f"CMC learns tasks in order: task {len(self.known)} is next, not {task}.")
        if self.known:
            self.select(task - 1)
        for layer in self.layers:
            self.begin_layer(layer)
        for places, trained in zip(self.places, self.trained, strict=True):
            _put(places, _tensor(places).detach().clone(), trained)
        super().begin(task)

    def end(self) -> None:
        """Freeze the task that was being learned.

        Raises:
            UserError: no task is being learned.
        """
        learning = self.cursor.learning
        if learning is None:
            raise UserError("end() without begin(): no task is being learned.")
        self.select(learning)
        self.estimate = None
        for layer in self.layers:
            layer.end()
        for i, places in enumerate(self.places):
            self.register_buffer(f"other_{learning}_{i}", _tensor(places).detach().clone())
        super().end()
        self.select(learning)

    def select(self, task: int) -> None:
        """Choose the task that the backbone is for.

        Raises:
            UserError: the task was never learned.
        """
        before, learning = self.cursor.selected, self.cursor.learning
        super().select(task)
        if task == before == learning:
            return
        for i, places in enumerate(self.places):
            if before == learning:
                _hang(self, f"resting_{i}", _tensor(places))
            if task != learning:
                _put(places, self.get_buffer(f"other_{task}_{i}").clone(), False)
            else:
                for module, name in places:
                    _hang(module, name, getattr(self, f"resting_{i}"))
                delattr(self, f"resting_{i}")

    def standing_still(self, task: int) -> Iterable[nn.Module]:
        """The whole backbone, once the task is frozen."""
        return () if task == self.cursor.learning else self.backbone.modules()

    def forward_single_task(self, x: Tensor, task_label: int) -> Tensor:
        """Restore images (N, C, H, W) of one task; the kernels of the task in training are estimated all at once.

        Raises:
            UserError: the task was never learned.
        """
        if task_label != self.cursor.learning:
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

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters, with the newest task's at their usual places."""
        with self._showing_newest():
            yield from list(super().named_parameters(*args, **kwargs))

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The state, with the newest task's tensors at their usual places."""
        with self._showing_newest():
            return super().state_dict(*args, **kwargs)

    def _showing_newest(self) -> AbstractContextManager[None]:
        return self.showing(self.known[-1]) if self.known else nullcontext()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load; what lies at the usual places is read as the newest task's, whichever was selected then."""
        if self.known:
            self.select(self.known[-1])
            names = {module: name for name, module in self.backbone.named_modules()}
            for i, places in enumerate(self.places):
                for module, name in places:
                    key = ".".join(filter(None, [f"{prefix}backbone", names[module], name]))
                    frozen = state_dict.get(f"{prefix}other_{self.known[-1]}_{i}")
                    if frozen is not None and key in state_dict and self.cursor.learning is None:
                        state_dict[key] = frozen
        super()._load_from_state_dict(state_dict, prefix, *args)


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


def tensors_outside(backbone: nn.Module, kind: type[nn.Module]) -> list[list[Place]]:
    """Where parameters and buffers lie that are outside of layers of a kind, in a fixed order; a shared one once."""
    places: dict[Tensor, list[Place]] = {}
    for module in backbone.modules():
        if not isinstance(module, kind):
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):
                if tensor is not None:
                    places.setdefault(tensor, []).append((module, name))
    return list(places.values())


def _tensor(places: list[Place]) -> Tensor:
    module, name = places[0]
    return getattr(module, name)


def _put(places: list[Place], tensor: Tensor, trained: bool) -> None:
    """Hang a new tensor at its places, as a parameter where one was."""
    module, name = places[0]
    if name in module._parameters:
        tensor = nn.Parameter(tensor, requires_grad=trained)
    for module, name in places:
        _hang(module, name, tensor)


def _hang(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Register a tensor in a module as what it is: a parameter, or else a buffer."""
    if isinstance(tensor, nn.Parameter) or name in module._buffers:
        setattr(module, name, tensor)
    else:
        module.register_buffer(name, tensor)

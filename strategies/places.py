"""Tensors of a network by where they hang, so that other ones can be hung there."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmark.core.errors import UserError

Place = tuple[nn.Module, str]
"""Where a tensor hangs: a module, and the tensor's name in it."""


def tensors_outside(backbone: nn.Module, kind: type[nn.Module]) -> list[list[Place]]:
    """Where parameters and buffers lie that are outside of layers of a kind, in a fixed order; a shared one once."""
    places: dict[Tensor, list[Place]] = {}
    for module in backbone.modules():
        if not isinstance(module, kind):
            for name, tensor in (*module._parameters.items(), *module._buffers.items()):
                if tensor is not None:
                    places.setdefault(tensor, []).append((module, name))
    return list(places.values())


def tensor_at(places: list[Place]) -> Tensor:
    """The tensor that hangs at places."""
    module, name = places[0]
    return getattr(module, name)


def is_given(places: list[Place]) -> bool:
    """Whether something else than a parameter lies where one was."""
    module, name = places[0]
    return name in module._parameters and not isinstance(getattr(module, name), nn.Parameter)


def put(places: list[Place], tensor: Tensor, trained: bool) -> None:
    """Hang a new tensor at its places, as a parameter where one was, and with the attributes of the one before."""
    module, name = places[0]
    attributes = vars(tensor_at(places))
    if name in module._parameters:
        tensor = nn.Parameter(tensor, requires_grad=trained)
    if attributes:
        vars(tensor).update(attributes)
    for module, name in places:
        hang(module, name, tensor)


def hang(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Register a tensor in a module as what it is: a parameter, or else a buffer."""
    if name in module._parameters and not isinstance(tensor, nn.Parameter):
        module._parameters[name] = tensor  # type: ignore[assignment]  # as torch.func.functional_call does
    elif isinstance(tensor, nn.Parameter) or name in module._buffers:
        setattr(module, name, tensor)
    else:
        module.register_buffer(name, tensor)


def buffers_outside(backbone: nn.Module, kind: type[nn.Module]) -> list[Place]:
    """Where buffers of a state lie that are outside of layers of a kind."""
    return [
        (module, name)
        for module in backbone.modules()
        if not isinstance(module, kind)
        for name, tensor in module._buffers.items()
        if tensor is not None and name not in module._non_persistent_buffers_set
    ]


@contextmanager
def unwritten(buffers: Sequence[Place], network: nn.Module) -> Iterator[None]:
    """A pass that must leave buffers as they are, since earlier tasks use them, too.

    One that is exchanged for another of another shape is none that was learned, as a grid for images of one size.

    Raises:
        UserError: it has not.
    """
    before = [] if torch.compiler.is_compiling() else [(*at, tensor_at([at]), _written(at)) for at in buffers]
    yield
    for module, name, tensor, written in before:
        now = module._buffers[name]
        if now is tensor:
            changed = _written((module, name)) != written
        else:
            changed = now is None or (now.shape == tensor.shape and not torch.equal(now, tensor))
        if changed:
            where = next(place for place, part in network.named_modules() if part is module)
            raise UserError(
                f"'{where}.{name}' has changed as a later task was trained, and earlier ones use it, too. Change it "
                f"only where its own module ({type(module).__name__}) is in training mode, which it is not by then, or "
                "use a strategy that has it for each task (cmc, independent)."
            )


def _written(place: Place) -> int:
    """How often a tensor was written to."""
    tensor = tensor_at([place])
    return 0 if tensor.is_inference() else tensor._version

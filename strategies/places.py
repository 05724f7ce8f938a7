"""Tensors of a network by where they hang, so that other ones can be hung there."""

from torch import Tensor, nn

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
    """Hang a new tensor at its places, as a parameter where one was."""
    module, name = places[0]
    if name in module._parameters:
        tensor = nn.Parameter(tensor, requires_grad=trained)
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

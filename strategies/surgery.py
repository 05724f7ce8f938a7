"""Changing layers of a finished network."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)


def replace_layers(network: nn.Module, kind: type[Layer], make: Callable[[Layer, str], nn.Module]) -> nn.Module:
    """Put ``make(layer, name)`` in the place of every layer of exactly one type, in the network itself.

    A layer that is used in several places stays one layer. Subclasses are left alone, since their forward pass may be
    another.
    """
    holder = nn.ModuleDict({"network": network})
    made: dict[nn.Module, nn.Module] = {}
    for name, layer in list(holder.named_modules(remove_duplicate=False)):
        if type(layer) is kind:
            if layer not in made:
                made[layer] = make(layer, name.removeprefix("network").removeprefix("."))
            holder.set_submodule(name, made[layer])
    return holder["network"]

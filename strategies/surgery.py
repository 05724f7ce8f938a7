"""Changing layers of a finished network."""

from collections.abc import Callable

from torch import nn


def replace_convolutions(network: nn.Module, make: Callable[[nn.Conv2d], nn.Module]) -> nn.Module:
    """Put ``make(layer)`` in the place of every plain ``nn.Conv2d``, in the network itself.

    A layer that is used in several places stays one layer. Subclasses of ``nn.Conv2d`` are left alone, since their
    forward pass may be another.
    """
    holder = nn.ModuleDict({"network": network})
    made: dict[nn.Module, nn.Module] = {}
    for name, layer in list(holder.named_modules(remove_duplicate=False)):
        if type(layer) is nn.Conv2d:
            if layer not in made:
                made[layer] = make(layer)
            holder.set_submodule(name, made[layer])
    return holder["network"]

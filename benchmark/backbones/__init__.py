"""Restoration networks: plain modules of convolutions that know nothing of continual learning.

A backbone is a class built from ``width``, ``blocks`` and ``image_skip`` that maps (N, 3, H, W) to (N, 3, H, W). Those
of the suite stand in a table, which keeps ``list backbones`` free of torch. Others come from installed packages and
from plugins, as strategies do (:mod:`benchmark.core.plugins.catalogue`); see docs/backbones.md.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from benchmark.core.errors import UserError
from benchmark.core.plugins.calls import unfit, where
from benchmark.core.plugins.catalogue import Catalogue, Entry
from benchmark.core.plugins.plugin import Plugin

if TYPE_CHECKING:
    from torch import nn

GROUP = "continual_restoration.backbones"
"""The entry-point group in which installed packages announce backbones: name → ``module:Class``."""

BACKBONES = {
    "resnet": Entry("benchmark.backbones.resnet:ResNet", "residual blocks at full resolution (section 4.1.3)"),
    "dense": Entry("benchmark.backbones.dense:DenseNet", "dense blocks at full resolution (section 4.4.6)"),
    "rdn": Entry("benchmark.backbones.rdn:RDN", "residual dense network at full resolution (section 4.4.6)"),
}
"""The backbones of the suite by name."""

CATALOGUE = Catalogue("backbone", GROUP, BACKBONES, Entry)

Kind = TypeVar("Kind", bound=type)


def register(name: str) -> Callable[[Kind], Kind]:
    """Make the class below it a backbone of this name, once its file or module is given with ``--plugin``.

    The first line of its docstring stands in lists. ``revision`` in the class, 1 if it says nothing, is raised by one
    when a change of the class makes runs give other results within one version of an installed package.

    Raises:
        UserError: it stands above a class without a name.
    """
    if isinstance(name, type):
        raise UserError(f"@register above {name.__name__} needs a name: @register('my_network').")

    def named(kind: Kind) -> Kind:
        kind.backbone_name = name  # type: ignore[attr-defined]
        return kind

    return named


def entries() -> dict[str, Entry]:
    """Every available backbone by name; a built-in name cannot be taken by another."""
    return CATALOGUE.entries()


def found(plugin: Plugin) -> dict[str, Entry]:
    """The backbones that a plugin registers.

    Raises:
        UserError: two classes are registered under one name, or one cannot be built as a backbone is.
    """
    return CATALOGUE.found(
        plugin, lambda kind: "backbone_name" in vars(kind), lambda kind: _checked(kind).backbone_name
    )


def _checked(kind: Any) -> Any:
    """A class, once it is known to be a module that takes what :func:`build` gives."""
    from torch import nn

    if not issubclass(kind, nn.Module):
        raise UserError(f"{kind.__name__} is registered as a backbone and is no subclass of torch.nn.Module.")
    try:
        if kind.__init__ is nn.Module.__init__:  # which takes any words, and then refuses them
            raise TypeError("it has no __init__ of its own")
        inspect.signature(kind).bind(width=1, blocks=1, image_skip=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"{kind.__name__} does not take width, blocks and image_skip: {error}.") from error
    missing = "is missing" if kind.forward is nn.Module.forward else ""
    if problem := missing or unfit(kind.forward, "self", "images"):
        raise UserError(f"{kind.__name__}.forward {problem}{where(kind)}. Write def forward(self, images).")
    return kind


def build(name: str, width: int, blocks: int, image_skip: bool) -> "nn.Module":
    """Make a backbone with freshly drawn weights.

    Raises:
        UserError: no backbone has this name, or its package is broken.
    """
    return CATALOGUE.load(name)(width=width, blocks=blocks, image_skip=image_skip)

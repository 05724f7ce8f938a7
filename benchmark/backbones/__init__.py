"""Restoration networks: plain modules of convolutions that know nothing of continual learning.

A backbone is a class built from ``width``, ``blocks`` and ``image_skip`` that maps (N, 3, H, W) to (N, 3, H, W).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from benchmark.core.errors import unknown

if TYPE_CHECKING:
    from torch import nn

BACKBONES = {
    "resnet": ("benchmark.backbones.resnet:ResNet", "residual blocks at full resolution (section 4.1.3)"),
    "dense": ("benchmark.backbones.dense:DenseNet", "dense blocks at full resolution (section 4.4.6)"),
    "rdn": ("benchmark.backbones.rdn:RDN", "residual dense network at full resolution (section 4.4.6)"),
}
"""Name → (where the class is, one line about it). Naming the place keeps ``list backbones`` free of torch."""


def build(name: str, width: int, blocks: int, image_skip: bool) -> "nn.Module":
    """Make a backbone with freshly drawn weights.

    Raises:
        UserError: no backbone has this name.
    """
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    module, _, attribute = BACKBONES[name][0].partition(":")
    return getattr(import_module(module), attribute)(width=width, blocks=blocks, image_skip=image_skip)

"""Restoring images that are too large for memory, in overlapping tiles."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


def reach(network: nn.Module) -> int:
    """How many pixels away from an output pixel the network looks, at most, to either side.

    The sum over all layers with a kernel, as if they stood in one row; too much for a network with branches, never too
    little. Deformable convolutions may look further, by offsets that depend on the image; for them tiles are an
    approximation.

    Raises:
        ValueError: a layer has a stride, so that outputs depend on where a tile begins.
    """
    total = 0
    for layer in network.modules():
        kernel: Any = getattr(layer, "kernel_size", None)
        if kernel is None:
            continue
        if any(step != 1 for step in _both(getattr(layer, "stride", 1))):
            raise ValueError(f"{type(layer).__name__} has a stride; only networks of full resolution can work in tiles")
        dilation = _both(getattr(layer, "dilation", 1))
        total += max(-(-step * (side - 1) // 2) for side, step in zip(_both(kernel), dilation, strict=True))
    return total


def restore(network: Callable[[Tensor], Tensor], images: Tensor, tile: int, margin: int) -> Tensor:
    """Restore images tile by tile; as if whole, up to rounding, if ``margin`` is the network's reach.

    Args:
        network: restores (N, 3, h, w) for any h and w.
        images: (N, 3, H, W).
        tile: side of a tile in pixels, without its margin.
        margin: pixels of surroundings that each tile is given, where the image has them.

    Returns:
        (N, 3, H, W).
    """
    restored = torch.empty_like(images)
    height, width = images.shape[-2:]
    for top, bottom in _spans(height, tile):
        for left, right in _spans(width, tile):
            above, before = max(0, top - margin), max(0, left - margin)
            part = network(images[..., above : bottom + margin, before : right + margin])
            inner = part[..., top - above : bottom - above, left - before : right - before]
            restored[..., top:bottom, left:right] = inner
    return restored


def _spans(length: int, tile: int) -> Iterator[tuple[int, int]]:
    """A side in pieces of almost equal length, none longer than ``tile``."""
    pieces = -(-length // tile)
    ends = [length * piece // pieces for piece in range(pieces + 1)]
    return pairwise(ends)


def _both(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)

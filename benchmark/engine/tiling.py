"""Restoring images that are too large for memory, in overlapping tiles."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.core.errors import UserError

_WHOLE = (
    "only networks of full resolution can work in tiles. Set data.tile to the longer side of the largest test image."
)


def reach(network: nn.Module) -> int:
    """How many pixels away from an output pixel the network looks, at most, to either side.

    The sum over all layers with a kernel, as if they stood in one row, one at two places as two; too much for a network
    with branches, never too little. Deformable convolutions may look further, by offsets that depend on the image; for
    them tiles are an approximation.

    Raises:
        UserError: a layer has a stride, so that outputs depend on where a tile begins.
    """
    total = 0
    for _, layer in network.named_modules(remove_duplicate=False):
        kernel: Any = getattr(layer, "kernel_size", None)
        if kernel is None:
            continue
        if any(step != 1 for step in _both(getattr(layer, "stride", 1))):
            raise UserError(f"{type(layer).__name__} has a stride; {_WHOLE}")
        dilation = _both(getattr(layer, "dilation", 1))
        total += max(-(-step * (side - 1) // 2) for side, step in zip(_both(kernel), dilation, strict=True))
    return total


def restore(network: Callable[[Tensor], Tensor], images: Tensor, tile: int, margin: int) -> Tensor:
    """Restore images tile by tile; as if whole, up to rounding, if ``margin`` is the network's reach.

    Args:
        network: restores (N, 3, h, w) for any h and w, without changing the size.
        images: (N, 3, H, W).
        tile: side of a tile in pixels, without its margin.
        margin: pixels of surroundings that each tile is given, where the image has them.

    Returns:
        (N, C, H, W), of the type and number of channels that the network gives.

    Raises:
        UserError: what the network gives is not of the size that it was given.
    """
    height, width = images.shape[-2:]
    rows = []
    for top, bottom in _spans(height, tile):
        parts = []
        for left, right in _spans(width, tile):
            above, before = max(0, top - margin), max(0, left - margin)
            given = images[..., above : bottom + margin, before : right + margin]
            part = network(given)
            if part.shape[-2:] != given.shape[-2:]:
                raise UserError(
                    f"The network makes {part.shape[-1]}×{part.shape[-2]} pixels of "
                    f"{given.shape[-1]}×{given.shape[-2]}; {_WHOLE}"
                )
            parts.append(part[..., top - above : bottom - above, left - before : right - before])
        rows.append(torch.cat(parts, -1))
    return torch.cat(rows, -2)


def _spans(length: int, tile: int) -> Iterator[tuple[int, int]]:
    """A side in pieces of almost equal length, none longer than ``tile``."""
    pieces = -(-length // tile)
    ends = [length * piece // pieces for piece in range(pieces + 1)]
    return pairwise(ends)


def _both(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)

"""Restoring images that are too large for memory, in overlapping tiles."""

from collections.abc import Callable, Iterator
from itertools import cycle, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

from baselines.deform import DeformableConv2d
from benchmark.core.errors import UserError

FURTHER = 1e-4
"""Share of the largest output by which one may differ where pixels beyond the reach do; rounding is far below it."""

_WHOLE = (
    "only networks of full resolution that look at the surroundings of a pixel can work in tiles. "
    "Set data.tile to the longer side of the largest test image."
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
        stride = getattr(layer, "stride", 1)
        if any(step != 1 for step in _each(kernel if stride is None else stride)):
            raise UserError(f"{type(layer).__name__} has a stride; {_WHOLE}")
        sides = zip(_each(kernel), cycle(_each(getattr(layer, "dilation", 1))), strict=False)
        total += max(-(-step * (side - 1) // 2) for side, step in sides)
    return total


def refuse_further(network: nn.Module, restored: Callable[[Tensor], Tensor], like: Tensor, margin: int) -> None:
    """Refuse a network that looks further than its reach, as by a mean over the image, which no layer tells.

    Two output pixels of two small images are compared, whose surroundings are equal within the reach and differ beyond:
    one in a corner, and one in the middle, which lies a row and a column further in the second image, as tiles begin
    anywhere.

    Args:
        network: the network; deformable convolutions in it may look further.
        restored: what it makes of images.
        like: images (N, 3, H, W), for their number, type and device.
        margin: the network's reach.

    Raises:
        UserError: the outputs differ.
    """
    if any(isinstance(layer, DeformConv2d | DeformableConv2d) for layer in network.modules()):
        return
    side = -(-(3 * margin + 3) // 64) * 64  # which networks can halve that take no odd sizes
    image = torch.rand(len(like), 3, side, side, generator=torch.Generator().manual_seed(0)).to(like)
    other = image * 0.1
    other[..., : margin + 1, : margin + 1] = image[..., : margin + 1, : margin + 1]
    around, moved = slice(margin + 1, 3 * margin + 2), slice(margin + 2, 3 * margin + 3)
    other[..., moved, moved] = image[..., around, around]
    layout = torch.channels_last
    one, two = (restored(given.contiguous(memory_format=layout)) for given in (image, other))
    for place, same in ((0, 0), (2 * margin + 1, 2 * margin + 2)):
        if (one[..., place, place] - two[..., same, same]).abs().max() > FURTHER * one.abs().max():
            raise UserError(
                f"{type(network).__name__} looks further than the {margin} pixels that its layers tell, as by a mean "
                "or a normalisation over the image, by attention, by padding on one side, or by where in the image a "
                f"pixel lies; {_WHOLE}"
            )


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


def _each(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)

"""The same degradations of a whole batch at once, in torch: what a GPU can compute by itself.

What is random is drawn as ever, by :meth:`Degradation.numbers`, so a patch is the same wherever it is computed, but for
rounding: noise to the bit; blur to the last places of float32; rain, which is rounded to 8 bits, to one
grey level in few of its values. Sums are taken in an order that does not depend on the device's threads.

Each is a twin of a degradation, in two steps: ``gather`` brings the numbers of a batch together, on the CPU, in the
process that draws them; ``compute`` does the rest where the images are.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from benchmark.data.degradations.base import Degradation
from benchmark.data.degradations.blend import Blend
from benchmark.data.degradations.blur import GaussianBlur
from benchmark.data.degradations.noise import GaussianNoise
from benchmark.data.degradations.rain import Rain, Streaks

UNIT = 2.0**40
"""Light is summed in whole numbers of this fraction: their sum is the same in any order."""


@dataclass(frozen=True)
class Twin:
    """A degradation of a batch.

    Args:
        gather: from a degradation and its numbers for each image to tensors on the CPU, nested in tuples and lists.
        compute: from a degradation, images (float32, N × 3 × H × W, on any device, from 0 to 1) and what was
            gathered, on the same device, to the degraded images.
    """

    gather: Callable[[Any, Sequence[Any]], Any]
    compute: Callable[[Any, Tensor, Any], Tensor]


def possible(degradation: Degradation) -> bool:
    """Whether a degradation has a twin; a blend has if all its steps do."""
    return type(degradation) in TWINS and (
        not isinstance(degradation, Blend) or all(possible(step) for step in degradation.steps)
    )


def gather(degradation: Degradation, numbers: Sequence[Any]) -> Any:
    """The numbers of a batch, as :func:`compute` takes them; see :class:`Twin`."""
    return TWINS[type(degradation)].gather(degradation, numbers)


def compute(degradation: Degradation, images: Tensor, gathered: Any) -> Tensor:
    """The degraded images of a batch; see :class:`Twin`."""
    return TWINS[type(degradation)].compute(degradation, images, gathered)


def to_float(pixels: Tensor) -> Tensor:
    """8-bit values as float32 from 0 to 1, with the bits of :func:`benchmark.core.images.to_float`.

    Divided by a tensor: by a number a GPU would multiply with its inverse, which rounds otherwise.
    """
    return pixels.to(torch.float32) / torch.full((1,), 255.0, device=pixels.device)


def rounded(images: Tensor) -> Tensor:
    """Images clamped to [0, 1] and rounded to 8 bits, as the CPU's degradations round; half to even."""
    return to_float(torch.round(images.clamp(0, 1) * 255))


def _noise_gather(_: GaussianNoise, numbers: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(numbers))


def _noise(degradation: GaussianNoise, images: Tensor, fields: Tensor) -> Tensor:
    noisy = images + fields.permute(0, 3, 1, 2)
    return rounded(noisy) if degradation.clip else noisy


def _blur_gather(degradation: GaussianBlur, numbers: Sequence[float]) -> Tensor:
    return torch.from_numpy(np.stack([degradation.kernel(std) for std in numbers]))


def _blur(degradation: GaussianBlur, images: Tensor, kernels: Tensor) -> Tensor:
    """In float64, rounded to float32 after the columns and after the rows, as SciPy does."""
    reach = degradation.size // 2
    for height, width in ((reach, 0), (0, reach)):
        padded = pad(images.double(), (width, width, height, height), mode="reflect")
        images = _weighted(padded, kernels, axis=2 if height else 3).float()
    return rounded(images) if degradation.clip else images


def _weighted(padded: Tensor, kernels: Tensor, axis: int) -> Tensor:
    """Each image correlated with its own kernel along one axis, where the kernel lies wholly inside."""
    taps = kernels.shape[1]
    length = padded.shape[axis] - taps + 1
    total = torch.zeros_like(padded.narrow(axis, 0, length))
    for tap in range(taps):
        total += padded.narrow(axis, tap, length) * kernels[:, tap, None, None, None]
    return total


def _rain_gather(_: Rain, numbers: Sequence[Streaks]) -> tuple[Tensor, Tensor, int]:
    """Every line of every streak: middle, extent from end to end, light of a point, points; and the image it is in."""
    lines, image = [np.empty((6, 0))], [np.empty(0, np.int64)]
    for index, streaks in enumerate(numbers):
        y, x, down, right, lengths, brightness = streaks.each
        light = brightness * (lengths / streaks.points) * (streaks.thickness / streaks.lines)
        points = np.full_like(y, streaks.points)
        for across in ((np.arange(streaks.lines) + 0.5) / streaks.lines - 0.5) * streaks.thickness:
            middle = [y - across * right, x + across * down]
            lines.append(np.stack([*middle, lengths * down, lengths * right, light, points]))
            image.append(np.full(y.size, index))
    most = max(streaks.points for streaks in numbers)
    return torch.from_numpy(np.concatenate(lines, axis=1)), torch.from_numpy(np.concatenate(image)), most


def _rain(_: Rain, images: Tensor, gathered: tuple[Tensor, Tensor, int]) -> Tensor:
    (y, x, height, width, light, points), image, most = gathered
    place = torch.arange(most, dtype=torch.float64, device=images.device)[:, None]
    along = (place + 0.5) / points - 0.5
    light = torch.where(place < points, torch.cos(math.pi * along) * light, 0)
    splat = _splat(y + along * height, x + along * width, light, image.expand(most, -1), images[:, 0].shape)
    return rounded(images + splat.float()[:, None])


def _splat(y: Tensor, x: Tensor, light: Tensor, image: Tensor, shape: Sequence[int]) -> Tensor:
    """Images of points of light, each shared bilinearly among its four nearest pixels; float64, N × H × W."""
    number, height, width = shape
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    y, x, light = (torch.where(inside, one, 0) for one in (y + 1, x + 1, light))
    row, column = y.long(), x.long()
    lower = light * (y - row)
    corner = (image * (height + 2) + row) * (width + 2) + column
    framed = torch.zeros(number * (height + 2) * (width + 2), dtype=torch.int64, device=y.device)
    for first, share in ((corner, light - lower), (corner + (width + 2), lower)):
        right = share * (x - column)
        for where, part in ((first, share - right), (first + 1, right)):
            framed.index_add_(0, where.flatten(), torch.round(part * UNIT).long().flatten())
    return framed.view(number, height + 2, width + 2)[:, 1:-1, 1:-1] / UNIT


def _blend_gather(degradation: Blend, numbers: Sequence[Sequence[Any]]) -> list[Any]:
    return [gather(step, of_step) for step, of_step in zip(degradation.steps, zip(*numbers, strict=True), strict=True)]


def _blend(degradation: Blend, images: Tensor, gathered: Sequence[Any]) -> Tensor:
    for step, of_step in zip(degradation.steps, gathered, strict=True):
        images = compute(step, images, of_step)
    return images


TWINS: dict[type[Degradation], Twin] = {
    GaussianNoise: Twin(_noise_gather, _noise),
    GaussianBlur: Twin(_blur_gather, _blur),
    Rain: Twin(_rain_gather, _rain),
    Blend: Twin(_blend_gather, _blend),
}
"""The twins. JPEG has an encoder of its own, and camera noise interpolates a mosaic: both stay on the CPU."""

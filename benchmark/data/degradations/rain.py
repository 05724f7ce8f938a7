"""Rain."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from benchmark.core.images import to_float, to_uint8
from benchmark.data.degradations.base import Degradation, Real, between, draw, register


@dataclass(frozen=True)
class Streaks:
    """The streaks of one image. Each is a bundle of parallel lines of points, at most a pixel apart in both directions.

    Args:
        each: float64, 6 × streaks: the middle's row and column, cosine and sine of the angle from vertical, length in
            pixels, greatest brightness.
        thickness: width of a streak in pixels.
        points: points in a line.
        lines: lines in a streak.
    """

    each: np.ndarray
    thickness: float
    points: int
    lines: int

    def light(self, height: int, width: int) -> np.ndarray:
        """The light S alone: float32, height × width, not negative."""
        y, x, down, right, lengths, brightness = self.each
        along = ((np.arange(self.points) + 0.5) / self.points - 0.5)[:, None]
        light = np.cos(np.pi * along) * (brightness * (lengths / self.points) * (self.thickness / self.lines))
        y, x = y + along * (lengths * down), x + along * (lengths * right)
        image = np.zeros((height, width))
        for across in ((np.arange(self.lines) + 0.5) / self.lines - 0.5) * self.thickness:
            image += _splat(y - across * right, x + across * down, light, height, width)
        return image.astype(np.float32)


@register
class Rain(Degradation):
    """Bright streaks added to the image: O = B + S, then clipped and rounded to 8 bit.

    It stands in for Rain100L (Yang et al., "Deep joint rain detection and removal from a single image", CVPR 2017),
    whose images follow the same model but cannot be shipped. Angle, length, width, strength and density are drawn once
    per image; each streak then varies around them, fades towards its ends, and adds the same light to R, G and B.

    The defaults are heavy rain: on BSD68's images they give an input PSNR of 12.8 dB (RGB), and streaks like those of
    Rain100H. With ``density=(0.0005, 0.002)`` it is 25.9 dB (27.3 dB on Y), near the 26.9 dB on Y of Rain100L.
    """

    name: ClassVar[str] = "rain"
    angle: Annotated[Real, between(-90, 90)] = Field((-25, 25), description="main direction in degrees from vertical")
    spread: Annotated[Real, between(0, 45)] = Field(
        (2, 12), description="standard deviation of the streaks' directions around the main one, in degrees"
    )
    length: Annotated[Real, between(1, 200)] = Field((30, 60), description="mean length of a streak in pixels")
    width: Annotated[Real, between(0.5, 10)] = Field((1, 2), description="width of a streak in pixels")
    density: Annotated[Real, between(0, 0.1)] = Field(
        (0.008, 0.024), description="fraction of pixels at which a streak is centred"
    )
    strength: Annotated[Real, between(0, 1)] = Field(
        (0.3, 0.65), description="greatest brightness of a streak, where 1 is white"
    )

    def numbers(self, height: int, width: int, rng: np.random.Generator) -> Streaks:
        """The streaks that may reach into an image of this size."""
        angle, spread, mean_length = draw(self.angle, rng), draw(self.spread, rng), draw(self.length, rng)
        thickness, density, strength = draw(self.width, rng), draw(self.density, rng), draw(self.strength, rng)

        margin = math.ceil(0.75 * mean_length + thickness)
        rows, columns = height + 2 * margin, width + 2 * margin
        count = rng.poisson(density * rows * columns)
        lengths = mean_length * rng.uniform(0.5, 1.5, count)
        angles = np.radians(rng.normal(angle, spread, count))
        brightness = strength * rng.uniform(0.2, 1, count)
        y, x = rng.uniform(0, rows, count) - margin, rng.uniform(0, columns, count) - margin

        # Most streaks of a small image lie beside it; of these no point would count.
        down, right = np.cos(angles), np.sin(angles)
        near = _reaches(y, lengths * np.abs(down) + thickness, height)
        near &= _reaches(x, lengths * np.abs(right) + thickness, width)
        each = np.stack([y, x, down, right, lengths, brightness])[:, near]
        return Streaks(each, thickness, points=math.ceil(1.5 * mean_length), lines=math.ceil(thickness))

    def apply(self, image: np.ndarray, numbers: Streaks) -> np.ndarray:
        """Add streaks; no pixel becomes darker, beyond rounding to 8 bit."""
        return to_float(to_uint8(image + numbers.light(image.shape[0], image.shape[1])[:, :, None]))


def _reaches(middle: np.ndarray, extent: np.ndarray, size: int) -> np.ndarray:
    """Whether something may come within a pixel of the pixels from 0 to ``size``, by its middle and its extent."""
    return (middle + extent / 2 > -2) & (middle - extent / 2 < size + 1)


def _splat(y: np.ndarray, x: np.ndarray, light: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image of points of light, each shared bilinearly among its four nearest pixels; float64, height × width."""
    inside = np.flatnonzero((y > -1) & (y < height) & (x > -1) & (x < width))  # picks faster than the mask would
    y, x, light = y.ravel()[inside] + 1, x.ravel()[inside] + 1, light.ravel()[inside]
    row, column = y.astype(np.intp), x.astype(np.intp)
    y -= row
    x -= column
    lower = light * y
    row *= width + 2
    corner = np.add(row, column, out=row)
    framed = np.zeros((height + 2) * (width + 2))
    for first, share in ((corner, light - lower), (corner + (width + 2), lower)):
        right = share * x
        framed += np.bincount(first, share - right, minlength=framed.size)
        framed += np.bincount(first + 1, right, minlength=framed.size)
    return framed.reshape(height + 2, width + 2)[1:-1, 1:-1]

"""Rain."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from benchmark.core.images import to_float, to_uint8
from benchmark.data.degradations.base import Degradation, Real, Window, between, draw, register


@dataclass(frozen=True)
class Streaks:
    """The streaks of one image. Each is a bundle of parallel lines of points, at most a pixel apart in both directions.

    Args:
        each: float64, 6 × streaks: the middle's row and column, cosine and sine of the angle from vertical, length in
            pixels, greatest brightness.
        thickness: width of a streak in pixels.
        points: points in a line.
        lines: lines in a streak.
        top, left: where the image begins in the coordinates of the middles.
    """

    each: np.ndarray
    thickness: float
    points: int
    lines: int
    top: int = 0
    left: int = 0

    def within(self, window: Window) -> "Streaks":
        """Those that may reach into a part of the image, as the streaks of an image of its own."""
        y, x, down, right, lengths, _ = self.each
        rows, columns = window
        near = _reaches(y - rows.start, lengths * np.abs(down) + self.thickness, rows.stop - rows.start)
        near &= _reaches(x - columns.start, lengths * np.abs(right) + self.thickness, columns.stop - columns.start)
        return replace(self, each=self.each[:, near], top=rows.start, left=columns.start)

    def light(self, height: int, width: int) -> np.ndarray:
        """The light S alone: float32, height × width, not negative."""
        y, x, down, right, lengths, brightness = self.each
        along = ((np.arange(self.points) + 0.5) / self.points - 0.5)[:, None]
        light = np.cos(np.pi * along) * (brightness * (lengths / self.points) * (self.thickness / self.lines))
        y, x = y + along * (lengths * down), x + along * (lengths * right)
        image = np.zeros((height, width))
        for across in ((np.arange(self.lines) + 0.5) / self.lines - 0.5) * self.thickness:
            image += _splat(y - across * right, x + across * down, light, height, width, self.top, self.left)
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
        each = np.stack([y, x, np.cos(angles), np.sin(angles), lengths, brightness])
        streaks = Streaks(each, thickness, points=math.ceil(1.5 * mean_length), lines=math.ceil(thickness))
        return streaks.within((slice(0, height), slice(0, width)))

    def apply(self, image: np.ndarray, numbers: Streaks) -> np.ndarray:
        """Add streaks; no pixel becomes darker, beyond rounding to 8 bit."""
        light = numbers.light(image.shape[0], image.shape[1])
        return to_float(to_uint8(image + np.repeat(light, 3, axis=1).reshape(image.shape)))  # broadcast it adds slower

    def apply_within(self, image: np.ndarray, numbers: Streaks, window: Window) -> np.ndarray:
        """Add those streaks that may reach into the window."""
        return self.apply(image[window], numbers.within(window))


def _reaches(middle: np.ndarray, extent: np.ndarray, size: int) -> np.ndarray:
    """Whether something may come within a pixel of the pixels from 0 to ``size``, by its middle and its extent."""
    return (middle + extent / 2 > -2) & (middle - extent / 2 < size + 1)


def _splat(
    y: np.ndarray, x: np.ndarray, light: np.ndarray, height: int, width: int, top: int = 0, left: int = 0
) -> np.ndarray:
    """An image of points of light, each shared bilinearly among its four nearest pixels; float64, height × width.

    The image's first pixel is at (top, left). No bit of a pixel depends on where the image begins and ends.
    """
    inside = np.flatnonzero((y > top - 1) & (y < top + height) & (x > left - 1) & (x < left + width))
    y, x, light = y.ravel()[inside] + 1, x.ravel()[inside] + 1, light.ravel()[inside]
    row, column = np.floor(y), np.floor(x)
    y -= row
    x -= column
    corner = ((row - top) * (width + 1) + (column - left)).astype(np.intp)
    lower = light * y
    upper = light - lower
    upper_right, lower_right = upper * x, lower * x
    upper -= upper_right
    lower -= lower_right
    frame = (height + 2, width + 1)  # of the upper left pixels; at the lower border one may be rounded to the next row
    parts = (upper, upper_right, lower, lower_right)
    a, b, c, d = (np.bincount(corner, part, minlength=frame[0] * frame[1]).reshape(frame) for part in parts)
    image = a[1:-1, 1:] + b[1:-1, :-1]
    image += c[:-2, 1:]
    image += d[:-2, :-1]
    return image

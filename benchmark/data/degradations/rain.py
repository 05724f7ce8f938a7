"""Rain."""

import math
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from benchmark.core.images import to_float, to_uint8
from benchmark.data.degradations.base import Degradation, Real, between, draw, register


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

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add streaks; no pixel becomes darker, beyond rounding to 8 bit."""
        return to_float(to_uint8(image + self.streaks(image.shape[0], image.shape[1], rng)[:, :, None]))

    def streaks(self, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        """The light S alone: float32, height × width, not negative."""
        angle, spread, mean_length = draw(self.angle, rng), draw(self.spread, rng), draw(self.length, rng)
        thickness, density, strength = draw(self.width, rng), draw(self.density, rng), draw(self.strength, rng)

        margin = math.ceil(0.75 * mean_length + thickness)
        rows, columns = height + 2 * margin, width + 2 * margin
        count = rng.poisson(density * rows * columns)
        lengths = mean_length * rng.uniform(0.5, 1.5, count)
        angles = np.radians(rng.normal(angle, spread, count))
        brightness = strength * rng.uniform(0.2, 1, count)
        y0, x0 = rng.uniform(0, rows, count), rng.uniform(0, columns, count)

        # Most streaks of a small image lie beside it; of these no point would count.
        down, right = np.cos(angles), np.sin(angles)
        near = _reaches(y0 - margin, lengths * np.abs(down) + thickness, height)
        near &= _reaches(x0 - margin, lengths * np.abs(right) + thickness, width)
        y0, x0, down, right = y0[near], x0[near], down[near], right[near]
        lengths, brightness = lengths[near], brightness[near]

        # Each streak is a bundle of parallel lines of points, at most one pixel apart in both directions.
        points, lines = math.ceil(1.5 * mean_length), math.ceil(thickness)
        along = ((np.arange(points) + 0.5) / points - 0.5)[:, None, None] * lengths
        across = ((np.arange(lines) + 0.5) / lines - 0.5)[:, None] * thickness
        y = y0 + along * down - across * right
        x = x0 + along * right + across * down
        fade = np.cos(np.pi * ((np.arange(points) + 0.5) / points - 0.5))[:, None, None]
        light = np.broadcast_to(brightness * fade * (lengths / points) * (thickness / lines), y.shape)
        return _splat(y - margin, x - margin, light, height, width)


def _reaches(middle: np.ndarray, extent: np.ndarray, size: int) -> np.ndarray:
    """Whether something may come within a pixel of the pixels from 0 to ``size``, by its middle and its extent."""
    return (middle + extent / 2 > -2) & (middle - extent / 2 < size + 1)


def _splat(y: np.ndarray, x: np.ndarray, light: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image of points of light, each shared bilinearly among its four nearest pixels; float32, height × width."""
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    y, x, light = y[inside] + 1, x[inside] + 1, light[inside]
    row, column = y.astype(np.intp), x.astype(np.intp)
    down, right = y - row, x - column
    lower, upper = light * down, light * (1 - down)
    corner = row * (width + 2) + column
    places = np.concatenate([corner, corner + 1, corner + width + 2, corner + width + 3])
    shares = np.concatenate([upper * (1 - right), upper * right, lower * (1 - right), lower * right])
    framed = np.bincount(places, shares, minlength=(height + 2) * (width + 2)).reshape(height + 2, width + 2)
    return framed[1:-1, 1:-1].astype(np.float32)

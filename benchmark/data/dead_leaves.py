"""Dead leaves: generated training images with the statistics of natural ones, without end.

Opaque discs ("leaves") fall on the image plane until they cover it. With radii distributed as r⁻³ the image looks
alike at every scale, and shares with photographs the power spectrum of about 1/f², sharp edges and flat areas (Lee,
Mumford and Huang, "Occlusion models for natural images: a statistical study of a scale-invariant dead leaves model",
International Journal of Computer Vision 41, 2001).
"""

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from benchmark.core.addresses import generator
from benchmark.data.photographs import embedded

_OVERSAMPLING = 2
_RADII = (3.0, 150.0)
_COVERS = 6
"""How many leaves lie over a point on average; one point in e⁶ ≈ 400 shows the ground instead."""
_CONTRAST = 12.0
"""Greatest amplitude of a leaf's texture, in 8-bit grey levels."""
_WAVELENGTHS = (6.0, 300.0)
_MADE = 1000
"""Images that are kept once they are made, so that all tasks share them: as many as ``data.dead_leaves`` may be."""


@lru_cache(maxsize=_MADE)
def dead_leaves(index: int, size: int = 512) -> np.ndarray:
    """The generated image number ``index``: uint8, size × size × 3, RGB, read-only. The number alone decides the image.

    Each leaf has the colour of a random pixel of the embedded training photographs, and a faint sinusoidal grating
    (wavelengths from 6 to 300 pixels) for texture or shading. Edges are antialiased.
    """
    rng = generator("dead_leaves", index)
    leaf = _pile(size, rng)
    count = int(leaf.max()) + 1
    image = _colours(count, rng)[leaf]
    image += _texture(leaf, count, rng)[:, :, None]
    fine = image.reshape(size, _OVERSAMPLING, size, _OVERSAMPLING, 3)
    made = np.rint(np.clip(fine.mean(axis=(1, 3)), 0, 255)).astype(np.uint8)
    made.flags.writeable = False
    return made


def radii(count: int, rng: np.random.Generator) -> np.ndarray:
    """Radii in pixels with density proportional to r⁻³ between 3 and 150, by inversion of its distribution."""
    low, high = _RADII
    return (low**-2 - rng.random(count) * (low**-2 - high**-2)) ** -0.5


def _pile(size: int, rng: np.random.Generator) -> np.ndarray:
    """Which leaf is on top at each point of the oversampled image; 0 is the ground."""
    low, high = _RADII
    mean_area = 2 * math.pi * math.log(high / low) / (low**-2 - high**-2)
    side = size + 2 * high
    count = round(_COVERS * side**2 / mean_area)
    x, y = rng.uniform(-high, size + high, (2, count))
    radius = radii(count, rng)
    visible = np.maximum(abs(x - size / 2), abs(y - size / 2)) < size / 2 + radius
    x, y, radius = (values[visible] * _OVERSAMPLING for values in (x, y, radius))

    canvas = Image.new("I", (size * _OVERSAMPLING,) * 2)
    ellipse = ImageDraw.Draw(canvas).ellipse
    boxes = np.stack([x - radius, y - radius, x + radius, y + radius], axis=1).tolist()
    for number, box in enumerate(boxes, start=1):
        ellipse(box, fill=number)
    return np.asarray(canvas)


def _colours(count: int, rng: np.random.Generator) -> np.ndarray:
    """One colour per leaf: float32, count × 3, in grey levels."""
    pixels = np.concatenate([photograph.image.reshape(-1, 3) for photograph in embedded("train")])
    return pixels[rng.integers(len(pixels), size=count)].astype(np.float32)


def _texture(leaf: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """A grating of random direction, wavelength, phase and contrast on each leaf; float32, in grey levels."""
    shortest, longest = _WAVELENGTHS
    wavelength = shortest * (longest / shortest) ** rng.random(count) * _OVERSAMPLING
    frequency, direction = 2 * math.pi / wavelength, rng.uniform(0, 2 * math.pi, count)
    across = (frequency * np.cos(direction)).astype(np.float32)[leaf]
    down = (frequency * np.sin(direction)).astype(np.float32)[leaf]
    phase = rng.uniform(0, 2 * math.pi, count).astype(np.float32)[leaf]
    contrast = rng.uniform(0, _CONTRAST, count).astype(np.float32)[leaf]
    place = np.arange(len(leaf), dtype=np.float32)
    return contrast * np.sin(across * place + down * place[:, None] + phase)

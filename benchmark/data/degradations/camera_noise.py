"""The noise of a camera's sensor."""

import math
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from benchmark.core.images import to_float, to_uint8
from benchmark.data.degradations.base import Degradation, Real, between, draw, register


@register
class CameraNoise(Degradation):
    """Signal-dependent noise of a camera's sensor, a model that stands in for real noise such as SIDD's.

    The image is taken back to linear light x. Each pixel of a Bayer mosaic (RGGB) sees one channel, with Gaussian
    noise of variance ``shot·x + read`` (Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data", IEEE TIP 2008). Read noise follows shot noise by the line that Brooks et al. fitted to
    real cameras ("Unprocessing images for learned raw denoising", CVPR 2019): log read = 2.18·log shot + 1.20. The
    noise, not the image, is then demosaiced bilinearly, which correlates neighbouring pixels, and the sum goes back
    to sRGB and 8 bit.
    Each image draws the phase of its mosaic.
    """

    name: ClassVar[str] = "camera_noise"
    shot: Annotated[Real, between(1e-5, 0.1)] = Field(
        (0.002, 0.02), description="variance of the shot noise of a white pixel in linear light"
    )

    def numbers(self, height: int, width: int, rng: np.random.Generator) -> tuple[float, int, int, np.ndarray]:
        """Variance of the shot noise, the mosaic's phase as row and column, and standard noise for its pixels."""
        shot = draw(self.shot, rng)
        row, column = rng.integers(2, size=2).tolist()
        return shot, row, column, rng.standard_normal((height, width), dtype=np.float32)

    def apply(self, image: np.ndarray, numbers: tuple[float, int, int, np.ndarray]) -> np.ndarray:
        """Add noise; the result has 8-bit values."""
        shot, row, column, noise = numbers
        light = to_linear(image)
        seen = np.zeros(image.shape, bool)  # which channel each pixel of the mosaic sees
        seen[row::2, column::2, 0] = True
        seen[row::2, 1 - column :: 2, 1] = seen[1 - row :: 2, column::2, 1] = True
        seen[1 - row :: 2, 1 - column :: 2, 2] = True
        deviation = np.sqrt(shot * (light * seen).sum(2) + self.read(shot))
        raw = (deviation * noise)[:, :, None] * seen
        return to_float(to_uint8(to_srgb(light + _demosaiced(raw))))

    @staticmethod
    def read(shot: float) -> float:
        """Variance of the read noise that goes with a shot noise."""
        return math.exp(2.18 * math.log(shot) + 1.20)


def to_linear(image: np.ndarray) -> np.ndarray:
    """From sRGB to linear light (IEC 61966-2-1); values outside [0, 1] are clipped."""
    image = np.clip(image, 0, 1)
    return np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(light: np.ndarray) -> np.ndarray:
    """From linear light to sRGB (IEC 61966-2-1); values outside [0, 1] are clipped."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def _demosaiced(raw: np.ndarray) -> np.ndarray:
    """A Bayer mosaic, zero where a channel was not seen, interpolated bilinearly; height × width × 3."""
    from scipy.ndimage import convolve

    red_blue = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
    green = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
    return np.stack([convolve(raw[:, :, c], green if c == 1 else red_blue, mode="mirror") for c in range(3)], axis=2)

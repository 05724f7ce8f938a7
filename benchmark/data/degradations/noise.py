"""Gaussian noise."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from benchmark.core.images import to_float, to_uint8
from benchmark.data.degradations.base import Degradation, Real, Window, between, draw, register


@register
class GaussianNoise(Degradation):
    """Additive white Gaussian noise, independent in every pixel and channel."""

    name: ClassVar[str] = "noise"
    std: Annotated[Real, between(0, 255)] = Field(50, description="standard deviation in 8-bit grey levels")
    clip: bool = Field(
        False, description="clip and round the result to 8 bit; the field's practice is to leave it unclipped"
    )

    def numbers(self, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        """The noise itself, float32, height × width × 3."""
        std = np.float32(draw(self.std, rng) / 255)
        return std * rng.standard_normal((height, width, 3), dtype=np.float32)

    def apply(self, image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Add noise; unless ``clip`` is set, the result leaves [0, 1]."""
        noisy = image + numbers
        return to_float(to_uint8(noisy)) if self.clip else noisy

    def apply_within(self, image: np.ndarray, numbers: np.ndarray, window: Window) -> np.ndarray:
        """Noise there alone."""
        return self.apply(image[window], numbers[window])

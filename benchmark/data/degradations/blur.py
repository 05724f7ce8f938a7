"""Gaussian blur."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field, field_validator

from benchmark.core.images import to_float, to_uint8
from benchmark.data.degradations.base import CONTEXT, Degradation, Real, Window, between, draw, register


@register
class GaussianBlur(Degradation):
    """Convolution with a Gaussian cut off to a square; at the border the image is mirrored about its edge pixels.

    The result is not rounded, unless ``clip`` is set. Without noise, what blur takes away can be restored from such
    values better than from 8 bits: over photographs blurred with std 2.5 the best linear inverse gains 6 to 14 dB
    from the one, and 2 to 5 dB from the other.
    """

    name: ClassVar[str] = "blur"
    size: int = Field(15, ge=1, le=CONTEXT + 1, description="side of the square kernel in pixels, odd, at most 17")
    std: Annotated[Real, between(0.01, 100)] = Field(description="standard deviation of the Gaussian in pixels")
    clip: bool = Field(False, description="round the result to 8 bit, as an image file would")

    @field_validator("size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("an odd number is accepted, so that the kernel has a middle pixel")
        return size

    def kernel(self, std: float) -> np.ndarray:
        """The 1-D kernel, float64, ``size`` long, with sum one; its outer product with itself is the 2-D kernel."""
        distance = np.arange(self.size) - self.size // 2
        weights = np.exp(-0.5 * (distance / std) ** 2)
        return weights / weights.sum()

    def numbers(self, height: int, width: int, rng: np.random.Generator) -> float:
        """The standard deviation in pixels."""
        return draw(self.std, rng)

    def apply(self, image: np.ndarray, numbers: float) -> np.ndarray:
        """Blur along the columns, then along the rows."""
        from scipy.ndimage import correlate1d

        kernel = self.kernel(numbers)
        blurred = correlate1d(correlate1d(image, kernel, axis=0, mode="mirror"), kernel, axis=1, mode="mirror")
        return to_float(to_uint8(blurred)) if self.clip else blurred

    def apply_within(self, image: np.ndarray, numbers: float, window: Window) -> np.ndarray:
        """Blur the window and what the kernel reaches of its surroundings."""
        starts = [max(0, side.start - self.size // 2) for side in window]
        around = tuple(slice(start, side.stop + self.size // 2) for start, side in zip(starts, window, strict=True))
        inner = tuple(slice(side.start - start, side.stop - start) for start, side in zip(starts, window, strict=True))
        return self.apply(image[around], numbers)[inner]

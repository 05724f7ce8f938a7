"""Compression by a JPEG encoder."""

import io
from typing import Annotated, ClassVar

import numpy as np
from PIL import Image
from pydantic import Field

from benchmark.core.images import to_float, to_uint8
from benchmark.data.degradations.base import Degradation, Whole, between, draw_whole, register

LONGEST = 65_500
"""Pixels along a side; the bound of libjpeg (JPEG_MAX_DIMENSION)."""


@register
class JPEG(Degradation):
    """Blocking and ringing of a real JPEG encoder (Pillow's, with 4:2:0 chroma subsampling)."""

    name: ClassVar[str] = "jpeg"
    quality: Annotated[Whole, between(1, 95, whole=True)] = Field(description="quality factor of the encoder, 1 to 95")

    @property
    def longest(self) -> int:
        """What libjpeg encodes at the most."""
        return LONGEST

    def numbers(self, height: int, width: int, rng: np.random.Generator) -> int:
        """The quality factor."""
        return draw_whole(self.quality, rng)

    def apply(self, image: np.ndarray, numbers: int) -> np.ndarray:
        """Encode and decode; the result has 8-bit values."""
        file = io.BytesIO()
        Image.fromarray(to_uint8(image)).save(file, "JPEG", quality=numbers, subsampling="4:2:0")
        return to_float(np.asarray(Image.open(file)))

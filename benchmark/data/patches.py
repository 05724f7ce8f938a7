"""Training patches and test pairs: clean pictures and what a degradation makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmark.addresses import generator
from benchmark.degradations import CONTEXT, Degradation, unit
from benchmark.errors import UserError

_GRID = 16
"""Side in pixels of the blocks in which a 4:2:0 JPEG codes its chroma; the luma blocks are half as wide."""


@dataclass(frozen=True)
class PatchSource:
    """Draws pairs of square patches from a set of clean images.

    A patch is degraded together with surroundings of CONTEXT/2 to 3·CONTEXT/2 pixels, which are then cut off:

    * a blurred patch sees real neighbours, not a padded border;
    * the JPEG grid of a whole image starts at the image's corner, so a piece of it may start at any phase of the
      grid. Were patches compressed alone, every one of them would start at phase zero, and a network could learn where
      the block edges are. The cut is drawn uniformly from one full period of the grid in both directions;
    * the picture is flipped and turned before it is degraded, so the encoder and the rain see an upright picture.

    Args:
        images: uint8, height × width × 3, RGB; an image is chosen with probability proportional to its area.
        degradation: makes the degraded patch.
        size: side of a patch in pixels.

    Raises:
        UserError: there is no image, or one is smaller than a patch with its surroundings.
    """

    images: Sequence[np.ndarray]
    degradation: Degradation
    size: int

    def __post_init__(self) -> None:
        if not self.images:
            raise UserError("There are no images to draw patches from. Give at least one.")
        for index, image in enumerate(self.images):
            if min(image.shape[:2]) < self.region:
                height, width = image.shape[:2]
                raise UserError(
                    f"Image {index} is {width}×{height}; patches of {self.size} need {self.region}×{self.region}, "
                    "surroundings included. Leave the image out or choose smaller patches."
                )

    @property
    def region(self) -> int:
        """Side in pixels of the square that is degraded: the patch and its surroundings, in whole grid blocks."""
        return -(-(self.size + 2 * CONTEXT) // _GRID) * _GRID

    @cached_property
    def _areas(self) -> np.ndarray:
        return np.cumsum([image.shape[0] * image.shape[1] for image in self.images])

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One pair (degraded, clean), both float32, 3 × size × size, contiguous; the clean one is from 0 to 1."""
        clean = self._clean_region(rng)
        degraded = self.degradation(clean, rng)
        top, left = rng.integers(CONTEXT // 2, 3 * CONTEXT // 2, 2)
        window = np.s_[top : top + self.size, left : left + self.size]
        return _channels_first(degraded[window]), _channels_first(clean[window])

    def _clean_region(self, rng: np.random.Generator) -> np.ndarray:
        """A random square of a random image in one of its eight orientations; float32, region × region × 3."""
        image = self.images[np.searchsorted(self._areas, rng.integers(self._areas[-1]), side="right")]
        top = rng.integers(image.shape[0] - self.region, endpoint=True)
        left = rng.integers(image.shape[1] - self.region, endpoint=True)
        square = np.rot90(image[top : top + self.region, left : left + self.region], int(rng.integers(4)))
        return unit(square.transpose(1, 0, 2) if rng.integers(2) else square)


def _channels_first(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def test_pair(image: np.ndarray, degradation: Degradation, *address: str | int) -> tuple[np.ndarray, np.ndarray]:
    """A whole test image, degraded once and for all.

    The address decides the random numbers, so that every strategy, seed and machine is tested on the same input.

    Args:
        image: the clean image, uint8, height × width × 3, RGB.
        degradation: makes the degraded image.
        address: what names this test image, for example the stream, the task and the photograph.

    Returns:
        The degraded image (float32, height × width × 3) and the clean one (uint8, as given).
    """
    return degradation(unit(image), generator("test", *address)), image

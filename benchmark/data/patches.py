"""Training patches and test pairs: clean pictures and what a degradation makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from benchmark.core.images import to_float
from benchmark.data.degradations import CONTEXT, Degradation

_GRID = 16
"""Side in pixels of the blocks in which a 4:2:0 JPEG codes its chroma; the luma blocks are half as wide."""


@dataclass(frozen=True)
class Square:
    """A square of one of several images, in one of its eight orientations.

    Args:
        image: the image's place in their list.
        side, top, left: where it lies in the image, in pixels.
        turns: quarters by which it is turned counterclockwise.
        flipped: whether rows and columns then change places.
    """

    image: int
    side: int
    top: int
    left: int
    turns: int
    flipped: bool

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The square out of an image of the size of its own, height × width × 3."""
        square = image[self.top : self.top + self.side, self.left : self.left + self.side]
        turned = np.rot90(square, self.turns)
        turned = turned.transpose(1, 0, 2) if self.flipped else turned
        pixels = np.empty(turned.shape, turned.dtype)
        for channel in range(turned.shape[2]):  # as one copy the innermost loop would be three values long
            pixels[:, :, channel] = turned[:, :, channel]
        return pixels

    def steps(self) -> np.ndarray:
        """Row and column in the image of the square's first pixel, of the next one below and of the next one right.

        A way to cut without moving pixels twice: pixel (i, j) of the cut stands at ``first + i · down + j · right``.

        Returns:
            int64, 3 × 2: first as it is, down and right as differences to it.
        """
        last = self.side - 1
        first = np.array([self.top, self.left]) + last * np.array([(0, 0), (0, 1), (1, 1), (1, 0)][self.turns])
        down = np.array([(1, 0), (0, -1), (-1, 0), (0, 1)][self.turns])
        right = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)][self.turns])
        return np.stack([first, right, down] if self.flipped else [first, down, right])


@dataclass(frozen=True)
class Plan:
    """A patch of which everything is drawn and nothing is computed.

    Args:
        square: the patch with the surroundings it is degraded in.
        top, left: where the patch lies in the square.
        numbers: what is random about its degradation.
    """

    square: Square
    top: int = 0
    left: int = 0
    numbers: Any = None


class Patches(Protocol):
    """Draws training patches."""

    @property
    def clean(self) -> Sequence[np.ndarray]:
        """The images: uint8, height × width × 3, RGB."""

    @property
    def degraded(self) -> Sequence[np.ndarray] | None:
        """Their degraded partners; None where :attr:`degradation` makes them."""

    @property
    def degradation(self) -> Degradation | None:
        """What makes the degraded patch; None where there are degraded partners."""

    @property
    def size(self) -> int:
        """Side of a patch in pixels."""

    @property
    def region(self) -> int:
        """Side in pixels of the square that is cut from an image: the patch and its surroundings."""

    def plan(self, rng: np.random.Generator) -> Plan:
        """All that is random about one pair."""

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One pair (degraded, clean), both float32, 3 × size × size, contiguous; the clean one is from 0 to 1."""


@dataclass(frozen=True)
class Squares:
    """Random squares of images, each turned and flipped to one of its eight orientations.

    Args:
        images: height × width × 3; an image is chosen with probability proportional to its area.
        side: side of a square in pixels.
        purpose: what the squares are for, for the error message.
        names: the images' names, for the error message; by default their numbers.

    Raises:
        UserError: there is no image, or one is smaller than a square.
    """

    images: Sequence[np.ndarray]
    side: int
    purpose: str
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.images:
            raise UserError("There are no images to draw patches from. Give at least one.")
        for index, image in enumerate(self.images):
            if min(image.shape[:2]) < self.side:
                height, width = image.shape[:2]
                name = f"'{self.names[index]}'" if self.names else index
                raise UserError(
                    f"Image {name} is {width}×{height}; {self.purpose} need {self.side}×{self.side}. "
                    "Leave the image out or choose smaller patches."
                )

    @cached_property
    def _areas(self) -> np.ndarray:
        return np.cumsum([image.shape[0] * image.shape[1] for image in self.images])

    def draw(self, rng: np.random.Generator) -> Square:
        """One of the squares."""
        index = int(np.searchsorted(self._areas, rng.integers(self._areas[-1]), side="right"))
        height, width = self.images[index].shape[:2]
        top = rng.integers(height - self.side, endpoint=True)
        left = rng.integers(width - self.side, endpoint=True)
        turns, flipped = int(rng.integers(4)), bool(rng.integers(2))
        return Square(index, self.side, int(top), int(left), turns, flipped)


@dataclass(frozen=True)
class DegradedPatches:
    """Draws pairs of square patches from a set of clean images.

    A patch is degraded together with its surroundings, from 8 pixels less to 8 pixels more than the
    degradation's ``context`` on each side, which are then cut off:

    * a blurred patch sees real neighbours, not a padded border;
    * the JPEG grid of a whole image starts at the image's corner, so a piece of it may start at any phase of the
      grid. Were patches compressed alone, every one of them would start at phase zero, and a network could learn where
      the block edges are. The cut is drawn uniformly from one full period of the grid in both directions;
    * the picture is flipped and turned before it is degraded, so the encoder and the rain see an upright picture.

    Args:
        clean: uint8, height × width × 3, RGB; an image is chosen with probability proportional to its area.
        degradation: makes the degraded patch.
        size: side of a patch in pixels.
        names: the images' names, for error messages; by default their numbers.

    Raises:
        UserError: there is no image, or one is smaller than a patch with its surroundings.
    """

    clean: Sequence[np.ndarray]
    degradation: Degradation
    size: int
    names: Sequence[str] = ()
    degraded: None = None

    def __post_init__(self) -> None:
        _ = self._squares

    @property
    def region(self) -> int:
        """Side in pixels of the square that is degraded: the patch and its surroundings, in whole grid blocks."""
        return surrounded(self.size, self.degradation.context)

    @cached_property
    def _squares(self) -> Squares:
        return Squares(
            self.clean, self.region, f"patches of {self.size}, with the surroundings they are degraded in,", self.names
        )

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Patches`."""
        plan = self.plan(rng)
        clean = to_float(plan.square.cut(self.clean[plan.square.image]))
        window = np.s_[plan.top : plan.top + self.size, plan.left : plan.left + self.size]
        degraded = self.degradation.apply_within(clean, plan.numbers, window)
        return _channels_first(degraded), _channels_first(clean[window])

    def plan(self, rng: np.random.Generator) -> Plan:
        """See :class:`Patches`."""
        square = self._squares.draw(rng)
        numbers = self.degradation.numbers(square.side, square.side, rng)
        nearest = self.degradation.context - CONTEXT // 2
        top, left = rng.integers(nearest, nearest + _GRID, 2).tolist()
        return Plan(square, top, left, numbers)


@dataclass(frozen=True)
class PairedPatches:
    """Draws pairs of square patches from images that have degraded partners: the same square of both.

    Args:
        degraded, clean: uint8, height × width × 3, RGB, in the same order and of the same sizes.
        size: side of a patch in pixels.
        names: the images' names, for error messages; by default their numbers.

    Raises:
        UserError: there is no image, or one is smaller than a patch.
    """

    degraded: Sequence[np.ndarray]
    clean: Sequence[np.ndarray]
    size: int
    names: Sequence[str] = ()
    degradation: None = None

    def __post_init__(self) -> None:
        _ = self._squares

    @property
    def region(self) -> int:
        """See :class:`Patches`."""
        return self.size

    @cached_property
    def _squares(self) -> Squares:
        return Squares(self.clean, self.size, "patches", self.names)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Patches`."""
        square = self._squares.draw(rng)
        degraded, clean = (square.cut(images[square.image]) for images in (self.degraded, self.clean))
        return _channels_first(to_float(degraded)), _channels_first(to_float(clean))

    def plan(self, rng: np.random.Generator) -> Plan:
        """See :class:`Patches`."""
        return Plan(self._squares.draw(rng))


def surrounded(size: int, context: int = CONTEXT) -> int:
    """Side in pixels of a patch with the surroundings it is degraded in, in whole blocks of the JPEG grid."""
    return -(-(size + 2 * context) // _GRID) * _GRID


def patches(
    clean: Sequence[np.ndarray],
    degraded: Sequence[np.ndarray] | None,
    degradation: Degradation,
    size: int,
    names: Sequence[str] = (),
) -> Patches:
    """Patches of pairs where clean images have degraded partners, else of clean images that are degraded.

    Raises:
        UserError: there is no image, or one is too small.
    """
    if degraded is not None:
        return PairedPatches(degraded, clean, size, names)
    return DegradedPatches(clean, degradation, size, names)


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
    return degradation(to_float(image), generator("test", *address)), image

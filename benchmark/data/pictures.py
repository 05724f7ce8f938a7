"""Where a picture of a dataset is: a whole file, half of a file, or one block of a MATLAB array.

Nothing is opened until :meth:`Picture.read` or :meth:`Picture.size` is called.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from benchmark.core.errors import UserError
from benchmark.data import opening
from benchmark.data.digests import State, state_of
from benchmark.data.opening import Grey, Opened, quoted

ARRAY_LIMIT = 2**30
"""Bytes that a MATLAB array may have; SIDD's validation blocks are a quarter of it."""


class Picture(Protocol):
    """A picture that can be opened."""

    @property
    def path(self) -> Path:
        """The file that holds it."""

    def size(self) -> tuple[int, int]:
        """Width and height in pixels, without decoding; a UserError if the file cannot be used."""

    def turned(self) -> bool:
        """Whether reading turns the picture upright, without decoding; a UserError if the file cannot be used."""

    def read(self) -> Opened:
        """The pixels as uint8 RGB, and what was converted; a UserError if the file cannot be used."""


@dataclass(frozen=True)
class Whole:
    """A picture that fills a file."""

    path: Path
    grey: Grey = "convert"

    def size(self) -> tuple[int, int]:
        """See :class:`Picture`."""
        return opening.size(self.path)

    def turned(self) -> bool:
        """See :class:`Picture`."""
        return opening.turned(self.path)

    def read(self) -> Opened:
        """See :class:`Picture`."""
        return opening.read(self.path, self.grey)


@dataclass(frozen=True)
class Half:
    """The left or right half of a file that shows two pictures side by side."""

    path: Path
    side: Literal["left", "right"]

    def size(self) -> tuple[int, int]:
        """See :class:`Picture`."""
        width, height = opening.size(self.path)
        if width % 2:
            raise UserError(f"{quoted(self.path)} is {width} pixels wide; two equal halves need an even number.")
        return width // 2, height

    def turned(self) -> bool:
        """See :class:`Picture`."""
        return opening.turned(self.path)

    def read(self) -> Opened:
        """See :class:`Picture`."""
        width, _ = self.size()
        both = opening.read(self.path)
        pixels = both.pixels[:, :width] if self.side == "left" else both.pixels[:, width:]
        return Opened(np.ascontiguousarray(pixels), both.conversions)


@dataclass(frozen=True)
class Block:
    """One picture of a uint8 array, scene × block × height × width × 3, in a MATLAB file."""

    path: Path
    variable: str
    scene: int
    block: int

    def size(self) -> tuple[int, int]:
        """See :class:`Picture`."""
        shape = array_shape(self.path, self.variable)
        return shape[3], shape[2]

    def turned(self) -> bool:
        """See :class:`Picture`."""
        return False

    def read(self) -> Opened:
        """See :class:`Picture`."""
        array_shape(self.path, self.variable)
        array = _array(self.path, self.variable, state_of(self.path))
        if isinstance(array, UserError):
            raise array
        return Opened(array[self.scene, self.block])


def array_shape(path: Path, variable: str) -> tuple[int, ...]:
    """The shape of the array of pictures in a MATLAB file, from its headers.

    Raises:
        UserError: the file cannot be read, or holds no such array.
    """
    return _array_shape(path, variable, state_of(path))


@lru_cache(maxsize=8)
def _array_shape(path: Path, variable: str, state: State) -> tuple[int, ...]:
    from scipy.io import whosmat

    try:
        contents = {name: (shape, kind) for name, shape, kind in whosmat(path)}
    except Exception as error:  # SciPy raises whatever a damaged file leads it to
        raise _unreadable(path, error) from error
    shape, kind = contents.get(variable, ((), "nothing"))
    if kind != "uint8" or len(shape) != 5 or shape[4] != 3 or not 0 < prod(shape) <= ARRAY_LIMIT:
        raise UserError(
            f"{quoted(path)} should hold the uint8 array '{variable}', scene × block × height × width × 3 and at most "
            f"{ARRAY_LIMIT // 2**30} GiB; it holds {kind} of shape {shape}."
        )
    return shape


@lru_cache(maxsize=2)
def _array(path: Path, variable: str, state: State) -> np.ndarray | UserError:
    """The whole array, or why it cannot be read, so that a damaged file is tried once and not for each block."""
    from scipy.io import loadmat

    try:
        return loadmat(path, variable_names=[variable])[variable]
    except Exception as error:  # as above
        return _unreadable(path, error)


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{quoted(path)} cannot be read as a MATLAB file, it may be truncated or damaged: {error}.")

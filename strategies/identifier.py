"""Which task an image belongs to, told from the image itself, by prototypes that later tasks never touch.

A network that is told the task at test time needs somebody to tell it. Here each task has a prototype of its own: the
Gaussian of what a fixed bank of filters gives on its degraded training patches. It is fitted once, after the task, and
never changed, so nothing is forgotten, exactly; an image is given to the task that makes its squares most likely.

The bank is the 8 × 8 cosine transform of JPEG, on luminance and two colour differences. Blur shows in how fast energy
falls with frequency, noise in high frequencies of colour, rain in upright bands that are strong and rare, and JPEG in
steps along the grid of its blocks and in coefficients that were rounded to zero. Energies below those of rounding to 8
bits do not count, so that no task is known by how its files were stored.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.core.errors import UserError

BLOCK = 8
"""Side in pixels of a block of the transform."""
SIDE = 48
"""Side in pixels of the squares that are described, at most."""
LEAST_SIDE = 2 * BLOCK
"""The same at least: a square holds a whole block wherever the grid begins."""
PATCHES = 256
"""Training patches from which a task's prototype is best fitted."""
MOST_SQUARES = 256
"""Squares of an image that are looked at, spread over it evenly."""
BOUND = 10.0
"""How much less likely than by the best task, as a logarithm, a square may say that an image is: so that a few that are
like nothing seen in training, such as black ones, do not outvote all others."""

_FLOOR = 1 / 255
_JITTER = 1e-4

_COLOURS = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3], [2], [6]])
"""From RGB to luminance and two colour differences; orthonormal, so that white noise stays white."""

_DOWN, _ACROSS = np.mgrid[:BLOCK, :BLOCK]
_RINGS = [np.maximum(_DOWN, _ACROSS) == frequency for frequency in range(1, BLOCK)]
_BANDS = [ring & part for ring in _RINGS for part in (_DOWN > _ACROSS, _DOWN < _ACROSS, _DOWN == _ACROSS)]
FEATURES = 2 + len(_BANDS) + 3 * len(_RINGS)
"""Numbers that describe a square."""


class Identifier:
    """Learns tasks one by one, and tells which of them an image belongs to.

    Args:
        side: side in pixels of the training patches; squares of this side, or of SIDE if it is larger, are described.

    Raises:
        UserError: it is smaller than LEAST_SIDE.
    """

    def __init__(self, side: int = SIDE) -> None:
        if side < LEAST_SIDE:
            raise UserError(f"Tasks are told apart on patches of at least {LEAST_SIDE} pixels, not {side}.")
        self.side = min(side, SIDE)
        self._prototypes: dict[int, Tensor] = {}

    @property
    def known(self) -> list[int]:
        """The tasks that were learned, in their order."""
        return list(self._prototypes)

    def learn(self, task: int, patches: Iterable[np.ndarray]) -> None:
        """Fit the prototype of a task: the mean and the shrunk covariance (Ledoit and Wolf, 2004) of its features.

        Args:
            task: its label; it was not learned yet.
            patches: degraded, float, 3 × side × side or larger, RGB; PATCHES of them are plenty.

        Raises:
            UserError: the task was learned already.
        """
        from sklearn.covariance import ledoit_wolf

        if task in self._prototypes:
            raise UserError(f"Task {task} was learned already, and what was learned is never changed.")
        described = np.array([features(square) for patch in patches for square in self._squares(patch)])
        covariance, _ = ledoit_wolf(described)
        covariance += _JITTER * np.eye(FEATURES)
        prototype = np.concatenate([described.mean(axis=0), covariance[np.tril_indices(FEATURES)]])
        self._prototypes[task] = torch.from_numpy(prototype.astype(np.float32))

    def scores(self, image: np.ndarray) -> dict[int, float]:
        """How well each known task explains an image: the sum over its squares of the bounded log-likelihood.

        Args:
            image: degraded, float, height × width × 3, RGB.
        """
        from scipy.special import logsumexp

        squares = np.array([features(square) for square in self._squares(image.transpose(2, 0, 1))])
        likelihood = np.stack([self._density(task).logpdf(squares).reshape(-1) for task in self.known])
        bounded = np.maximum(likelihood - logsumexp(likelihood, axis=0), -BOUND)
        return dict(zip(self.known, map(float, bounded.sum(axis=1)), strict=True))

    def identify(self, image: np.ndarray) -> int:
        """The label of the task that explains an image best; the image is as for :meth:`scores`.

        Raises:
            UserError: no task was learned yet.
        """
        if not self._prototypes:
            raise UserError("No task was learned yet.")
        scores = self.scores(image)
        return max(scores, key=scores.__getitem__)

    def state(self) -> dict[str, Tensor]:
        """The prototypes by their label: mean, then the lower triangle of the covariance, row by row; float32."""
        return {str(task): prototype.clone() for task, prototype in self._prototypes.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up again what :meth:`state` gave, in the order of the labels."""
        self._prototypes = {int(task): state[task].clone() for task in sorted(state, key=int)}

    def _density(self, task: int) -> Any:
        from scipy.stats import multivariate_normal

        prototype = self._prototypes[task].numpy().astype(np.float64)
        covariance = np.zeros((FEATURES, FEATURES))
        covariance[np.tril_indices(FEATURES)] = prototype[FEATURES:]
        covariance += np.tril(covariance, -1).T
        return multivariate_normal(prototype[:FEATURES], covariance)

    def _squares(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """Squares of an image (3 × height × width) side by side; one that is too small is mirrored at its edges."""
        side = self.side
        missing = [max(0, side - length) for length in image.shape[1:]]
        image = np.pad(image, [(0, 0), *((0, more) for more in missing)], mode="symmetric")
        corners = [
            (top, left)
            for top in range(0, image.shape[1] - side + 1, side)
            for left in range(0, image.shape[2] - side + 1, side)
        ]
        chosen = np.linspace(0, len(corners) - 1, min(len(corners), MOST_SQUARES)).round().astype(int)
        for top, left in (corners[index] for index in chosen):
            yield image[:, top : top + side, left : left + side]


def features(square: np.ndarray) -> np.ndarray:
    """What the bank of filters gives on a square: FEATURES numbers, float64.

    They are how strongly a grid of blocks shows, across and down; the energy in bands of luminance, across, down and
    aslant, and in rings of colour, as logarithms; and of both in rings how much of it lies in few coefficients.

    Args:
        square: float, 3 × height × width, RGB, at least LEAST_SIDE high and wide.
    """
    colours = np.einsum("ij,jhw->ihw", _COLOURS, square.astype(np.float64))
    left, across = _grid(colours[0])
    top, down = _grid(colours[0].T)
    coefficients = _transform(colours[:, top:, left:])
    light, colour = coefficients[:1], coefficients[1:]
    bands = [_energy(light[..., band]) for band in _BANDS] + [_energy(colour[..., ring]) for ring in _RINGS]
    rare = [_concentration(part[..., ring]) for part in (light, colour) for ring in _RINGS]
    return np.array([across, down, *bands, *rare])


def _energy(coefficients: np.ndarray) -> float:
    return float(np.log(np.mean(coefficients**2) + _FLOOR**2))


def _concentration(coefficients: np.ndarray) -> float:
    """Small where all coefficients are about as large, large where most are zero."""
    return _energy(coefficients) - float(np.log(np.mean(np.abs(coefficients)) ** 2 + _FLOOR**2))


def _grid(light: np.ndarray) -> tuple[int, float]:
    """Where a grid of blocks most likely begins in a row of pixels, and how strongly it shows.

    Steps between neighbouring columns are compared with the steps beside them, at each of the eight places in a block.
    """
    steps = np.abs(np.diff(light, axis=1)).mean(axis=0)
    excess = steps[1:-1] - (steps[:-2] + steps[2:]) / 2
    means = np.array([excess[place::BLOCK].mean() for place in range(BLOCK)])
    place = int(means.argmax())
    shown = max(0.0, means[place] - np.delete(means, place).mean()) / (steps.mean() + _FLOOR)
    return (place + 2) % BLOCK, float(np.log1p(shown))


def _transform(colours: np.ndarray) -> np.ndarray:
    """The orthonormal cosine transform of all whole blocks: 3 × height × width to 3 × blocks × BLOCK × BLOCK."""
    from scipy.fft import dctn

    rows, columns = (length // BLOCK for length in colours.shape[1:])
    whole = colours[:, : rows * BLOCK, : columns * BLOCK].reshape(3, rows, BLOCK, columns, BLOCK)
    return np.asarray(dctn(whole.transpose(0, 1, 3, 2, 4).reshape(3, -1, BLOCK, BLOCK), axes=(-2, -1), norm="ortho"))

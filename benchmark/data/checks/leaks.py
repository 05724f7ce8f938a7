"""Training images that also stand in a test set, exactly or nearly.

Exactly means equal pixels. Nearly means that two images look alike at 32 × 32, in grey: of the 255 lowest frequencies
of their cosine transform (all but the mean), at most ``NEAR`` differ in sign. Re-encoding, scaling and small changes of
colour or brightness leave a few signs changed; two different photographs differ in about half of them. Images are also
compared turned and mirrored, in all eight ways. What is not seen: that one image is a part of the other, or shifted
against it, a small turn, and copies of flat images that are not exact.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from PIL import Image

NEAR = 40
_THUMBNAIL, _FREQUENCIES = 32, 16
_FLAT = 2.0
"""Standard deviation, in grey levels, of a thumbnail that is too flat for its signs to mean anything."""
_ROWS = 2048


@dataclass(frozen=True)
class Leak:
    """A training image and the test image it equals; both by their place in the lists that were compared."""

    train: int
    test: int
    exact: bool


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of an image to know it again: a digest of its pixels, and the signs; None for a flat image."""

    digest: bytes
    signs: np.ndarray | None


def fingerprint(pixels: np.ndarray) -> Fingerprint:
    """The fingerprint of an image, uint8, height × width × 3."""
    from scipy.fft import dctn

    digest = hashlib.blake2b(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).data, digest_size=16).digest()
    small = Image.fromarray(pixels).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX).convert("L")
    grey = np.asarray(small, np.float32)
    if grey.std() < _FLAT:
        return Fingerprint(digest, None)
    return Fingerprint(digest, dctn(grey)[:_FREQUENCIES, :_FREQUENCIES].ravel()[1:] > 0)


def find(train: Sequence[Fingerprint], test: Sequence[Fingerprint]) -> list[Leak]:
    """Every pair of a training and a test image that are equal or nearly so, in order.

    Time grows with both numbers, but by eight products of matrices: 900 against 100 images take milliseconds.
    """
    digests: dict[bytes, list[int]] = {}
    for j, one in enumerate(test):
        digests.setdefault(one.digest, []).append(j)
    exact = {(i, j) for i, one in enumerate(train) for j in digests.get(one.digest, [])}
    near = _near(train, test)
    return [Leak(i, j, (i, j) in exact) for i, j in sorted(exact | near)]


def _near(train: Sequence[Fingerprint], test: Sequence[Fingerprint]) -> set[tuple[int, int]]:
    train_places, train_signs = _matrix(train)
    test_places, test_signs = _matrix(test)
    found = set()
    for start in range(0, len(train_places), _ROWS):
        for lying in _orientations(test_signs):
            agreement = train_signs[start : start + _ROWS] @ lying.T  # frequencies less twice the differing ones
            rows, columns = np.nonzero(agreement >= _FREQUENCIES**2 - 1 - 2 * NEAR)
            found |= {
                (train_places[start + i], test_places[j]) for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
            }
    return found


def _orientations(signs: np.ndarray) -> Iterator[np.ndarray]:
    """The signs of the same images in all eight orientations.

    Mirroring changes the signs of the odd frequencies of its direction; transposing exchanges the two directions.
    """
    square = np.insert(signs, 0, 0, axis=1).reshape(-1, _FREQUENCIES, _FREQUENCIES)
    odd = np.where(np.arange(_FREQUENCIES) % 2, -1, 1).astype(np.float32)
    for down, across in product((np.ones_like(odd), odd), repeat=2):
        mirrored = square * np.outer(down, across)
        for one in (mirrored, mirrored.swapaxes(1, 2)):
            yield one.reshape(len(signs), _FREQUENCIES**2)[:, 1:]


def _matrix(images: Sequence[Fingerprint]) -> tuple[list[int], np.ndarray]:
    """Places of the images that have signs, and their signs as +1 and −1, one row each."""
    kept = [(place, one.signs) for place, one in enumerate(images) if one.signs is not None]
    signs = np.array([signs for _, signs in kept], np.float32).reshape(len(kept), _FREQUENCIES**2 - 1)
    return [place for place, _ in kept], 2 * signs - 1

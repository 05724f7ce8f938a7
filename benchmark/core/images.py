"""Images as arrays, height × width × 3, RGB: from 8 bit to float and back, and cut to their middle."""

import numpy as np

EMBEDDED = "embedded"
"""The name of the photographs that ship inside Python packages, wherever it is told where images come from."""


def to_uint8(image: np.ndarray) -> np.ndarray:
    """A float image as uint8: clamped to [0, 1], times 255, rounded half to even; a NaN is a ValueError."""
    if np.isnan(image).any():
        raise ValueError("the image holds NaN, which has no 8-bit value")
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def to_float(image: np.ndarray) -> np.ndarray:
    """A uint8 image as float32 from 0 to 1."""
    return image.astype(np.float32) / np.float32(255)


def centre(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image, at most ``side`` pixels high and wide."""
    height, width = image.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return image[top : top + side, left : left + side]

"""Degradations: what turns a clean image into the input of a restoration task, one file each.

A degradation is a small frozen callable. It takes a float32 image, height × width × 3, RGB, with values from 0
to 1, and a NumPy generator, and returns an image of the same size and type. A parameter that may vary takes a
number or a range ``[low, high]``, from which each image draws uniformly.

The settings of Section 4.1.2 of the paper: noise of std 50; JPEG quality 10 to 70 for training and 20 for
testing; a 15 × 15 Gaussian blur of std 0.2 to 3 for training and 2.5 for testing.
"""

from benchmark.data.degradations import blend, blur, camera_noise, jpeg, noise, rain  # noqa: F401 (to be registered)
from benchmark.data.degradations.base import CONTEXT, DEGRADATIONS, Degradation, make

__all__ = ["CONTEXT", "DEGRADATIONS", "Degradation", "make"]

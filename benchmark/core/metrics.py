"""Image quality (PSNR, SSIM) and what a continual learner kept, lost and passed on (transfer matrices in dB)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.core.images import to_uint8

PROTOCOL = (
    "RGB, clamped to [0,1], rounded to uint8, no border crop, per image then averaged; "
    "PSNR above 100 dB, also of equal images (infinite), counts as 100; "
    "SSIM 11×11 Gaussian σ 1.5, valid region; Y = BT.601 luma (16 to 235)"
)
"""How :func:`measure` computes its values, in one line; written beside every figure."""

CEILING = 100.0
"""dB that a PSNR counts for at most, alone, in means and in gains. Equal images have an infinite PSNR: one of them
would make a mean infinite, and two such means have no difference. On 8 bits 100 dB is one grey level of error in
154,000 values."""

WINDOW = 11
"""Side in pixels of the window of :func:`ssim`; no image may be smaller."""

_SIGMA = 1.5
_PEAK = 255.0


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over all pixels and channels of two uint8 images; infinite if they are equal."""
    _check_pair(a, b)
    error = np.mean((a.astype(np.int32) - b) ** 2)
    return float(10 * np.log10(_PEAK**2 / error)) if error else float("inf")


def counted(psnr: Any) -> Any:
    """PSNR in dB as it counts in records, means and gains: at most CEILING. A number or an array; NaN stays NaN.

    Transfer matrices are cut off here, too, so that :func:`forgetting` and the transfers are finite wherever PSNR was
    measured: a task that is restored without error and stays so has lost nothing.
    """
    return np.minimum(psnr, CEILING)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two uint8 images, at most 1, per channel and then averaged.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity",
    IEEE Transactions on Image Processing 13, 2004: an 11 × 11 Gaussian window of σ 1.5, wherever it lies wholly
    inside the image, with K₁ = 0.01 and K₂ = 0.03. Equals scikit-image's ``structural_similarity`` with
    ``gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255``.

    Args:
        a, b: height × width (× channels), at least 11 × 11.
    """
    _check_pair(a, b)
    if min(a.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM needs at least {WINDOW} × {WINDOW} pixels, the images have {a.shape[0]} × {a.shape[1]}")
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    variance_x = _local_mean(x * x) - mean_x**2
    variance_y = _local_mean(y * y) - mean_y**2
    covariance = _local_mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float(np.mean(luminance * structure))


def luma(image: np.ndarray) -> np.ndarray:
    """The Y channel of a uint8 RGB image, height × width, uint8: BT.601 studio range, 16 to 235, as rgb2ycbcr gives."""
    weights = np.array([65.481, 128.553, 24.966]) / _PEAK
    return np.rint(image @ weights + 16).astype(np.uint8)


@dataclass(frozen=True)
class Metric:
    """A measure of a restored image; all that recorders and reports know of it is said here.

    Args:
        name: in tables of runs, such as ``psnr``.
        title: for people, such as ``PSNR``.
        function: of the restored and the clean image, both uint8, height × width × 3, RGB.
        unit: such as ``dB``; empty where it has none.
        higher_is_better: whether a larger value means a better image.
        digits: decimals with which it is printed.
        ceiling: what a value counts for at most.
        compared: whether reports compare strategies by it; if not, it stands in the tables of a run alone.
    """

    name: str
    title: str
    function: Callable[[np.ndarray, np.ndarray], float]
    unit: str = ""
    higher_is_better: bool = True
    digits: int = 3
    ceiling: float = math.inf
    compared: bool = True


def on_luma(function: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[np.ndarray, np.ndarray], float]:
    """The same measure of the Y channels of two images."""
    return lambda restored, clean: function(luma(restored), luma(clean))


METRICS = (
    Metric("psnr", "PSNR", psnr, unit="dB", digits=2, ceiling=CEILING),
    Metric("ssim", "SSIM", ssim),
    Metric("psnr_y", "PSNR on Y", on_luma(psnr), unit="dB", digits=2, ceiling=CEILING, compared=False),
    Metric("ssim_y", "SSIM on Y", on_luma(ssim), compared=False),
)
"""What every output is measured by, as stated in PROTOCOL. A new metric is one declaration here; runs from before it
have no values of it. PSNR comes first: forgetting and transfer are told in it."""


def compared() -> list[Metric]:
    """The metrics by which reports compare strategies."""
    return [metric for metric in METRICS if metric.compared]


def measure(output: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    """Every one of METRICS of one restored image, by name, as it is computed: PSNR of equal images is infinite.

    Args:
        output: float, height × width × 3, RGB; 0 is black and 1 is white.
        clean: uint8, of the same size.
    """
    restored = to_uint8(output)
    return {metric.name: metric.function(restored, clean) for metric in METRICS}


def recorded(output: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    """The same as it is recorded, which is as it counts: each value at most its metric's ceiling, and so finite."""
    measured = measure(output, clean)
    return {metric.name: float(min(measured[metric.name], metric.ceiling)) for metric in METRICS}


def forgetting(matrix: np.ndarray) -> np.ndarray:
    """PSNR lost on each task between its best moment and the end of the stream, in dB.

    Chaudhry et al., "Riemannian walk for incremental learning", ECCV 2018, with PSNR for accuracy.

    Args:
        matrix: T × T; ``matrix[i, j]`` is the PSNR on task j after learning task i.

    Returns:
        T values; positive if PSNR was lost, NaN for the last task, which nothing has followed yet.
    """
    tasks, matrix = _tasks(matrix), counted(matrix)
    lost = np.full(tasks, np.nan)
    for j in range(tasks - 1):
        lost[j] = matrix[j : tasks - 1, j].max() - matrix[-1, j]
    return lost


def dip(psnr: np.ndarray) -> float:
    """How far a task sinks at most after it was learned, in dB; negative if it never stood lower than it began.

    De Lange, van de Ven and Tuytelaars, "Continual evaluation for lifelong learning: identifying the stability gap",
    ICLR 2023: their minimum accuracy, with PSNR for accuracy and told as what is lost.

    Args:
        psnr: (N,) dB, first as the task was learned, then at later moments in any order; for N = 1 the result is NaN.
    """
    values = counted(np.asarray(psnr, dtype=float))
    return float(values[0] - values[1:].min()) if len(values) > 1 else float("nan")


def backward_transfer(matrix: np.ndarray) -> float:
    """What learning later tasks did to the PSNR of earlier ones, on average, in dB; negative if it was lost.

    Lopez-Paz and Ranzato, "Gradient episodic memory for continual learning", NIPS 2017, with PSNR for accuracy.

    Args:
        matrix: T × T, as for :func:`forgetting`; for one task the result is NaN.
    """
    if _tasks(matrix) == 1:
        return float("nan")
    matrix = counted(matrix)
    return float(np.mean(matrix[-1, :-1] - np.diag(matrix)[:-1]))


def forward_transfer(matrix: np.ndarray, inputs: np.ndarray) -> float:
    """How good the network is at a task just before learning it, on average, in dB over the degraded input.

    Lopez-Paz and Ranzato (2017) compare with a network of random weights; the PSNR of such a network's output means
    nothing, so the reference here is the degraded input, which is what a network that does nothing would score.

    Args:
        matrix: T × T, as for :func:`forgetting`; for one task the result is NaN.
        inputs: T values, PSNR of the degraded test images of each task.
    """
    tasks = _tasks(matrix)
    inputs = np.asarray(inputs)
    if inputs.shape != (tasks,):
        raise ValueError(f"{tasks} input values are needed, one per task, not an array of shape {inputs.shape}")
    if tasks == 1:
        return float("nan")
    return float(np.mean(counted(np.diag(matrix, k=1)) - counted(inputs[1:])))


def _check_pair(a: np.ndarray, b: np.ndarray) -> None:
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"two uint8 images are needed, not {a.dtype} and {b.dtype}")
    if a.shape != b.shape:
        raise ValueError(f"two images of equal size are needed, not {a.shape} and {b.shape}")


def _local_mean(image: np.ndarray) -> np.ndarray:
    """The Gaussian-weighted mean in every window that lies wholly inside the image."""
    from scipy.ndimage import correlate1d

    reach = WINDOW // 2
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SIGMA) ** 2)
    weights /= weights.sum()
    blurred = correlate1d(correlate1d(image, weights, axis=0), weights, axis=1)
    return blurred[reach:-reach, reach:-reach]


def _tasks(matrix: np.ndarray) -> int:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(f"a square matrix is needed, one row and one column per task, not shape {matrix.shape}")
    return len(matrix)

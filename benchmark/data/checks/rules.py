"""What pictures must be so that they can be used. ``data check`` and every run ask these rules, before any training.

Whether files can be opened, fit their dataset's names and agree in size and orientation within a pair is asked where
they are found and opened (:mod:`benchmark.data.datasets`, :mod:`benchmark.data.opening`). Whether a picture holds a
patch is asked where patches are cut (:mod:`benchmark.data.patches`), since only a run knows how large they are; the
check notes which presets would refuse. Images that stand on both sides (:mod:`benchmark.data.checks.leaks`) are told,
not refused.
"""

from collections.abc import Sequence

import numpy as np

from benchmark.core.metrics import WINDOW
from benchmark.data.datasets.dataset import Dataset, Item
from benchmark.data.opening import quoted


def problem(item: Item, clean: np.ndarray, degraded: np.ndarray | None = None) -> str:
    """What keeps an opened picture, or pair, from being used; empty if nothing does.

    * Both sides must be at least as large as the window of SSIM, 11 × 11; no patch is smaller than that either.
    * The two pictures of a pair must differ: the PSNR of equal ones is infinite, and there is nothing to restore.

    Args:
        item: the picture or pair, for its names.
        clean, degraded: uint8, height × width × 3, of equal sizes.
    """
    height, width = clean.shape[:2]
    if min(height, width) < WINDOW:
        return (
            f"'{item.name}' is {width}×{height}: at least {WINDOW}×{WINDOW} pixels are needed, the window of SSIM. "
            f"Remove {quoted(item.clean.path)}{' and its partner' * (degraded is not None)}."
        )
    if degraded is not None and np.array_equal(clean, degraded):
        return (
            f"The pair '{item.name}' holds the same picture twice, {quoted(item.clean.path)}: "
            "there is nothing to restore, and its PSNR is infinite. Remove the pair, or mend one side."
        )
    return ""


def exchanged(dataset: Dataset, brighter: Sequence[float]) -> str:
    """Whether the two sides of a side of rain pairs look exchanged; empty if not, or for other pairs.

    Args:
        dataset: whose pairs they are.
        brighter: of each pair, the mean of the rainy picture less that of the clean one, in grey levels.
    """
    if dataset.family != "rain100l" or not brighter or np.median(brighter) >= 0:
        return ""
    return (
        f"{dataset.name} in {quoted(dataset.root)}: the rainy pictures are darker than the clean ones. "
        "Rain makes a picture brighter; the two sides may be exchanged."
    )


def brighter(clean: np.ndarray, degraded: np.ndarray) -> float:
    """How much brighter the degraded picture of a pair is, in grey levels; see :func:`exchanged`."""
    return float(degraded.mean() - clean.mean())


def training_side(dataset: Dataset, items: Sequence[Item]) -> str:
    """Whether nothing of a training side can be held out for validation; empty if something can."""
    if len(items) == 1:
        return f"{dataset.name} has a single training image; one more is needed for validation."
    if items and items[0].scene and len({item.scene for item in items}) == 1:
        return (
            f"All training images of {dataset.name} in {quoted(dataset.root)} show one scene, '{items[0].scene}', and "
            "no scene may be both trained on and validated on. Add images of another one."
        )
    return ""

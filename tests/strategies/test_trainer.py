"""PSNR as strategies measure it: by hand, and as the suite measures it on images of 8 bits."""

import numpy as np
import pytest
import torch

from benchmark.core import metrics
from strategies.trainer import psnr


@pytest.mark.parametrize(
    ("restored", "clean", "expected"),
    [(0.5, 0.6, 20), (0.6, 0.5, 20), (0.5, 0.51, 40), (0, 1, 0), (1.3, 1, 100), (-0.2, 0, 100), (1.3, 0.9, 20)],
)
def test_psnr_by_hand(restored: float, clean: float, expected: float) -> None:
    images = (torch.full((1, 3, 4, 4), value, dtype=torch.float64) for value in (restored, clean))
    assert psnr(*images) == pytest.approx(expected)


def test_the_error_is_the_mean_over_all_values_and_100_db_is_the_most() -> None:
    clean = torch.zeros(1, 1, 10, 10, dtype=torch.float64)
    restored = clean.clone()
    restored[..., 0, 0] = 0.1
    assert psnr(restored, clean) == pytest.approx(40), "a hundredth of the values is 20 dB off"
    assert psnr(clean + 1e-6, clean) == psnr(clean, clean) == pytest.approx(100)


@pytest.mark.parametrize("spread", [1, 10, 100])
def test_psnr_of_images_of_8_bits_is_that_of_the_suite(spread: int) -> None:
    draw = np.random.default_rng(spread)
    clean = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    restored = np.clip(clean + draw.integers(-spread, spread + 1, clean.shape), 0, 255).astype(np.uint8)
    images = (torch.from_numpy(image).permute(2, 0, 1)[None] / 255 for image in (restored, clean))
    assert psnr(*images) == pytest.approx(metrics.psnr(restored, clean), abs=1e-3)

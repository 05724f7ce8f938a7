"""Patches that are computed on a device, against the same patches from the CPU."""

import pickle
from itertools import product

import numpy as np
import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.data.degradations import make
from benchmark.data.patches import DegradedPatches, PairedPatches, Patches, Square
from benchmark.data.photographs import embedded
from benchmark.streams.build import MixedPatches, TrainingPatches
from benchmark.streams.device import DeviceLoader, Pixels

IMAGES = [photograph.image[: 130 + 10 * k, : 200 - 7 * k] for k, photograph in enumerate(embedded("train"))]
PARTNERS = [255 - image for image in IMAGES]
CPU = torch.device("cpu")


def part(name: str, patches: Patches) -> TrainingPatches:
    return TrainingPatches(patches, seed=3, task=name, per_epoch=12, epochs=2)


NOISE, RAIN = (part(name, DegradedPatches(IMAGES, make(name, {}), 32)) for name in ("noise", "rain"))
JPEG = part("jpeg", DegradedPatches(IMAGES, make("jpeg", {"quality": [10, 70]}), 32))
PAIRS = part("pairs", PairedPatches(PARTNERS, IMAGES, 32))
BLURRED = part("blur", DegradedPatches(IMAGES[2:], make("blur", {"std": [0.2, 3]}), 32))


@pytest.mark.parametrize(("turns", "flipped"), product(range(4), (False, True)))
def test_steps_lead_to_the_pixels_of_a_square(turns: int, flipped: bool) -> None:
    image = np.stack(np.meshgrid(np.arange(20), np.arange(30), indexing="ij"), axis=2)
    square = Square(0, side=7, top=4, left=11, turns=turns, flipped=flipped)
    first, down, right = square.steps()
    i, j = np.meshgrid(np.arange(7), np.arange(7), indexing="ij")
    assert np.array_equal(first + i[..., None] * down + j[..., None] * right, square.cut(image))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "parts",
    [[NOISE], [JPEG], [PAIRS], [NOISE, JPEG], [JPEG, RAIN, PAIRS, BLURRED, NOISE]],
    ids=["noise", "jpeg", "pairs", "two", "five"],
)
def test_batches_are_those_of_the_cpu(parts: list[TrainingPatches], workers: int) -> None:
    """Their order, labels and clean patches; degraded ones to the rounding of light and blur."""
    labels = [10 + place for place in range(len(parts))]
    loader = DeviceLoader(parts, labels, CPU, batch_size=7, num_workers=workers, sampler=range(20))
    batches = list(loader)
    assert [len(batch[0]) for batch in batches] == [7, 7, 6]
    degraded, clean, told = (torch.cat(side) for side in zip(*batches, strict=True))
    assert told.tolist() == [labels[k % len(parts)] for k in range(20)]
    expected = [MixedPatches(parts, 20)[k] for k in range(20)]
    assert torch.equal(clean, torch.stack([pair[1] for pair in expected]))
    apart = (degraded - torch.stack([pair[0] for pair in expected])).abs()
    assert (apart > 1e-5).float().mean() <= 1e-3
    assert apart.max() <= 1.01 / 255
    for batch in batches:
        assert all(side.is_contiguous() and side.dtype == torch.float32 for side in batch[:2])


def test_images_that_tasks_share_stand_there_once() -> None:
    pixels = Pixels([NOISE, PAIRS, RAIN, BLURRED])
    size = sum(image.shape[0] * image.shape[1] for image in IMAGES)
    assert pixels.pixels == 2 * size
    assert pixels.to(CPU).shape == (2 * size, 3)
    assert pixels.clean[0].tolist() == pixels.clean[1].tolist() == pixels.clean[2].tolist()
    assert pixels.clean[3].tolist() == pixels.clean[0].tolist()[2:]


def test_no_pixels_go_to_the_processes_that_draw() -> None:
    """But where they stand."""
    pixels = Pixels([NOISE])
    sent = pickle.dumps(pixels)
    assert len(sent) < 10_000
    assert pickle.loads(sent).clean[0].tolist() == pixels.clean[0].tolist()


def test_images_that_do_not_fit_on_the_device_are_told() -> None:
    endless = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (10**6, 10**8, 3))
    much = part("much", DegradedPatches([endless], make("noise", {}), 32))
    with pytest.raises(UserError, match=r"take 279,396.8 GiB, which the memory of 'cpu' .* training.patches_on=cpu"):
        DeviceLoader([much], [0], CPU)

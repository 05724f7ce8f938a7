"""Degradations of a batch in torch, against those of one image in NumPy, which draw the same numbers."""

from typing import Any

import numpy as np
import pytest
import torch

from benchmark.core.addresses import generator
from benchmark.core.images import to_float, to_uint8
from benchmark.data.degradations import DEGRADATIONS, make, on_device
from benchmark.data.photographs import embedded

SIDE = 80
NUMBER = 5
LEVEL = 1 / 255
KNOWN: list[tuple[str, dict[str, Any]]] = [
    ("noise", {"std": 50}),
    ("noise", {"std": [5, 70], "clip": True}),
    ("blur", {"std": [0.2, 3]}),
    ("blur", {"std": [0.2, 3], "size": 7, "clip": True}),
    ("blur", {"std": 1, "size": 1}),
    ("rain", {}),
    ("rain", {"width": [1, 6], "length": [1, 120], "angle": [-90, 90]}),
    ("blend", {"steps": [{"rain": {}}, {"noise": {"std": [0, 20]}}, {"blur": {"std": 2}}]}),
]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Float32, N × height × width × 3, wider than high."""
    found = [photograph.image[20 : 20 + SIDE, 40 : 40 + SIDE + 16] for photograph in embedded("train")[:NUMBER]]
    return np.stack([to_float(image) for image in found])


def both(images: np.ndarray, name: str, parameters: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """What the CPU makes of each image, and what is made of all of them at once; N × height × width × 3."""
    degradation = make(name, parameters)
    expected = np.stack([degradation(image, generator("same", k)) for k, image in enumerate(images)])
    numbers = [degradation.numbers(*image.shape[:2], generator("same", k)) for k, image in enumerate(images)]
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)
    found = on_device.compute(degradation, batch, on_device.gather(degradation, numbers))
    return expected, found.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(("name", "parameters"), KNOWN)
def test_a_batch_is_degraded_as_each_image_by_itself(images: np.ndarray, name: str, parameters: dict[str, Any]) -> None:
    """Noise to the bit; where float64 is summed in another order, to the last places, or by a level here and there."""
    expected, found = both(images, name, parameters)
    assert found.dtype == expected.dtype == np.float32
    assert not np.array_equal(expected, images) or parameters.get("size") == 1
    apart = np.abs(found - expected)
    if name == "noise":
        assert not apart.any()
    elif name == "blur" and not parameters.get("clip"):
        assert apart.max() <= 4 * np.finfo(np.float32).eps
    else:
        assert (apart > 1e-5).mean() <= 1e-3
        assert apart.max() <= 1.01 * LEVEL


def test_no_rain_falls_where_there_is_none(images: np.ndarray) -> None:
    """A batch in which one image has streaks and the others have none."""
    dry, wet = make("rain", {"density": 0}), make("rain", {"density": 0.02})
    numbers = [(wet if k == 1 else dry).numbers(*images.shape[1:3], generator("rain", k)) for k in range(NUMBER)]
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)
    found = on_device.compute(dry, batch, on_device.gather(dry, numbers))
    changed = [not torch.equal(one, other) for one, other in zip(found, batch, strict=True)]
    assert changed == [k == 1 for k in range(NUMBER)]
    everywhere = on_device.compute(dry, batch, on_device.gather(dry, [numbers[0]] * NUMBER))
    assert torch.equal(everywhere, batch)


def test_light_is_summed_alike_in_any_order() -> None:
    """Points that fall on one pixel, forwards and backwards; in float64 the sums differ."""
    drawn = np.random.default_rng(0)
    y, x, light = (torch.from_numpy(drawn.uniform(0, 4, (1, 5000))) for _ in range(3))
    image = torch.zeros(1, 5000, dtype=torch.int64)
    one, other = (
        on_device._splat(y[:, order], x[:, order], light[:, order], image, (1, 4, 4))
        for order in (torch.arange(5000), torch.arange(5000).flip(0))
    )
    assert torch.equal(one, other)
    assert one.sum() <= light.sum()
    assert float(light.flip(1).cumsum(1)[0, -1]) != float(light.cumsum(1)[0, -1])


def test_all_8_bit_values_and_all_halves_are_rounded_as_on_the_cpu() -> None:
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(on_device.to_float(torch.from_numpy(levels)).numpy(), to_float(levels))
    between = np.concatenate([np.linspace(-0.5, 1.5, 5001), (np.arange(255) + 0.5) / 255]).astype(np.float32)
    assert np.array_equal(on_device.rounded(torch.from_numpy(between)).numpy(), to_float(to_uint8(between)))


def test_every_degradation_is_known_to_be_possible_or_not() -> None:
    """One that comes later is computed on the CPU until it is said otherwise; so is a blend with it."""
    fixed: dict[str, dict[str, Any]] = {
        "blur": {"std": 1},
        "jpeg": {"quality": 20},
        "blend": {"steps": [{"noise": {}}]},
    }
    possible = {name for name in DEGRADATIONS if on_device.possible(make(name, fixed.get(name, {})))}
    assert possible == {"noise", "blur", "rain", "blend"}
    assert not on_device.possible(make("blend", {"steps": [{"noise": {}}, {"jpeg": {"quality": 20}}]}))
    nested = {"steps": [{"blend": {"steps": [{"camera_noise": {}}]}}]}
    assert not on_device.possible(make("blend", nested))

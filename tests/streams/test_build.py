"""What the samples of a stream are drawn from: their addresses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.config import Data, checked
from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from benchmark.data.degradations import make
from benchmark.data.patches import test_pair as inputs_of
from benchmark.streams import sources
from benchmark.streams.build import Benchmark, MixedPatches, TestImages, build
from benchmark.streams.definition import load

DATA = Data(dead_leaves=0, validation_size=48, test_size=64)


@pytest.fixture(scope="module")
def made() -> Benchmark:
    stream = load("four_tasks").reordered(["derain", "deblock"])
    return build(
        checked(
            strategy="finetune",
            stream=stream.name,
            order=stream.order,
            tasks=[task.model_dump() for task in stream.tasks],
            training={"epochs": 2, "updates_per_epoch": 2, "batch_size": 2, "patch_size": 32},
            data=DATA.model_dump(),
            backbone={},
            seed=3,
        )
    )


@pytest.mark.parametrize("kind", [np.int64, np.uint8, torch.tensor])
def test_a_patch_is_the_same_whatever_kind_of_integer_asks_for_it(made: Benchmark, kind: Callable[[int], Any]) -> None:
    """The address of a patch holds the types of its parts."""
    for patches in (made.train[0], MixedPatches(made.train, 8)):
        for index in (0, 5):
            for one, other in zip(patches[index], patches[kind(index)], strict=True):
                assert torch.equal(one, other)


def test_a_training_patch_is_at_the_address_of_its_seed_task_epoch_and_place(made: Benchmark) -> None:
    """Degraded as in training: of JPEG at qualities from 10 to 70, where tests have 20."""
    for part, task in zip(made.train, made.tasks, strict=True):
        assert part.patches.degradation == task.degrade("train")
        assert len(part) == 8
        for index in range(8):
            expected = part.patches.draw(generator("train", 3, task.name, index // 4, index % 4))
            assert all(map(np.array_equal, (one.numpy() for one in part[index]), expected))
    assert made.tasks[1].degrade("train") != made.tasks[1].degrade("test")


@pytest.mark.parametrize(("side", "size"), [("valid", 48), ("test", 64)])
def test_validation_and_test_images_have_degradations_of_their_own(made: Benchmark, side: str, size: int) -> None:
    """Also an image that is called as one of the other side is degraded in another way; both as tests are."""
    source = sources.find(made.tasks, DATA)[0]
    images = sources.training_images(source, DATA)[1] if side == "valid" else sources.test_images(source, DATA)
    assert {image.shape for image in images.clean} == {(size, size, 3)}
    addresses = [("validation",), ()] if side == "valid" else [(), ("validation",)]
    for label, task in enumerate(made.tasks):
        for index, name in enumerate(images.names):
            degraded = made.scenario.streams[side][label].dataset[index][0].numpy().transpose(1, 2, 0)
            expected, other = (
                inputs_of(images.clean[index], task.degrade("test"), *address, task.inputs, name)[0]
                for address in addresses
            )
            assert np.array_equal(degraded, expected)
            if task.name == "derain":  # JPEG of one quality has nothing random
                assert not np.array_equal(degraded, other)


@pytest.mark.parametrize("shape", [(1, 65_501, 3), (65_501, 1, 3)])
def test_an_image_too_large_for_a_jpeg_is_told_before_anything_is_trained(shape: tuple[int, int, int]) -> None:
    """It was told by Pillow, as "broken data stream", in the first evaluation."""
    wide = sources.Images(("panorama",), [np.zeros(shape, np.uint8)])
    jpeg = make("jpeg", {"quality": 20})
    for degradation in (jpeg, make("blend", {"steps": [{"noise": {}}, {"jpeg": {"quality": 20}}]})):
        with pytest.raises(UserError, match=r"Image 'panorama' has \d+×\d+ pixels, .* 65,500 along a side\. Cut"):
            TestImages(wide, degradation, "deblock")
    TestImages(wide, make("noise", {}), "denoise")
    TestImages(sources.Images(wide.names, wide.clean, wide.clean), jpeg, "pairs of images, of which none is made")
    largest = sources.Images(wide.names, [np.zeros((1, 65_500, 3), np.uint8)])
    assert TestImages(largest, jpeg, "deblock").degraded(0).shape == (1, 65_500, 3)

"""What the samples of a stream are drawn from: their addresses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.config import Data, checked
from benchmark.data.patches import test_pair as inputs_of
from benchmark.streams import sources
from benchmark.streams.build import Benchmark, MixedPatches, build
from benchmark.streams.definition import load


@pytest.fixture(scope="module")
def made() -> Benchmark:
    stream = load("four_tasks").reordered(["derain", "denoise"])
    return build(
        checked(
            strategy="finetune",
            stream=stream.name,
            order=stream.order,
            tasks=[task.model_dump() for task in stream.tasks],
            training={"epochs": 2, "updates_per_epoch": 2, "batch_size": 2, "patch_size": 32},
            data=Data(dead_leaves=0, validation_size=48).model_dump(),
            backbone={},
        )
    )


@pytest.mark.parametrize("kind", [np.int64, np.uint8, torch.tensor])
def test_a_patch_is_the_same_whatever_kind_of_integer_asks_for_it(made: Benchmark, kind: Callable[[int], Any]) -> None:
    """The address of a patch holds the types of its parts."""
    for patches in (made.train[0], MixedPatches(made.train, 8)):
        for index in (0, 5):
            for one, other in zip(patches[index], patches[kind(index)], strict=True):
                assert torch.equal(one, other)


def test_validation_images_have_degradations_of_their_own(made: Benchmark) -> None:
    """Also an image that is called as one of the test images is degraded in another way."""
    data = Data(dead_leaves=0, validation_size=48)
    source = sources.find(made.tasks, data)[0]
    _, held_out = sources.training_images(source, data)
    for label, task in enumerate(made.tasks):
        for index, name in enumerate(held_out.names):
            degraded = made.scenario.streams["valid"][label].dataset[index][0].numpy().transpose(1, 2, 0)
            expected, other = (
                inputs_of(held_out.clean[index], task.degrade("test"), *address, task.inputs, name)[0]
                for address in (("validation",), ())
            )
            assert np.array_equal(degraded, expected)
            assert not np.array_equal(degraded, other)

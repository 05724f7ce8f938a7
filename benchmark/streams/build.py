"""From a stream's definition to an Avalanche benchmark with task labels.

The benchmark has three streams, ``train``, ``valid`` and ``test``, with one experience for each task. A sample is
(degraded, clean, task label); images are float32 tensors (3, H, W).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import CLScenario, benchmark_from_datasets
from avalanche.benchmarks.utils import AvalancheDataset, DataAttribute
from avalanche.benchmarks.utils.flat_data import ConstantSequence
from torch import Tensor
from torch.utils.data import Dataset

from benchmark.addresses import generator
from benchmark.config import RunConfig
from benchmark.data.dead_leaves import dead_leaves
from benchmark.data.patches import PatchSource, test_pair
from benchmark.data.photographs import Photograph, embedded
from benchmark.degradations import Degradation, unit
from benchmark.streams.definition import Task

Pair = tuple[Tensor, Tensor]


class TrainingPatches(Dataset[Pair]):
    """All patches that one task is trained on, each drawn from its address when it is asked for.

    Index ``epoch * per_epoch + k`` is patch k of an epoch, at the address (``"train"``, seed, task, epoch, k).
    """

    def __init__(self, source: PatchSource, seed: int, task: str, per_epoch: int, epochs: int) -> None:
        self.source, self.seed, self.task = source, seed, task
        self.per_epoch, self.epochs = per_epoch, epochs

    def __len__(self) -> int:
        return self.per_epoch * self.epochs

    def __getitem__(self, index: int) -> Pair:
        epoch, patch = divmod(index, self.per_epoch)
        degraded, clean = self.source.draw(generator("train", self.seed, self.task, epoch, patch))
        return torch.from_numpy(degraded), torch.from_numpy(clean)


class TestImages(Dataset[Pair]):
    """Whole images with a degradation that is fixed once per image, whatever the strategy, seed or machine."""

    __test__ = False  # for pytest: not a test class

    def __init__(self, photographs: Sequence[Photograph], degradation: Degradation, *address: str) -> None:
        self.names = [photograph.name for photograph in photographs]
        self.pairs = [test_pair(photograph.image, degradation, *address, photograph.name) for photograph in photographs]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        degraded, clean = self.pairs[index]
        return _tensor(degraded), _tensor(unit(clean))


@dataclass(frozen=True)
class Benchmark:
    """A stream ready to be learned.

    Args:
        tasks: the tasks in order; task i has Avalanche's task label i.
        scenario: the Avalanche benchmark; ``scenario.train_stream``, ``.valid_stream`` and ``.test_stream``.
        test: the test images of each task.
    """

    tasks: list[Task]
    scenario: CLScenario
    test: list[TestImages]


def build(config: RunConfig) -> Benchmark:
    """Make the benchmark of a run.

    Raises:
        UserError: an image is too small for the patch size, or an embedded photograph is missing.
    """
    tasks = [Task.model_validate(task) for task in config.tasks]
    clean = [photograph.image for photograph in embedded("train")]
    clean += [dead_leaves(index) for index in range(config.data.dead_leaves)]
    validation = [
        Photograph(photograph.name, centre(photograph.image, config.data.validation_size))
        for photograph in embedded("validation")
    ]
    training = config.training
    train, valid, test = [], [], []
    for task in tasks:
        source = PatchSource(clean, task.degrade("train"), training.patch_size)
        per_epoch = training.updates_per_epoch * training.batch_size
        train.append(TrainingPatches(source, config.seed, task.name, per_epoch, training.epochs))
        valid.append(TestImages(validation, task.degrade("test"), "validation", task.name))
        test.append(TestImages(embedded("test"), task.degrade("test"), task.name))
    scenario = benchmark_from_datasets(train=_labelled(train), valid=_labelled(valid), test=_labelled(test))
    for stream in scenario.streams.values():
        for label, experience in enumerate(stream):
            experience.task_label, experience.task_labels = label, [label]
    return Benchmark(tasks, scenario, test)


def centre(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image, at most ``side`` pixels high and wide."""
    height, width = image.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return image[top : top + side, left : left + side]


def _labelled(datasets: Sequence[Dataset[Pair]]) -> list[Any]:
    """Avalanche datasets whose samples end with their place in the stream as task label."""
    return [
        AvalancheDataset(
            [dataset],
            data_attributes=[
                DataAttribute(
                    ConstantSequence(label, len(dataset)),  # type: ignore[arg-type]
                    name="targets_task_labels",
                    use_in_getitem=True,
                )
            ],
        )
        for label, dataset in enumerate(datasets)
    ]


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32))

"""From a stream's definition to an Avalanche benchmark with task labels.

The benchmark has three streams, ``train``, ``valid`` and ``test``, with one experience for each task. A sample is
(degraded, clean, task label); images are float32 tensors (3, H, W).
"""

import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import CLScenario, benchmark_from_datasets
from avalanche.benchmarks.utils import AvalancheDataset, DataAttribute
from avalanche.benchmarks.utils.flat_data import ConstantSequence
from torch import Tensor
from torch.utils.data import Dataset

from benchmark.config import RunConfig
from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from benchmark.core.images import to_float
from benchmark.data.degradations import Degradation, on_device
from benchmark.data.patches import Patches, Plan, patches, test_pair
from benchmark.streams import sources
from benchmark.streams.definition import Task
from benchmark.streams.sources import Images

Pair = tuple[Tensor, Tensor]
KEPT = 2**24
"""Pixels of a test set up to which its degraded images are kept in memory (200 MB), not made anew when needed."""


class TrainingPatches(Dataset[Pair]):
    """All patches that one task is trained on, each drawn from its address when it is asked for.

    Index ``epoch * per_epoch + k`` is patch k of an epoch, at the address (``"train"``, seed, task, epoch, k).
    """

    def __init__(self, patches: Patches, seed: int, task: str, per_epoch: int, epochs: int) -> None:
        self.patches, self.seed, self.task = patches, seed, task
        self.per_epoch, self.epochs = per_epoch, epochs

    def __len__(self) -> int:
        return self.per_epoch * self.epochs

    def __getitem__(self, index: int) -> Pair:
        degraded, clean = self.patches.draw(self._address(index))
        return torch.from_numpy(degraded), torch.from_numpy(clean)

    def plan(self, index: int) -> Plan:
        """The same patch, of which nothing is computed."""
        return self.patches.plan(self._address(index))

    @property
    def computable(self) -> bool:
        """Whether a device can compute patches from their plans (:mod:`benchmark.streams.device`)."""
        degradation = self.patches.degradation
        return degradation is None or on_device.possible(degradation)

    def _address(self, index: int) -> np.random.Generator:
        epoch, patch = divmod(operator.index(index), self.per_epoch)
        return generator("train", self.seed, self.task, epoch, patch)

    def degraded(self, purpose: str, count: int) -> Iterator[np.ndarray]:
        """Degraded patches for another purpose, float32, 3 × size × size.

        Patch k is at the address (``purpose``, seed, task, k), so that training neither sees nor changes them.
        """
        for patch in range(count):
            yield self.patches.draw(generator(purpose, self.seed, self.task, patch))[0]


def in_turn(index: int, tasks: int) -> tuple[int, int]:
    """Of which task of a round a sample is, and which of that task's it is: tasks take turns."""
    place, task = divmod(operator.index(index), tasks)
    return task, place


class MixedPatches(Dataset[Pair]):
    """Patches of several tasks, :func:`in_turn`.

    Args:
        parts: the training patches of each task.
        length: samples in all; it divides by the number of parts.
    """

    def __init__(self, parts: Sequence[TrainingPatches], length: int) -> None:
        self.parts, self.length = parts, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Pair:
        task, place = in_turn(index, len(self.parts))
        return self.parts[task][place]


class TestImages(Dataset[Pair]):
    """Whole images with a degradation that is fixed once per image, whatever the strategy, seed or machine.

    Args:
        images: the clean images; where they have degraded partners, those are the inputs.
        degradation: makes the inputs of clean images.
        address: what names this set of inputs, such as the task.

    Raises:
        UserError: an image is too large for the degradation.
    """

    __test__ = False  # for pytest: not a test class

    def __init__(self, images: Images, degradation: Degradation, *address: str) -> None:
        self.images, self.degradation, self.address = images, degradation, address
        self.names = images.names
        self._kept: dict[int, np.ndarray] | None = {} if self.pixels <= KEPT else None
        for name, image in zip(self.names, images.clean, strict=True) if images.degraded is None else ():
            if max(image.shape[:2]) > degradation.longest:
                raise UserError(
                    f"Image '{name}' has {image.shape[1]}×{image.shape[0]} pixels, and '{degradation.name}' takes at "
                    f"most {degradation.longest:,} along a side. Cut the image into smaller ones, or leave it out."
                )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def pixels(self) -> int:
        """Pixels of all images together."""
        return sum(image.shape[0] * image.shape[1] for image in self.images.clean)

    def degraded(self, index: int) -> np.ndarray:
        """One input, float32, height × width × 3; the same whenever it is asked for."""
        if self.images.degraded is not None:
            return to_float(self.images.degraded[index])
        if self._kept is not None and index in self._kept:
            return self._kept[index]
        image, _ = test_pair(self.images.clean[index], self.degradation, *self.address, self.names[index])
        if self._kept is not None:
            self._kept[index] = image
        return image

    def clean(self, index: int) -> np.ndarray:
        """What one input should become, uint8, height × width × 3."""
        return self.images.clean[index]

    def __getitem__(self, index: int) -> Pair:
        return _tensor(self.degraded(index)), _tensor(to_float(self.clean(index)))


@dataclass(frozen=True)
class Benchmark:
    """A stream ready to be learned.

    Args:
        tasks: the tasks in order; task i has Avalanche's task label i.
        scenario: the Avalanche benchmark; ``scenario.train_stream``, ``.valid_stream`` and ``.test_stream``.
        train: the training patches of each task.
        valid: the validation images of each task.
        test: the test images of each task.
        images: for each task its training images, and the dataset they are of, None for the embedded ones.
    """

    tasks: list[Task]
    scenario: CLScenario
    train: list[TrainingPatches]
    valid: list[TestImages]
    test: list[TestImages]
    images: list[tuple[sources.Dataset | None, Images]]

    def data_bytes(self, labels: Iterable[int]) -> int:
        """Bytes of the training images of some tasks, as 8-bit RGB: clean ones, and degraded ones that come with them.

        Images that several tasks share count once. Those held out for validation do not count, as training on does not
        need them.
        """
        return sources.bytes_once(self.images[label] for label in labels)

    def round(self, labels: Sequence[int], budget: int) -> Any:
        """A training experience of one task, or of several mixed; its ``parts`` are the tasks' training patches.

        Args:
            labels: the tasks' labels.
            budget: how many tasks' worth of training the experience holds.
        """
        if len(labels) == 1:
            return self.scenario.train_stream[labels[0]]
        parts = [self.train[label] for label in labels]
        length = len(parts[0]) * budget
        dataset = _labelled(MixedPatches(parts, length), [labels[in_turn(k, len(labels))[0]] for k in range(length)])
        experience = benchmark_from_datasets(train=[dataset]).train_stream[0]
        experience.current_experience, experience.task_labels = max(labels), list(labels)
        experience.parts = parts
        return experience


def build(config: RunConfig) -> Benchmark:
    """Make the benchmark of a run.

    Raises:
        UserError: an image is too small for the patch size, images are missing, or two test images have one name.
    """
    tasks = [Task.model_validate(task) for task in config.tasks]
    training = config.training
    per_epoch = training.updates_per_epoch * training.batch_size
    train, valid, test, images = [], [], [], []
    for task, source in zip(tasks, sources.find(tasks, config.data), strict=True):
        learned, held_out = sources.training_images(source, config.data)
        images.append((source.train, learned))
        drawn = patches(learned.clean, learned.degraded, task.degrade("train"), training.patch_size, learned.names)
        train.append(TrainingPatches(drawn, config.seed, task.name, per_epoch, training.epochs))
        valid.append(TestImages(held_out, task.degrade("test"), "validation", task.inputs))
        tested = sources.test_images(source, config.data)
        _refuse_doubles(tested, task)
        test.append(TestImages(tested, task.degrade("test"), task.inputs))
    sides: dict[str, Sequence[TrainingPatches | TestImages]] = {"train": train, "valid": valid, "test": test}
    streams = {
        name: [_labelled(dataset, ConstantSequence(label, len(dataset))) for label, dataset in enumerate(datasets)]
        for name, datasets in sides.items()
    }
    scenario = benchmark_from_datasets(**streams)
    for stream in scenario.streams.values():
        for label, experience in enumerate(stream):
            experience.task_label, experience.task_labels = label, [label]
    for experience, part in zip(scenario.train_stream, train, strict=True):
        experience.parts = [part]
    return Benchmark(tasks, scenario, train, valid, test, images)


def _refuse_doubles(images: Images, task: Task) -> None:
    """Results are known by the names of the test images; of two with one name, one would be lost."""
    twice = sorted(name for name, times in Counter(images.names).items() if times > 1)
    if twice:
        raise UserError(
            f"Task '{task.name}' has several test images that are called {', '.join(map(repr, twice))}; a file's "
            "ending is no part of its name. Rename or remove all but one."
        )


def _labelled(dataset: Dataset[Pair], labels: Sequence[int]) -> Any:
    """An Avalanche dataset whose samples end with their task label."""
    attribute = DataAttribute(labels, name="targets_task_labels", use_in_getitem=True)
    return AvalancheDataset([dataset], data_attributes=[attribute])


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32))

"""Where the images of a run come from, task by task: embedded photographs, or datasets under a data root.

A task's stream file names its datasets. A dataset of clean images is degraded by the task's degradation, as embedded
photographs are; a dataset of pairs brings its own degraded images. The last tenth of the training images, ten at most,
are held out for validation.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmark.config import Data
from benchmark.core.errors import UserError
from benchmark.core.images import EMBEDDED, centre
from benchmark.data import cache, datasets, digests, photographs
from benchmark.data.checks import leaks, rules
from benchmark.data.datasets import Dataset, Item
from benchmark.data.datasets.dataset import counted
from benchmark.data.dead_leaves import dead_leaves
from benchmark.data.opening import quoted
from benchmark.data.patches import patches
from benchmark.data.photographs import Photograph, Side, embedded
from benchmark.streams.definition import Task

IN_MEMORY = 512 * 2**20
"""Bytes of decoded training images up to which they are kept in memory; larger datasets are cached on disk."""
VALIDATION = 10
"""Training images that are held out for validation, at most; else a tenth of them, and one at least."""


@dataclass(frozen=True)
class Images:
    """Named images, uint8, height × width × 3, RGB, with their degraded partners if they come in pairs."""

    names: tuple[str, ...]
    clean: Sequence[np.ndarray]
    degraded: Sequence[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def bytes(self) -> int:
        """Decoded, height × width × 3 for every image and degraded partner; none is opened for that."""
        return sum(image.size for image in [*self.clean, *(self.degraded or [])])

    def part(self, start: int, stop: int) -> "Images":
        """The images from ``start`` up to ``stop``."""
        degraded = None if self.degraded is None else self.degraded[start:stop]
        return Images(self.names[start:stop], self.clean[start:stop], degraded)

    def centres(self, side: int | None) -> "Images":
        """The images' centres, at most ``side`` pixels high and wide; the whole images for None."""
        if side is None:
            return self
        return replace(
            self,
            clean=[centre(image, side) for image in self.clean],
            degraded=None if self.degraded is None else [centre(image, side) for image in self.degraded],
        )


@dataclass(frozen=True)
class Source:
    """Where one task takes its images from: its datasets; None stands for the embedded photographs."""

    train: Dataset | None = None
    test: Dataset | None = None


def find(tasks: Sequence[Task], data: Data) -> list[Source]:
    """The datasets that each task takes its images from. No image is opened.

    Raises:
        UserError: a dataset is missing and nothing may stand in for it, or one cannot be used.
    """
    if data.source == EMBEDDED:
        return [Source() for _ in tasks]
    if data.root is None:
        raise UserError("data.source = datasets needs the folder that holds them: --data-root DIR.")
    survey = _survey(Path(data.root))
    missing: dict[str, list[str]] = {}
    found = []
    for task in tasks:
        sides: dict[str, Dataset | None] = {}
        for side in ("train", "test"):
            name = getattr(task.dataset, side)
            sides[side] = _lookup(survey, name, side) if name else None
            if sides[side] is None and data.fallback != EMBEDDED:
                missing.setdefault(name or "none named", []).append(f"{side} of {task.name}")
        found.append(Source(**sides))
    if missing:
        wanted = "; ".join(f"{name} ({', '.join(sides)})" for name, sides in missing.items())
        there = ", ".join(f"{dataset.name} ({dataset.release})" for dataset in survey.datasets) or "nothing"
        unseen = "".join(f"\n{remark}" for remark in survey.unseen())
        raise UserError(
            f"These datasets are not under {quoted(survey.root)}: {wanted}. Found there: {there}. "
            "Add them, or use embedded photographs in their place with --fallback embedded."
            + (f" What was not taken from there:{unseen}" if unseen else "")
        )
    _refuse_undivided(tasks, found)
    return found


def _refuse_undivided(tasks: Sequence[Task], found: Sequence[Source]) -> None:
    """Refuse a dataset without sides that one task is trained on and the same or another one is tested on."""
    trained = {source.train: task.name for task, source in zip(tasks, found, strict=True) if source.train is not None}
    for task, source in zip(tasks, found, strict=True):
        if source.test is not None and source.test in trained and not source.test.split("test"):
            learner = "it" if source.train == source.test else f"task '{trained[source.test]}'"
            raise UserError(
                f"Task '{task.name}' would be tested on the images {learner} is trained on: {source.test.name} is not "
                "divided into a training and a test side. Put the images into subfolders train and test."
            )


def prepare(
    tasks: Sequence[Task], data: Data, console: Console | None = None, patch_size: int | None = None
) -> list[dict[str, Any]]:
    """Find every dataset, cache the large ones, examine them, and tell where each task's images come from.

    Args:
        tasks: the tasks of a stream.
        data: where to look.
        console: where to show progress, if it is a terminal.
        patch_size: side of the patches that have to fit into the training images, in pixels; None to leave that open.

    Returns:
        For each task ``{"train": side, "test": side, "leaks": n}``, where a side is its ``name``, its ``release`` and a
        ``digest``. That of a dataset is taken over the content of every file that is used, clean and degraded, and over
        its images' names in their order, so that sides with equal digests give equal results; embedded photographs have
        one only where the installed packages hold other pixels than the suite's own results rest on. n counts the
        training images that also stand, exactly or nearly, in the test set of any of the tasks. ``validation_leaks``,
        where there are any, counts those that stand among the images held out for validation.

    Raises:
        UserError: a dataset is missing, damaged or breaks a rule (:mod:`benchmark.data.checks.rules`), or cannot be
            cached; an image is too small for the patches.
    """
    found = find(tasks, data)
    for dataset in dict.fromkeys(source.train for source in found):
        if dataset is not None and not _fits_memory(dataset):
            cache.prepare_shown(dataset, _cache_folder(data), console)
    for task, source in zip(tasks, found, strict=True):
        _examine(task, source, data, patch_size)
    tested = [one for dataset in {source.test for source in found} for one in _seen(dataset, "test", data)]
    return [
        {
            "train": _told(source.train, "train", data),
            "test": _told(source.test, "test", data),
            "leaks": len({leak.train for leak in leaks.find(_seen(source.train, "train", data), tested)}),
            **({"validation_leaks": twins} if (twins := _validation_leaks(source.train, data)) else {}),
        }
        for source in found
    ]


def left_out(tasks: Sequence[Task], data: Data) -> list[str]:
    """What under the data root is not taken, and why: what no dataset has, and what is left out of those that are used.

    Of a root from which nothing may be taken, nothing is told.
    """
    if data.root is None or data.source == EMBEDDED:
        return []
    used = [dataset for source in find(tasks, data) for dataset in (source.train, source.test) if dataset is not None]
    notes = (note for dataset in used for note in dataset.notes)
    return list(dict.fromkeys([*_survey(Path(data.root)).unseen(), *notes]))


def refuse_changed(tasks: Sequence[Task], data: Data, told: Sequence[dict[str, Any]]) -> None:
    """Refuse images that are no longer what :func:`prepare` told of them; a command may come to a run hours later.

    Raises:
        UserError: they have changed since.
    """
    for task, source, before in zip(tasks, find(tasks, data), told, strict=True):
        sides: dict[Side, Dataset | None] = {"train": source.train, "test": source.test}
        for side, dataset in sides.items():
            if _told(dataset, side, data) != before[side]:
                name = EMBEDDED if dataset is None else f"{dataset.name} in {quoted(dataset.root)}"
                raise UserError(
                    f"{name}: the {side} images of task '{task.name}' have changed since this command began. "
                    "Give the command again, for a run with the images as they are now."
                )


def training_images(source: Source, data: Data) -> tuple[Images, Images]:
    """The images that a task is trained on, and those that are held out for validation.

    Raises:
        UserError: an image cannot be read or breaks a rule, or a large dataset was not cached.
    """
    if source.train is None:
        train, held = embedded("train"), embedded("validation", data.photographs)
        names = [photograph.name for photograph in train] + [f"dead_leaves_{i}" for i in range(data.dead_leaves)]
        images = [photograph.image for photograph in train] + [dead_leaves(i) for i in range(data.dead_leaves)]
        return Images(tuple(names), images), _embedded_images(held).centres(data.validation_size)
    everything = _trained(source.train, data)
    learned, held_out = _held_out(source.train)
    return everything.part(0, learned), everything.part(held_out, len(everything)).centres(data.validation_size)


def training_bytes(tasks: Sequence[Task], data: Data) -> int:
    """Bytes of all images that some tasks are trained on, decoded; those that several tasks share count once.

    Raises:
        UserError: as :func:`find` and :func:`training_images`.
    """
    return bytes_once((source.train, training_images(source, data)[0]) for source in find(tasks, data))


def bytes_once(images: Iterable[tuple[Dataset | None, Images]]) -> int:
    """Bytes of images, decoded; those of one dataset, or the embedded ones for None, count once."""
    return sum(one.bytes for one in dict(images).values())


def _held_out(dataset: Dataset) -> tuple[int, int]:
    """Up to which training image there is training, and from which on there is validation.

    Those between show the scene that is validated on first. A scene that would leave nothing to train on is trained on.

    Raises:
        UserError: nothing can be held out.
    """
    items = cache.cached_items(dataset)
    if problem := rules.training_side(dataset, items):
        raise UserError(problem)
    scenes = [item.scene for item in items]
    held_out = len(items) - max(1, min(VALIDATION, len(items) // 10))
    while scenes[held_out] and scenes[held_out] == scenes[0]:
        held_out += 1
    learned = held_out
    while scenes[learned] and scenes[learned - 1] == scenes[learned]:
        learned -= 1
    return learned, held_out


def test_images(source: Source, data: Data) -> Images:
    """The images that a task is tested on.

    Raises:
        UserError: an image cannot be read or breaks a rule.
    """
    if source.test is None:
        return _embedded_images(embedded("test", data.photographs)).centres(data.test_size)
    return _tested(source.test, data).centres(data.test_size)


@lru_cache(maxsize=8)
def _survey(root: Path) -> datasets.Survey:
    return datasets.find(root)


def _lookup(survey: datasets.Survey, name: str, side: Side) -> Dataset | None:
    """The dataset with this name, if it is there and has images for this side."""
    if not survey.fitting(name):
        return None
    dataset = survey.dataset(name)
    return dataset if _items(dataset, side) else None


def _items(dataset: Dataset, side: Side) -> list[Item]:
    """Of an undivided dataset, all its images are for either side."""
    return cache.cached_items(dataset) if side == "train" else dataset.split("test") or dataset.split("undivided")


def _fits_memory(dataset: Dataset) -> bool:
    sizes = [item.size() for item in cache.cached_items(dataset)]
    return sum(width * height * 3 for width, height in sizes) * (1 + dataset.paired) <= IN_MEMORY


def _examine(task: Task, source: Source, data: Data, patch_size: int | None) -> None:
    """Refuse images that break a rule, before anything is trained on them."""
    for dataset, opened in ((source.train, _trained), (source.test, _tested)):
        if dataset is None:
            continue
        images = opened(dataset, data)
        if dataset.family == "rain100l" and images.degraded is not None:
            pairs = zip(images.clean, images.degraded, strict=True)
            if problem := rules.exchanged(dataset, [rules.brighter(*pair) for pair in pairs]):
                raise UserError(problem)
    few = data.model_copy(update={"dead_leaves": min(1, data.dead_leaves)})  # which are all of one size
    learned, _ = training_images(source, few)
    if patch_size is not None:
        patches(learned.clean, learned.degraded, task.degrade("train"), patch_size, learned.names)


def _trained(dataset: Dataset, data: Data) -> Images:
    return _all_training(dataset, _cache_folder(data), _content(dataset, "train", data))


def _tested(dataset: Dataset, data: Data) -> Images:
    return _decoded(dataset, "test", _content(dataset, "test", data))


def _seen(dataset: Dataset | None, side: Side, data: Data) -> list[leaks.Fingerprint]:
    return _fingerprints(dataset, side, data, _content(dataset, side, data))


def _validation_leaks(dataset: Dataset | None, data: Data) -> int:
    if dataset is None:
        return 0
    seen, (learned, held_out) = _seen(dataset, "train", data), _held_out(dataset)
    return len({leak.train for leak in leaks.find(seen[:learned], seen[held_out:])})


# Whatever is kept in memory is kept for one content of the files: a changed picture is read again.


@lru_cache(maxsize=4)
def _all_training(dataset: Dataset, folder: Path, content: str) -> Images:
    items = cache.cached_items(dataset)
    if _fits_memory(dataset):
        return _decoded(dataset, "train", content)
    degraded = cache.load(dataset, folder, "degraded") if dataset.paired else None
    images = Images(tuple(item.name for item in items), cache.load(dataset, folder), degraded)
    partners = degraded or [None] * len(items)
    problems = [rules.problem(*one) for one in zip(items, images.clean, partners, strict=True)]
    if any(problems):
        raise dataset.refused(list(filter(None, problems)))
    return images


@lru_cache(maxsize=8)
def _decoded(dataset: Dataset, side: Side, content: str) -> Images:
    items = _items(dataset, side)
    clean, partners, problems = [], [], []
    for item in items:
        try:
            item.size()  # refuses pairs that differ in size
            both = [picture.read().pixels for picture in item.pictures]
        except UserError as error:
            problems.append(str(error))
            continue
        if problem := rules.problem(item, *both):
            problems.append(problem)
        clean.append(both[0])
        partners += both[1:]
    if problems:
        raise dataset.refused(problems)
    return Images(tuple(item.name for item in items), clean, partners or None)


@lru_cache(maxsize=16)
def _fingerprints(dataset: Dataset | None, side: Side, data: Data, content: str) -> list[leaks.Fingerprint]:
    """Of the clean images; of embedded ones without dead leaves, as a dataset on the other side may hold the same."""
    if dataset is None:
        return [leaks.fingerprint(photograph.image) for photograph in embedded(side, data.photographs)]
    images = _tested(dataset, data) if side == "test" else _trained(dataset, data)
    return [leaks.fingerprint(image) for image in images.clean]


def _content(dataset: Dataset | None, side: Side, data: Data) -> str:
    """A digest of all that one side takes from a dataset: the files' bytes, how pictures are cut out of them, names."""
    if dataset is None:
        return photographs.digest(side, data.photographs)
    items = _items(dataset, side)
    files = digests.contents([picture.path for item in items for picture in item.pictures], _cache_folder(data))
    told = hashlib.blake2b(digest_size=8)
    for item in items:
        ways = [[type(one).__name__, {**vars(one), "path": files[one.path]}] for one in item.pictures]
        told.update(json.dumps([item.name, ways, *([item.scene] if item.scene else [])], sort_keys=True).encode())
    return told.hexdigest()


def _told(dataset: Dataset | None, side: Side, data: Data) -> dict[str, str]:
    if dataset is None:
        choice = data.photographs
        number = counted(len(embedded(side, choice)), "photograph")
        leaves = f", {data.dead_leaves} dead leaves" if side == "train" and data.dead_leaves else ""
        told = {"name": EMBEDDED, "release": number + leaves}
        return told if photographs.as_ever(side, choice) else told | {"digest": photographs.digest(side, choice)}
    return {"name": dataset.name, "release": dataset.release, "digest": _content(dataset, side, data)}


def _cache_folder(data: Data) -> Path:
    return Path(data.cache) if data.cache else Path(data.root or ".") / cache.FOLDER


def _embedded_images(photographs: Sequence[Photograph]) -> Images:
    return Images(
        tuple(photograph.name for photograph in photographs), [photograph.image for photograph in photographs]
    )

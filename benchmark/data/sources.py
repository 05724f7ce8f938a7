"""Where the images of a run come from, task by task: embedded photographs, or datasets under a data root.

A task's stream file names its datasets. A dataset of clean images is degraded by the task's degradation, as embedded
photographs are; a dataset of pairs brings its own degraded images. The last tenth of the training images, ten at most,
are held out for validation.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console

from benchmark.config import Data
from benchmark.data import cache, datasets, leaks
from benchmark.data.datasets import Dataset, Item
from benchmark.data.datasets.dataset import counted
from benchmark.data.dead_leaves import dead_leaves
from benchmark.data.opening import quoted
from benchmark.data.photographs import Photograph, embedded
from benchmark.errors import UserError
from benchmark.streams.definition import Task

EMBEDDED = "embedded"
IN_MEMORY = 512 * 2**20
"""Bytes of decoded training images up to which they are kept in memory; larger datasets are cached on disk."""
VALIDATION = 10
"""Training images that are held out for validation, at most; else a tenth of them, and one at least."""

Side = Literal["train", "test"]


@dataclass(frozen=True)
class Pictures:
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

    def part(self, start: int, stop: int) -> "Pictures":
        """The images from ``start`` up to ``stop``."""
        degraded = None if self.degraded is None else self.degraded[start:stop]
        return Pictures(self.names[start:stop], self.clean[start:stop], degraded)

    def centres(self, side: int | None) -> "Pictures":
        """The images' centres, at most ``side`` pixels high and wide; the whole images for None."""
        if side is None:
            return self
        return replace(
            self,
            clean=[centre(image, side) for image in self.clean],
            degraded=None if self.degraded is None else [centre(image, side) for image in self.degraded],
        )


@dataclass(frozen=True)
class Origins:
    """The datasets of one task; None stands for the embedded photographs."""

    train: Dataset | None = None
    test: Dataset | None = None


def find(tasks: Sequence[Task], data: Data) -> list[Origins]:
    """The datasets that each task takes its images from. No image is opened.

    Raises:
        UserError: a dataset is missing and nothing may stand in for it, or one cannot be used.
    """
    if data.source == EMBEDDED:
        return [Origins() for _ in tasks]
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
        origins = Origins(**sides)
        if origins.train is not None and origins.train == origins.test and not origins.train.split("test"):
            raise UserError(
                f"Task '{task.name}' would be tested on the images it is trained on: {origins.train.name} is not "
                "divided into a training and a test side. Put the images into subfolders train and test."
            )
        found.append(origins)
    if missing:
        wanted = "; ".join(f"{name} ({', '.join(sides)})" for name, sides in missing.items())
        there = ", ".join(f"{dataset.name} ({dataset.release})" for dataset in survey.datasets) or "nothing"
        raise UserError(
            f"These datasets are not under {quoted(survey.root)}: {wanted}. Found there: {there}. "
            "Add them, or use embedded photographs in their place with --fallback embedded."
        )
    return found


def prepare(tasks: Sequence[Task], data: Data, console: Console | None = None) -> list[dict[str, Any]]:
    """Find every dataset, cache the large ones, and tell where each task's images come from.

    Args:
        tasks: the tasks of a stream.
        data: where to look.
        console: where to show progress, if it is a terminal.

    Returns:
        For each task ``{"train": side, "test": side, "leaks": n}``, where a side is its ``name``, its ``release`` and,
        for a dataset, a ``digest`` of its files' names and sizes; n counts the training images that also stand, exactly
        or nearly, in the test set of any of the tasks.

    Raises:
        UserError: a dataset is missing or damaged, or cannot be cached.
    """
    found = find(tasks, data)
    for origins in found:
        if origins.train is not None and not _fits_memory(origins.train):
            cache.prepare_shown(origins.train, _cache_folder(data), console)
    tested = [one for dataset in {origins.test for origins in found} for one in _fingerprints(dataset, "test", data)]
    return [
        {
            "train": _told(origins.train, "train", data),
            "test": _told(origins.test, "test", data),
            "leaks": len({leak.train for leak in leaks.find(_fingerprints(origins.train, "train", data), tested)}),
        }
        for origins in found
    ]


def training_pictures(origins: Origins, data: Data) -> tuple[Pictures, Pictures]:
    """The images that a task is trained on, and those that are held out for validation.

    Raises:
        UserError: an image cannot be read, or a large dataset was not cached.
    """
    if origins.train is None:
        train, held = embedded("train"), embedded("validation")
        names = [photograph.name for photograph in train] + [f"dead_leaves_{i}" for i in range(data.dead_leaves)]
        images = [photograph.image for photograph in train] + [dead_leaves(i) for i in range(data.dead_leaves)]
        return Pictures(tuple(names), images), _embedded_pictures(held).centres(data.validation_size)
    everything = _all_training(origins.train, _cache_folder(data))
    kept = len(everything) - max(1, min(VALIDATION, len(everything) // 10))
    if not kept:
        raise UserError(f"{origins.train.name} has a single training image; one more is needed for validation.")
    return everything.part(0, kept), everything.part(kept, len(everything)).centres(data.validation_size)


def test_pictures(origins: Origins, data: Data) -> Pictures:
    """The images that a task is tested on.

    Raises:
        UserError: an image cannot be read.
    """
    if origins.test is None:
        return _embedded_pictures(embedded("test")).centres(data.test_size)
    return _decoded(tuple(_items(origins.test, "test"))).centres(data.test_size)


def centre(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image, at most ``side`` pixels high and wide."""
    height, width = image.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return image[top : top + side, left : left + side]


@lru_cache(maxsize=8)
def _survey(root: Path) -> datasets.Survey:
    return datasets.find(root)


def _lookup(survey: datasets.Survey, name: str, side: Side) -> Dataset | None:
    """The dataset with this name, if it is there and has images for this side."""
    if name.lower() not in {known.lower() for one in survey.datasets for known in (one.name, one.family)}:
        return None
    dataset = survey.dataset(name)
    return dataset if _items(dataset, side) else None


def _items(dataset: Dataset, side: Side) -> list[Item]:
    """Of an undivided dataset, all its images are for either side."""
    return cache.cached_items(dataset) if side == "train" else dataset.split("test") or dataset.split("undivided")


def _fits_memory(dataset: Dataset) -> bool:
    sizes = [item.size() for item in cache.cached_items(dataset)]
    return sum(width * height * 3 for width, height in sizes) * (1 + dataset.paired) <= IN_MEMORY


@lru_cache(maxsize=4)
def _all_training(dataset: Dataset, folder: Path) -> Pictures:
    items = cache.cached_items(dataset)
    if _fits_memory(dataset):
        return _decoded(tuple(items))
    names = tuple(item.name for item in items)
    degraded = cache.load(dataset, folder, "degraded") if dataset.paired else None
    return Pictures(names, cache.load(dataset, folder), degraded)


@lru_cache(maxsize=8)
def _decoded(items: tuple[Item, ...]) -> Pictures:
    for item in items:
        item.size()  # refuses pairs that differ in size
    clean = [item.clean.read().pixels for item in items]
    partners = [item.degraded.read().pixels for item in items if item.degraded is not None]
    return Pictures(tuple(item.name for item in items), clean, partners or None)


@lru_cache(maxsize=16)
def _fingerprints(dataset: Dataset | None, side: Side, data: Data) -> list[leaks.Fingerprint]:
    """Of the clean images; the embedded photographs are known to stand on one side only."""
    if dataset is None:
        return []
    if side == "test":
        return [leaks.fingerprint(image) for image in _decoded(tuple(_items(dataset, "test"))).clean]
    return [leaks.fingerprint(image) for image in _all_training(dataset, _cache_folder(data)).clean]


def _told(dataset: Dataset | None, side: Side, data: Data) -> dict[str, str]:
    if dataset is None:
        photographs = counted(len(embedded(side)), "photograph")
        leaves = f", {data.dead_leaves} dead leaves" if side == "train" and data.dead_leaves else ""
        return {"name": EMBEDDED, "release": photographs + leaves}
    files = [f"{item.name}:{item.split}:{item.clean.path.stat().st_size}" for item in dataset.items]
    digest = hashlib.sha256("\n".join(files).encode(errors="surrogateescape")).hexdigest()[:8]
    return {"name": dataset.name, "release": dataset.release, "digest": digest}


def _cache_folder(data: Data) -> Path:
    return Path(data.cache) if data.cache else Path(data.root or ".") / cache.FOLDER


def _embedded_pictures(photographs: Sequence[Photograph]) -> Pictures:
    return Pictures(
        tuple(photograph.name for photograph in photographs), [photograph.image for photograph in photographs]
    )

"""What ``data check`` finds out about the datasets under a root: every file is opened, every claim is measured."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from benchmark.core import metrics
from benchmark.core.errors import UserError
from benchmark.core.images import to_uint8
from benchmark.core.metrics import luma, psnr
from benchmark.core.printing import passing
from benchmark.data import datasets
from benchmark.data.checks import leaks, rules
from benchmark.data.checks.leaks import Fingerprint
from benchmark.data.checks.references import REFERENCES, Reference
from benchmark.data.datasets import Dataset, Item
from benchmark.data.datasets.dataset import counted
from benchmark.data.degradations import make
from benchmark.data.names import folded
from benchmark.data.opening import quoted
from benchmark.data.patches import surrounded, test_pair

_COPIES = 3
"""Test images that are named of those which one training image equals."""


@dataclass(frozen=True)
class Input:
    """The mean PSNR in dB of a dataset's degraded test images, and what it should be, if that is known."""

    dataset: str
    setting: str
    psnr: float
    psnr_y: float
    reference: Reference | None

    @property
    def difference(self) -> float | None:
        """Measured less expected, in dB."""
        if self.reference is None:
            return None
        return (self.psnr if self.reference.channel == "RGB" else self.psnr_y) - self.reference.psnr


@dataclass(frozen=True)
class Checked:
    """One dataset, all of its files opened.

    Args:
        dataset: what was found.
        sizes: how many pictures have each (width, height).
        conversions: how many files were converted in which way.
        inputs: the PSNR of its degraded test images.
        problems: what has to be mended.
        notes: what is worth knowing.
    """

    dataset: Dataset
    sizes: Counter[tuple[int, int]]
    conversions: Counter[str]
    inputs: tuple[Input, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """All that was found under a root.

    Args:
        root: the folder that was checked.
        datasets: every dataset, with what opening its files showed.
        leaks: in words, every training image that also stands in a test set, of the same dataset or another.
        problems: what has to be mended; the command fails if there is any.
        notes: what was left out, and other things worth knowing.
    """

    root: Path
    datasets: tuple[Checked, ...]
    leaks: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """What one item showed when it was opened; the pixels are not kept."""

    item: Item
    size: tuple[int, int]
    fingerprint: Fingerprint
    conversions: tuple[str, ...]
    inputs: tuple[tuple[float, float], ...]
    brighter: float


def check(root: Path, patch_sizes: Mapping[str, int] | None = None, console: Console | None = None) -> Report:
    """Open every image of every dataset under a root.

    Args:
        root: the folder that holds the datasets.
        patch_sizes: sides of training patches in pixels, by what asks for them; images too small for one are noted.
        console: where to show progress, if it is a terminal.

    Raises:
        UserError: the root is no folder.
    """
    survey = datasets.find(root)
    checked: list[Checked] = []
    seen: list[tuple[Dataset, list[_Seen]]] = []
    with passing(console) as shown:
        for dataset in survey.datasets:
            opened, result = _check(dataset, shown, patch_sizes or {})
            checked.append(result)
            seen.append((dataset, opened))
    return Report(
        root=root,
        datasets=tuple(checked),
        leaks=tuple(_leaks(seen)),
        problems=(
            *survey.problems,
            *(problem for result in checked for problem in result.problems),
            *_called_alike(survey.datasets),
        ),
        notes=(*survey.notes, *(note for result in checked for note in (*result.dataset.notes, *result.notes))),
    )


def _check(dataset: Dataset, shown: Progress, patch_sizes: Mapping[str, int]) -> tuple[list[_Seen], Checked]:
    references = [one for one in REFERENCES if one.dataset == dataset.name]
    degraded_by = [one for one in references if one.degradation is not None]
    opened: list[_Seen] = []
    problems = list(dataset.problems)
    task = shown.add_task(dataset.name, total=len(dataset.items))
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for result in pool.map(lambda item: _look(dataset, item, degraded_by), dataset.items):
            if isinstance(result, _Seen):
                opened.append(result)
            else:
                problems.append(result)
            shown.advance(task)
    inputs = tuple(_inputs(dataset, opened, references))
    if not problems:
        problems += map(_far, inputs)
    by_side = [[one for one in opened if (one.item.split == "test") == test] for test in (False, True)]
    problems += [rules.exchanged(dataset, [one.brighter for one in side if one.item.degraded]) for side in by_side]
    problems.append(rules.training_side(dataset, dataset.split("train")))
    return opened, Checked(
        dataset=dataset,
        sizes=Counter(one.size for one in opened),
        conversions=Counter(conversion for one in opened for conversion in one.conversions),
        inputs=inputs,
        problems=tuple(dict.fromkeys(filter(None, problems))),
        notes=(
            *_alone(dataset),
            *_patches(dataset, [one for one in opened if one.item.split != "test"], patch_sizes),
        ),
    )


def _look(dataset: Dataset, item: Item, degraded_by: list[Reference]) -> _Seen | str:
    """What an item shows, or the problem that keeps it from being opened."""
    try:
        item.size()
        clean = item.clean.read()
        rough = item.degraded.read() if item.degraded else None
    except UserError as error:
        return str(error)
    if problem := rules.problem(item, clean.pixels, rough.pixels if rough else None):
        return problem
    conversions = clean.conversions
    inputs = []
    brighter = 0.0
    if item.degraded and rough is not None:
        conversions += rough.conversions if item.degraded.path != item.clean.path else ()
        brighter = rules.brighter(clean.pixels, rough.pixels)
        if item.split == "test":
            inputs.append(_psnr(rough.pixels, clean.pixels))
    for reference in degraded_by if item.split == "test" else ():
        degradation = make(reference.degradation or "", reference.parameters)
        degraded, _ = test_pair(clean.pixels, degradation, "check", reference.setting, item.name)
        inputs.append(_psnr(to_uint8(degraded), clean.pixels))
    height, width = clean.pixels.shape[:2]
    return _Seen(item, (width, height), leaks.fingerprint(clean.pixels), conversions, tuple(inputs), brighter)


def _psnr(degraded: np.ndarray, clean: np.ndarray) -> tuple[float, float]:
    rgb, y = metrics.counted([psnr(degraded, clean), psnr(luma(degraded), luma(clean))]).tolist()
    return rgb, y


def _inputs(dataset: Dataset, opened: list[_Seen], references: list[Reference]) -> Iterator[Input]:
    measured = [one.inputs for one in opened if one.inputs]
    if not measured:
        return
    on_disk = [one for one in references if one.degradation is None]
    expected: list[Reference | None] = []
    if dataset.paired:
        expected.append(on_disk[0] if on_disk else None)
    expected += [one for one in references if one.degradation is not None]
    for reference, values in zip(expected, np.mean(measured, axis=0).tolist(), strict=True):
        setting = reference.setting if reference else "as on disk"
        yield Input(dataset.name, setting, values[0], values[1], reference)


def _patches(dataset: Dataset, trained: list[_Seen], patch_sizes: Mapping[str, int]) -> Iterator[str]:
    """The presets that would refuse some training images, since their patches do not fit into them."""
    for preset, patch in patch_sizes.items():
        side = patch if dataset.paired else surrounded(patch)
        small = [one for one in trained if min(one.size) < side]
        if small:
            width, height = small[0].size
            yield (
                f"{dataset.name} in {quoted(dataset.root)}: {counted(len(small), 'training image')} too small for "
                f"preset {preset}, whose patches need {side}×{side}; '{small[0].item.name}' is {width}×{height}."
            )


def _alone(dataset: Dataset) -> Iterator[str]:
    """Whether a run would refuse to train on it, as nothing could be held out, though it may test on it."""
    if len(dataset.items) == len(dataset.split("undivided")) == 1:
        yield (
            f"{dataset.name} in {quoted(dataset.root)}: a single image, in neither a training nor a test side. It can "
            "be tested on; to be trained on, one more is needed for validation."
        )


def _called_alike(found: Sequence[Dataset]) -> Iterator[str]:
    """The names that several datasets have, so that a run would refuse a task that names one."""
    for name in dict.fromkeys(folded(dataset.name) for dataset in found):
        alike = [dataset for dataset in found if folded(dataset.name) == name]
        if len(alike) > 1:
            places = ", ".join(f"{dataset.name} in {quoted(dataset.root)}" for dataset in alike)
            yield f"{len(alike)} datasets have one name: {places}. Rename a folder, or take one out of this root."


def _far(measured: Input) -> str:
    """That degraded test images are farther from what is expected than may be; empty if they are not."""
    difference, reference = measured.difference, measured.reference
    if difference is None or reference is None or abs(difference) <= reference.tolerance:
        return ""
    return (
        f"{measured.dataset}, {measured.setting}: the degraded test images have {measured.psnr:.2f} dB "
        f"({measured.psnr_y:.2f} dB on Y), {reference.psnr:.2f} dB on {reference.channel} are expected "
        f"({reference.source}). This may be another dataset, or a changed copy."
    )


def _leaks(seen: list[tuple[Dataset, list[_Seen]]]) -> Iterator[str]:
    """A line for each training or undivided image that a test set of any dataset holds, too."""
    every = [(dataset, one) for dataset, opened in seen for one in opened]
    train = [(dataset, one) for dataset, one in every if one.item.split != "test"]
    test = [(dataset, one) for dataset, one in every if one.item.split == "test"]
    found = leaks.find([one.fingerprint for _, one in train], [one.fingerprint for _, one in test])
    for place, copies in groupby(found, key=lambda leak: leak.train):
        train_set, train_one = train[place]
        told = [
            f"{'equals' if leak.exact else 'nearly equals'} test image '{one.item.name}' of {test_set.name}"
            for leak in copies
            for test_set, one in [test[leak.test]]
        ]
        others = f", and {len(told) - _COPIES} more" if len(told) > _COPIES else ""
        yield f"{train_set.name} {quoted(train_one.item.clean.path)} {', '.join(told[:_COPIES])}{others}."

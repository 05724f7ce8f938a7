"""From run directories to results that can be compared.

A :class:`Result` is one run as arrays. Results of one configuration that differ only in the seed form an
:class:`Entry`, which is a row of a table and a line of a figure. Entries that may be compared (same stream,
tasks in the same order, preset and data) form a :class:`Group`; nothing is ever compared across groups.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.core.errors import UserError
from benchmark.core.metrics import backward_transfer, counted, forgetting, forward_transfer
from benchmark.core.names import file_name
from benchmark.core.runs.directory import Run, find_runs
from reports.labels import labels
from reports.text import plain
from strategies.built_in import BUILT_IN
from strategies.traits import WORDS, Traits, answers

Array = npt.NDArray[np.float64]

IRRELEVANT = ("workers", "tile", "root", "fallback", "cache")
"""Settings of the data section that no result depends on, or only by way of the sources they lead to.

The side of tiles matters for deformable layers alone, and there for pixels near a seam."""

DEFINITION = ("name", "degradation", "train", "test", "again")
"""What makes a task, beside its sources."""

EMBEDDED = "embedded"
"""The source of images that needs no dataset."""

PEAKS = ("peak_memory",)
"""Quantities of the ledger whose largest value over the tasks counts, not the last."""

PAPER = "paper-"
"""How the keys of what belongs to the paper begin; that of a group never does, whatever its stream is called."""

CONFIGURATION = ("strategy", "backbone", "training", "settings", "plugin")
"""What two runs must have in common, beyond the above, to be seeds of one configuration."""


@dataclass(frozen=True)
class Images:
    """Where images come from.

    Args:
        name: ``embedded``, or a dataset.
        release: which edition, in words; empty where the run does not say.
        digest: of the images' content; empty where the run does not say, and for embedded images with the usual pixels.
    """

    name: str = EMBEDDED
    release: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.release})" if self.release else self.name


@dataclass(frozen=True)
class Source:
    """Where one task takes its images from."""

    train: Images = Images()
    test: Images = Images()


@dataclass(frozen=True)
class Result:
    """One run as arrays, for a stream of T tasks; nan stands where nothing was measured.

    Args:
        run: the run directory.
        config: its resolved configuration.
        state: ``finished``, or what became of it (running, failed, interrupted, created).
        psnr: (T, T) dB; ``psnr[i, j]`` is the test PSNR on task j after learning task i, both from 0.
        ssim: (T, T), the SSIM in the same places.
        input_psnr: (T,) dB, the PSNR of the degraded test images.
        input_ssim: (T,), their SSIM.
        changed: how many test outputs of earlier tasks the last task changed, and how many were compared;
            None when that was not measured.
        owned: the same of the tensors on which those outputs depend, of networks that are told the task.
        costs: the ledger after the last task learned, of PEAKS the largest value so far: quantity to (value, unit).
        protocols: how the metrics were computed, in words.
        sources: for each task, where its images come from.
        settings_from: where the strategy's settings come from, in words; empty where the run does not say.
        traits: what the strategy declares; None for one that is not built in, of a run that does not say.
        task_parameters: numbers that a task trained and keeps, the mean over the tasks; nan where that is not known.
        backbone_parameters: those of the plain backbone; nan where the run does not say.
    """

    run: Run
    config: dict[str, Any]
    state: str
    psnr: Array
    ssim: Array
    input_psnr: Array
    input_ssim: Array
    changed: tuple[int, int] | None
    costs: dict[str, tuple[float, str]]
    protocols: tuple[str, ...]
    sources: tuple[Source, ...]
    traits: Traits | None = None
    settings_from: str = ""
    task_parameters: float = float("nan")
    backbone_parameters: float = float("nan")
    owned: tuple[int, int] | None = None

    @property
    def strategy(self) -> str:
        """The strategy's name."""
        return plain(self.config["strategy"])

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.config.get("seed", 0))

    @property
    def finished(self) -> bool:
        """Whether every task was learned and measured."""
        return self.state == "finished"

    @property
    def learned(self) -> int:
        """Tasks after which the run was measured, at least in part."""
        rows = np.flatnonzero(~np.isnan(self.psnr).all(axis=1))
        return int(rows[-1]) + 1 if rows.size else 0

    @property
    def final_psnr(self) -> Array:
        """(T,) dB, after the whole stream."""
        return self.psnr[-1]

    @property
    def final_ssim(self) -> Array:
        """(T,), after the whole stream."""
        return self.ssim[-1]

    @property
    def mean_psnr(self) -> float:
        """The mean of the final PSNR over the tasks, in dB; nan while a task is missing."""
        return float(self.final_psnr.mean())

    @property
    def change(self) -> Array:
        """(T, T) dB, PSNR relative to the moment the task was learned; nan before that."""
        relative = self.psnr - np.diag(self.psnr)[None, :]
        return np.where(np.tri(len(relative), dtype=bool), relative, np.nan)

    @cached_property
    def forgetting(self) -> Array:
        """(T,) dB lost on each task since its best moment, nan for the last."""
        return np.asarray(forgetting(self.psnr), dtype=float)

    @property
    def mean_forgetting(self) -> float:
        """The mean of the forgetting over all tasks but the last, in dB."""
        return mean(self.forgetting)

    @property
    def backward_transfer(self) -> float:
        """dB by which later tasks changed earlier ones."""
        return float(backward_transfer(self.psnr)) if len(self.psnr) > 1 else float("nan")

    @property
    def forward_transfer(self) -> float:
        """dB over the degraded input on tasks that are not learned yet."""
        return float(forward_transfer(self.psnr, self.input_psnr)) if len(self.psnr) > 1 else float("nan")

    @cached_property
    def computed_on(self) -> str:
        """Where it was computed, in words: the device, threads on a CPU, and the version of torch.

        The same command gives the same bytes where these, and the kind of processor, are the same.
        """
        known = self.run.environment
        device, threads, torch = (plain(known.get(key, "unknown")) for key in ("device", "threads", "torch"))
        return f"{device}, {f'threads: {threads}, ' if device == 'cpu' else ''}torch {torch}"

    def cost(self, name: str) -> float:
        """A quantity of the ledger, nan when it is absent."""
        return self.costs.get(name, (float("nan"), ""))[0]

    @property
    def kept_bytes(self) -> float:
        """What is to be kept to go on: the checkpoint and the training images that are needed again.

        Nan for a run from before these images were counted, of a strategy that keeps images outside of its checkpoint.
        """
        images = self.cost("data_bytes")
        if np.isnan(images) and not (self.traits and self.traits.stores_data and not self.cost("exemplar_bytes") > 0):
            images = 0.0
        return self.cost("stored_bytes") + images

    @property
    def over_plain(self) -> float:
        """Numbers that a task trained and keeps, in plain backbones."""
        return self.task_parameters / self.backbone_parameters


@dataclass(frozen=True)
class Entry:
    """Finished runs of one configuration, one per seed.

    Args:
        label: the name it has in tables and figures.
        results: its runs in order of seed, at least one.
    """

    label: str
    results: list[Result]

    def values(self, name: str) -> Array:
        """One of the result's figures for every seed: (S,) or (S, ...)."""
        return np.array([getattr(result, name) for result in self.results], dtype=float)

    def mean(self, name: str) -> Any:
        """The figure's mean over the seeds, of the figure's own shape."""
        return self.values(name).mean(axis=0)

    def spread(self, name: str) -> Any:
        """The standard deviation over the seeds (n − 1 in the denominator); nan for a single seed."""
        values = self.values(name)
        return values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1:], np.nan)

    @property
    def settings_from(self) -> str:
        """Where the strategy's settings come from, in words."""
        return next((result.settings_from for result in self.results if result.settings_from), "")

    @property
    def traits(self) -> dict[str, str]:
        """The strategy's traits in words: heading to yes, no or unknown."""
        return answers(next((result.traits for result in self.results if result.traits), None))

    @property
    def told(self) -> str:
        """Whether the strategy is told the task at test time: yes, no or unknown."""
        return self.traits[WORDS["needs_task_id"]]

    @property
    def changed(self) -> tuple[int, int] | None:
        """Changed and compared outputs, over all seeds; None when a seed lacks the measurement."""
        return added([result.changed for result in self.results])

    @property
    def owned(self) -> tuple[int, int] | None:
        """The same of the tensors on which those outputs depend."""
        return added([result.owned for result in self.results])


@dataclass(frozen=True)
class Group:
    """Runs that may be compared: same stream, order, preset, data, sources and revision of the shared code.

    Args:
        key: a short name for files and anchors, unique in the report.
        number: counts the groups whose stream and preset have the same names, from 1; 0 where there is only one.
        stream: the stream's name.
        order: its tasks, in the order they are learned.
        preset: the preset's name.
        data: the data section of the configuration.
        sources: for each task, where its images come from.
        entries: what is compared; empty when no run has finished.
        unfinished: runs that did not finish, with what they have.
    """

    key: str
    number: int
    stream: str
    order: list[str]
    preset: str
    data: Any
    sources: tuple[Source, ...]
    entries: list[Entry]
    unfinished: list[Result] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Stream and preset in words, unique in the report."""
        more = f" ({self.number}: {self.order[0]} first)" if self.number else ""
        return f"{self.stream}, preset {self.preset}{more}"

    @property
    def headings(self) -> list[str]:
        """The name of each task; with the source of its test images where not all images are embedded."""
        if self.embedded:
            return self.order
        return [f"{task} ({source.test.name})" for task, source in zip(self.order, self.sources, strict=True)]

    @property
    def embedded(self) -> bool:
        """Whether all images are embedded."""
        return all(source.train.name == source.test.name == EMBEDDED for source in self.sources)

    @property
    def results(self) -> list[Result]:
        """Every run of the group, finished ones first."""
        return [result for entry in self.entries for result in entry.results] + self.unfinished

    def input(self, name: str) -> Array:
        """``input_psnr`` or ``input_ssim``, (T,): the mean over the runs, which should agree."""
        found = np.array([getattr(result, name) for result in self.results])
        return np.array([mean(column) for column in found.T])


@dataclass(frozen=True)
class Unreadable:
    """A run directory whose files cannot be used, and why."""

    run: Run
    reason: str


@dataclass(frozen=True)
class Collection:
    """Everything that one report is about."""

    groups: list[Group]
    unreadable: list[Unreadable]

    @property
    def labels(self) -> list[str]:
        """Every label once; the position of a label decides its colour."""
        return list(dict.fromkeys(entry.label for group in self.groups for entry in group.entries))


def mean(values: Array) -> float:
    """The mean of what is not nan; nan when nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def added(counts: Sequence[tuple[int, int] | None]) -> tuple[int, int] | None:
    """Changed and compared over several runs; None when a run lacks the measurement."""
    known = [count for count in counts if count is not None]
    return (sum(c for c, _ in known), sum(n for _, n in known)) if len(known) == len(counts) else None


def collect(paths: Sequence[Path]) -> Collection:
    """Read every run at or below the paths, and sort them into comparable groups.

    Raises:
        UserError: a path does not exist, or there is no run at all.
    """
    results, unreadable = [], []
    for run in find_runs(paths):
        try:
            results.append(read(run))
        except UserError as error:
            unreadable.append(Unreadable(run, str(error)))
    return Collection(_groups(results), unreadable)


def read(run: Run) -> Result:
    """One run directory as arrays.

    Raises:
        UserError: a file is missing, damaged, or says what cannot be.
    """
    config, status = run.config, run.status
    order = config.get("order")
    if not isinstance(config.get("strategy"), str) or not isinstance(order, list) or not order:
        raise UserError(f"'{run.path / 'config.yaml'}' names no strategy or no order of tasks. Was it edited?")
    _ = run.environment, run.curves, run.outputs  # read later, one at a time; a damaged one has to show here
    try:
        return _result(run, config, str(status.get("state", "created")), len(order))
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise UserError(f"The tables in '{run.path}' cannot be read: {error}. Delete the run and repeat it.") from error


def _result(run: Run, config: dict[str, Any], state: str, tasks: int) -> Result:
    int(config.get("seed", 0))
    metrics = run.metrics
    if not metrics["after"].between(0, tasks).all() or not metrics["place"].between(1, tasks).all():
        raise ValueError(f"a measurement lies outside the {tasks} tasks of the stream")
    decibels = metrics["metric"].isin(["psnr", "psnr_y"])
    metrics["value"] = metrics["value"].where(~decibels, counted(metrics["value"]))
    inputs = metrics[(metrics["subject"] == "input") & (metrics["after"] == 0)]
    quality = metrics[metrics["metric"].isin(["psnr", "ssim"])]
    outputs = metrics[(metrics["subject"] == "output") & (metrics["after"] > 0)]
    return Result(
        run=run,
        config=_completed(config),
        state=plain(state),
        psnr=_matrix(outputs, "psnr", tasks),
        ssim=_matrix(outputs, "ssim", tasks),
        input_psnr=_row(inputs, "psnr", tasks),
        input_ssim=_row(inputs, "ssim", tasks),
        changed=_changed(metrics, "outputs_changed", tasks),
        costs=_costs(run.costs),
        protocols=tuple(sorted({plain(text, 300) for text in quality["protocol"] if text})),
        sources=_sources(config, tasks),
        traits=_traits(run.status, config["strategy"]),
        settings_from=plain(run.status.get("settings_from") or "", 100),
        task_parameters=_task_parameters(run.ledger),
        backbone_parameters=float(run.status.get("backbone_parameters", "nan")),
        owned=_changed(metrics, "owned_changed", tasks),
    )


def _changed(metrics: pd.DataFrame, metric: str, tasks: int) -> tuple[int, int] | None:
    """How many the last task changed, and how many were compared; None where nothing was."""
    rows = metrics[(metrics["metric"] == metric) & (metrics["after"] == tasks)]
    return (int(rows["value"].sum()), int(rows["images"].sum())) if len(rows) else None


def _traits(status: dict[str, Any], strategy: str) -> Traits | None:
    """What the run says of its strategy; where it is from before runs did, what is known of the built-in ones."""
    given = status.get("traits")
    if isinstance(given, dict) and all(isinstance(given.get(name), bool) for name in WORDS):
        return Traits(**{name: given[name] for name in WORDS})
    return BUILT_IN[strategy].traits if strategy in BUILT_IN else None


def _task_parameters(ledger: pd.DataFrame) -> float:
    """Older runs say only what was trainable as a task began; if that never shrank, nothing was pruned of it."""
    values = {name: rows["value"] for name, rows in ledger.groupby("quantity")}
    begun = values.get("trainable_parameters", pd.Series(dtype=float))
    kept = values.get("task_parameters", begun if begun.is_monotonic_increasing else pd.Series(dtype=float))
    return float(kept.mean())


def _completed(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the settings that runs from before there were these do not name."""
    training = config.get("training")
    return config | {"training": {"deterministic": True} | training} if isinstance(training, dict) else config


def _sources(config: dict[str, Any], tasks: int) -> tuple[Source, ...]:
    """Embedded where the configuration does not say: runs from before there were datasets."""
    given = config.get("sources") or [{"train": {}, "test": {}}] * tasks
    if not isinstance(given, list) or len(given) != tasks:
        raise ValueError(f"the sources of its images are not a list with an entry for each of the {tasks} tasks")
    return tuple(Source(_images(entry, "train"), _images(entry, "test")) for entry in given)


def _images(entry: Any, side: str) -> Images:
    given = entry.get(side) if isinstance(entry, dict) else None
    if not isinstance(given, dict):
        raise ValueError(f"a task does not say where its {side} images come from")
    return Images(**{key: plain(given[key], 100) for key in ("name", "release", "digest") if given.get(key)})


def _matrix(rows: pd.DataFrame, metric: str, tasks: int) -> Array:
    matrix = np.full((tasks, tasks), np.nan)
    rows = rows[rows["metric"] == metric]
    matrix[rows["after"].to_numpy(int) - 1, rows["place"].to_numpy(int) - 1] = rows["value"].to_numpy(float)
    return matrix


def _row(rows: pd.DataFrame, metric: str, tasks: int) -> Array:
    row = np.full(tasks, np.nan)
    rows = rows[rows["metric"] == metric]
    row[rows["place"].to_numpy(int) - 1] = rows["value"].to_numpy(float)
    return row


def _costs(ledger: pd.DataFrame) -> dict[str, tuple[float, str]]:
    """The last row of each quantity, by the number of tasks learned; the largest of PEAKS."""
    ledger = ledger.assign(peak=ledger["value"].where(ledger["quantity"].isin(PEAKS), 0))
    last = ledger.sort_values(["peak", "after"], kind="stable").groupby("quantity", sort=False).last()
    return {
        plain(name): (float(value), plain(unit))
        for name, value, unit in zip(last.index, last["value"], last["unit"], strict=True)
    }


def _text(values: Any) -> str:
    """Equal for equal values, whatever the order of their keys."""
    return json.dumps(values, sort_keys=True, default=str)


def _stream(config: dict[str, Any]) -> str:
    """The stream's name; a stream from a file is named after it, wherever the file lay."""
    return plain(Path(str(config.get("stream"))).name.removesuffix(".yaml").removesuffix(".yml"))


def setting(result: Result) -> dict[str, Any]:
    """What two runs must have in common to be compared in any way: stream, preset and data, but not the order."""
    data = result.config.get("data")
    if isinstance(data, dict):
        data = {name: value for name, value in data.items() if name not in IRRELEVANT}
    return {
        "stream": _stream(result.config),
        "preset": plain(result.config.get("preset")),
        "data": data,
        "revision": revision(result, "training"),
    }


def revision(result: Result, part: str) -> int:
    """The revision of the shared code (``training``) or of the ``strategy`` behind a run; 1 where it does not say."""
    revisions = result.config.get("revisions")
    number = revisions.get(part) if isinstance(revisions, dict) else None
    return number if isinstance(number, int) else 1


def tasks(result: Result) -> list[Any]:
    """What must be equal of each task, in order, to compare it: its name, definition and where its images come from.

    Entries of a definition that are empty or not in DEFINITION do not count, and neither does what a run says about
    embedded images that hold the usual pixels, so that older runs keep their place.
    """
    given = result.config.get("tasks")
    definitions: list[dict[str, Any]] = [{}] * len(result.sources)
    if isinstance(given, list) and len(given) == len(definitions) and all(isinstance(task, dict) for task in given):
        definitions = given
    return [
        [
            name,
            {key: task[key] for key in DEFINITION if task.get(key)},
            [_compared(source.train), _compared(source.test)],
        ]
        for name, task, source in zip(result.config["order"], definitions, result.sources, strict=True)
    ]


def _compared(images: Images) -> list[str]:
    return [images.name, "" if images.name == EMBEDDED else images.release, images.digest]


def _groups(results: Sequence[Result]) -> list[Group]:
    apart: dict[str, list[Result]] = {}
    for result in results:
        apart.setdefault(_text([setting(result), tasks(result)]), []).append(result)
    names = [(setting(members[0])["stream"], setting(members[0])["preset"]) for members in apart.values()]
    first = {name: place for place, name in reversed(list(enumerate(names)))}
    ranked = sorted(zip(names, apart.values(), strict=True), key=lambda pair: (first[pair[0]], -len(pair[1])))
    groups: list[Group] = []
    seen: Counter[tuple[str, str]] = Counter()
    names_of_files = [file_name(f"{stream}-{preset}") for (stream, preset), _ in ranked]
    keys = distinct([f"stream-{name}" if name.startswith(PAPER) else name for name in names_of_files])
    for key, (name, members) in zip(keys, ranked, strict=True):
        stream, preset = name
        seen[name] += 1
        told = next((member for member in members if member.config.get("sources")), members[0])
        groups.append(
            Group(
                key=key,
                number=seen[name] if names.count(name) > 1 else 0,
                stream=stream,
                order=[plain(task) for task in told.config["order"]],
                preset=preset,
                data=told.config.get("data"),
                sources=told.sources,
                entries=entries([member for member in members if member.finished]),
                unfinished=[member for member in members if not member.finished],
            )
        )
    return groups


def distinct(keys: Sequence[str]) -> list[str]:
    """The keys, those that come again with a number behind them; none is given twice."""
    taken: dict[str, None] = {}
    for base in keys:
        key, number = base, 1
        while key in taken:
            number += 1
            key = f"{base}-{number}"
        taken[key] = None
    return list(taken)


def entries(results: Sequence[Result]) -> list[Entry]:
    """Results as entries in order of their labels: the seeds of one configuration, labelled by what tells it apart."""
    apart: dict[str, list[Result]] = {}
    for result in results:
        own = [result.config.get(key) or None for key in CONFIGURATION]
        apart.setdefault(_text([*own, revision(result, "strategy")]), []).append(result)
    members = [sorted(seeds, key=lambda result: result.seed) for seeds in apart.values()]
    names = labels([seeds[0].config for seeds in members])
    return [Entry(label, seeds) for label, seeds in sorted(zip(names, members, strict=True), key=lambda pair: pair[0])]

"""Which results may be compared.

Results of one configuration that differ only in the seed form an :class:`Entry`, which is a row of a table and a line
of a figure. Entries that may be compared (same stream, tasks in the same order, preset and data) form a
:class:`Group`; nothing is ever compared across groups.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.core.errors import UserError
from benchmark.core.images import EMBEDDED
from benchmark.core.names import file_name
from benchmark.core.runs import layer_table, profile_table
from benchmark.core.runs.directory import LAYER_PROFILE, Run, find_runs
from benchmark.core.runs.formats import deciding
from benchmark.core.runs.layer_table import Row
from benchmark.reference.records import Records
from reports.configurations import configuration, once, revision, training
from reports.labels import labels as labels_of
from reports.paired import half_width
from reports.results import Array, ImageSet, Quantity, Result, Source, mean, read, value
from reports.text import listed, plain
from strategies.traits import WORDS, answers

DEFINITION = ("name", "degradation", "train", "test", "again")
"""What makes a task, beside its sources."""

PAPER = "paper-"
"""How the keys of what belongs to the paper begin; that of a group never does, whatever its stream is called."""

REFERENCE = " [reference]"
"""How the label of what came with the suite ends."""


@dataclass(frozen=True)
class Entry:
    """Finished runs of one configuration, one per seed.

    Args:
        label: the name it has in tables and figures.
        results: its runs in order of seed, one of each and at least one.
        again: runs of a seed that is among the results already; they count for nothing.
    """

    label: str
    results: list[Result]
    again: list[Result] = field(default_factory=list)

    @property
    def reference(self) -> bool:
        """Whether its runs are records that came with the suite."""
        return self.results[0].reference

    def values(self, quantity: Quantity) -> Array:
        """One of the results' quantities for every seed: (S,) or (S, ...)."""
        return np.array([value(result, quantity) for result in self.results], dtype=float)

    def mean(self, quantity: Quantity) -> Any:
        """The quantity's mean over the seeds, of the quantity's own shape."""
        return self.values(quantity).mean(axis=0)

    def spread(self, quantity: Quantity) -> Any:
        """The standard deviation over the seeds (n − 1 in the denominator); nan for a single seed."""
        values = self.values(quantity)
        return values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1:], np.nan)

    def margin(self, quantity: Quantity) -> Any:
        """Half of the 95 % interval of the mean over the seeds; nan for a single seed."""
        return half_width(self.values(quantity))

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
        labels: those of the whole collection.
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
    labels: list[str] = field(default_factory=list)

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
    def finished(self) -> list[Result]:
        """Every run that finished, by entries."""
        return [result for entry in self.entries for result in entry.results]

    @property
    def results(self) -> list[Result]:
        """Every run of the group that counts, finished ones first, and those that did not finish."""
        return self.finished + self.unfinished

    @property
    def labelled(self) -> list[tuple[str, Result]]:
        """Every run with the name it has in tables; of one that did not finish its state is told."""
        finished = [(entry.label, result) for entry in self.entries for result in entry.results]
        finished += [(f"{entry.label} (again)", result) for entry in self.entries for result in entry.again]
        return finished + [(f"{result.strategy} ({result.state})", result) for result in self.unfinished]

    def input(self, metric: str) -> Array:
        """(T,) values of a metric for the degraded test images: the mean over the runs, which should agree."""
        found = np.array([result.inputs[metric] for result in self.results])
        return np.array([mean(column) for column in found.T])


@dataclass(frozen=True)
class Unreadable:
    """A run directory whose files cannot be used, and why."""

    run: Run
    reason: str


@dataclass(frozen=True)
class Collection:
    """Everything that one report is about.

    Args:
        groups: what may be compared.
        unreadable: what could not be read.
        labels: every label once; the position of a label decides how it is drawn.
        layer: what a layer costs; empty where that was not measured.
        profiles: what else was measured of time, the rows of one file after the other.
        beside: which reference runs stand beside the others, and which were left out and why, in sentences.
    """

    groups: list[Group]
    unreadable: list[Unreadable]
    labels: list[str] = field(default_factory=list)
    layer: list[Row] = field(default_factory=list)
    profiles: list[list[profile_table.Row]] = field(default_factory=list)
    beside: str = ""


def added(counts: Sequence[tuple[int, int] | None]) -> tuple[int, int] | None:
    """Changed and compared over several runs; None when a run lacks the measurement."""
    known = [count for count in counts if count is not None]
    return (sum(c for c, _ in known), sum(n for _, n in known)) if len(known) == len(counts) else None


def collect(paths: Sequence[Path], reference: Records | None = None) -> Collection:
    """Read every run at or below the paths, and sort them into comparable groups; and what a layer costs.

    Args:
        paths: run directories, folders that hold some, and files named LAYER_PROFILE or as in
            :data:`benchmark.core.runs.profile_table.FILES`; one of each in a folder is found there.
        reference: records of which those that may be compared with the runs are put beside them.

    Raises:
        UserError: a path does not exist, or there is neither a run nor such a file.
    """
    measured = (LAYER_PROFILE, *profile_table.FILES.values())
    files = [path for path in paths if path.name in measured]
    folders = [path for path in paths if path not in files]
    beside = [folder / name for folder in folders for name in measured if (folder / name).is_file()]
    first = {path.name: path for path in reversed([*files, *beside])}
    results, unreadable = [], []
    for run in find_runs(folders, needed=not first):
        try:
            results.append(read(run))
        except UserError as error:
            unreadable.append(Unreadable(run, str(error)))
    added_to, told = _beside(results, reference) if reference else ([], "")
    groups = _groups([*results, *added_to])
    labels = list(dict.fromkeys(entry.label for group in groups for entry in group.entries))
    layer = layer_table.read(first[LAYER_PROFILE]) if LAYER_PROFILE in first else []
    profiles = [profile_table.read(first[name]) for name in profile_table.FILES.values() if name in first]
    return Collection([replace(group, labels=labels) for group in groups], unreadable, labels, layer, profiles, told)


def canonical(values: Any) -> str:
    """As text, equal for equal values, whatever the order of their keys."""
    return json.dumps(values, sort_keys=True, default=str)


def _stream(config: dict[str, Any]) -> str:
    """The stream's name; a stream from a file is named after it, wherever the file lay."""
    return plain(Path(str(config.get("stream"))).name.removesuffix(".yaml").removesuffix(".yml"))


def setting(result: Result) -> dict[str, Any]:
    """What two runs must have in common to be compared in any way: stream, preset and data, but not the order."""
    data = deciding("data", result.config["data"])
    data.pop("tile", None)  # matters for deformable layers alone, and there for pixels near a seam
    if not any(side.name == EMBEDDED for source in result.sources for side in (source.train, source.test)):
        data.pop("photographs", None)
    return {
        "stream": _stream(result.config),
        "preset": plain(result.config.get("preset")),
        "data": data,
        "revision": revision(result, "training"),
    }


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
            defined(task),
            [_compared(source.train), _compared(source.test)],
        ]
        for name, task, source in zip(result.config["order"], definitions, result.sources, strict=True)
    ]


def defined(task: Mapping[str, Any]) -> dict[str, Any]:
    """What a task's definition has of DEFINITION."""
    return {key: task[key] for key in DEFINITION if task.get(key)}


def _compared(images: ImageSet) -> list[str]:
    return [images.name, "" if images.name == EMBEDDED else images.release, images.digest]


def _beside(results: Sequence[Result], reference: Records) -> tuple[list[Result], str]:
    """The reference runs that may be compared with some of the results, and what there is to say of all in sentences.

    Same stream, order, preset, data, revision of the shared code and protocol; a run that is itself among the results,
    finished, is not put beside itself.
    """
    presets = {plain(result.config.get("preset")) for result in results}
    there: dict[str, set[tuple[str, ...]]] = {}
    for result in results:
        there.setdefault(canonical([setting(result), tasks(result)]), set()).add(result.protocols)
    known = {result.run.name for result in results if result.finished}
    streams = {setting(result)["stream"] for result in results}
    found: list[Result] = []
    reasons: Counter[str] = Counter()
    for run in reference.runs(sorted(presets)):
        try:
            result = read(run, reference=True)
        except UserError:
            reasons["that cannot be read"] += 1
            continue
        protocols = there.get(canonical([setting(result), tasks(result)]))
        if result.run.name in known:
            reasons["that are among the runs"] += 1
        elif protocols is None:
            known_stream = setting(result)["stream"] in streams
            reasons["with other images, order or code" if known_stream else "of another stream"] += 1
        elif result.protocols not in protocols:
            reasons["measured in another way"] += 1
        else:
            found.append(result)
    others = [preset for preset in reference.presets if preset not in presets]
    left = [f"{number} {reason}" for reason, number in reasons.items()]
    left += [f"all of the preset{'s'[: len(others) - 1]} {listed(others)}"] if others else []
    same_all = "of the same stream, preset, images and protocol"
    if found:
        stand = "run stands" if len(found) == 1 else "runs stand"
        text = f"{len(found)} reference {stand} beside the others, {same_all}, marked{REFERENCE}."
    else:
        text = f"No reference run is {same_all}."
    return found, text + (f" Left out: {listed(left)}." if left else "")


def _groups(results: Sequence[Result]) -> list[Group]:
    apart: dict[str, list[Result]] = {}
    for result in results:
        apart.setdefault(canonical([setting(result), tasks(result)]), []).append(result)
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
    """Results as entries in order of their labels: the seeds of one configuration, labelled by what tells it apart.

    Reference runs of a configuration are an entry of their own.
    """
    apart: dict[str, list[Result]] = {}
    for result in results:
        apart.setdefault(canonical(configuration(result)), []).append(result)
    found = []
    configs = [{**runs[0].config, "training": training(runs[0])} for runs in apart.values()]
    for label, runs in zip(labels_of(configs), apart.values(), strict=True):
        for mark, kept in (("", False), (REFERENCE, True)):
            if own := [result for result in runs if result.reference is kept]:
                found.append(Entry(label + mark, *once(own)))
    return sorted(found, key=lambda entry: entry.label)

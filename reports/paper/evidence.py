"""What there is to check the paper's tables and claims on, across groups.

A table of the paper may set orders or networks beside each other that are no group, since their figures are not to be
compared one by one. :class:`Evidence` holds all finished runs of one preset and one source of images, and finds among
them the run that is the counterpart of a row of the paper.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmark import presets as shipped
from benchmark.core.names import file_name
from benchmark.core.runs.layer_table import Row
from benchmark.core.yaml_files import command
from benchmark.experiments import paper
from benchmark.experiments.experiment import Combination
from reports.configurations import revision, training
from reports.groups import PAPER, Collection, Entry, canonical, defined, distinct, entries, setting, tasks
from reports.results import Result

STREAMS = {name: paper.stream(name) for name in ("four_tasks", "noise_levels")}
"""The paper's streams."""

FOUR_TASKS, NOISE_LEVELS = (stream.order for stream in STREAMS.values())

DEFAULTS: dict[str, dict[str, Any]] = {"cmc": {"t": 5, "t_ends": None, "start": None, "sharing": "fixed"}}
"""Settings a strategy has in the paper where a table does not say otherwise."""


@dataclass(frozen=True)
class Evidence:
    """Finished runs of one preset with images from the same places, and what was measured beside them.

    Args:
        key: a short name for files and anchors, unique in the report.
        title: in words.
        preset: the preset's name; empty without runs.
        results: its runs.
        layer: what a layer costs; empty where that was not measured. It depends on no preset.
    """

    key: str
    title: str
    preset: str
    results: list[Result]
    layer: Sequence[Row] = ()

    def entry(self, wanted: Combination) -> Entry | None:
        """The runs of a combination of an experiment, one for each seed; see :meth:`find`."""
        parts = {key: key.partition(".") for key in wanted.settings}
        own = {field: wanted.settings[key] for key, (section, _, field) in parts.items() if section == wanted.strategy}
        backbone = wanted.settings.get("backbone.name", "resnet")
        stream = paper.stream(wanted.stream)
        return self.find(wanted.strategy, stream.name, wanted.order or stream.order, backbone, **own)

    def find(
        self,
        strategy: str = "cmc",
        stream: str = "four_tasks",
        order: Sequence[str] | None = None,
        backbone: str = "resnet",
        **settings: Any,
    ) -> Entry | None:
        """The runs of one configuration, one for each seed; None where there is none.

        What is not asked for is as in the preset, and else as in the paper or the strategy's default. Runs of one's own
        come before records that came with the suite. Where runs of other training lengths or sizes are about, the
        preset's count, or without any of these the most common, so that all rows of a table are of the same training;
        where there are runs of several revisions of the strategy, the newest.
        """
        order = list(order or paper.stream(stream).order)
        wanted = DEFAULTS.get(strategy, {}) | shipped.settings(self.preset, strategy) | settings
        fitting = [
            result
            for result in self._usual.get((stream, backbone), [])
            if result.strategy == strategy
            and result.config["order"] == order
            and result.by_hand <= wanted.keys()
            and all(_same(result.config["settings"].get(name), value) for name, value in wanted.items())
        ]
        found = entries(fitting)
        return max(found, key=_newest_own_and_most) if found else None

    def reproduce(self, experiments: Sequence[str]) -> str:
        """The command that measures tables and figures of the paper by the preset of these runs."""
        chosen = ("--preset", self.preset) if self.preset else ()
        return command("reproduce", *dict.fromkeys(experiments), *chosen)

    def others(self, known: Sequence[str]) -> list[Entry]:
        """For every further strategy on the paper's stream, its runs with the preset's settings."""
        names = dict.fromkeys(result.strategy for result in self.results)
        found = [self.find(name) for name in names if name not in known]
        return [entry for entry in found if entry is not None]

    @cached_property
    def _usual(self) -> dict[tuple[str, str], list[Result]]:
        """By stream and backbone the runs with the preset's sizes and training, or else with the most common.

        Without those of a stream of one's own that is named like one of the paper's, and has other tasks.
        """
        apart: dict[tuple[str, str], list[Result]] = {}
        for result in filter(_of_the_papers_tasks, self.results):
            backbone = str((result.config.get("backbone") or {}).get("name"))
            apart.setdefault((setting(result)["stream"], backbone), []).append(result)
        usual, preset = {}, shipped.sizes(self.preset)
        for key, results in apart.items():
            results = [result for result in results if _has(result, preset)] or results
            sizes = [_sizes(result) for result in results]
            common = Counter(sizes).most_common(1)[0][0]
            usual[key] = [result for result, size in zip(results, sizes, strict=True) if size == common]
        return usual


def gather(collection: Collection) -> list[Evidence]:
    """The finished runs of a report by preset and source of images, in the order of its groups.

    What was measured on a layer belongs to each of them, and where there are none it is evidence by itself.
    """
    apart: dict[str, list[Result]] = {}
    for group in collection.groups:
        for entry in group.entries:
            for result in [*entry.results, *entry.again]:  # what holds of every run holds of these
                known = {name: value for name, value in setting(result).items() if name != "stream"}
                apart.setdefault(canonical(known), []).append(result)
    presets = [setting(results[0])["preset"] for results in apart.values()]
    keys = distinct([f"{PAPER}{file_name(preset)}" for preset in presets])
    found = []
    for place, (key, preset, results) in enumerate(zip(keys, presets, apart.values(), strict=True)):
        number = presets[: place + 1].count(preset)
        more = f" ({number})" if number > 1 else ""
        found.append(Evidence(key, f"preset {preset}{more}", preset, results, collection.layer))
    if collection.layer and not found:
        found.append(Evidence(f"{PAPER}layer", "a layer by itself", "", [], collection.layer))
    return found


def _of_the_papers_tasks(result: Result) -> bool:
    """Whether a run's tasks are those of the paper's stream of the name; also where there is none, or it tells none."""
    given, stream = result.config.get("tasks"), STREAMS.get(setting(result)["stream"])
    if stream is None or not isinstance(given, list):
        return True
    known = {task.name: defined(task.model_dump(mode="json")) for task in stream.tasks}
    return all(not isinstance(task, dict) or known.get(str(task.get("name"))) == defined(task) for task in given)


def _newest_own_and_most(entry: Entry) -> tuple[int, bool, int]:
    return revision(entry.results[0], "strategy"), not entry.reference, len(entry.results)


def _sizes(result: Result) -> str:
    defined_tasks = sorted(canonical(task) for task in tasks(result))
    return canonical([training(result), result.config.get("backbone"), defined_tasks])


def _has(result: Result, wanted: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a run's configuration has some values, by section and name."""
    return all(
        _same((result.config.get(section) or {}).get(name), value)
        for section, values in wanted.items()
        for name, value in values.items()
    )


def _same(given: Any, wanted: Any) -> bool:
    if isinstance(given, int | float) and isinstance(wanted, int | float):
        return abs(given - wanted) <= 1e-9 * max(1.0, abs(wanted))
    return bool(given == wanted)

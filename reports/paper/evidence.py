"""Results that the paper's tables and claims can be checked on, across groups.

A table of the paper may set orders or networks beside each other that are no group, since their figures are not to be
compared one by one. A :class:`Family` holds all finished runs of one preset and one source of images, and finds among
them the run that is the counterpart of a row of the paper.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmark import presets
from benchmark.core.names import file_name
from reports.groups import PAPER, Collection, Entry, distinct, entries, revision, setting, tasks
from reports.results import Result

FOUR_TASKS = ["derain", "denoise", "deblock", "deblur"]
"""The paper's order."""

NOISE_LEVELS = ["noise10", "noise20", "noise30", "noise40", "camera_noise"]

ORDERS = {"four_tasks": FOUR_TASKS, "noise_levels": NOISE_LEVELS}
"""The order of a stream where nothing else is asked for."""

DEFAULTS: dict[str, dict[str, Any]] = {"cmc": {"t": 5, "t_ends": None, "start": None, "sharing": "fixed"}}
"""Settings a strategy has in the paper where a table does not say otherwise."""


@dataclass(frozen=True)
class Family:
    """Finished runs of one preset with images from the same places.

    Args:
        key: a short name for files and anchors, unique in the report.
        title: in words.
        preset: the preset's name.
        results: its runs.
    """

    key: str
    title: str
    preset: str
    results: list[Result]

    def find(
        self,
        strategy: str = "cmc",
        stream: str = "four_tasks",
        order: Sequence[str] | None = None,
        backbone: str = "resnet",
        **settings: Any,
    ) -> Entry | None:
        """The runs of one configuration, one for each seed; None where there is none.

        What is not asked for is as in the preset, and else as in the paper. Where runs of other training lengths or
        sizes are about, the most common ones count, so that all rows of a table are of the same training; where there
        are runs of several revisions of the strategy, the newest.
        """
        order = list(order or ORDERS.get(stream, []))
        wanted = DEFAULTS.get(strategy, {}) | presets.settings(self.preset, strategy) | settings
        fitting = [
            result
            for result in self._usual.get((stream, backbone), [])
            if result.strategy == strategy
            and result.config["order"] == order
            and all(_same(result.config.get("settings", {}).get(name), value) for name, value in wanted.items())
        ]
        found = entries(fitting)
        return max(found, key=_newest_and_most) if found else None

    def others(self, known: Sequence[str]) -> list[Entry]:
        """For every further strategy on the paper's stream, its runs with the preset's settings."""
        names = dict.fromkeys(result.strategy for result in self.results)
        found = [self.find(name) for name in names if name not in known]
        return [entry for entry in found if entry is not None]

    @cached_property
    def _usual(self) -> dict[tuple[str, str], list[Result]]:
        """By stream and backbone the runs with the most common tasks, sizes and training."""
        apart: dict[tuple[str, str], list[Result]] = {}
        for result in self.results:
            backbone = str((result.config.get("backbone") or {}).get("name"))
            apart.setdefault((setting(result)["stream"], backbone), []).append(result)
        usual = {}
        for key, results in apart.items():
            sizes = [_sizes(result) for result in results]
            common = Counter(sizes).most_common(1)[0][0]
            usual[key] = [result for result, size in zip(results, sizes, strict=True) if size == common]
        return usual


def families(collection: Collection) -> list[Family]:
    """The finished runs of a report by preset and source of images, in the order of its groups."""
    apart: dict[str, list[Result]] = {}
    for group in collection.groups:
        for entry in group.entries:
            for result in entry.results:
                known = {name: value for name, value in setting(result).items() if name != "stream"}
                apart.setdefault(json.dumps(known, sort_keys=True, default=str), []).append(result)
    presets = [setting(results[0])["preset"] for results in apart.values()]
    keys = distinct([f"{PAPER}{file_name(preset)}" for preset in presets])
    found = []
    for place, (key, preset, results) in enumerate(zip(keys, presets, apart.values(), strict=True)):
        number = presets[: place + 1].count(preset)
        more = f" ({number})" if number > 1 else ""
        found.append(Family(key, f"preset {preset}{more}", preset, results))
    return found


def _newest_and_most(entry: Entry) -> tuple[int, int]:
    return revision(entry.results[0], "strategy"), len(entry.results)


def _sizes(result: Result) -> str:
    defined = sorted(json.dumps(task, sort_keys=True, default=str) for task in tasks(result))
    kind = [result.config.get("training"), result.config.get("backbone"), defined]
    return json.dumps(kind, sort_keys=True, default=str)


def _same(given: Any, wanted: Any) -> bool:
    if isinstance(given, int | float) and isinstance(wanted, int | float):
        return abs(given - wanted) <= 1e-9 * max(1.0, abs(wanted))
    return bool(given == wanted)

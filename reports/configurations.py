"""Which results are of one configuration, and so differ in nothing but the seed."""

from collections.abc import Sequence
from typing import Any

from benchmark.core.runs.formats import deciding
from reports.results import Result

CONFIGURATION = ("strategy", "backbone", "training", "evaluation", "settings", "plugin", "backbone_plugin")
"""What two runs must have in common, beside what their group has, to be seeds of one configuration."""


def revision(result: Result, part: str) -> int:
    """The revision of the shared code (``training``) or of the ``strategy`` behind a run; 1 where it does not say."""
    revisions = result.config.get("revisions")
    number = revisions.get(part) if isinstance(revisions, dict) else None
    return number if isinstance(number, int) else 1


def training(result: Result) -> dict[str, Any]:
    """A run's training settings without those that change no result."""
    return deciding("training", result.config["training"])


def configuration(result: Result) -> dict[str, Any]:
    """A run's configuration without its seed, its data and stream, and what changes no result."""
    known = {key: result.config.get(key) or None for key in CONFIGURATION}
    return {**known, "training": training(result), "revision": revision(result, "strategy")}


def once(results: Sequence[Result]) -> tuple[list[Result], list[Result]]:
    """Of runs of one configuration one for each seed, in order of seed, and those that are left over.

    A seed may be there again as a copy, done on another machine, or with a setting that changes no result. It is one
    draw all the same: counted twice, it would make intervals too narrow. The first in the order given counts.
    """
    kept: dict[int, Result] = {}
    again = []
    for result in sorted(results, key=lambda one: one.seed):
        if result.seed in kept:
            again.append(result)
        else:
            kept[result.seed] = result
    return list(kept.values()), again

"""The format of a run directory: its number, and how directories of earlier formats are read.

The number stands as ``format`` in ``environment.json``; directories without one are of format 1. An older directory is
brought to the present format in memory, file by file, and stays as it is on disk; a newer one is refused. Whatever is
added to the configuration, the record or a table gets its value for older runs here, in one function for one file::

    def _tables_since_4(cells: Cells) -> Cells:
        rows = len(next(iter(cells.values())))
        return {**cells, "device": ["cpu"] * rows}

    UPGRADES = {..., 3: {"ledger.csv": _tables_since_4}}

What each format is:

1   No number. Pictures are named by :func:`slug`, so that those of several names may share a file.
2   Pictures are named by :func:`benchmark.core.names.file_name`.
3   Checkpoints hold the tables' rows and a checksum; a finished run has checksums.json.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from benchmark.core.errors import UserError
from benchmark.core.images import EMBEDDED

FORMAT = 3
"""What this version writes."""

UPGRADES: dict[int, dict[str, Callable[[Any], Any]]] = {1: {}, 2: {}}
"""Format → file → what brings its content to the next format: a mapping for YAML and JSON; for a table the cells of
each of its columns as text (:data:`benchmark.core.tables.Cells`)."""


NO_PART = frozenset(
    {"preset", "imports", "training.save_seconds", "data.workers", "data.root", "data.fallback", "data.cache"}
)
"""Settings that are no part of a run's identity: they change no result, or what they lead to stands in ``sources``."""

SOME = "above 0"
"""In NEEDED: any number above 0."""

NEEDED: dict[str, tuple[tuple[str, ...], str]] = {
    "training.halve_every": (("training.schedule",), "halving"),
    "data.dead_leaves": (("data.source", "data.fallback"), EMBEDDED),
    "data.photographs": (("data.source", "data.fallback"), EMBEDDED),
    "dan.finetune": (("dan.start",), "least_squares"),
    "mas.samples": (("mas.weight",), SOME),
    "ewc.samples": (("ewc.weight",), SOME),
    "pigwm.samples": (("pigwm.weight",), SOME),
    "si.damping": (("si.weight",), SOME),
    "kr.feature_weight": (("kr.weight",), SOME),
    "kr.autoencoder_updates": (("kr.feature_weight",), SOME),
}
"""Settings that have an effect on results only where one of some others of their section is a certain word, or is a
number above 0; these may need others in turn."""

LATER: dict[str, dict[str, Any]] = {
    "cmc": {"backward": 0},
    "training": {"precision": "fp32", "patches_on": "cpu"},
    "data": {"photographs": "few"},
    "evaluation": {"stability_gap": False},
}
"""Strategy or section → setting that came later, within a format → its value in the runs from before it, which have the
same identity as runs of today that have this value."""


def has_effect(setting: str, values: Mapping[str, Any]) -> bool:
    """Whether a setting can have an effect on results beside others.

    Args:
        setting: its name, as ``section.field``.
        values: of the others, by such names.
    """
    needed, wanted = NEEDED.get(setting, ((), ""))
    found = [values.get(name) for name in needed if has_effect(name, values)]
    if wanted == SOME:
        return any(isinstance(one, int | float) and one > 0 for one in found)
    return not needed or wanted in found


def idle_beside(setting: str, values: Mapping[str, Any]) -> str:
    """Which of the settings that one needs, and these in turn, has no effect for what it needs itself; or the setting.

    Args:
        setting: its name; it has no effect.
        values: as for :func:`has_effect`.
    """
    below = next((name for name in NEEDED[setting][0] if not has_effect(name, values)), None)
    return setting if below is None else idle_beside(below, values)


def deciding(section: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a section (``settings`` for the strategy's own) without those that are no part of an identity."""
    return {name: value for name, value in settings.items() if f"{section}.{name}" not in NO_PART}


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's configuration with the settings that it does not name, as it is from before there were these."""
    usual: dict[str, dict[str, Any]] = {
        "data": {},
        "training": {"deterministic": True},
        "evaluation": {"identify": False, "mixtures": False},
        "settings": LATER.get(config["strategy"], {}),
    }
    return dict(config) | {
        section: known | LATER.get(section, {}) | (config.get(section) or {}) for section, known in usual.items()
    }


def number(environment: Mapping[str, Any], where: str) -> int:
    """The format of a run directory.

    Args:
        environment: the content of its ``environment.json``.
        where: the directory, for errors.

    Raises:
        UserError: this version cannot read it.
    """
    given = environment.get("format", 1)
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise UserError(f"'{where}' says that its format is {given!r}; a whole number from 1 to {FORMAT} was expected.")
    if given > FORMAT:
        by = f", written by version {environment['suite']} of the suite" if environment.get("suite") else ""
        raise UserError(
            f"'{where}' has format {given}{by}; this version reads formats up to {FORMAT}. "
            f"Use a version of the suite that reads format {given}."
        )
    return given


def upgrade(given: int, file: str, content: Any) -> Any:
    """The content of a file of a run directory of some format, as it would stand in one of the present format."""
    for step in range(given, FORMAT):
        content = UPGRADES[step].get(file, lambda same: same)(content)
    return content


def slug(name: str) -> str:
    """A name as a part of a picture's file name in format 1; several names may have the same."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-") or "unnamed"

"""A run beside the record of the same run: are they equal, and if not, are they near enough?

On one kind of machine (:data:`KIND`) the same command gives the same bytes. On another one sums are rounded in another
order, training enlarges that, and what was measured differs, by no more than :data:`TOLERANCE`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmark.core.runs.directory import Run
from benchmark.core.runs.schemas import TABLES

KIND = (
    "device",
    "machine",
    "processor",
    "capability",
    "threads",
    "processes",
    *("torch", "torchvision", "avalanche-lib", "numpy", "scipy", "pillow"),
)
"""What of a run's environment makes a kind of machine: equal in all of these, runs are equal to the bit."""

TOLERANCE = {"dB": (0.5, 2.0), "": (0.05, 0.2)}
"""Unit → how far a measurement on another kind of machine may be off: of a task that was learned last or is protected
exactly, and of any other. Counts may not be off at all. Where this comes from: docs/runs.md."""

UNTRAINED = 0.01
"""The same of what no training is behind."""

MOST_TOLD = 5
"""Problems of a run that are told one by one."""

EQUAL, NEAR, FAILED = "equal to the bit", "within the tolerance", "differs"


@dataclass(frozen=True)
class Comparison:
    """What became of a comparison.

    Args:
        measurements: how many were compared.
        largest: unit → the largest difference, as an absolute value.
        where: unit → the measurement that differs most, in words; empty where none does.
        problems: what may not be, in words.
        equal: whether all values of all tables are equal.
        machines: in what the kinds of machine differ, or are not known to be the same.
    """

    measurements: int
    largest: Mapping[str, float]
    where: Mapping[str, str]
    problems: list[str] = field(default_factory=list)
    equal: bool = False
    machines: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """EQUAL; NEAR, on a machine that is of another kind, or not known to be of the same; or FAILED."""
        if self.equal:
            return EQUAL
        return NEAR if self.machines and not self.problems else FAILED


def compare(record: Run, again: Run) -> Comparison:
    """Compare a finished run with the record of one.

    Rows and columns that the record lacks, since there was nothing of the kind when it was made, are left alone.

    Raises:
        UserError: one of them cannot be read.
    """
    there, here = _by_key(record, "metrics.csv"), _by_key(again, "metrics.csv")
    protected = bool((record.status.get("traits") or {}).get("protects_exactly"))
    first = min((row["after"] for row in there.values() if row["after"] > 0), default=0)
    largest, where, problems = dict.fromkeys(TOLERANCE, 0.0), dict.fromkeys(TOLERANCE, ""), []
    for key, row in there.items():
        name, unit, other = _named(row), row["unit"], here.get(key)
        if other is None or other["protocol"] != row["protocol"]:
            problems.append(f"{name} was not measured" + ("" if other is None else " in the same way"))
            continue
        off, allowed = abs(other["value"] - row["value"]), _allowed(row, protected, first)
        if unit in TOLERANCE and off > largest[unit]:
            largest[unit], where[unit] = off, name
        if not off <= allowed:
            both = f"{row['value']:.6g} in the record and {other['value']:.6g} here"
            problems.append(f"{name} is {both}; it may differ by {allowed:g} {unit}".rstrip())
    if len(problems) > MOST_TOLD:
        problems[MOST_TOLD:] = [f"{len(problems) - MOST_TOLD} more measurements differ too much"]
    equal = all(_equal(_by_key(record, name), _by_key(again, name)) for name in TABLES)
    return Comparison(len(there), largest, where, problems, equal, list(machines(record, again)))


def _allowed(row: Mapping[str, Any], protected: bool, first: int) -> float:
    """How far a measurement may be off on another kind of machine; ``first`` is after how many tasks any was made."""
    if row["unit"] not in TOLERANCE:
        return 0.0
    if row["subject"] == "input":
        return UNTRAINED
    last = row["after"] == max(first, row["place"]) or (protected and row["after"] > row["place"])
    return TOLERANCE[row["unit"]][not last]


def machines(record: Run, again: Run) -> Iterator[str]:
    """In what two runs' kinds of machine differ, in words; what one of them does not tell may differ, too."""
    there, here = record.environment, again.environment
    for environment, which in ((there, "record"), (here, "run")):
        if mixed(environment):
            yield f"the {which} was made on several kinds of machine"
    for name in KIND:
        if name not in there or name not in here:
            yield f"{name} is not in the {'record' if name not in there else 'run'}"
        elif there[name] != here[name]:
            yield f"{name} is {there[name]} in the record and {here[name]} here"


def alike(there: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Whether two runs were made on one kind of machine, as far as their environments tell."""
    same = all(there.get(name) == here.get(name) for name in KIND)
    return same and not (mixed(there) or mixed(here))


def mixed(environment: Mapping[str, Any]) -> bool:
    """Whether a run was interrupted and went on with another kind of machine."""
    earlier = environment.get("earlier")
    known = [one for one in earlier if isinstance(one, Mapping)] if isinstance(earlier, list) else []
    return any(one.get(name) != environment.get(name) for one in known for name in KIND)


def commit(environment: Mapping[str, Any]) -> str:
    """The first letters of the commit that made a run."""
    return str(environment.get("git") or "unknown")[:7]


def machine(environment: Mapping[str, Any]) -> str:
    """The kind of machine in short words, as far as an environment tells."""
    several = f"{environment['processes']} processes" if environment.get("processes", 1) != 1 else None
    threads = f"threads: {environment.get('threads', 'unknown')}" if environment.get("device", "cpu") == "cpu" else None
    named = [environment.get(name) for name in ("device", "processor", "capability")]
    parts = [*named, several, threads, f"torch {environment.get('torch', 'unknown')}"]
    return ", ".join(str(part) for part in parts if part)


def _by_key(run: Run, table: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[name] for name in TABLES[table].key): row for row in run.rows(table)}


def _equal(there: Mapping[Any, Mapping[str, Any]], here: Mapping[Any, Mapping[str, Any]]) -> bool:
    """Whether everything that the record has is there, and the same."""
    return all(
        key in here and all(here[key][name] == value for name, value in row.items() if value is not None)
        for key, row in there.items()
    )


def _named(row: Mapping[str, Any]) -> str:
    """A measurement in words."""
    after = f" after {row['after_task']}" if row["after_task"] else ""
    return f"{row['metric']} of {row['task']} ({row['subject']}){after}"

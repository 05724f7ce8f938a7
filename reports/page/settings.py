"""The settings of a group's runs by the names that commands use: once what all share, then what differs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import benchmark
from benchmark.core.files import named
from benchmark.core.images import EMBEDDED
from benchmark.core.runs.formats import has_effect
from benchmark.core.shell import joined
from reports.groups import Group
from reports.labels import flatten
from reports.results import Result
from reports.text import plain

UNSET = ("data.root", "data.cache")
"""Places that are not named in a command where there is none, as any text would be one, or where none is looked at."""

SECTIONS = ("data", "backbone", "training", "evaluation")
"""Groups of settings that every run has."""

ELSEWHERE = ("tasks", "sources")
"""Parts of a configuration that the page shows as tables of their own."""

STREAMS = Path(benchmark.__file__).with_name("streams") / "shipped"
"""The files of the streams that ship; any other stream is asked for by the path of its file."""

Named = dict[str, str]
"""Values by name, as text."""


@dataclass(frozen=True)
class Variant:
    """Runs that differ in the seed alone.

    Args:
        label: their name in tables; of unfinished runs their state is told.
        seeds: their seeds.
        runs: the names of their run directories.
        differing: settings in which they differ from other runs of the group.
        command: the command that makes them again.
    """

    label: str
    seeds: list[int]
    runs: list[str]
    differing: Named
    command: str


@dataclass(frozen=True)
class Settings:
    """The settings of a group.

    Args:
        shared: settings that are the same in all runs.
        machine: what is the same of where they were computed, and of the suite that did it.
        variants: the runs, apart where they differ.
    """

    shared: Named
    machine: Named
    variants: list[Variant]


def settings(group: Group) -> Settings:
    """The settings of a group's runs."""
    asked = [given(result) for _, result in group.labelled]
    computed = [_computed(result) for _, result in group.labelled]
    shared, machine = _common(asked), _common(computed)
    apart: dict[tuple[str, str], list[tuple[Result, Named]]] = {}
    for (label, result), own, where in zip(group.labelled, asked, computed, strict=True):
        differing = {name: text for name, text in own.items() if name not in shared}
        differing |= {name: text for name, text in where.items() if name not in machine}
        apart.setdefault((label, json.dumps(differing)), []).append((result, differing))
    variants = []
    for (label, _), members in apart.items():
        results = [result for result, _ in members]
        seeds, runs = [result.seed for result in results], [result.run.name for result in results]
        variants.append(Variant(label, seeds, runs, members[0][1], command(results)))
    return Settings(shared, machine, variants)


def command(results: Sequence[Result]) -> str:
    """The command that makes runs again that differ in the seed alone.

    It names every setting that has an effect, so that later defaults do not matter, and every plugin. Of a stream that
    does not ship the record has the name alone, so the file is looked for where the command is given.
    """
    options = _options(results[0]) | {"--seed": ",".join(str(result.seed) for result in results)}
    stream = str(options["--stream"])
    if stream not in named(STREAMS, ".yaml") and not stream.endswith((".yaml", ".yml")):
        options["--stream"] = f"{stream}.yaml"
    words = [*options.items(), *(("--plugin", file) for file in results[0].config.get("imports") or [])]
    lines = ["python -m benchmark run " + " ".join(f"{name} {joined([str(value)])}" for name, value in words)]
    assigned = _assigned(results[0])
    for name, value in assigned.items():
        if not has_effect(name, assigned) or (
            name in UNSET and (value is None or assigned.get("data.source") == EMBEDDED)
        ):
            continue
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        lines.append(f"    --set {joined([f'{name}={text}'])}")
    return " \\\n".join(lines)


def _options(result: Result) -> dict[str, Any]:
    named = {f"--{name}": result.config.get(name) for name in ("strategy", "stream", "preset")}
    return named | {"--order": ",".join(str(task) for task in result.config["order"])}


def _assigned(result: Result) -> dict[str, Any]:
    """What ``--set`` takes, by ``section.name``."""
    sections = {name: result.config.get(name) or {} for name in SECTIONS}
    sections[result.strategy] = result.config.get("settings") or {}
    return flatten(sections)


def given(result: Result) -> Named:
    """All that was asked for but the seed, by the names that commands use; what no command takes stands at the end."""
    known = {"strategy", "stream", "preset", "order", "seed", "settings", *SECTIONS, *ELSEWHERE}
    others = {name: value for name, value in result.config.items() if name not in known and value not in ("", None, [])}
    values = {**_options(result), **_assigned(result), **flatten(others)}
    return _texts({name: "null" if value is None else value for name, value in values.items()})


def _computed(result: Result) -> Named:
    return _texts(flatten(result.run.environment))


def _texts(values: Mapping[str, Any]) -> Named:
    return {plain(name): plain(value, 300) for name, value in values.items()}


def _common(asked: Sequence[Named]) -> Named:
    """What is the same in all; of two and more, not what a strategy alone has."""
    return {name: text for name, text in asked[0].items() if all(other.get(name) == text for other in asked[1:])}

"""From finished runs to records: which runs may become some, and what is kept of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmark.config import SECTIONS, RunConfig, checked
from benchmark.core.errors import UserError
from benchmark.core.runs import layer_table
from benchmark.core.runs.directory import LAYER_PROFILE, Run
from benchmark.core.runs.formats import deciding
from benchmark.core.runs.locks import extending
from benchmark.core.runs.records import from_json, from_yaml
from benchmark.core.runs.schemas import TABLES
from benchmark.core.runs.seals import SEAL, digest
from benchmark.core.runs.wholeness import examine
from benchmark.core.runs.writing import write_text
from benchmark.core.yaml_files import command as command_line
from benchmark.engine.setup import resolve
from benchmark.planning import plan
from benchmark.reference import records
from benchmark.reference.comparing import commit, mixed
from benchmark.streams.definition import load, shipped

MEASURED = (64, 1000)
"""Channels of the layer that Table 6 of the paper is of, and height and width of its features."""


@dataclass(frozen=True)
class Packed:
    """A record that was written.

    Args:
        name: of the run.
        size: bytes of its files, before they are packed.
        replaced: the names of records of the same configuration by earlier code, which it takes the place of.
    """

    name: str
    size: int
    replaced: list[str]


def pack(runs: Sequence[Run], folder: Path) -> list[Packed]:
    """Write the records of finished runs into the archives of their presets; other records there are kept.

    A record of the same configuration is replaced. Either all runs are packed or none. Processes take turns.

    Raises:
        UserError: a run is unfinished, damaged, was made by code that is not committed or by a plugin, is not on
            embedded images or on a stream that ships, or cannot be made again by this version of the suite.
    """
    made = {run.name: record(run) for run in runs}
    with extending(folder / "records", "--records"):
        return _add(made, folder)


def keep_layer(path: Path, folder: Path) -> None:
    """Keep what a layer costs beside the archives, in the place of what was kept before.

    Raises:
        UserError: the file cannot be read, or is not of the paper's layer.
    """
    first = layer_table.read(path)[0]
    if (first.channels, first.size) != MEASURED:
        raise UserError(
            f"'{path}' is of {first.channels} channels on {first.size}×{first.size}, and Table 6 of {MEASURED[0]} on "
            f"{MEASURED[1]}×{MEASURED[1]}. Measure that with: {command_line('profile', 'layer', '--out', path)}"
        )
    with extending(folder / "records", "--records"):
        write_text(folder / LAYER_PROFILE, path.read_text(encoding="utf-8"))


def _add(made: Mapping[str, records.Files], folder: Path) -> list[Packed]:
    """Write records into the archives of their presets."""
    archives: dict[str, dict[str, records.Files]] = {}
    packed = []
    for name, files in made.items():
        preset = str(from_yaml(files["config.yaml"].decode())["preset"])
        held = archives.setdefault(preset, dict(records.unpack(folder, preset)))
        same = [other for other in held if other != name and _asked(held[other]) == _asked(files)]
        for other in same:
            del held[other]
        held[name] = files
        packed.append(Packed(name, sum(map(len, files.values())), same))
    for preset, held in archives.items():
        records.pack(folder, preset, held)
    return packed


def record(run: Run) -> dict[str, bytes]:
    """The files of the record of a run.

    Raises:
        UserError: it may not become a record; see :func:`pack`.
    """
    problem = _problem(run)
    if problem:
        raise UserError(f"'{run.path}' cannot become a reference run: {problem}")
    status = {key: value for key, value in run.status.items() if key != "process"} | {"command": command(run)}
    names = ("config.yaml", "environment.json", *TABLES)
    files = {name: (run.path / name).read_bytes() for name in names if (run.path / name).exists()}
    files["status.json"] = _json(status)
    files[SEAL] = _json({"sha256": {name: digest(content) for name, content in sorted(files.items())}})
    return files


def again(run: Run) -> RunConfig:
    """The configuration of a record as this version of the suite resolves it.

    Raises:
        UserError: it cannot be run with what is here, or names code or files from elsewhere, which are never taken up
            because a record says so.
    """
    config = checked(**{name: value for name, value in run.config.items() if name not in FOUND})
    if config.imports or config.plugin or config.backbone_plugin or config.data.source != "embedded":
        raise UserError(f"The record {run.name} names a plugin or data from elsewhere; such a run is no reference run.")
    return resolve(config)


FOUND = ("sources", "revisions")
"""Parts of a configuration that resolving it finds out: what images there are, and which code."""


def stale(run: Run, config: RunConfig) -> list[str]:
    """In what a record is of other code or images than this version of the suite has, in words; else nothing."""
    made = checked(**run.config)
    found = [] if made.sources == config.sources else ["images"]
    there, here = made.revisions.model_dump(), config.revisions.model_dump()
    return found + [
        f"revision {there[part]} of {part}, now {here[part]}" for part in there if there[part] != here[part]
    ]


def command(run: Run) -> str:
    """The shortest command that makes a run of a shipped stream again."""
    config = checked(**run.config)
    order = None if config.order == load(config.stream).order else ",".join(config.order)
    words = ["--strategy", config.strategy, "--stream", config.stream, "--preset", config.preset]
    words += ["--seed", str(config.seed), *(["--order", order] if order else [])]
    (usual,) = plan(config.strategy, config.stream, config.preset, str(config.seed), order, None, None, [])
    given, default = config.model_dump(mode="json"), resolve(usual).model_dump(mode="json")
    for section in (*SECTIONS, "settings"):
        for name, value in deciding(section, given[section]).items():
            if value != default[section].get(name):
                owner = config.strategy if section == "settings" else section
                text = value if isinstance(value, str) else json.dumps(value)
                words += ["--set", f"{owner}.{name}={text}"]
    return command_line("run", *words)


def _problem(run: Run) -> str:
    """Why a run may not become a record; empty if it may."""
    found = examine(run)
    if found.state != "whole":
        return f"it is {found.state}. {' '.join(found.details)}".strip()
    made, config = run.environment, checked(**run.config)
    if not made.get("git"):
        return "it does not say which commit made it. Run it from a checkout of the repository."
    if made.get("git_changed"):
        return f"the code that made it was changed since commit {commit(made)}. Commit the code, and run it again."
    if mixed(made):
        return (
            "it was interrupted and went on with another kind of machine or version, so that nobody could do it again."
        )
    if config.plugin or config.backbone_plugin:
        return "it was made with a plugin, which does not ship. Add the strategy or backbone to the suite first."
    if config.data.source != "embedded":
        return "its images are not the embedded ones, which everybody has."
    if config.stream not in shipped():
        return f"its stream '{config.stream}' does not ship."
    changed = stale(run, again(run))
    return (
        f"this version of the suite has other code or images ({'; '.join(changed)}). Run it again." if changed else ""
    )


def _asked(files: Mapping[str, bytes]) -> str:
    """What a record's run was asked to do, whatever code did it on which images: its identity but for these."""
    try:
        config = dict(from_yaml(files["config.yaml"].decode()))
    except (ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise UserError(
            f"A record that stands there already has no configuration that can be read: {error}."
        ) from error
    return checked(**{name: value for name, value in config.items() if name not in FOUND} | {"tasks": []}).identity


def _json(data: Mapping[str, Any]) -> bytes:
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    from_json(text)
    return text.encode()

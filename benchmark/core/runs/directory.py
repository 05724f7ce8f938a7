"""The run directory: what one run leaves on disk, and how it is read back.

A run directory is the only interface between training and reporting. It is plain data (YAML, JSON, CSV, PNG,
safetensors), each file is written whole or not at all, and a report can be rebuilt from it on another machine
without torch::

    cmc-four_tasks-quick-seed0-1a2b3c4d/
        config.yaml         the resolved configuration
        environment.json    versions, machine, processor, threads; number of the format (benchmark.core.runs.formats)
        status.json         state, tasks done, seconds they took, the process that writes, what ended it early
        error.txt           the traceback of a run that failed
        metrics.csv         one row per measurement; the columns of tables are told in benchmark.core.runs.schemas
        curves.csv          one row per epoch of training
        outputs.csv         one row per test image and evaluation
        owned.csv           of networks that are told the task, one row per tensor of a learned task
        ledger.csv          what each strategy stores and computes
        checkpoints/        task-1.safetensors, ...: the network and the strategy's state after each task;
                            task-1-update-1600.safetensors: a state within the task that follows, until it is learned
        checksums.json      written last: SHA-256 of a finished run's own files (see benchmark.core.runs.seals)
        images/             derain--chelsea--clean.png, --degraded.png, --learned.png, --after-2.png, --final.png;
                            other names than these are spelled so that no two share a file (see benchmark.core.names)

``learned`` is the output right after the task was learned, ``after-2`` that after two tasks of the stream, and
``final`` that after the last one; all show the same crop. Between ``learned`` and ``final`` the outputs of the first
images of a task are kept alone; runs from before they were have none.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmark.core.clock import moment
from benchmark.core.errors import UserError, shortage
from benchmark.core.files import closed, content, is_beside, refuse_leaving
from benchmark.core.names import file_name
from benchmark.core.own import RECORD, is_run
from benchmark.core.runs import formats, processes, records, seals
from benchmark.core.runs.schemas import LEDGER, TABLES
from benchmark.core.runs.writing import write_json, write_yaml
from benchmark.core.tables import Values, rows_of

LAYER_PROFILE = "layer-profile.csv"
"""Beside the run directories: what a layer costs (:mod:`benchmark.profiling`), of which a report makes Table 6."""

GONE = "its process is gone: killed, or the machine went down"
"""What a status says of a run that was ended from outside, without a word."""

LOST = "its status.json is missing"
"""What a status says of a run of which only checkpoints tell how far it has come."""

_AFTER = re.compile(r"task-(\d+)\.safetensors")
_WITHIN = re.compile(r"task-(\d+)-update-(\d+)\.safetensors")

IMAGE_KINDS = ("clean", "degraded", "learned", "final")
"""The pictures kept of a test image; of the first ones of a task those of :func:`after_kind`, too."""


def after_kind(after: int) -> str:
    """The kind of picture that shows an output after so many tasks, between when its task was learned and the end."""
    return f"after-{after}"


@dataclass(frozen=True)
class Run:
    """One run directory, read lazily.

    Args:
        path: the directory; it exists and holds ``config.yaml`` once :meth:`create` has been called.
    """

    path: Path

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], environment: Mapping[str, Any]) -> "Run":
        """Make the directory and write what is known before training.

        Raises:
            UserError: the place cannot be written to.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            seals.open_again(path)
            write_json(path / "environment.json", {"format": formats.FORMAT, **environment})
            write_yaml(path / "config.yaml", config)
        except OSError as error:
            raise UserError(
                f"Cannot write the run to '{path}': {error.strerror or error}. Choose another folder with --out."
            ) from error
        return cls(path)

    @property
    def name(self) -> str:
        """The directory's name, also where its path ends in ``.`` or ``..``."""
        return self.path.name if self.path.name not in ("", "..") else self.path.resolve().name

    @cached_property
    def format(self) -> int:
        """The number of the directory's format.

        Raises:
            UserError: it is newer than this version of the suite.
        """
        return formats.number(self._parsed("environment.json", records.from_json), str(self.path))

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        return self._read("config.yaml", records.from_yaml)

    @property
    def order(self) -> list[str]:
        """The tasks' names, in the order in which they are learned.

        Raises:
            UserError: the configuration does not tell.
        """
        order: list[str] | None = self.config.get("order")
        if order is None:
            raise UserError(f"'{self.path / 'config.yaml'}' names no tasks ('order' is missing). Was it edited?")
        return order

    @property
    def environment(self) -> dict[str, Any]:
        """Versions and machine the run was made with."""
        return self._read("environment.json", records.from_json)

    @property
    def status(self) -> dict[str, Any]:
        """The ``state`` (running, finished, failed, diverged, interrupted), ``tasks_done`` of ``tasks``, and more.

        Also what reports tell of the strategy: its declared ``traits``, ``settings_from``, where its settings come from
        in words, and ``backbone_parameters``, the parameters of the plain backbone.

        ``error`` says what ended the run before its time. A run whose ``process`` is known to be gone was interrupted,
        though it could not write so itself; so was one that has learned tasks and has no status any more.
        """
        if not self._there("status.json"):
            kept = [_AFTER.fullmatch(path.name) for path in (self.path / "checkpoints").glob("task-*")]
            done = max((int(match[1]) for match in kept if match), default=0)
            return {"state": "interrupted", "tasks_done": done, "error": LOST} if done else {"state": "created"}
        status = self._read("status.json", records.from_json)
        if status.get("state") == "running" and processes.gone(status.get("process")):
            return {**status, "state": "interrupted", "error": GONE}
        return status

    @property
    def finished(self) -> bool:
        """Whether every task of the stream was learned and measured, and the directory is sealed.

        Runs of formats before 3 have no seal.
        """
        return self.status.get("state") == "finished" and (self.format < 3 or self._there(seals.SEAL))

    @property
    def tasks_done(self) -> int:
        """How many tasks are complete: learned, measured, and kept in a checkpoint from which the run goes on.

        None of an unfinished run of an earlier format: this version would not have kept the same of them.
        """
        done = int(self.status.get("tasks_done", 0))
        if self.finished:
            return done
        kept = range(done, 0, -1) if done and self.format == formats.FORMAT else ()
        return next((after for after in kept if self.checkpoint(after).exists()), 0)

    @property
    def updates_done(self) -> int:
        """How many updates of the task that follows these are kept in a checkpoint."""
        return next((update for after, update, _ in self.checkpoints_within() if after == self.tasks_done), 0)

    @property
    def metrics(self) -> pd.DataFrame:
        """The measurements (METRICS)."""
        return self._frame("metrics.csv")

    @property
    def curves(self) -> pd.DataFrame:
        """The training curves (CURVES)."""
        return self._frame("curves.csv")

    @property
    def outputs(self) -> pd.DataFrame:
        """The single test images (OUTPUTS)."""
        return self._frame("outputs.csv")

    @property
    def ledger(self) -> pd.DataFrame:
        """What is stored and computed (LEDGER)."""
        return self._frame("ledger.csv")

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of one of TABLES, equal to those that were written: an ``int`` is an ``int`` again."""
        return rows_of(self._table(name))

    @property
    def costs(self) -> pd.DataFrame:
        """The ledger, and ``peak_memory`` in bytes; that differs from run to run, and so stands in ``status.json``."""
        tasks = self.order
        rows = [
            {"after": int(after), "task": tasks[int(after) - 1], "quantity": "peak_memory", "value": peak, "unit": "B"}
            for after, peak in self.status.get("peak_memory", {}).items()
            if peak is not None
        ]
        return pd.concat([self.ledger, LEDGER.frame_of(rows)], ignore_index=True) if rows else self.ledger

    def image(self, task: str, image: str, kind: str) -> Path:
        """Where the picture of one test image is kept; ``kind`` is one of IMAGE_KINDS or an :func:`after_kind`.

        In format 1 several images may have shared a file. It cannot be told whose picture it holds, so it is none's.
        """
        names = formats.slug(task), formats.slug(image)
        if self.format > 1 or self._shared[names] > 1:
            names = file_name(task), file_name(image)
        return self.path / "images" / f"{'--'.join(names)}--{kind}.png"

    @cached_property
    def _shared(self) -> Counter[tuple[str, str]]:
        """How many test images have a file name in format 1."""
        outputs = self._table("outputs.csv")
        named = set(zip(outputs["task"], outputs["image"], strict=True))
        return Counter((formats.slug(task), formats.slug(image)) for task, image in named)

    def checkpoint(self, after: int, update: int | None = None) -> Path:
        """Where the state after ``after`` tasks is kept, or that after so many updates of the task that follows."""
        within = "" if update is None else f"-update-{update}"
        return self.path / "checkpoints" / f"task-{after}{within}.safetensors"

    def checkpoints_within(self) -> list[tuple[int, int, Path]]:
        """The states within a task: how many tasks were learned before, updates since then, file; the last first."""
        matches = [(_WITHIN.fullmatch(path.name), path) for path in (self.path / "checkpoints").glob("task-*")]
        return sorted(((int(match[1]), int(match[2]), path) for match, path in matches if match), reverse=True)

    def refuse_gone(self) -> None:
        """Raise a UserError if the directory was taken away; what is written there would make a part of it anew."""
        if not self._there("config.yaml"):
            raise UserError(f"'{self.path}' was moved or deleted while the run was writing there. Repeat the run.")

    def update_status(self, **changes: Any) -> None:
        """Merge changes into ``status.json``; a run that is finished by this is sealed, and any other is not.

        Raises:
            UserError: the directory was taken away meanwhile.
        """
        self.refuse_gone()
        status = {**self.status, **changes, "updated": moment()}
        finished = status.get("state") == "finished"
        if finished:
            seals.open_again(self.path)
        write_json(self.path / "status.json", status)
        (seals.seal if finished else seals.open_again)(self.path)  # which does not hold beside this status any more

    def _there(self, name: str) -> bool:
        """Whether the directory has a file.

        Raises:
            UserError: it may not be looked into.
        """
        try:
            return (self.path / name).exists()
        except PermissionError as error:
            raise closed(self.path, error) from error

    def _read(self, name: str, parse: Any) -> dict[str, Any]:
        data = formats.upgrade(self.format, name, self._parsed(name, parse))
        try:
            records.check(name, data)
        except ValueError as error:
            raise UserError(f"'{self.path / name}' cannot be read: {error}. Was it edited?") from error
        return data

    def _parsed(self, name: str, parse: Any) -> dict[str, Any]:
        path = self.path / name
        refuse_leaving(path, self.path)
        try:
            found = content(path, records.SIZE)
            data = parse(found.decode("utf-8", errors="surrogateescape"))
        except FileNotFoundError as error:
            raise UserError(f"'{self.path}' is not a run directory: it has no {name}.") from error
        except (OSError, ValueError, yaml.YAMLError) as error:
            if shortage(error):
                raise  # nothing is wrong with the file
            raise UserError(f"'{path}' cannot be read: {error}. {_mend(name)}") from error
        if not isinstance(data, dict):
            raise UserError(f"'{path}' cannot be read: a mapping was expected. {_mend(name)}")
        if name == "environment.json":
            formats.number(data, str(self.path))
        try:
            self._refuse_changed(name, found)
        except UserError:
            if content(path, records.SIZE) == found:
                raise
            return self._parsed(name, parse)  # the run was finished after it was read
        return data

    def _refuse_changed(self, name: str, found: bytes | None) -> None:
        """Raise an error if a file of a sealed run is not what it was, or is missing."""
        expected = seals.checksums(self.path).get(name)
        if expected is not None and (found is None or seals.digest(found) != expected):
            problem = "is missing" if found is None else "has changed since the run was finished"
            raise UserError(f"'{self.path / name}' {problem}. Restore the file, or repeat the run.")

    def _frame(self, name: str) -> pd.DataFrame:
        return TABLES[name].frame(self._table(name))

    def _table(self, name: str) -> Values:
        schema, path = TABLES[name], self.path / name
        if not self._there(name):
            self._refuse_changed(name, None)
            return {column: [] for column in schema.names}
        refuse_leaving(path, self.path)
        values = schema.read(
            path,
            mend="Restore the file, or delete the run and repeat it.",
            upgrade=partial(formats.upgrade, self.format, name),
        )
        self._refuse_changed(name, path.read_bytes())
        return values


def _mend(name: str) -> str:
    """What to do about a record that cannot be read."""
    if name == seals.STATUS:
        return "Restore the file, or delete this file alone: the run then goes on from its last checkpoint."
    return "Restore the file or delete the run."


def find_runs(paths: Sequence[Path], needed: bool = True) -> list[Run]:
    """Every run directory at or below the given folders, in order of name.

    Raises:
        UserError: a folder does not exist, or, where one is needed, no run was found in any of them.
    """
    found: dict[Path, Run] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"There is no folder '{path}'. Give a run directory, or a folder that holds some.")
        for directory in _run_directories(path):
            found.setdefault(directory.resolve(), Run(directory))
    if needed and not found:
        places = ", ".join(f"'{path}'" for path in paths)
        raise UserError(f"No run found in {places}. Make one with: python -m benchmark run --strategy cmc")
    return sorted(found.values(), key=lambda run: str(run.path))


def locate(out: Path) -> dict[str, Path]:
    """The run directories at or below a folder by the identity of their configuration.

    Of equal ones, as where a folder was copied, that which has come farthest, and of finished ones the last by name.
    """
    found: dict[str, Path] = {}
    for path in sorted(_run_directories(out)):
        identity = Run(path).name.rpartition("-")[2]
        known = found.get(identity)
        if known is None or (reached := _reached(path))[0] or reached > _reached(known):
            found[identity] = path
    return found


def _reached(path: Path) -> tuple[bool, int, int]:
    """How far a run has come: whether it is finished, tasks, updates of the next; a damaged one counts as nothing."""
    with suppress(UserError):
        run = Run(path)
        return (True, 0, 0) if run.finished else (False, run.tasks_done, run.updates_done)
    return (False, -1, 0)


def _run_directories(path: Path) -> Iterator[Path]:
    """The run directories at or below a folder, and those that links there lead to: to one, or to a folder of some.

    Last, folders that may not be listed: whoever reads them as runs is told why what they hold is missing.
    """
    if is_run(path):
        yield path
        return
    errors: list[OSError] = []
    for root, folders, files in os.walk(path, onerror=errors.append):
        folders[:] = [name for name in folders if not is_beside(name)]  # as .Trash-1000: its runs are deleted
        if set(files) >= RECORD:
            folders.clear()
            yield Path(root)
        for link in (Path(root, name) for name in folders):
            if link.is_symlink():
                yield from [link] if is_run(link) else filter(is_run, _below(link))
    yield from (Path(error.filename) for error in errors if isinstance(error, PermissionError))


def _below(folder: Path) -> list[Path]:
    """What a folder holds of the user's; nothing of one that cannot be listed, as :func:`os.walk` has it, too."""
    with suppress(OSError):
        return [path for path in folder.iterdir() if not is_beside(path.name)]
    return []

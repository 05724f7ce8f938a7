"""The run directory: what one run leaves on disk, and how it is read back.

A run directory is the only interface between training and reporting. It is plain data (YAML, JSON, CSV, PNG,
safetensors), each file is written whole or not at all, and a report can be rebuilt from it on another machine
without torch::

    cmc-four_tasks-quick-seed0-1a2b3c4d/
        config.yaml         the resolved configuration
        environment.json    versions, machine, threads; the number of this format (see benchmark.core.runs.formats)
        status.json         state, tasks done, seconds they took, the process that writes, what ended it early
        error.txt           the traceback of a run that failed
        metrics.csv         one row per measurement (see METRICS)
        curves.csv          one row per epoch of training (see CURVES)
        outputs.csv         one row per test image and evaluation (see OUTPUTS)
        owned.csv           of networks that are told the task, one row per tensor of a learned task (see OWNED)
        ledger.csv          what each strategy stores and computes (see LEDGER)
        checkpoints/        task-1.safetensors, ...: the network and the strategy's state after each task
        images/             derain--chelsea--clean.png, --degraded.png, --learned.png, --after-2.png, --final.png;
                            other names than these are spelled so that no two share a file (see benchmark.core.names)

``learned`` is the output right after the task was learned, ``after-2`` that after two tasks of the stream, and
``final`` that after the last one; all show the same crop. Between ``learned`` and ``final`` the outputs of the first
images of a task are kept alone; runs from before they were have none.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmark.core.errors import UserError
from benchmark.core.names import file_name
from benchmark.core.runs import formats, writer
from benchmark.core.tables import INTEGER, NUMBER, TEXT, Column, Schema, Values, rows_of

METRICS = Schema(
    columns=(
        Column("after", INTEGER, "tasks learned so far: 0 before training, 1 to T after each task"),
        Column("after_task", TEXT, "the task learned last; empty when ``after`` is 0"),
        Column("place", INTEGER, "1-based place of the evaluated task in the stream"),
        Column("task", TEXT, "name of the evaluated task"),
        Column(
            "subject",
            TEXT,
            "``input`` (the degraded test images themselves, only with after = 0), ``output`` (the network's on the "
            "test images), ``validation`` (the network's on the validation images, by which settings are tuned) or "
            "``owned`` (the tensors on which the network's output under the task's label depends)",
        ),
        Column(
            "metric",
            TEXT,
            "psnr, ssim, psnr_y, ssim_y; outputs_changed: test outputs of this task that are no longer bit-identical "
            "to those recorded right after it was learned (for after > place); or owned_changed: the same of the "
            "tensors in owned.csv, where the network is told the task. Runs from before this was recorded lack it",
        ),
        Column("value", NUMBER, "the mean over the test images, or a count"),
        Column("unit", TEXT, "dB, empty (SSIM) or count"),
        Column("images", INTEGER, "how many test images; of owned_changed how many tensors"),
        Column("protocol", TEXT, "how the metric was computed"),
    ),
    key=("after", "place", "subject", "metric"),
)
"""``metrics.csv``: one row per measurement."""

CURVES = Schema(
    columns=(
        Column("after", INTEGER, "tasks that will have been learned when this training ends"),
        Column("place", INTEGER, "1-based place of the task in the stream"),
        Column("task", TEXT, "its name"),
        Column("epoch", INTEGER, "0 is the network as it comes to the task, before its first update"),
        Column("update", INTEGER, "batch updates so far in this training"),
        Column("loss", NUMBER, "mean training loss of the epoch; missing in epoch 0", optional=True),
        Column("psnr", NUMBER, "dB on the validation images after it"),
        Column("learning_rate", NUMBER, "Adam's, after it"),
    ),
    key=("after", "place", "epoch"),
)
"""``curves.csv``: one row per epoch; a strategy that trains several tasks together has rows for each of them."""

OUTPUTS = Schema(
    columns=(
        Column("after", INTEGER, "tasks learned so far"),
        Column("place", INTEGER, "1-based place of the task in the stream"),
        Column("task", TEXT, "its name"),
        Column("image", TEXT, "name of the test image"),
        Column("sha256", TEXT, "taken over the raw float32 output"),
        Column("psnr", NUMBER, "dB, RGB"),
        Column("ssim", NUMBER, "RGB"),
        Column("psnr_y", NUMBER, "dB, luma"),
        Column("ssim_y", NUMBER, "luma"),
    ),
    key=("after", "place", "image"),
)
"""``outputs.csv``: one row per test image and evaluation."""

OWNED = Schema(
    columns=(
        Column("after", INTEGER, "tasks learned as it was recorded, which is right after this one"),
        Column("place", INTEGER, "1-based place of the task in the stream"),
        Column("task", TEXT, "its name"),
        Column("tensor", TEXT, "name of a tensor on which the network's output for the task depends"),
        Column("sha256", TEXT, "taken over its type, shape and bytes"),
    ),
    key=("place", "tensor"),
)
"""``owned.csv``: what every task owned when it was learned (:meth:`strategies.base.TaskNetwork.owned`).

If nothing of it has changed since, no output under the task's label has, whatever the image. Networks that are not told
the task have no rows.
"""

LEDGER = Schema(
    columns=(
        Column("after", INTEGER, "tasks learned so far"),
        Column("task", TEXT, "the task learned last"),
        Column("quantity", TEXT, "which one, as below"),
        Column("value", NUMBER, "how much of it"),
        Column("unit", TEXT, "count, B (bytes) or MAC"),
    ),
    key=("after", "quantity"),
)
"""``ledger.csv``: what is stored and computed after each task.

trainable_parameters  numbers that may change as the task's training begins
task_parameters       numbers that may change as it ends, after any pruning: what the task trained and keeps
stored_parameters     numbers in the checkpoint that are neither masks nor images
stored_bytes          all of the checkpoint; mask_bytes and exemplar_bytes are the part of masks and of stored patches
data_bytes            training images of learned tasks, as 8-bit RGB, that the strategy trains on again and so has to
                      keep beside the checkpoint; images that tasks share count once
macs_per_pixel        multiply-accumulates of a restored pixel
"""

TABLES = {
    "metrics.csv": METRICS,
    "curves.csv": CURVES,
    "outputs.csv": OUTPUTS,
    "owned.csv": OWNED,
    "ledger.csv": LEDGER,
}
"""The tables of a run directory by their file."""

LAYER_PROFILE = "layer-profile.csv"
"""Beside the run directories: what a layer costs (:mod:`benchmark.profiling`), of which a report makes Table 6."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Reads YAML in C where PyYAML was built with it: ten times as fast, which a report on many runs needs."""

GONE = "its process is gone: killed, or the machine went down"
"""What a status says of a run that was ended from outside, without a word."""

IMAGE_KINDS = ("clean", "degraded", "learned", "final")
"""The pictures kept of a test image; of the first ones of a task those of :func:`after_kind`, too."""


def after_kind(after: int) -> str:
    """The kind of picture that shows an output after so many tasks, between when its task was learned and the end."""
    return f"after-{after}"


def write_text(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: to a temporary name beside it, then renamed.

    Text is written as UTF-8; what names of files hold that is none, as the bytes it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(
            content.encode("utf-8", errors="surrogateescape") if isinstance(content, str) else content
        )
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a mapping as indented JSON, atomically."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n")


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], schema: Schema) -> None:
    """Write rows as CSV, atomically; numbers keep every digit, so equal runs give equal bytes."""
    write_text(path, schema.text(rows))


def refuse_other(path: Path, columns: Sequence[str], option: str) -> None:
    """Make sure that a table may be written to a path, before the work for it is done.

    Args:
        path: where the table will be.
        columns: what a table of this kind has; one that is there will be replaced or extended.
        option: the command's option that chooses the path, for the error.

    Raises:
        UserError: something else stands there, or it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            head = file.readline().strip()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}. Choose another file with {option}.") from error
    if head and not set(columns) <= set(head.split(",")):
        raise UserError(
            f"'{path}' is another file: its first line does not name {', '.join(columns)}. "
            f"Move it away, or choose another file with {option}."
        )


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
            write_json(path / "environment.json", {"format": formats.FORMAT, **environment})
            write_text(path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
        except OSError as error:
            raise UserError(
                f"Cannot write the run to '{path}': {error.strerror or error}. Choose another folder with --out."
            ) from error
        return cls(path)

    @property
    def name(self) -> str:
        """The directory's name."""
        return self.path.name

    @cached_property
    def format(self) -> int:
        """The number of the directory's format.

        Raises:
            UserError: it is newer than this version of the suite.
        """
        return formats.number(self._parsed("environment.json", json.loads), str(self.path))

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration."""
        return self._read("config.yaml", partial(yaml.load, Loader=LOADER))

    @property
    def environment(self) -> dict[str, Any]:
        """Versions and machine the run was made with."""
        return self._read("environment.json", json.loads)

    @property
    def status(self) -> dict[str, Any]:
        """``state`` (running, finished, failed, interrupted), ``tasks_done``, ``tasks``, ``seconds`` and more.

        Also what reports tell of the strategy: its declared ``traits``, ``settings_from``, where its settings come from
        in words, and ``backbone_parameters``, the parameters of the plain backbone.

        ``error`` says what ended the run before its time. A run whose ``process`` is known to be gone was interrupted,
        though it could not write so itself.
        """
        status = self._read("status.json", json.loads) if (self.path / "status.json").exists() else {"state": "created"}
        if status.get("state") == "running" and writer.gone(status.get("process")):
            return {**status, "state": "interrupted", "error": GONE}
        return status

    @property
    def finished(self) -> bool:
        """Whether every task of the stream was learned and measured."""
        return self.status.get("state") == "finished"

    @property
    def tasks_done(self) -> int:
        """How many tasks are complete: learned, measured, and kept in a checkpoint from which the run goes on.

        None of an unfinished run of an earlier format: this version would not have kept the same of them.
        """
        status = self.status
        done = int(status.get("tasks_done", 0))
        if status.get("state") == "finished":
            return done
        return done if done and self.checkpoint(done).exists() and self.format == formats.FORMAT else 0

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
        tasks = self.config["order"]
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

    def checkpoint(self, after: int) -> Path:
        """Where the network and the strategy's state after ``after`` tasks are kept."""
        return self.path / "checkpoints" / f"task-{after}.safetensors"

    def update_status(self, **changes: Any) -> None:
        """Merge changes into ``status.json``."""
        write_json(self.path / "status.json", {**self.status, **changes, "updated": now()})

    def _read(self, name: str, parse: Any) -> dict[str, Any]:
        return formats.upgrade(self.format, name, self._parsed(name, parse))

    def _parsed(self, name: str, parse: Any) -> dict[str, Any]:
        path = self.path / name
        try:
            data = parse(path.read_text(encoding="utf-8", errors="surrogateescape"))
        except FileNotFoundError as error:
            raise UserError(f"'{self.path}' is not a run directory: it has no {name}.") from error
        except (ValueError, yaml.YAMLError) as error:
            raise UserError(f"'{path}' cannot be read: {error}. Restore the file or delete the run.") from error
        if not isinstance(data, dict):
            raise UserError(f"'{path}' cannot be read: a mapping was expected. Restore the file or delete the run.")
        return data

    def _frame(self, name: str) -> pd.DataFrame:
        return TABLES[name].frame(self._table(name))

    def _table(self, name: str) -> Values:
        schema, path = TABLES[name], self.path / name
        if not path.exists():
            return {column: [] for column in schema.names}
        return schema.read(
            path,
            mend="Restore the file, or delete the run and repeat it.",
            upgrade=partial(formats.upgrade, self.format, name),
        )


def find_runs(paths: Sequence[Path]) -> list[Run]:
    """Every run directory at or below the given folders, in order of name.

    Raises:
        UserError: a folder does not exist, or no run was found in any of them.
    """
    found: dict[Path, Run] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"There is no folder '{path}'. Give a run directory, or a folder that holds some.")
        for directory in _run_directories(path):
            found.setdefault(directory.resolve(), Run(directory))
    if not found:
        places = ", ".join(f"'{path}'" for path in paths)
        raise UserError(f"No run found in {places}. Make one with: python -m benchmark run --strategy cmc")
    return sorted(found.values(), key=lambda run: str(run.path))


def locate(out: Path) -> dict[str, Path]:
    """The run directories at or below a folder by the identity of their configuration; of equal ones a finished one."""
    found: dict[str, Path] = {}
    for path in sorted(_run_directories(out)):
        identity = path.name.rpartition("-")[2]
        if identity not in found or Run(path).finished:
            found[identity] = path
    return found


def _run_directories(path: Path) -> Iterator[Path]:
    if (path / "config.yaml").is_file() and (path / "environment.json").is_file():
        yield path
        return
    for root, folders, files in os.walk(path):
        if "config.yaml" in files and "environment.json" in files:
            folders.clear()
            yield Path(root)


def now() -> str:
    """The present moment in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")

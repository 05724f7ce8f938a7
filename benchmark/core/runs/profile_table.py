"""Where the time goes, measured: the CSV files of ``profile train``, ``inference`` and ``start``; without torch."""

from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError
from benchmark.core.runs.writing import told, write_table
from benchmark.core.tables import INTEGER, NUMBER, TEXT, Column, Schema, rows_of
from benchmark.core.yaml_files import command

FILES = {kind: f"{kind}-profile.csv" for kind in ("train", "inference", "start")}
"""What can be measured, and the name of its file; a report takes up the one beside its runs."""

WHOLE = "all"
"""The part that is the sum of the others."""

COLUMNS = Schema(
    columns=(
        Column("profile", TEXT, "what was measured: ``train``, ``inference`` or ``start``"),
        Column("subject", TEXT, "of what, in words"),
        Column("part", TEXT, "which part of its time; ``all`` is the sum of the others"),
        Column("milliseconds", NUMBER, "median time of a training step, of an image, or of a start"),
        Column(
            "ratio",
            NUMBER,
            "the time as a multiple of the first subject's, median over the repeats of each one's ratio; for ``all``",
            optional=True,
        ),
        Column("setting", TEXT, "the sizes it was measured at, in words"),
        Column("repeats", INTEGER, "how often it was timed"),
        Column("device", TEXT, "what it was measured on"),
        Column("threads", INTEGER, "how many of the CPU's threads took part"),
    ),
    key=("subject", "part"),
)
"""Columns of the files."""


@dataclass(frozen=True)
class Row:
    """One part of the time of one subject; COLUMNS says what each figure is. ``ratio`` is nan but for ``all``."""

    profile: str
    subject: str
    part: str
    milliseconds: float
    ratio: float
    setting: str
    repeats: int
    device: str
    threads: int


def write(rows: list[Row], path: Path) -> None:
    """Write the rows as CSV, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    with told(path, "--out"):
        write_table(path, [asdict(row) for row in rows], COLUMNS)


def read(path: Path) -> list[Row]:
    """The rows of a file that :func:`write` made.

    Raises:
        UserError: it cannot be read, or says what cannot be.
    """
    kind = path.name.removesuffix("-profile.csv")
    rows = measured(path, COLUMNS, kind if kind in FILES else "train")
    return [Row(**row | {"ratio": nan if row["ratio"] is None else row["ratio"]}) for row in rows]


def measured(path: Path, columns: Schema, kind: str) -> list[dict[str, Any]]:
    """The rows of a file of measurements, at least one.

    Args:
        path: the file.
        columns: what is in it.
        kind: the word after ``profile`` that measures it again.

    Raises:
        UserError: it cannot be read, or says what cannot be.
    """
    mend = f"Measure it again with: {command('profile', kind, '--out', path)}"
    rows = rows_of(columns.read(path, mend))
    if not rows:
        raise UserError(f"'{path}' cannot be read: it has no rows. {mend}")
    return rows

"""The measured cost of a layer as a CSV file; without torch, so that reports can read it."""

from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path

from benchmark.core.runs.profile_table import measured
from benchmark.core.runs.writing import told, write_table
from benchmark.core.tables import INTEGER, NUMBER, TEXT, Column, Schema

COLUMNS = Schema(
    columns=(
        Column(
            "method",
            TEXT,
            "``base`` (a plain convolution), ``Type-1`` (larger kernels), ``Type-2`` (more layers), ``CMC-n``",
        ),
        Column("variant", TEXT, "which of the method's, in words"),
        Column("trainable_parameters", INTEGER, "numbers that can be trained over the layer's life"),
        Column("kernel_parameters", INTEGER, "numbers in the kernels that a forward pass convolves with"),
        Column(
            "peak_memory",
            NUMBER,
            "bytes held at once in a forward pass; on the CPU by the whole process, missing where it is not told",
            optional=True,
        ),
        Column("gmac", NUMBER, "multiply-accumulates of a forward pass, in billions"),
        Column("milliseconds", NUMBER, "median time of a forward pass"),
        Column(
            "ratio",
            NUMBER,
            "the time as a multiple of a plain convolution's, median over the repeats of each one's ratio",
        ),
        Column("base_ratio", NUMBER, "the same as a multiple of the method's first variant"),
        Column("channels", INTEGER, "into and out of the layer"),
        Column("size", INTEGER, "height and width of the features in pixels"),
        Column("repeats", INTEGER, "how often it was timed"),
        Column("device", TEXT, "what it was measured on"),
        Column("threads", INTEGER, "how many of the CPU's threads took part"),
    ),
    key=("method", "variant"),
)
"""Columns of the file."""


@dataclass(frozen=True)
class Row:
    """One way to build a layer (paper, section 4.4.5, Table 6), measured; COLUMNS says what each figure is.

    ``peak_memory`` is nan where it is not told.
    """

    method: str
    variant: str
    trainable_parameters: int
    kernel_parameters: int
    peak_memory: float
    gmac: float
    milliseconds: float
    ratio: float
    base_ratio: float
    channels: int
    size: int
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
    rows = measured(path, COLUMNS, "layer")
    numbers = [column.name for column in COLUMNS.columns if column.kind is NUMBER]
    return [Row(**row | {name: nan if row[name] is None else float(row[name]) for name in numbers}) for row in rows]

"""The measured cost of a layer as a CSV file; without torch, so that reports can read it."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import get_type_hints

import pandas as pd

from benchmark.errors import UserError
from benchmark.files import command
from benchmark.runs import write_table


@dataclass(frozen=True)
class Row:
    """One way to build a layer (paper, section 4.4.5, Table 6).

    Args:
        method: ``base`` (a plain convolution), ``Type-1`` (larger kernels), ``Type-2`` (more layers) or ``CMC-n``.
        variant: which of the method's, in words.
        trainable_parameters: numbers that can be trained over the layer's life.
        kernel_parameters: numbers in the kernels that a forward pass convolves with.
        peak_memory: bytes held at once in a forward pass; on the CPU by the whole process, nan where it is not told.
        gmac: multiply-accumulates of a forward pass, in billions.
        milliseconds: median time of a forward pass.
        ratio: the time as a multiple of a plain convolution's, median over the repeats of each one's own ratio.
        base_ratio: the same as a multiple of the method's first variant.
        channels: into and out of the layer.
        size: height and width of the features in pixels.
        repeats: how often it was timed.
        device: what it was measured on.
        threads: how many of the CPU's threads took part.
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


COLUMNS = [field.name for field in fields(Row)]


def write(rows: list[Row], path: Path) -> None:
    """Write the rows as CSV, whole or not at all."""
    write_table(path, [asdict(row) for row in rows], COLUMNS)


def read(path: Path) -> list[Row]:
    """The rows of a file that :func:`write` made.

    Raises:
        UserError: it cannot be read, or says what cannot be.
    """
    kinds = get_type_hints(Row)
    try:
        frame = pd.read_csv(path)
        missing = [column for column in COLUMNS if column not in frame.columns]
        if missing:
            raise ValueError(f"it lacks the columns {', '.join(missing)}")
        if frame.empty:
            raise ValueError("it has no rows")
        return [
            Row(**{name: kinds[name](value) for name, value in zip(COLUMNS, values, strict=True)})
            for values in frame[COLUMNS].itertuples(index=False)
        ]
    except (OSError, ValueError) as error:
        raise UserError(
            f"'{path}' cannot be read: {error}. Measure it again with: {command('profile', 'layer', '--out', path)}"
        ) from error

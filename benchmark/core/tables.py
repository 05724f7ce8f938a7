"""CSV tables with declared columns: what is written is read back as it was, and what is damaged is told.

Nothing is guessed from what a cell looks like. The kind of a column is declared once, beside its meaning, and holds
wherever the table is written or read: in a column of TEXT ``001``, ``1e5``, ``NA`` or nothing at all stay the texts
they are. Numbers are written as Python's ``repr`` has them, so that each comes back as the same ``int`` or ``float``,
and read as spreadsheets write them, too: ``1E-05``.
Where a number may be missing its cell is empty; a text is never missing, it can only be empty.
"""

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.core.errors import UserError
from benchmark.core.files import content

Cells = dict[str, list[str]]
"""A table as it stands in the file: column → cells."""

Values = dict[str, list[Any]]
"""A table as Python has it: column → ``str``, ``int``, ``float``, or None for a missing number."""

LARGEST = 2**27
"""Bytes that a table may have; a run of 100 tasks with 100 test images each writes half of it."""

_SPECIAL = re.compile('[,"\r\n]')
"""Letters for which a cell is quoted."""


class Kind(Enum):
    """What a column holds, and the letters that its cells are made of (any for text)."""

    TEXT = ""
    INTEGER = "0123456789-"
    NUMBER = "0123456789-+.eEinf"


TEXT, INTEGER, NUMBER = Kind.TEXT, Kind.INTEGER, Kind.NUMBER


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        name: its heading.
        kind: TEXT; INTEGER, an ``int``; or NUMBER, an ``int`` or ``float`` that may be infinite.
        meaning: what it holds, with the unit.
        optional: whether a number may be missing.
        later: whether a file may lack the column, as those from before there was one do; all its cells are then
            missing.
    """

    name: str
    kind: Kind
    meaning: str
    optional: bool = False
    later: bool = False


@dataclass(frozen=True)
class Schema:
    """The columns of a table in their order.

    Args:
        columns: what is written, and what is read; other columns of a file are left alone.
        key: the columns by which a row is known; no two rows are equal in all of them. Empty where rows may repeat.
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    @cached_property
    def names(self) -> list[str]:
        """The headings."""
        return [column.name for column in self.columns]

    def text(self, rows: Iterable[Mapping[str, Any]]) -> str:
        """Rows as CSV; what a row does not have is an empty cell, and what is no column is left out."""
        return csv_text(
            self.names, ([_as(column.kind, row.get(column.name)) for column in self.columns] for row in rows)
        )

    def frame(self, values: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
        """Columns as a frame: ``object`` for text, ``float64`` for numbers, ``int64`` (``Int64``: some missing)."""
        return pd.DataFrame({column.name: _array(column, values[column.name]) for column in self.columns})

    def frame_of(self, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """Rows as a frame of these columns; see :meth:`frame`."""
        return self.frame({c.name: [_as(c.kind, row.get(c.name)) for row in rows] for c in self.columns})

    def read(self, path: Path, mend: str, upgrade: Callable[[Cells], Cells] = lambda cells: cells) -> Values:
        """A file's cells as what they were before they were written.

        Args:
            path: the file.
            mend: what to do about a damaged one, in a sentence, for the error.
            upgrade: brings the cells of an earlier format to the present columns.

        Raises:
            UserError: it cannot be read, lacks a column, is cut off, has a row twice, or a cell is not of its column's
                kind; file, row and column are told.
        """
        try:
            text = content(path, LARGEST).decode("utf-8-sig", errors="surrogateescape")
            cells = upgrade(_cells(text))
            missing = [column.name for column in self.columns if column.name not in cells and not column.later]
            if missing:
                raise _Damage(f"it lacks the columns {', '.join(missing)}")
            empty = [""] * len(next(iter(cells.values())))
            values = {column.name: _parsed(column, cells.get(column.name, empty)) for column in self.columns}
            self._refuse_doubles(values)
        except (OSError, csv.Error) as error:
            raise UserError(f"'{path}' cannot be read: {error}. {mend}") from error
        except _Damage as damage:
            where = f"{_place(text, damage.row)}: " if damage.row is not None else ""
            raise UserError(f"'{path}' cannot be read: {where}{damage}. {mend}") from damage
        return values

    def _refuse_doubles(self, values: Values) -> None:
        if not self.key:
            return
        keys = list(zip(*(values[name] for name in self.key), strict=True))
        if len(set(keys)) == len(keys):
            return
        seen = set()
        for row, key in enumerate(keys):
            if key in seen:
                told = ", ".join(f"{name} {value}" for name, value in zip(self.key, key, strict=True))
                raise _Damage(f"a second row of {told}", row)
            seen.add(key)


def headings(path: Path) -> list[str]:
    """The names of a file's columns, for a table that does not know all of its own; none for a file without text."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        return next((row for row in csv.reader(file) if row), [])


def rows_of(values: Values) -> list[dict[str, Any]]:
    """Columns as rows."""
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def csv_text(names: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Rows of values as CSV under a row of headings; each value is written by its own type (see the module)."""
    lines = [_line(names)]
    lines += [_line([_written(value) for value in row]) for row in rows]
    return "".join(lines)


def frame_text(frame: pd.DataFrame) -> str:
    """A frame whose columns have their kinds as CSV."""
    return csv_text([str(name) for name in frame.columns], frame.itertuples(index=False, name=None))


class _Damage(Exception):
    """What is wrong with a table, and in which of its rows, counted from 0; None where it is about all of it."""

    def __init__(self, problem: str, row: int | None = None) -> None:
        super().__init__(problem)
        self.row = row


def _array(column: Column, values: Sequence[Any]) -> Any:
    if column.kind is TEXT:
        return pd.Index(values, dtype=object)
    if column.kind is INTEGER and column.optional:
        return pd.array(values, dtype="Int64")
    return np.array(values, dtype=np.int64 if column.kind is INTEGER else np.float64)


def _as(kind: Kind, value: Any) -> Any:
    if kind is TEXT:
        return str(value) if _known(value) else ""
    return int(value) if kind is INTEGER and _known(value) else value


def _known(value: Any) -> bool:
    return not (value is None or value is pd.NA or (isinstance(value, Real) and math.isnan(value)))


def _written(value: Any) -> str:
    if not _known(value):
        return ""
    if isinstance(value, str | bool):
        return str(value)
    if isinstance(value, Integral):
        return str(int(value))
    return repr(float(value)) if isinstance(value, Real) else str(value)


def _line(texts: Sequence[str]) -> str:
    cells = ['"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text for text in texts]
    return (",".join(cells) or '""') + "\n"


def _cells(text: str) -> Cells:
    if not text.endswith(("\n", "\r")):
        raise _Damage("its last line has no end, so it was cut off" if text else "it is empty")
    heads, *rows = _rows(text) or [[]]
    for row, cells in enumerate(rows):
        if len(cells) != len(heads):
            raise _Damage(f"{len(cells)} cells, where the first line names {len(heads)} columns", row)
    twice = sorted({head for head in heads if heads.count(head) > 1})
    if twice:
        raise _Damage(f"two columns are called {', '.join(twice)}")
    return dict(zip(heads, map(list, zip(*rows, strict=True)), strict=True)) if rows else {head: [] for head in heads}


def _rows(text: str) -> list[list[str]]:
    return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]


def _place(text: str, row: int) -> str:
    """Where a row stands, for people: counted below the headings, and the line of the file on which it ends."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines = [reader.line_num for cells in reader if cells]
    return f"row {row + 1} (line {lines[row + 1]})"


def _parsed(column: Column, cells: list[str]) -> list[Any]:
    if column.kind is TEXT:
        return cells
    try:
        if set("".join(cells)) <= set(column.kind.value):
            return [float(cell) if "." in cell else _number(column, cell) for cell in cells]
    except (ValueError, OverflowError):
        pass  # found and told below
    row = next(row for row, cell in enumerate(cells) if not _fits(column, cell))
    expected = "a whole number" if column.kind is INTEGER else "a number"
    given = f"'{cells[row][:60]}'" if cells[row] else "nothing"
    raise _Damage(f"column '{column.name}' holds {given} where {expected} belongs", row)


def _number(column: Column, cell: str) -> int | float | None:
    if not cell and column.optional:
        return None
    if column.kind is INTEGER or cell.removeprefix("-").isdecimal():
        whole = int(cell)
        if column.kind is INTEGER and abs(whole) >= 2**63:
            raise OverflowError
        return whole
    return float(cell)


def _fits(column: Column, cell: str) -> bool:
    try:
        _number(column, cell)
    except (ValueError, OverflowError):
        return False
    return set(cell) <= set(column.kind.value)

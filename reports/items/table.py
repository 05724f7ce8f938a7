"""A table: its headings and cells, which a page shows and :mod:`reports.items.exports` writes for documents."""

import math
from dataclasses import dataclass, replace

from reports.text import fixed

LONGEST = 18
"""Letters after which a cell wraps on paper."""


@dataclass(frozen=True)
class Column:
    """The heading of a column.

    Args:
        head: the heading.
        over: the heading that it shares with its neighbours, above its own.
        title: what it means, in a sentence.
        best: 1 where more is better, -1 where less is better, 0 where there is no better.
        view: the view of the table in which it is shown, such as ``PSNR``; empty where it is in all.
    """

    head: str
    over: str = ""
    title: str = ""
    best: int = 0
    view: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: what it says.
        value: what it sorts by; None sorts last.
        small: a second, quieter line.
        best: whether it is the best of its column.
        spread: half of its interval, as printed, over seeds if its table does not say over what; empty for one value.
        level: whether it is not told apart from the best of its column.
        tested: whether that was asked of it.
    """

    text: str
    value: float | str | None = None
    small: str = ""
    best: bool = False
    spread: str = ""
    level: bool = False
    tested: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Args:
        caption: what it shows.
        columns: its headings; the first column names the row.
        rows: its cells, row by row.
        fixed: rows at the top that sorting leaves in place.
        note: what one has to know to read it, in sentences; stands below it wherever it goes.
        kind: how a page sets it: ``sortable`` by its headings; ``words`` that wrap; empty for figures that stay put.
        aside: places of rows that a page folds away.
    """

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    fixed: int = 0
    note: str = ""
    kind: str = ""
    aside: frozenset[int] = frozenset()

    @property
    def views(self) -> list[str]:
        """The views of which a page shows one at a time, the first to begin with; none where all columns are shown."""
        return list(dict.fromkeys(column.view for column in self.columns if column.view))

    def view(self, name: str) -> "Table":
        """The columns of one view as a table."""
        kept = [index for index, column in enumerate(self.columns) if column.view in ("", name)]
        columns = [replace(self.columns[index], view="") for index in kept]
        return replace(self, columns=columns, rows=[[row[index] for index in kept] for row in self.rows])

    @property
    def breadth(self) -> int:
        """Letters that a row takes side by side, so that it can be set as large as it fits; headings may wrap."""
        if self.views:
            return max(self.view(name).breadth for name in self.views)
        widest = 0
        for index, column in enumerate(self.columns):
            cells = [row[index] for row in self.rows]
            texts = [text for cell in cells for text in (cell.text, cell.small, f"±{cell.spread}")]
            widest += min(LONGEST, max(len(text) for text in [*texts, *column.head.split(), ""]))
        return widest + len(self.columns)

    @property
    def spans(self) -> list[tuple[str, int, int]]:
        """The upper row of headings: text, columns spanned, index of the first; empty text for a column of its own."""
        spans: list[tuple[str, int, int]] = []
        for index, column in enumerate(self.columns):
            if column.over and spans and spans[-1][0] == column.over:
                spans[-1] = (column.over, spans[-1][1] + 1, spans[-1][2])
            else:
                spans.append((column.over, 1, index))
        return spans


def number(value: float, digits: int = 2, spread: float = math.nan, gain: float = math.nan, sign: bool = False) -> Cell:
    """A number as a cell, with half of its interval over seeds and what it gains where known; a dash for nan."""
    return Cell(
        fixed(value, digits, sign),
        sortable(value),
        fixed(gain, sign=True) if math.isfinite(gain) else "",
        spread=fixed(spread, digits) if math.isfinite(spread) else "",
    )


def sortable(value: float) -> float | None:
    """What a number sorts by: itself, or None for nan."""
    return None if math.isnan(value) else float(value)

"""A table: its headings and cells, which a page shows and :mod:`reports.tables.exports` writes for documents."""

import math
from dataclasses import dataclass

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
    """

    head: str
    over: str = ""
    title: str = ""
    best: int = 0


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: what it says.
        value: what it sorts by; None sorts last.
        small: a second, quieter line.
        best: whether it is the best of its column.
        spread: the standard deviation over seeds, as printed; empty for a single seed.
        level: whether it is not significantly worse than the best of its column.
    """

    text: str
    value: float | str | None = None
    small: str = ""
    best: bool = False
    spread: str = ""
    level: bool = False

    @property
    def under(self) -> str:
        """What stands below the text: the second line and the spread."""
        return " ".join(part for part in (self.small, f"±{self.spread}" if self.spread else "") if part)


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
    """

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    fixed: int = 0
    note: str = ""
    kind: str = ""

    @property
    def breadth(self) -> int:
        """Letters that a row takes side by side, so that paper can set it as large as it fits; headings may wrap."""
        widest = 0
        for index, column in enumerate(self.columns):
            texts = [row[index].text for row in self.rows] + [row[index].under for row in self.rows]
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
    """A number as a cell, with its deviation over seeds and what it gains where these are known; a dash for nan."""
    return Cell(
        fixed(value, digits, sign),
        sortable(value),
        fixed(gain, sign=True) if math.isfinite(gain) else "",
        spread=fixed(spread, digits) if math.isfinite(spread) else "",
    )


def sortable(value: float) -> float | None:
    """What a number sorts by: itself, or None for nan."""
    return None if math.isnan(value) else float(value)

"""Which cells of a table are the best of their column, and which are level with them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from reports.groups import Entry
from reports.items.table import Cell, Column
from reports.results import Quantity
from reports.seeds import FEWEST, LEVEL, paired, significance

Places = Sequence[tuple[int, int | None]]
"""Columns, each with the index into what it shows; None where that is a single number."""

KNOWLEDGE = (
    "Strategies told the task at test time and those not told are ranked by themselves: the best of each are in bold."
)
"""The note of a table that has both."""


def mark(
    columns: Sequence[Column],
    rows: Sequence[list[Cell]],
    entries: Sequence[Entry | None],
    kinds: Sequence[Any],
    tested: Sequence[tuple[Quantity, Places]],
) -> list[list[Cell]]:
    """Mark the best cells of each column, and those not significantly worse, among the rows of one kind each.

    Args:
        columns: the headings.
        rows: one for each entry.
        entries: what each row stands for.
        kinds: rows of one kind are compared with each other.
        tested: quantities and their places, as :func:`mark_level` takes them.
    """
    marked = list(rows)
    for kind in dict.fromkeys(kinds):
        places = [place for place, other in enumerate(kinds) if other == kind]
        block = mark_best(columns, [rows[place] for place in places])
        for quantity, at in tested:
            mark_level(block, [entries[place] for place in places], quantity, at)
        for place, row in zip(places, block, strict=True):
            marked[place] = row
    return marked


def mark_best(columns: Sequence[Column], rows: Iterable[list[Cell]]) -> list[list[Cell]]:
    """Mark the best cells of each column, comparing what is printed; where nothing is beside it, nothing is best."""
    marked = [list(row) for row in rows]
    if len(marked) < 2:
        return marked
    for index, column in enumerate(columns):
        known = [row[index].value for row in marked if isinstance(row[index].value, float)]
        if not column.best or len(known) < 2 or len({row[index].text for row in marked}) == 1:
            continue
        best = (max if column.best > 0 else min)(known)  # type: ignore[type-var]
        text = next(row[index].text for row in marked if row[index].value == best)
        for row in marked:
            if row[index].text == text:
                row[index] = replace(row[index], best=True)
    return marked


def mark_level(
    rows: Sequence[list[Cell]],
    entries: Sequence[Entry | None],
    quantity: Quantity,
    places: Places,
) -> None:
    """Mark the cells that are not significantly below the best of their column.

    Args:
        rows: the rows of a table, in which the best cells are marked.
        entries: for each row what it stands for.
        quantity: what the columns show.
        places: where they show it.
    """
    for column, index in places:
        best = next((i for i, row in enumerate(rows) if row[column].best), None)
        top = entries[best] if best is not None else None
        if top is None:
            continue
        for row, entry in zip(rows, entries, strict=True):
            if entry is None or row[column].best:
                continue
            differences = paired(top, entry, quantity)
            if len(differences) >= FEWEST:
                level = significance(differences if index is None else differences[:, index]) >= LEVEL
                row[column] = replace(row[column], level=level)

"""Which cells of a table are the best of their column, and which are not told apart from them."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, starmap
from statistics import median
from typing import Any, TypeVar

from reports.groups import Entry
from reports.items.table import Cell, Column
from reports.paired import LEVEL, Difference, corrected, left, missed, within_reach
from reports.results import Quantity
from reports.seeds import paired, several
from reports.text import fixed

Gap = TypeVar("Gap")

KNOWLEDGE = (
    "Strategies told the task at test time and those not told are ranked by themselves: the best of each are in bold."
)
"""The note of a table that has both."""


def mark(
    columns: Sequence[Column],
    rows: Sequence[list[Cell]],
    entries: Sequence[Entry | None],
    kinds: Sequence[Any],
    tested: Sequence[tuple[Quantity, int, int | None]],
) -> list[list[Cell]]:
    """Mark the best cells of each column, and those not told apart from them, among the rows of one kind each.

    Args:
        columns: the headings.
        rows: one for each entry.
        entries: what each row stands for.
        kinds: rows of one kind are compared with each other.
        tested: quantities, each with a column and an index, as :func:`mark_level` takes them.
    """
    marked = list(rows)  # where all rows are of one seed nothing is told apart, which need not be said of each
    for kind in dict.fromkeys(kinds):
        places = [place for place, other in enumerate(kinds) if other == kind]
        block = mark_best(columns, [rows[place] for place in places])
        if several(entries):
            for quantity, column, index in tested:
                mark_level(block, [entries[place] for place in places], quantity, column, index)
        for place, row in zip(places, block, strict=True):
            marked[place] = row
    return marked


def mark_best(columns: Sequence[Column], rows: Iterable[list[Cell]]) -> list[list[Cell]]:
    """Mark the best cells of each column, comparing what is printed; where nothing is beside it, nothing is best."""
    marked = [list(row) for row in rows]
    if len(marked) < 2:
        return marked
    for index, column in enumerate(columns):
        known = [row[index] for row in marked if isinstance(row[index].value, float)]
        if not column.best or len({cell.text for cell in known}) < 2:
            continue
        best = (max if column.best > 0 else min)(known, key=lambda cell: cell.value)  # type: ignore[arg-type,return-value]
        for row in marked:
            if row[index].text == best.text:
                row[index] = replace(row[index], best=True)
    return marked


def mark_level(
    rows: Sequence[list[Cell]],
    entries: Sequence[Entry | None],
    quantity: Quantity,
    column: int,
    index: int | None,
) -> None:
    """Mark the cells of a column that are not told apart from its best.

    The comparisons are corrected as :func:`against_all` has it. Of several that are the best as printed, that with
    the most seeds is compared. What is ahead of the best on the seeds that both have is not told to be behind it,
    whatever the means over all seeds are.

    Args:
        rows: the rows of a table, in which the best cells are marked.
        entries: for each row what it stands for.
        quantity: what the column shows.
        column: its place.
        index: of what it shows in the quantity; None where that is a single number.
    """
    bold = [entry for row, entry in zip(rows, entries, strict=True) if entry is not None and row[column].best]
    if not bold:
        return
    top = max(bold, key=lambda entry: len(entry.results))
    others = [
        (row, entry)
        for row, entry in zip(rows, entries, strict=True)
        if entry is not None and not row[column].best and row[column].value is not None
    ]
    gaps = against_all(top, [entry for _, entry in others], partial(_gap, quantity, index))
    lead = float(top.mean(quantity) if index is None else top.mean(quantity)[index])
    for (row, _), gap, p in zip(others, gaps, corrected([gap.p for gap in gaps]), strict=False):
        behind = gap.mean * (lead - float(row[column].value)) > 0  # type: ignore[arg-type]
        row[column] = replace(row[column], tested=True, level=not (p < LEVEL and behind))  # of one seed there is no p


def against_all(best: Entry, others: Sequence[Entry], gap: Callable[[Entry, Entry], Gap]) -> list[Gap]:
    """What the best has over each of the others, and after these the gaps between every two of the others.

    The best was chosen among all on the figures that it is compared by, so that each pair had its chance to be the one
    that is compared, and counts as a comparison.
    """
    return [*(gap(best, other) for other in others), *starmap(gap, combinations(others, 2))]


def _gap(quantity: Quantity, index: int | None, one: Entry, other: Entry) -> Difference:
    """What one entry has over another, seed by seed."""
    values = paired(one, other, quantity)
    return Difference(values if index is None or not len(values) else values[:, index])


def reading(entries: Sequence[Entry | None], kinds: Sequence[Any]) -> list[str]:
    """What † means, and which gap the seeds of a table can tell, in sentences; none where all are of one seed.

    Args:
        entries: what each row stands for.
        kinds: rows of one kind are compared with each other, as in :func:`mark`.
    """
    if not several(entries):
        return []
    compared = behind(entries, kinds)
    sentences = [
        "† is not told apart from the best of its column (paired over seeds, p ≥ 0.05 after correction for all pairs "
        "of the column, among which the best is found, by the false discovery rate)."
    ]
    sentences += ahead(compared)
    found = [one for one in compared if one.gap.deviation > 0]
    if found:
        seeds = Counter(one.gap.seeds for one in found).most_common(1)[0][0]
        spread = median(one.gap.deviation for one in found)
        beside = max(one.comparisons for one in found)
        among = f", if it is the only one of {beside} comparisons" if beside > 1 else ""
        gap = within_reach(spread, seeds, level=LEVEL / beside)
        missing = missed(gap / 2, spread, seeds, LEVEL / beside)
        sentences.append(
            f"At the median paired spread found here ({fixed(spread)} dB in the mean over the tasks, {seeds} seeds) "
            f"a true gap of {fixed(gap)} dB is told four times in five{among}, and one of half that size missed "
            f"{fixed(100 * missing, 0)} times in a hundred."
        )
    return sentences


@dataclass(frozen=True)
class Behind:
    """An entry beside the best of its kind.

    Args:
        best: the entry of the kind with the highest mean PSNR.
        entry: the other.
        gap: what the best has over it, seed by seed, in dB in the mean over the tasks.
        p: of the gap, corrected for all pairs of the kind; nan where there are no two seeds.
        left: the p below which the gap would be told, the other pairs as they are.
        comparisons: how many pairs of the kind have a p.
    """

    best: Entry
    entry: Entry
    gap: Difference
    p: float
    left: float
    comparisons: int


def ahead(found: Sequence[Behind]) -> list[str]:
    """Who is told to be ahead of the best on the seeds that both have, in sentences: means of other seeds mislead."""
    return [
        f"{one.entry.label} is ahead of {one.best.label} on the seeds that both have."
        for one in found
        if one.p < LEVEL and one.gap.mean < 0
    ]


def behind(entries: Sequence[Entry | None], kinds: Sequence[Any], level: float = LEVEL) -> list[Behind]:
    """The entry with the highest mean PSNR of each kind beside each other of that kind.

    Args:
        entries: what is compared; None counts for nothing.
        kinds: of each entry.
        level: p, corrected, from which on a gap is not told.
    """
    found = []
    for best, others in with_best(entries, kinds):
        gaps = against_all(best, others, partial(_gap, "mean_psnr", None))
        values = [gap.p for gap in gaps]
        count = sum(not math.isnan(p) for p in values)
        for place, (entry, gap, p) in enumerate(zip(others, gaps, corrected(values), strict=False)):
            found.append(Behind(best, entry, gap, p, left(values, place, level), count))
    return found


def with_best(entries: Sequence[Entry | None], kinds: Sequence[Any]) -> Iterator[tuple[Entry, list[Entry]]]:
    """Of each kind the entry with the highest mean PSNR, and the others that have one, in the order given.

    Args:
        entries: what is compared; None counts for nothing.
        kinds: of each entry.
    """
    for kind in dict.fromkeys(kinds):
        known = [entry for entry, own in zip(entries, kinds, strict=True) if entry is not None and own == kind]
        known = [entry for entry in known if math.isfinite(float(entry.mean("mean_psnr")))]
        if known:
            best = max(known, key=lambda entry: float(entry.mean("mean_psnr")))
            yield best, [entry for entry in known if entry is not best]

"""Where the time goes: what ``profile train``, ``inference`` and ``start`` have measured."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmark.core.runs.profile_table import WHOLE, Row
from reports.items.drawing import WIDTH, drawing
from reports.items.item import Item
from reports.items.style import INK, SERIES
from reports.items.table import Cell, Column, Table
from reports.text import NOTHING, count, fixed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "train": ("What a training step costs", "a training step"),
    "inference": ("What restoring an image costs", "an image"),
    "start": ("What a start costs", "the imports of a command"),
}
"""By what was measured, a heading, and whose time it is."""


def item(rows: Sequence[Row]) -> Item:
    """A bar for each subject, split into its parts, with the same in numbers below it.

    Args:
        rows: those of one file, at least one.
    """
    first = rows[0]
    title, whose = TITLES.get(first.profile, (first.profile, first.profile))
    subjects = list(dict.fromkeys(row.subject for row in rows))
    parts = list(dict.fromkeys(row.part for row in rows if row.part != WHOLE)) or [WHOLE]
    found = {(row.subject, row.part): row for row in rows}

    def draw(figure: "Figure") -> None:
        axis = figure.subplots()
        lefts = [0.0] * len(subjects)
        for part, colour in zip(parts, [*SERIES, *SERIES], strict=False):
            widths = [_time(found.get((subject, part))) for subject in subjects]
            alpha = 1.0 if parts.index(part) < len(SERIES) else 0.5
            axis.barh(subjects, widths, left=lefts, color=colour, alpha=alpha, label=part, height=0.6)
            lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
        for place, (subject, left) in enumerate(zip(subjects, lefts, strict=True)):
            told = f"  {_ratio(found.get((subject, WHOLE)))}"
            axis.text(left, place, told, va="center", fontsize=8, color=INK)
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.grid(visible=False, axis="y")
        axis.grid(visible=True, axis="x")
        axis.set_xlabel(f"milliseconds of {whose}")
        if len(parts) > 1:
            figure.legend(loc="outside lower center", ncols=5)

    note = (
        f"{first.setting[:1].upper()}{first.setting[1:]}; {first.device}, {count(first.threads)} "
        f"thread{'s' if first.threads != 1 else ''}, medians of {first.repeats} repeats in which all take turns. The "
        f"multiple is of {subjects[0]}'s time, the median of the repeats' own ratios."
    )
    columns = [Column(first.profile), *(Column(part) for part in parts), Column("ms in all"), Column("multiple")]
    cells = [
        [
            Cell(subject, subject),
            *(_cell(found.get((subject, part))) for part in parts),
            _cell(found.get((subject, WHOLE))),
            Cell(_ratio(found.get((subject, WHOLE)))),
        ]
        for subject in subjects
    ]
    caption = f"Time of {whose}, part by part."
    size = WIDTH, 0.34 * len(subjects) + 1.3
    return Item(
        f"profile-{first.profile}",
        title=title,
        drawing=drawing(f"{caption} {note}", title, size, draw),
        details=[Table(caption, columns, cells, note=note)],
    )


def _time(row: Row | None) -> float:
    return max(0.0, row.milliseconds) if row else 0.0


def _cell(row: Row | None) -> Cell:
    return Cell(fixed(row.milliseconds, 1), row.milliseconds) if row else Cell(NOTHING)


def _ratio(row: Row | None) -> str:
    return f"{fixed(row.ratio, 3)}×" if row else NOTHING

"""Who beats whom: of every two entries, in how many pairs of a seed and a task the one is better, and by how much."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmark.core.tables import INTEGER, NUMBER, TEXT, Schema
from benchmark.core.tables import Column as Field
from reports.figures.heat import cells, number, scale
from reports.figures.leading import CHOICE, MOST_LINES, leading
from reports.groups import Entry, Group
from reports.items.drawing import WIDTH, Drawing, drawing, shorts
from reports.items.item import Item
from reports.items.style import INK
from reports.items.table import Cell, Column, Table
from reports.paired import LEVEL, SAME, Difference, corrected
from reports.seeds import facts, paired
from reports.text import NOTHING, fixed, listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Who beats whom"

KINDS = {"yes": "told the task", "no": "not told the task", "unknown": "not said"}
"""What entries are told at test time, in the order in which their blocks stand."""

CLEAR = 1.0
"""dB from which on the colour of a gap is full; most gaps that are hard to tell are smaller."""

DUELS = Schema(
    (
        Field("one", TEXT, "the entry with the higher mean, as it is named in the report"),
        Field("other", TEXT, "the other"),
        Field("seeds", INTEGER, "that both have"),
        Field("pairs", INTEGER, "of a seed and a task that both have"),
        Field("wins", NUMBER, "share of these in which the one is better; equal ones count half", optional=True),
        Field("gap", NUMBER, "dB, mean over seeds and tasks", optional=True),
        Field("gap ±", NUMBER, "half of its 95 % interval over the seeds; missing for one seed", optional=True),
        Field("p", NUMBER, "of the paired t-test over the seeds' mean gaps", optional=True),
        Field("p corrected", NUMBER, "after correction for the number of pairs of entries", optional=True),
        Field("told apart", TEXT, f"yes where that is below {LEVEL}"),
    )
)
"""One row for every two entries."""


@dataclass(frozen=True)
class Duel:
    """Two entries beside each other.

    Args:
        gaps: (S, T) dB, the first's final PSNR over the second's, in S seeds and T tasks.
        corrected: p of their mean over the tasks, over seeds, corrected for the number of duels.
    """

    gaps: np.ndarray
    corrected: float = float("nan")

    @property
    def difference(self) -> Difference:
        """(S,) dB, the mean over the tasks."""
        return Difference(self.gaps.mean(axis=1) if self.gaps.size else np.empty(0))

    @property
    def wins(self) -> float:
        """The share of pairs of a seed and a task in which the first is better; nan where there is none."""
        if not self.gaps.size:
            return float("nan")
        return float(np.mean((self.gaps > SAME) + 0.5 * (np.abs(self.gaps) <= SAME)))

    @property
    def told(self) -> bool:
        """Whether the two are told apart."""
        return self.corrected < LEVEL

    def reversed(self) -> "Duel":
        """The same as the second sees it."""
        return Duel(-self.gaps, self.corrected)


def item(group: Group) -> Item | None:
    """Every two of the group's entries; None where there are fewer than two with a figure."""
    return made(group.entries, "wins", group.key, f"{TITLE}: {group.title}", f"preset {group.preset}", TITLE)


def made(entries: Sequence[Entry], name: str, scope: str, caption: str, where: str, title: str) -> Item | None:
    """The item of some entries: a figure, the table below it, and every two in its data.

    Args:
        entries: what is compared, all on the same tasks; of more than MOST_LINES the leading ones.
        name, scope: as :class:`reports.items.item.Item` has them.
        caption: of the table.
        where: the preset in words.
        title: the heading.
    """
    known = [entry for entry in entries if np.isfinite(entry.mean("final_psnr")).all()]
    if len(known) < 2:
        return None
    shown = ranked(leading(known, MOST_LINES))
    found = duels(shown)
    sentences = [
        facts(where, shown),
        *([f"{len(shown)} of {len(known)}: {CHOICE}."] if len(shown) < len(known) else []),
    ]
    note = " ".join([*sentences, READING])
    return Item(
        name,
        scope,
        title,
        table=_table(shown, found, caption, note),
        drawing=_drawing(shown, found, len(known)),
        data=frame(shown, found).assign(note=note),
    )


READING = (
    "Each row against each column: the share of pairs of a seed and a task in which the row is better (equal ones "
    "count half), and the mean gap in dB, ± half of its 95 % interval over seeds. Bold is told apart: p < 0.05 "
    "over the seeds’ mean gaps, after correction for the number of pairs by the false discovery rate."
)
"""How to read the table."""


def ranked(entries: Sequence[Entry]) -> list[Entry]:
    """Those told the task first, and of one kind the highest mean PSNR first."""
    kinds = list(KINDS)
    return sorted(entries, key=lambda entry: (kinds.index(entry.told), -float(entry.mean("mean_psnr"))))


def duels(entries: Sequence[Entry]) -> dict[tuple[int, int], Duel]:
    """Every ordered pair of places of some entries; p is corrected for the number of unordered ones."""
    pairs = list(combinations(range(len(entries)), 2))
    gaps = [paired(entries[one], entries[other], "final_psnr") for one, other in pairs]
    told = corrected([Duel(one).difference.p for one in gaps])
    found = {}
    for (one, other), values, p in zip(pairs, gaps, told, strict=True):
        found[one, other] = Duel(values, p)
        found[other, one] = found[one, other].reversed()
    return found


def frame(entries: Sequence[Entry], found: dict[tuple[int, int], Duel]) -> pd.DataFrame:
    """One row for every two entries, the better one first."""
    rows = []
    for one, other in combinations(range(len(entries)), 2):
        if found[one, other].difference.mean < 0:
            one, other = other, one
        duel = found[one, other]
        difference = duel.difference
        values = [difference.seeds, duel.gaps.size, duel.wins, difference.mean, difference.margin(), difference.p]
        names = [entries[one].label, entries[other].label]
        row = [*names, *values, duel.corrected, "yes" if duel.told else "no"]
        rows.append(dict(zip(DUELS.names, row, strict=True)))
    return DUELS.frame_of(rows)


def _table(entries: Sequence[Entry], found: dict[tuple[int, int], Duel], caption: str, note: str) -> Table:
    rows = []
    for one, entry in enumerate(entries):
        row = [Cell(entry.label, entry.label.casefold())]
        for other in range(len(entries)):
            duel = found.get((one, other))
            if duel is None or not duel.gaps.size:
                row.append(Cell(NOTHING))
                continue
            gap = duel.difference
            margin = gap.margin()
            row.append(
                Cell(
                    f"{fixed(100 * duel.wins, 0)} %, {fixed(gap.mean, sign=True)}",
                    gap.mean,
                    best=duel.told,
                    spread="" if np.isnan(margin) else fixed(margin),
                )
            )
        rows.append(row)
    columns = [Column("over"), *(Column(entry.label) for entry in entries)]
    return Table(caption, columns, rows, note=note)


def _drawing(entries: Sequence[Entry], found: dict[tuple[int, int], Duel], of: int) -> Drawing:
    count = len(entries)
    seeds = {result.seed for entry in entries for result in entry.results}
    kinds = [entry.told for entry in entries]
    cuts = [place for place in range(1, count) if kinds[place] != kinds[place - 1]]

    def draw(figure: "Figure") -> None:
        axis = figure.subplots()
        gaps = np.full((count, count), np.nan)
        for (one, other), duel in found.items():
            gaps[one, other] = duel.difference.mean
        mesh = cells(axis, np.clip(gaps, -CLEAR, CLEAR), CLEAR)
        for (one, other), duel in found.items():
            if not duel.gaps.size:
                continue
            weight = "bold" if duel.told else "normal"
            number(axis, one, other, f"{100 * duel.wins:.0f} %", 9, INK, down=0.38, weight=weight)
            gap = fixed(duel.difference.mean, sign=True)
            number(axis, one, other, gap, 7.5, INK, down=0.7, weight=weight)
        for cut in cuts:
            axis.plot([0, count], [cut, cut], color=INK, linewidth=1.2, clip_on=False)
            axis.plot([cut, cut], [0, count], color=INK, linewidth=1.2, clip_on=False)
        axis.set(xlim=(0, count), ylim=(count, 0))
        names = [textwrap.fill(name, 24) for name in shorts((entry.label for entry in entries), 44)]
        places = np.arange(count) + 0.5
        axis.set_xticks(places, names, rotation=35, ha="left", rotation_mode="anchor")
        axis.set_yticks(places, names)
        axis.tick_params(labelsize=8.5, labelcolor=INK, top=False, labeltop=True, labelbottom=False)
        axis.set_title("Wins of row over column, and gap in dB", pad=8)
        scale(figure, mesh, axis, "mean gap (dB)", shrink=0.7, pad=0.02, extend="both")

    told = sum(found[pair].told for pair in combinations(range(count), 2))
    caption = (
        "How often the strategy of the row ends with a higher PSNR than that of the column, over all pairs of a "
        "seed and a task, and by how many dB in the mean. "
    )
    if len(seeds) > 1:
        caption += (
            f"Bold: told apart over the seeds (paired, corrected for the number of pairs); {told} of "
            f"{count * (count - 1) // 2} are."
        )
    else:
        caption += "All are of one seed, so that none is told apart."
    if cuts:
        order = listed(list(dict.fromkeys(KINDS[kind] for kind in kinds)))
        caption += f" The lines part those that are {order} at test time, which is not the same problem."
    if count < of:
        caption += f" Shown are {count} of {of}, {CHOICE}."
    description = "; ".join(
        f"{entries[one].label} over {entries[other].label}: {fixed(100 * found[one, other].wins, 0)} %"
        for one, other in combinations(range(count), 2)
    )
    side = 0.62 * count
    return drawing(caption, description, (min(WIDTH, side + 3.6), side * 0.72 + 1.6), draw)

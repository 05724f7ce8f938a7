"""Mixtures of learned degradations: what was learned of their parts can do beside what learning the mixture does."""

import numpy as np

from benchmark.core.runs.schemas import COMBINED, ONE_AFTER_OTHER
from reports.groups import Entry, Group
from reports.items.item import Item
from reports.items.table import Cell, Column, Table, number
from reports.results import Quantity
from reports.seeds import facts

COLUMNS = [
    Column("strategy"),
    Column("mixture"),
    Column("degraded", "PSNR", "dB, of the degraded test images"),
    Column("one after the other", "PSNR", "dB, restored by the tasks of the parts in turn, the last step undone first"),
    Column("combined", "PSNR", "dB, restored by a network of the mean kernels and biases of the parts' tasks"),
    Column("learned", "PSNR", "dB, restored by the task that learned the mixture itself"),
]

NOTE = (
    "One after the other takes a pass for each part of the mixture, combined and learned take one. All after the whole "
    "stream, on the test images of the mixture."
)


def way(name: str) -> Quantity:
    """The (T,) values in dB of one way to restore mixtures, as a quantity."""
    return lambda result: result.mixtures[name]


def item(group: Group) -> Item | None:
    """The table; None where no run measured a mixture in these ways."""
    shown = [entry for entry in group.entries if all(result.mixtures for result in entry.results)]
    rows = [row for entry in shown for row in _rows(group, entry)]
    if not rows:
        return None
    note = " ".join([facts(f"preset {group.preset}", shown), NOTE])
    table = Table("Mixtures of learned degradations", COLUMNS, rows, note=note)
    return Item("mixtures", group.key, "Mixtures, by what was learned of their parts", table=table)


def _rows(group: Group, entry: Entry) -> list[list[Cell]]:
    """One row for each mixture that was restored in one of the ways."""
    ways = (way(ONE_AFTER_OTHER), way(COMBINED), "final_psnr")
    means, spreads = ([of(one) for one in ways] for of in (entry.mean, entry.margin))
    places = np.flatnonzero(~np.isnan(means[:2]).all(axis=0)).tolist()
    return [
        [
            Cell(entry.label, entry.label.casefold()),
            Cell(group.headings[place], group.headings[place]),
            number(entry.mean("input_psnr")[place]),
            *(number(mean[place], spread=float(spread[place])) for mean, spread in zip(means, spreads, strict=True)),
        ]
        for place in places
    ]

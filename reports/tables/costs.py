"""What every entry stores and computes."""

import math

import numpy as np
import pandas as pd

from benchmark.core.tables import NUMBER, TEXT, Schema
from benchmark.core.tables import Column as Field
from reports.groups import Group
from reports.items.item import Item
from reports.items.table import Cell, Column, Table
from reports.tables.cells import kept
from reports.tables.rows import RUN
from reports.text import NOTHING, quantity
from strategies.traits import WORDS

COSTS = Schema(
    (
        *RUN,
        Field("quantity", TEXT, "as in the ledger"),
        Field("value", NUMBER, "after the last task the run learned"),
        Field("unit", TEXT, "count, B (bytes) or MAC"),
    )
)
"""What each run stores and computes."""


def item(group: Group) -> Item | None:
    """What every strategy stores and computes; None where no run told."""
    data = frame(group)
    if not len(data):
        return None
    return Item("costs", group.key, "What each strategy stores and computes", table=table(group), data=data)


def table(group: Group) -> Table | None:
    """What every entry stores and computes after the whole stream, the mean over its seeds; and what it declares.

    None where no run told what it stores.
    """
    names = list(dict.fromkeys(name for entry in group.entries for result in entry.results for name in result.costs))
    traits = [word for name, word in WORDS.items() if name != "needs_task_id"]
    if not names:
        return None
    columns = [Column("strategy"), *(Column(name.replace("_", " ")) for name in names)]
    columns += [Column("stored with data", "", "the checkpoint, and training images that are needed again")]
    columns += [Column(word) for word in traits]
    rows = []
    for entry in group.entries:
        cells = [Cell(entry.label, entry.label.casefold())]
        for name in names:
            known = [result.costs[name] for result in entry.results if name in result.costs]
            value = float(np.mean([number for number, _ in known])) if known else math.nan
            cells.append(Cell(quantity(value, known[0][1]), value) if known and math.isfinite(value) else Cell(NOTHING))
        rows.append([*cells, kept(entry), *(Cell(entry.traits[word], entry.traits[word]) for word in traits)])
    note = (
        "To go on, a strategy needs its checkpoint and those training images of learned tasks that it trains on again: "
        "data bytes, decoded to 8-bit RGB, images that tasks share counted once."
    )
    return Table("Stored and computed", columns, rows, note=note, kind="sortable")


def frame(group: Group) -> pd.DataFrame:
    """One row per run and quantity of its ledger, after the last task it learned."""
    rows = [
        {"label": label, "seed": result.seed, "run": result.run.name, "quantity": name, "value": value, "unit": unit}
        for label, result in group.labelled
        for name, (value, unit) in result.costs.items()
    ]
    return COSTS.frame_of(rows)

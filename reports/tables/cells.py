"""Cells that several tables show of an entry."""

import math

from reports.groups import Entry
from reports.items.table import Cell, sortable
from reports.text import NOTHING, count, fixed, quantity

UNCOUNTED = "not counted"
"""What stands for the bytes of runs from before the images that a strategy keeps were counted."""


def named(entry: Entry) -> Cell:
    """The entry's name, how many seeds it has, and where its settings come from."""
    seeds = f"{len(entry.results)} seeds" if len(entry.results) > 1 else ""
    return Cell(entry.label, entry.label.casefold(), "; ".join(filter(None, (seeds, entry.settings_from))))


def changed(entry: Entry) -> Cell:
    """Outputs that changed, and below it tensors on which they depend; a dash where neither was measured."""
    if entry.changed is None:
        return Cell(NOTHING)
    below = f"{entry.owned[0]} of {entry.owned[1]} tensors" if entry.owned else ""
    return Cell(f"{entry.changed[0]} of {entry.changed[1]}", entry.changed[0], below)


def trained(entry: Entry) -> Cell:
    """What a task trains as it ends: in plain backbones, and below it in parameters; older runs have the latter."""
    own, over = float(entry.mean("task_parameters")), float(entry.mean("over_plain"))
    return Cell(f"{fixed(over)}×", over, count(own)) if math.isfinite(over) else Cell(count(own), sortable(own))


def kept(entry: Entry) -> Cell:
    """Bytes that are to be kept to go on: the checkpoint and the training images that are needed again."""
    value = float(entry.mean("kept_bytes"))
    if math.isfinite(value):
        return Cell(quantity(value, "B"), value)
    return Cell(UNCOUNTED if any("stored_bytes" in result.costs for result in entry.results) else NOTHING)

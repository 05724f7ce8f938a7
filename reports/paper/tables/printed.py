"""What is printed in a table of the paper, as cells and as an item of a report."""

import pandas as pd

from benchmark.experiments import paper
from benchmark.experiments.experiment import Experiment, Printed
from reports.items.item import Item
from reports.items.table import Cell, Table

HERE, PRINTED = "measured here", "printed in the paper"
"""The headings above our columns and above the paper's."""


def printed(experiment: Experiment) -> Printed:
    """What is printed of a table; every table of the paper says so."""
    assert experiment.printed is not None, experiment.name
    return experiment.printed


def as_item(experiment: Experiment, table: Table, scope: str = "") -> Item:
    """A table with ours and the printed figures as an item.

    Args:
        experiment: the table's file.
        table: both, side by side.
        scope: the key of the evidence; empty where it depends on no preset.
    """
    said = printed(experiment)
    text = f"{said.caption} Section {said.section}. {said.setting}"
    return Item(experiment.name, scope, experiment.title, table=table, text=text, notes=said.notes)


def as_printed(name: str) -> Item:
    """A table of the paper alone, all texts, for a file beside the page."""
    said = printed(paper.load(name))
    rows = [row.cells for row in said.rows]
    return Item(f"published-{name}", data=pd.DataFrame(rows, columns=said.columns, dtype=object))


def caption(experiment: Experiment) -> str:
    """The caption of a table with both."""
    return f"{experiment.title} of the paper, ours beside the printed one"


def cell(text: str) -> Cell:
    """A printed cell, sorted by the number that it begins with."""
    return Cell(text, float(text.split("/")[0].split("×")[0].split(" ")[0]))

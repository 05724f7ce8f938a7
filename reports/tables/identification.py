"""What it costs not to be told the task: how often it is identified, and the PSNR with and without being told."""

import numpy as np
import pandas as pd

from benchmark.core.tables import INTEGER, NUMBER, TEXT, Schema
from benchmark.core.tables import Column as Field
from reports.groups import Entry, Group
from reports.items.item import Item
from reports.items.table import Cell, Column, Table, number
from reports.results import Array, Quantity
from reports.seeds import facts
from reports.tables.rows import RUN
from reports.text import NOTHING, listed, plain

MATRIX = Schema(
    (
        *RUN,
        Field("place", INTEGER, "1-based place of the images' own task in the stream"),
        Field("task", TEXT, "its name"),
        Field("told_place", INTEGER, "1-based place of the task whose label the network is given"),
        Field("told", TEXT, "its name"),
        Field("psnr", NUMBER, "dB on the test images of the first under the label of the second", optional=True),
        Field("assigned", NUMBER, "share of the images that the task identifier gives to the second", optional=True),
    )
)
"""The tidy wrong-task matrix."""

COLUMNS = [
    Column("strategy"),
    Column("task"),
    Column("accuracy", "", "share of the test images that are given to their own task", best=0),
    Column("told", "PSNR", "dB, under the label of the images' own task"),
    Column("identified", "PSNR", "dB, each image under the label that the task identifier gives it"),
    Column("difference", "PSNR", "dB that are lost or gained by not being told"),
    Column("wrong", "PSNR", "dB, the mean over the labels of the other tasks"),
]

NOTE = (
    "A task identifier gives each test image to one of the learned tasks; it has a prototype for each, made from that "
    "task's own training patches and never changed. Told: the network is given the right task, as everywhere else in "
    "this report. Wrong: the mean over all other tasks."
)


def returns(group: Group) -> str:
    """What is to be known of tasks that come back, which no identifier tells from themselves; empty where none does."""
    defined = group.results[0].config.get("tasks")
    tasks = defined if isinstance(defined, list) else []
    back = [task for task in tasks if isinstance(task, dict) and task.get("again")]
    if not back:
        return ""
    told = listed([f"{plain(task.get('name'))} is {plain(task['again'])} come back" for task in back])
    return (
        f" {told}: nothing tells the two apart, and an image that is given to the other counts as given wrongly, "
        "though it is of the same problem."
    )


def entries(group: Group) -> list[Entry]:
    """Those of which every run was measured without being told the task, too."""
    return [entry for entry in group.entries if all(result.identification for result in entry.results)]


def quantity(name: str) -> Quantity:
    """An attribute of a result's identification, as a quantity."""
    return lambda result: getattr(result.identification, name)


def wrong(told: Array) -> Array:
    """(T,) dB of each task, the mean over the labels of all others; nan for a stream of one task."""
    others = np.where(np.eye(len(told), dtype=bool), np.nan, told)
    return np.array([row[~np.isnan(row)].mean() if (~np.isnan(row)).any() else np.nan for row in others])


def item(group: Group) -> Item | None:
    """The table; None where no run has a task identifier."""
    shown = entries(group)
    if not shown:
        return None
    rows = [row for entry in shown for row in _rows(group, entry)]
    note = " ".join([facts(f"preset {group.preset}", shown), NOTE]) + returns(group)
    table = Table("What it costs not to be told the task", COLUMNS, rows, note=note)
    return Item("identification", group.key, "Told, identified, and told wrongly", table=table)


def frame(group: Group) -> pd.DataFrame:
    """One row per run, task of the images and task told."""
    rows = []
    for label, result in group.labelled:
        found = result.identification
        if found is None:
            continue
        order = [str(task) for task in result.config["order"]]
        about = {"label": label, "seed": result.seed, "run": result.run.name}
        for j, k in np.ndindex(found.told.shape):
            values = {"psnr": found.told[j, k], "assigned": found.assigned[j, k]}
            own = {"place": j + 1, "task": order[j], "told_place": k + 1, "told": order[k]}
            rows.append({**about, **own, **{name: None if np.isnan(one) else one for name, one in values.items()}})
    return MATRIX.frame_of(rows)


def _rows(group: Group, entry: Entry) -> list[list[Cell]]:
    """One row for each task, and the mean over the tasks where there are several."""
    matrix, accuracy = entry.mean(quantity("told")), entry.mean(quantity("accuracy"))
    identified, spread = entry.mean(quantity("psnr")), entry.margin(quantity("psnr"))
    told = entry.margin(quantity("told"))
    rows = [
        _row(
            entry.label, task, accuracy[j], matrix[j, j], identified[j], wrong(matrix)[j], told[j, j], float(spread[j])
        )
        for j, task in enumerate(group.headings)
    ]
    if len(rows) > 1:
        means = (float(np.mean(one)) for one in (accuracy, np.diag(matrix), identified, wrong(matrix)))
        rows.append(_row(entry.label, "all, mean", *means))
    return rows


def _row(
    label: str,
    task: str,
    accuracy: float,
    told: float,
    identified: float,
    wrong: float,
    told_spread: float = np.nan,
    spread: float = np.nan,
) -> list[Cell]:
    share = Cell(NOTHING) if np.isnan(accuracy) else Cell(f"{100 * accuracy:.0f} %", float(accuracy))
    return [
        Cell(label, label.casefold()),
        Cell(task, task),
        share,
        number(told, spread=told_spread),
        number(identified, spread=spread),
        number(identified - told, sign=True),
        number(wrong),
    ]

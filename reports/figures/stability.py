"""How each task fares while others are learned."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmark.core.tables import NUMBER, Column, Schema
from reports.figures.curves import TRAINING
from reports.figures.panels import Lines, panels
from reports.groups import Group
from reports.items.drawing import shorts
from reports.items.item import Item
from reports.stability import followed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLLOWED = Schema(
    (
        *TRAINING.columns,
        Column("moment", NUMBER, "tasks learned so far, the one being learned as far as its epochs are done"),
    )
)
"""Earlier tasks while others are learned."""


def frame(group: Group) -> pd.DataFrame:
    """One row per finished run, earlier task and epoch from the end of the task's own training on."""
    frames = []
    for entry in group.entries:
        for result in entry.results:
            rows = followed(result.run.curves)
            epochs = rows["after"].map(rows.groupby("after")["epoch"].max()).clip(lower=1)
            moment = rows["after"] - 1 + rows["epoch"] / epochs
            rows = rows.assign(label=entry.label, seed=result.seed, run=result.run.name, moment=moment)
            frames.append(rows[FOLLOWED.names])
    return pd.concat(frames, ignore_index=True) if frames else FOLLOWED.frame_of([])


def item(group: Group) -> Item | None:
    """Validation PSNR of every task but the last from its end on; None where no finished run followed earlier tasks."""
    group = replace(group, entries=[entry for entry in group.entries if np.isfinite(entry.mean("mean_dip"))])
    data = frame(group)
    if not len(data):
        return None
    tasks = len(group.order)

    def panel(axis: "Axes", place: int, lines: "Lines") -> None:
        lines.draw(axis, place)
        axis.set_xlim(place - 0.15, tasks + 0.15)
        axis.set_xticks(range(place, tasks + 1), shorts(group.order, 14)[place - 1 :], rotation=30)
        axis.grid(True, axis="x")
        axis.set_xlabel("learned")

    title = "How far each task sinks while others are learned"
    caption = (
        "PSNR on the validation images of each task from the end of its own training on, after every epoch of the "
        "tasks after it. Between two names the second is being learned. A level line has lost nothing at any moment; a "
        "valley is a stability gap, of which the end of a task tells nothing."
    )
    figure = panels(group, data, "moment", panel, "validation PSNR (dB)", caption, title, tasks - 1)
    return Item("stability", group.key, title, drawing=figure, data=data)

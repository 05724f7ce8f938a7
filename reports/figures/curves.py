"""How each task was learned."""

from typing import TYPE_CHECKING

import pandas as pd

from benchmark.core.runs.schemas import CURVES
from benchmark.core.tables import Schema
from reports.figures.panels import Lines, panels
from reports.groups import Group
from reports.items.item import Item
from reports.tables.rows import RUN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAINING = Schema((*RUN, *CURVES.columns))
"""The training curves of several runs."""


def frame(group: Group) -> pd.DataFrame:
    """One row per run, task and epoch: loss, validation PSNR (dB) and learning rate while a task is first learned."""
    frames = []
    for label, result in group.labelled:
        frame = result.run.curves
        if len(frame):
            frame = frame.assign(label=label, seed=result.seed, run=result.run.name)[TRAINING.names]
            frame = frame[frame["after"] == frame.groupby("place")["after"].transform("min")]
            frames.append(frame[frame["place"].between(1, len(group.order))])
    return pd.concat(frames, ignore_index=True) if frames else TRAINING.frame_of([])


def item(group: Group) -> Item | None:
    """Validation PSNR against the epoch, one panel per task; None where no run was trained for an epoch.

    Epoch 0 is before the first update on the task.
    """
    data = frame(group)
    if not len(data):
        return None

    def panel(axis: "Axes", place: int, lines: "Lines") -> None:
        lines.draw(axis, place)
        axis.locator_params(axis="x", integer=True, nbins=6)
        axis.set_xlabel("epoch")

    title = "How each task was learned"
    caption = (
        "PSNR on the validation images after each epoch. Epoch 0 is the network as it comes to the task: what it knows "
        "from the tasks before."
    )
    figure = panels(group, data, "epoch", panel, "validation PSNR (dB)", caption, title) if group.entries else None
    return Item("curves", group.key, title, drawing=figure, data=data)

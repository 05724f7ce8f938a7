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


CUT = (
    "Where a tenth of the points at most lie so far below the others that these could not be told apart, the axis "
    "begins above them: lines leave it at the bottom. The data have their values."
)
"""What is said where an axis does not hold all points."""


def shown(psnr: "pd.Series[float]") -> tuple[float, float] | None:
    """From where to where an axis of PSNR goes, in dB, so that nine tenths of the points fill most of it.

    None where they fill a third of what all points take.
    """
    low, most, top = psnr.min(), psnr.quantile(0.1), psnr.max()
    span = float(top - most)
    return (float(most) - 0.3 * span, float(top) + 0.1 * span) if top - low > 3 * span > 0 else None


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

    limits = [shown(data.loc[data["place"] == place, "psnr"]) for place in range(1, len(group.order) + 1)]

    def panel(axis: "Axes", place: int, lines: "Lines") -> None:
        lines.draw(axis, place)
        axis.set_ylim(limits[place - 1])
        axis.locator_params(axis="x", integer=True, nbins=6)
        axis.set_xlabel("epoch")

    title = "How each task was learned"
    caption = (
        "PSNR on the validation images after each epoch. Epoch 0 is the network as it comes to the task: what it knows "
        "from the tasks before."
    )
    if any(limits):
        caption += f" {CUT}"
    figure = panels(group, data, "epoch", panel, "validation PSNR (dB)", caption, title) if group.entries else None
    return Item("curves", group.key, title, drawing=figure, data=data)

"""What became of each task."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from reports.figures.leading import MOST_LINES, leading
from reports.figures.panels import Lines, panels
from reports.groups import Group
from reports.items.drawing import shorts
from reports.items.item import Item
from reports.items.style import MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def item(group: Group) -> Item | None:
    """PSNR of each task from the moment it was learned to the end of the stream, one panel per task."""
    if not group.entries:
        return None
    tasks = len(group.order)
    named = len(leading(group.entries, MOST_LINES))

    def panel(axis: "Axes", place: int, lines: "Lines") -> None:
        lines.draw(axis, place, apart=0.16 / max(1, named), markers=True)
        _input_line(axis, group, place)
        axis.set_xlim(0.7, tasks + 0.3)
        axis.set_xticks(range(1, tasks + 1), shorts(group.order, 14), rotation=30)
        axis.set_xlabel("after learning")

    title = "What became of each task"
    caption = (
        "PSNR on each task from the moment it was learned to the end of the stream; a level line has forgotten "
        "nothing. Dashed: the degraded input. Points are moved sideways a little where they would hide each other."
    )
    figure = panels(group, _since_learned(group), "after", panel, "PSNR (dB)", caption, title, markers=True)
    return Item("forgetting", group.key, title, drawing=figure)


def _since_learned(group: Group) -> pd.DataFrame:
    """One row per run, task and moment since it was learned: label, seed, place and after (from 1), PSNR in dB."""
    rows = [
        (entry.label, result.seed, j + 1, i + 1, result.psnr[i, j])
        for entry in group.entries
        for result in entry.results
        for i, j in zip(*np.tril_indices(len(group.order)), strict=True)
    ]
    return pd.DataFrame(rows, columns=["label", "seed", "place", "after", "psnr"])


def _input_line(axis: "Axes", group: Group, place: int) -> None:
    value = group.input("psnr")[place - 1]
    if np.isfinite(value):
        axis.margins(y=0.14)
        axis.axhline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axis.annotate(
            "degraded input",
            (0.02, value),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=7.5,
            color=MUTED,
        )

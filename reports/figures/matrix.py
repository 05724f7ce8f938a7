"""PSNR on every task after every task."""

from typing import TYPE_CHECKING

import numpy as np

from reports.figures.heat import maps, number
from reports.figures.leading import MOST_LINES, MOST_PANELS, leading
from reports.groups import Group
from reports.items.drawing import Drawing
from reports.items.item import Item
from reports.items.style import GRID, INK, MUTED
from reports.tables import matrix
from reports.text import fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def item(group: Group) -> Item | None:
    """The matrices as a figure, and as tables below it; None where nothing was measured."""
    data = matrix.frame(group)
    if not (len(data) or group.entries):
        return None
    return Item(
        "matrix",
        group.key,
        "PSNR on every task after every task",
        drawing=matrices(group) if group.entries else None,
        data=data,
        details=[matrix.table(group, entry) for entry in group.entries],
    )


def matrices(group: Group) -> Drawing:
    """PSNR on every task after every task, one panel per entry, coloured by the change since the task was learned.

    Of more than MOST_PANELS entries the leading ones are drawn; of more than MOST_LINES where some came with the suite.
    """
    tasks = len(group.order)
    most = MOST_LINES if any(entry.reference for entry in group.entries) else MOST_PANELS
    shown = leading(group.entries, most)
    found = [entry.mean("psnr") for entry in shown]

    def write(axis: "Axes", place: int) -> None:
        psnr = found[place]
        _not_yet(axis, psnr)
        for i, j in zip(*np.tril_indices(tasks), strict=True):
            if np.isfinite(psnr[i, j]):
                number(axis, i, j, fixed(psnr[i, j]), 8.5 if tasks < 7 else 7, INK)

    return maps(
        group,
        shown,
        len(group.entries),
        [entry.mean("change") for entry in shown],
        write,
        words=("after learning", "PSNR (dB) on", "change since learned (dB)"),
        cell=(0.5, 0.42),
        caption="Each row is a moment in the stream, each column a task; the figure is the PSNR on that task at that "
        "moment. The diagonal is the moment a task was learned. Colour is the change since then: orange was lost, "
        "violet was gained. Hatched: not learned yet.",
        description="; ".join(
            f"{entry.label}: mean forgetting {fixed(float(entry.mean('mean_forgetting')))} dB" for entry in shown
        ),
    )


def _not_yet(axis: "Axes", psnr: np.ndarray) -> None:
    """Hatch the tasks not learned yet, and write their PSNR in a quiet colour."""
    from matplotlib.patches import Polygon

    tasks = len(psnr)
    if tasks > 1:
        stairs = [corner for i in range(1, tasks) for corner in ((i, i - 1), (i, i))]
        axis.add_patch(
            Polygon([*stairs, (tasks, tasks - 1), (tasks, 0)], facecolor="none", edgecolor=GRID, hatch="////", lw=0)
        )
    for i, j in zip(*np.triu_indices(tasks, 1), strict=True):
        if np.isfinite(psnr[i, j]):
            number(axis, i, j, fixed(psnr[i, j]), 7.5, MUTED)

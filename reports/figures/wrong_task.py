"""PSNR on every task under the label of every task."""

from typing import TYPE_CHECKING

import numpy as np

from reports.figures.heat import maps, number
from reports.figures.leading import MOST_PANELS, leading
from reports.groups import Group
from reports.items.drawing import Drawing
from reports.items.item import Item
from reports.items.style import INK
from reports.tables.identification import entries, frame, quantity, returns
from reports.text import fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def item(group: Group) -> Item | None:
    """The wrong-task matrices as a figure; None where no run has a task identifier."""
    data = frame(group)
    if data.empty:
        return None
    drawn = matrices(group) if entries(group) else None
    return Item("wrong-task", group.key, "What a wrong task costs", drawing=drawn, data=data)


def matrices(group: Group) -> Drawing:
    """PSNR on every task under every label, one panel per entry, coloured by what is lost against the right label.

    Of more than MOST_PANELS entries the leading ones are drawn.
    """
    tasks, measured = len(group.order), entries(group)
    shown = leading(measured, MOST_PANELS)
    told = [entry.mean(quantity("told")) for entry in shown]
    assigned = [entry.mean(quantity("assigned")) for entry in shown]

    def write(axis: "Axes", place: int) -> None:
        for j, k in np.ndindex(tasks, tasks):
            psnr, share = told[place][j, k], assigned[place][j, k]
            if np.isfinite(psnr):
                number(axis, j, k, fixed(psnr), 8.5 if tasks < 7 else 7, INK, down=0.36)
            if share > 0:
                number(axis, j, k, f"{100 * share:.0f} %", 7 if tasks < 7 else 6, INK, down=0.74)

    return maps(
        group,
        shown,
        len(measured),
        [matrix - np.diag(matrix)[:, None] for matrix in told],
        write,
        words=("images of", "PSNR (dB), told that it is", "against the right task (dB)"),
        cell=(0.58, 0.48),
        caption="Each row is a task whose test images are restored, each column the task that the network is told; the "
        "figure is the PSNR after the whole stream. On the diagonal it is told right. Colour is the difference to "
        "that: orange is lost, violet is gained. In small: the share of the row's images that the task identifier "
        "gives to the column." + returns(group),
        description="; ".join(
            f"{entry.label}: {100 * float(np.trace(shares)) / tasks:.0f} % of the images are given to their own task, "
            "in the mean over the tasks"
            for entry, shares in zip(shown, assigned, strict=True)
        ),
    )

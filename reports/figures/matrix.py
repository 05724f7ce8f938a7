"""PSNR on every task after every task."""

from typing import TYPE_CHECKING, Any

import numpy as np

from reports.figures.leading import CHOICE, MOST_LINES, MOST_PANELS, leading
from reports.groups import Group
from reports.items.drawing import WIDTH, Drawing, drawing, short, wrapped
from reports.items.item import Item
from reports.items.style import GRID, INK, MUTED, change_colours, looks
from reports.tables import matrix
from reports.text import fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    tasks, colours = len(group.order), looks(group.labels)
    most = MOST_LINES if any(entry.reference for entry in group.entries) else MOST_PANELS
    shown = leading(group.entries, most)
    width = 0.5 * tasks + 0.4
    columns = min(len(shown), max(1, int(WIDTH / width)))
    rows = -(-len(shown) // columns)
    titles = [wrapped(entry.label, width - 0.2) for entry in shown]
    changes = [entry.mean("change") for entry in shown]
    limit = max(1.0, float(np.nanmax([np.abs(c[np.isfinite(c)]).max(initial=0.0) for c in changes])))

    def draw(figure: "Figure") -> None:
        places, names = np.arange(tasks) + 0.5, [short(task, 14) for task in group.order]
        slanted = tasks > 4 or max(len(task) for task in group.order) > 8
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis in axes.flat[len(shown) :]:
            axis.set_axis_off()
        mesh = None
        for axis, entry, title, change in zip(axes.flat, shown, titles, changes, strict=False):
            psnr = entry.mean("psnr")
            axis.grid(False)
            axis.spines[:].set_visible(False)
            mesh = axis.pcolormesh(
                np.ma.masked_invalid(change),
                vmin=-limit,
                vmax=limit,
                cmap=change_colours(),
                edgecolor=GRID,
                linewidth=0.8,
            )
            if tasks > 5:
                axis.set_aspect("equal")
            _not_yet(axis, psnr)
            for i, j in zip(*np.tril_indices(tasks), strict=True):
                if np.isfinite(psnr[i, j]):
                    _number(axis, i, j, psnr[i, j], 8.5 if tasks < 7 else 7, INK)
            axis.set_title(title, color=colours[entry.label].colour, pad=6)
            axis.tick_params(labelsize=8, labelbottom=True)
        axes[0, 0].set(xlim=(0, tasks), ylim=(tasks, 0))  # shared by all panels, as are the ticks
        axes[0, 0].set_xticks(places, names)
        axes[0, 0].set_yticks(places, names)
        for label in (label for axis in axes[:, 0] for label in axis.get_yticklabels()):
            label.set_verticalalignment("center")
        for axis in axes.flat[: len(shown)] if slanted else ():
            axis.tick_params(axis="x", rotation=35)
        for axis in axes[:, 0]:
            axis.set_ylabel("after learning")
        for axis in axes.flat[max(0, len(shown) - columns) : len(shown)]:
            axis.set_xlabel("PSNR (dB) on")
        assert mesh is not None
        bar = figure.colorbar(mesh, ax=axes, shrink=min(1.0, 2.2 / (rows * 2.0) + 0.2), pad=0.015, aspect=18)
        bar.set_label("change since learned (dB)")
        bar.outline.set_visible(False)
        if bar.solids is not None:
            bar.solids.set(rasterized=True, edgecolor="none")  # as an image: single cells would show their seams

    caption = (
        "Each row is a moment in the stream, each column a task; the figure is the PSNR on that task at that moment. "
        "The diagonal is the moment a task was learned. Colour is the change since then: orange was lost, violet was "
        "gained. Hatched: not learned yet."
    )
    if len(shown) < len(group.entries):
        caption += (
            f" Shown are {len(shown)} of {len(group.entries)}, {CHOICE}; the numbers of the other "
            f"{len(group.entries) - len(shown)} stand in the tables."
        )
    return drawing(
        caption,
        "; ".join(
            f"{entry.label}: mean forgetting {fixed(float(entry.mean('mean_forgetting')))} dB" for entry in shown
        ),
        (
            min(WIDTH, columns * width + 1.8),
            rows * (0.42 * tasks + 0.75 + 0.16 * max(title.count("\n") for title in titles)) + 0.2,
        ),
        draw,
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
            _number(axis, i, j, psnr[i, j], 7.5, MUTED)


def _number(axis: "Axes", row: Any, column: Any, value: float, size: float, colour: str) -> None:
    axis.text(
        column + 0.5,
        row + 0.5,
        fixed(value),
        ha="center",
        va="center",
        fontsize=size,
        color=colour,
        in_layout=False,  # inside of its panel, so that the layout need not measure it
    )

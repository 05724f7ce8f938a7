"""Matrices of PSNR side by side, one panel per entry, in which colour is a difference in dB."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reports.figures.leading import CHOICE
from reports.groups import Entry, Group
from reports.items.drawing import WIDTH, Drawing, drawing, shorts, wrapped
from reports.items.style import GRID, change_colours, looks
from reports.results import Array
from reports.seeds import several

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

NARROWEST = 1.6
"""Inches of a panel, of however few tasks, so that its title need not be cut within a word."""

LOWEST = 2.2
"""Inches of a figure, of however few tasks, so that what colour is has room beside it."""


def maps(
    group: Group,
    shown: Sequence[Entry],
    of: int,
    changes: Sequence[Array],
    write: Callable[["Axes", int], None],
    *,
    words: tuple[str, str, str],
    cell: tuple[float, float],
    caption: str,
    description: str,
) -> Drawing:
    """One panel for each entry: T × T cells, a row and a column for each task of the stream.

    Args:
        group: has the tasks, and the entries' colours.
        shown: the entries.
        of: how many there are, of which these are shown; the caption tells where they are not all.
        changes: of each entry (T, T) dB, which colour shows; nan has none.
        write: writes into the panel of the entry at a place.
        words: what a row is, what a column is, and what colour is.
        cell: width and height of a cell in inches.
        caption: how to read it.
        description: what it says to those who cannot see it.
    """
    tasks, colours = len(group.order), looks(group.labels)
    width = max(NARROWEST, cell[0] * tasks + 0.4)
    columns = min(len(shown), max(1, int(WIDTH / width)))
    rows = -(-len(shown) // columns)
    titles = wrapped((entry.label for entry in shown), width - 0.2)
    limit = max(1.0, *(float(np.abs(c[np.isfinite(c)]).max(initial=0.0)) for c in changes))

    def draw(figure: "Figure") -> None:
        places, names = np.arange(tasks) + 0.5, shorts(group.order, 14)
        slanted = tasks > 4 or max(len(task) for task in group.order) > 8
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis in axes.flat[len(shown) :]:
            axis.set_axis_off()
        mesh = None
        for place, axis in enumerate(axes.flat[: len(shown)]):
            mesh = cells(axis, changes[place], limit)
            if tasks > 5:
                axis.set_aspect("equal")
            write(axis, place)
            axis.set_title(titles[place], color=colours[shown[place].label].colour, pad=6)
            axis.tick_params(labelsize=8, labelbottom=True)
        axes[0, 0].set(xlim=(0, tasks), ylim=(tasks, 0))  # shared by all panels, as are the ticks
        axes[0, 0].set_xticks(places, names)
        axes[0, 0].set_yticks(places, names)
        for label in (label for axis in axes[:, 0] for label in axis.get_yticklabels()):
            label.set_verticalalignment("center")
        for axis in axes.flat[: len(shown)] if slanted else ():
            axis.tick_params(axis="x", rotation=35)
        for axis in axes[:, 0]:
            axis.set_ylabel(words[0])
        for axis in axes.flat[max(0, len(shown) - columns) : len(shown)]:
            axis.set_xlabel(words[1])
        assert mesh is not None
        scale(figure, mesh, axes, words[2], shrink=min(1.0, 2.2 / (rows * 2.0) + 0.2), pad=0.015)

    if several(shown):
        caption += " Figures are means over the seeds."
    if len(shown) < of:
        caption += (
            f" Shown are {len(shown)} of {of}, {CHOICE}; the numbers of the other {of - len(shown)} stand in the "
            "tables."
        )
    height = cell[1] * tasks + 0.75 + 0.16 * max(title.count("\n") for title in titles)
    return drawing(caption, description, (min(WIDTH, columns * width + 1.8), max(LOWEST, rows * height + 0.2)), draw)


def cells(axis: "Axes", values: Array, limit: float) -> "QuadMesh":
    """A panel's cells in the colours of differences in dB from −limit to limit; nan has none."""
    axis.grid(False)
    axis.spines[:].set_visible(False)
    return axis.pcolormesh(
        np.ma.masked_invalid(values),
        vmin=-limit,
        vmax=limit,
        cmap=change_colours(),
        edgecolor=GRID,
        linewidth=0.8,
    )


def scale(figure: "Figure", mesh: "QuadMesh", axes: Any, label: str, **options: Any) -> None:
    """The colours of some panels' cells beside these, with what they mean; options are those of a colour bar."""
    bar = figure.colorbar(mesh, ax=axes, aspect=18, **options)
    bar.set_label(label)
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set(rasterized=True, edgecolor="none")  # as an image: single cells would show their seams


def number(
    axis: "Axes", row: Any, column: Any, text: str, size: float, colour: str, down: float = 0.5, weight: str = "normal"
) -> None:
    """Write into a cell of a panel, ``down`` from its upper edge, where 1 is its height."""
    axis.text(
        column + 0.5,
        row + down,
        text,
        ha="center",
        va="center",
        fontsize=size,
        fontweight=weight,
        color=colour,
        in_layout=False,  # inside of its panel, so that the layout need not measure it
    )

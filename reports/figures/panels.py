"""One panel for each task, with a line for each strategy."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reports.figures.leading import CHOICE, MOST_LINES, leading
from reports.groups import Group
from reports.items.drawing import WIDTH, Drawing, drawing, shorts, wrapped
from reports.items.style import INK, MUTED, Look, looks, told_apart
from reports.seeds import several

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def panels(
    group: Group,
    frame: pd.DataFrame,
    x: str,
    panel: Callable[["Axes", int, "Lines"], None],
    unit: str,
    caption: str,
    description: str,
    first: int | None = None,
    markers: bool = False,
) -> Drawing:
    """One panel per task, with a legend of the strategies below.

    Args:
        group: what is compared.
        frame: tidy, with the columns label, seed, place, psnr and x.
        x: the column on the horizontal axis.
        panel: draws one panel, given the task's place (from 1).
        unit: the name of the vertical axis.
        caption, description: as in Drawing.
        first: how many of the tasks have a panel, from the first one on; None for all.
        markers: whether lines have markers, which the legend then shows.
    """
    headings = group.headings[:first]
    columns = min(len(headings), 4)
    rows = -(-len(headings) // columns)
    chosen = [entry.label for entry in leading(group.entries, MOST_LINES)]
    others = [entry.label for entry in group.entries if entry.label not in set(chosen)]
    lines = Lines(frame, x, told_apart(chosen, looks(group.labels)), others)
    if others:
        caption += (
            f" In colour: {len(chosen)} of {len(group.entries)}, {CHOICE}. The other {len(others)} are thin grey "
            "lines, their numbers stand in the tables."
        )
    if several(group.entries):
        caption += " Lines are means over the seeds, bands one standard deviation to each side."
    titles = wrapped((f"{place}  {heading}" for place, heading in enumerate(headings, 1)), WIDTH / columns - 0.4)
    names = shorts(chosen, 44)
    across = max(1, min(4, int(WIDTH / (0.6 + 0.078 * max(len(text) for text in names)))))

    def draw(figure: "Figure") -> None:
        from matplotlib.lines import Line2D

        axes = figure.subplots(rows, columns, squeeze=False)
        for axis in axes.flat[len(headings) :]:
            axis.set_axis_off()
        for place, (axis, heading) in enumerate(zip(axes.flat, titles, strict=False), 1):
            panel(axis, place, lines)
            axis.set_title(heading)
            axis.set_ylabel(unit if (place - 1) % columns == 0 else "")
            axis.tick_params(labelsize=8)
        handles = [
            Line2D(
                [],
                [],
                color=look.colour,
                marker=look.marker if markers else None,
                markersize=5,
                dashes=look.dash or (1, 0),
            )
            for look in lines.looks.values()
        ]
        figure.legend(handles, names, loc="outside lower center", ncols=across, labelcolor=INK, handlelength=3)

    height = rows * (2.3 + 0.16 * max(text.count("\n") for text in titles)) + 0.25 * (1 + len(chosen) // across)
    return drawing(caption, description, (WIDTH, height), draw)


class Lines:
    """Lines of PSNR over x: the mean over seeds, with a band of one standard deviation.

    Args:
        frame: tidy, with the columns label, seed, place, psnr and x.
        x: the column on the horizontal axis.
        looks: labels that are drawn in colour, and how.
        others: labels that are drawn as thin grey lines.
    """

    def __init__(self, frame: pd.DataFrame, x: str, looks: Mapping[str, Look], others: Sequence[str]) -> None:
        self.looks, self.others = looks, others
        known = frame[frame["label"].isin({*looks, *others})].dropna(subset=["psnr"])
        if len(known):  # two measurements of a seed at one x, as where one task ends and the next begins, are one
            known = known.groupby(["place", "label", "seed", x])["psnr"].mean().reset_index()
        means = known.groupby(["place", "label", x])["psnr"].agg(["mean", "std"]).reset_index() if len(known) else known
        self._lines: dict[Any, np.ndarray] = {
            key: part[[x, "mean", "std"]].to_numpy(float).T
            for key, part in (means.groupby(["place", "label"], sort=False) if len(means) else ())
        }

    def draw(self, axis: "Axes", place: int, apart: float = 0.0, markers: bool = False) -> None:
        """Draw the lines of a task, each in colour moved sideways from the one before by ``apart``."""
        grey = [line for label in self.others if (line := self._lines.get((place, label))) is not None]
        paths = [np.append(line[:2], np.full((2, 1), np.nan), axis=1) for line in grey if line.shape[1] > 1]
        points = [line[:2] for line in grey if line.shape[1] == 1]
        if paths:
            axis.plot(*np.concatenate(paths, axis=1), color=MUTED, linewidth=0.5, alpha=0.6, zorder=1.5)
        if points:
            axis.plot(
                *np.concatenate(points, axis=1),
                color=MUTED,
                linestyle="",
                marker=".",
                markersize=3,
                alpha=0.6,
                zorder=1.5,
            )
        for number, (label, look) in enumerate(self.looks.items()):
            line = self._lines.get((place, label))
            if line is None:
                continue
            x, mean, deviation = line
            x = x + apart * (number - (len(self.looks) - 1) / 2)
            axis.plot(
                x,
                mean,
                color=look.colour,
                dashes=look.dash or (None, None),
                marker=look.marker if markers else None,
                markersize=6,
                markeredgewidth=0,
            )
            if np.isfinite(deviation).any():
                axis.fill_between(x, mean - deviation, mean + deviation, color=look.colour, alpha=0.2, linewidth=0)

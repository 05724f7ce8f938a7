"""The paper's figures of what a task takes from earlier ones: Figure 4, Figure 5 and Figure 6."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from reports.figures.drawing import WIDTH, drawing
from reports.figures.style import INK, MUTED, SERIES
from reports.groups import Entry
from reports.item import Item
from reports.page.pictures import Scene, Shown, error_map, kept_images, look
from reports.paper.control import COMPARES, control, curve
from reports.paper.evidence import FOUR_TASKS, Family
from reports.paper.tables import EXPERIMENTS
from reports.results import Array
from reports.text import fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WITH, WITHOUT, COPY = "with sharing", "without sharing", "a copy to start from"

COLOURS = dict(zip((WITH, WITHOUT, COPY), SERIES, strict=False))
DASHES = {WITH: (1, 0), WITHOUT: (4, 1.5), COPY: (1, 1)}

CONTROL = (
    "Dotted, and not in the paper: a control, which starts from a copy of the last kernel and bias and shares nothing "
    "afterwards."
)

SHARES = (0.05, 0.0125)
"""Shares of the memory in Figure 4."""

SMALLEST = 0.0125
"""Share of the memory in Figures 5 and 6."""


def beside(family: Family) -> list[Item]:
    """Those figures of the paper for which the family has all runs."""
    return [item for item in (last_task(family), strips(family), places(family)) if item is not None]


def last_task(family: Family) -> Item | None:
    """Figure 4: validation PSNR after each epoch of the last task, one panel for each share of the memory.

    Where the control was run (:mod:`reports.paper.control`), its curve stands beside the paper's two.
    """
    task = FOUR_TASKS[-1]
    found: dict[float, dict[str, Array]] = {}
    for share in SHARES:
        pair = {
            name: family.find(fraction=share, sharing=sharing) for name, sharing in ((WITH, "fixed"), (WITHOUT, "none"))
        }
        curves = {name: values for name, entry in pair.items() if entry is not None and len(values := curve(entry))}
        if len(curves) < 2:
            continue
        found[share] = curves
        copied = control(family, fraction=share)
        if copied is not None and len(values := curve(copied)):
            found[share][COPY] = values
    if not found:
        return None
    gaps = {
        share: {name: float(values[0] - curves[WITHOUT][0]) for name, values in curves.items()}
        for share, curves in found.items()
    }
    controls = any(COPY in curves for curves in found.values())

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
        for axis, (share, curves) in zip(axes, found.items(), strict=True):
            for name, values in curves.items():
                epochs = np.arange(1, len(values) + 1)
                style = {"color": COLOURS[name], "dashes": DASHES[name]}
                axis.plot(epochs, values, marker="o", markersize=3, label=name, **style)
            longest = max(len(values) for values in curves.values())
            axis.set_xlim(1 - 0.24 * longest, longest + 0.04 * longest)
            axis.set_xticks(sorted({1, *range(4, longest + 1, max(4, longest // 20 * 4))}))
            _gap(axis, float(curves[WITHOUT][0]), float(curves[WITH][0]))
            axis.set_title(f"{100 * share:g} % of the memory for each task")
            axis.set_xlabel(f"epoch of {task}")
        axes[0].set_ylabel("validation PSNR (dB)")
        max(axes[::-1], key=lambda axis: len(axis.lines)).legend(loc="lower right")

    figure = drawing(
        f"PSNR on the validation images after each epoch of {task}, the last of four tasks, with the knowledge of the "
        f"three before and without it. The arrow marks the gap after the first epoch. {COMPARES}"
        + (f" {CONTROL}" if controls else ""),
        "; ".join(
            f"{100 * share:g} %: gap {fixed(gap[WITH], sign=True)} dB"
            + (f", from a copy {fixed(gap[COPY], sign=True)} dB" if COPY in gap else "")
            for share, gap in gaps.items()
        ),
        (WIDTH if len(found) > 1 else WIDTH / 2, 3.0),
        draw,
    )
    return Item("figure4", family.key, "Figure 4: the last task, epoch by epoch", drawing=figure)


def places(family: Family) -> Item | None:
    """Figure 6: PSNR of each task against its place in the order, one panel for each task."""
    found = [family.find(order=order, fraction=SMALLEST, sharing="fixed") for order in EXPERIMENTS]
    entries = [entry for entry in found if entry is not None]
    if len(entries) < len(EXPERIMENTS):
        return None
    alone = family.find(fraction=SMALLEST, sharing="none")
    values = {task: _by_place(entries, task, "mean") for task in FOUR_TASKS}
    spreads = {task: _by_place(entries, task, "spread") for task in FOUR_TASKS}

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(1, len(FOUR_TASKS))
        for axis, task in zip(axes, FOUR_TASKS, strict=True):
            place = np.arange(1, len(EXPERIMENTS) + 1)
            bars = np.nan_to_num(spreads[task])
            axis.errorbar(place, values[task], bars, color=COLOURS[WITH], marker="o", markersize=5, capsize=3)
            if alone is not None:
                level = float(alone.mean("final_psnr")[FOUR_TASKS.index(task)])
                axis.axhline(level, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
            axis.set_title(task)
            axis.set_xticks(place)
            axis.set_xlim(0.7, len(EXPERIMENTS) + 0.3)
            axis.set_xlabel("place in the order")
            axis.margins(y=0.15)
        axes[0].set_ylabel("PSNR (dB)")

    lines = (f"{task} {' / '.join(fixed(float(value)) for value in values[task])}" for task in FOUR_TASKS)
    figure = drawing(
        f"Test PSNR of each task when it is learned first, second, third or last, at {100 * SMALLEST:g} % of the "
        "memory. Bars are one standard deviation over seeds, where there are several. Dashed: the same task learned "
        "without sharing.",
        f"PSNR at place 1 / 2 / 3 / 4: {'; '.join(lines)}",
        (WIDTH, 2.7),
        draw,
    )
    return Item("figure6", family.key, "Figure 6: a task at each place in the order", drawing=figure)


def scenes(family: Family) -> list[Scene]:
    """Figure 5: for each task a test image, restored without sharing and by the run that learned the task last."""
    alone = family.find(fraction=SMALLEST, sharing="none")
    found = []
    for task in FOUR_TASKS:
        order = next(order for order in EXPERIMENTS if order[-1] == task)
        last = family.find(order=order, fraction=SMALLEST, sharing="fixed")
        if alone is None or last is None:
            continue
        runs = {WITHOUT: alone.results[0].run, f"{WITH}, learned last": last.results[0].run}
        images = kept_images(list(runs.values())).get(task, [])
        found += [Scene(f"{family.key}-figure5", task, image, runs) for image in images[:1]]
    return found


def strips(family: Family) -> Item | None:
    """Figure 5 as a figure: for each task the whole picture, and the enlarged part as restored and its errors."""
    shown = [(scene, picture) for scene in scenes(family) if (picture := look(scene)) and not picture.missing]
    if not shown:
        return None

    def draw(figure: "Figure") -> None:
        columns = max(len(picture.pictures) for _, picture in shown) + 2
        grid = figure.subplots(2 * len(shown), columns, squeeze=False)
        for axis in grid.flat:
            axis.set_axis_off()
        for row, (scene, picture) in enumerate(shown):
            _scene(grid[2 * row : 2 * row + 2], scene, picture)

    figure = drawing(
        f"Test images at {100 * SMALLEST:g} % of the memory: restored without sharing, and by the run that learned the "
        "task last, with what three tasks before had taught. The framed part is enlarged; below it its error, bright "
        "where it is far off.",
        "Pictures of " + ", ".join(scene.task for scene, _ in shown),
        (WIDTH, 3.1 * len(shown)),
        draw,
    )
    return Item("figure5", family.key, "Figure 5: pictures without and with sharing", drawing=figure)


def _scene(axes: np.ndarray, scene: Scene, shown: Shown) -> None:
    from matplotlib.patches import Rectangle

    from benchmark.core.metrics import psnr

    left, top, side = shown.crop
    part = np.s_[top : top + side, left : left + side]
    whole, below = axes[:, 0]
    whole.imshow(shown.clean, interpolation="nearest")
    whole.add_patch(Rectangle((left, top), side, side, facecolor="none", edgecolor="#d55e00", linewidth=1.2))
    whole.set_title(scene.task, fontsize=9)
    below.text(0.5, 0.9, scene.image, ha="center", va="top", fontsize=8, color=MUTED, transform=below.transAxes)
    for (above, error), (label, picture) in zip(
        axes.T[1:], [*shown.pictures.items(), ("clean", shown.clean)], strict=False
    ):
        above.imshow(picture[part], interpolation="nearest")
        value = "" if label == "clean" else f"\n{fixed(psnr(shown.clean, picture))} dB"
        above.set_title(f"{label}{value}", fontsize=8, fontweight="normal")
        if label != "clean":
            error.imshow(error_map(picture[part], shown.clean[part]), interpolation="nearest")


def _by_place(entries: list[Entry], task: str, statistic: str) -> Array:
    """(4,) dB: a statistic of the task's final PSNR over seeds, by the place at which it was learned."""
    found: Mapping[int, float] = {
        order.index(task): float(getattr(entry, statistic)("final_psnr")[order.index(task)])
        for order, entry in zip(EXPERIMENTS, entries, strict=True)
    }
    return np.array([found[place] for place in sorted(found)])


def _gap(axis: "Axes", low: float, high: float) -> None:
    """Mark the gap after the first epoch."""
    axis.annotate(
        "",
        (1, high),
        (1, low),
        arrowprops={"arrowstyle": "<->", "color": INK, "linewidth": 1, "shrinkA": 3, "shrinkB": 3},
    )
    axis.annotate(
        f"{fixed(high - low, sign=True)} dB",
        (1, (low + high) / 2),
        xytext=(-6, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=9,
        color=INK,
    )

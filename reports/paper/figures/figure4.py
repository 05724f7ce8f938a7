"""Figure 4: the last task, epoch by epoch, with what earlier tasks know and without it."""

from typing import TYPE_CHECKING

import numpy as np

from benchmark.experiments import paper
from reports.items.drawing import WIDTH, drawing
from reports.items.item import Item
from reports.items.style import INK
from reports.paper.control import COMPARES, curves
from reports.paper.evidence import FOUR_TASKS, Evidence
from reports.paper.figures.sharing import COLOURS, COPY, DASHES, KINDS, WITH, WITHOUT
from reports.results import Array
from reports.text import fixed, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CONTROL = (
    "Dotted, and not in the paper: a control, which starts from a copy of the last kernel and bias and shares nothing "
    "afterwards."
)


def item(evidence: Evidence) -> Item | None:
    """Validation PSNR after each epoch of the last task, one panel for each share of the memory.

    Where the control was run (:mod:`reports.paper.control`), its curve stands beside the paper's two.
    """
    experiment, task = paper.load("figure4"), FOUR_TASKS[-1]
    found: dict[float, dict[str, Array]] = {}
    seeds: dict[float, list[int]] = {}
    for share in experiment.vary["cmc.fraction"]:
        known = {name: evidence.find(fraction=share, sharing=sharing) for name, sharing in KINDS.items()}
        entries = {name: entry for name, entry in known.items() if entry is not None}
        if WITH in entries and WITHOUT in entries:
            common, drawn = curves(entries)
            if drawn:
                found[share], seeds[share] = drawn, common
    if not found:
        return None
    gaps = {
        share: {name: float(values[0] - drawn[WITHOUT][0]) for name, values in drawn.items()}
        for share, drawn in found.items()
    }
    controls = any(COPY in drawn for drawn in found.values())
    of = "; ".join(f"{100 * share:g} %: {listed([str(seed) for seed in own])}" for share, own in seeds.items())

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
        for axis, (share, drawn) in zip(axes, found.items(), strict=True):
            for name, values in drawn.items():
                epochs = np.arange(1, len(values) + 1)
                style = {"color": COLOURS[name], "dashes": DASHES[name]}
                axis.plot(epochs, values, marker="o", markersize=3, label=name, **style)
            longest = max(len(values) for values in drawn.values())
            axis.set_xlim(1 - 0.24 * longest, longest + 0.04 * longest)
            axis.set_xticks(sorted({1, *range(4, longest + 1, max(4, longest // 20 * 4))}))
            _gap(axis, float(drawn[WITHOUT][0]), float(drawn[WITH][0]))
            axis.set_title(f"{100 * share:g} % of the memory for each task")
            axis.set_xlabel(f"epoch of {task}")
        axes[0].set_ylabel("validation PSNR (dB)")
        max(axes[::-1], key=lambda axis: len(axis.lines)).legend(loc="lower right")

    figure = drawing(
        f"PSNR on the validation images after each epoch of {task}, the last of four tasks, with the knowledge of the "
        f"three before and without it. The arrow marks the gap after the first epoch. Means over the "
        f"seeds that all curves of a panel have ({of}). {COMPARES}" + (f" {CONTROL}" if controls else ""),
        "; ".join(
            f"{100 * share:g} %: gap {fixed(gap[WITH], sign=True)} dB"
            + (f", from a copy {fixed(gap[COPY], sign=True)} dB" if COPY in gap else "")
            for share, gap in gaps.items()
        ),
        (WIDTH if len(found) > 1 else WIDTH / 2, 3.0),
        draw,
    )
    return Item("figure4", evidence.key, "Figure 4: the last task, epoch by epoch", drawing=figure)


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

"""What PSNR costs: mean PSNR after the whole stream against bytes stored and against computation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reports.figures import WIDTH, Drawing, drawing, short
from reports.results import Entry, Group
from reports.style import INK, MUTED, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AXES = (
    ("stored_bytes", 1024.0, "stored (KiB)"),
    ("macs_per_pixel", 1000.0, "multiply-accumulates per pixel (thousands)"),
)
"""Quantity of the ledger, what it is divided by, and how the axis is called."""

GAP = 0.058
"""Distance between two labels as a share of the panel's height."""


def pareto(group: Group, looks: Mapping[str, Look]) -> Drawing | None:
    """Mean PSNR against bytes and against multiply-accumulates; None where no run has told its costs.

    Args:
        group: what is compared.
        looks: how each label is drawn.
    """
    known = [entry for entry in group.entries if all(np.isfinite(_cost(entry, name)) for name, *_ in AXES)]
    if not known:
        return None

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(1, 2)
        for axis, (name, unit, title) in zip(axes, AXES, strict=True):
            _panel(axis, known, np.array([_cost(entry, name) / unit for entry in known]), looks)
            axis.set_xlabel(title)
        axes[0].set_ylabel("mean PSNR (dB)")

    return drawing(
        f"{group.key}-pareto",
        "What PSNR costs",
        "Mean PSNR over all tasks after the whole stream, against the bytes of the network with all that its strategy "
        "keeps, and against the computation of a restored pixel. Costs are on logarithmic axes. The line joins what "
        "nothing else beats in both.",
        "What PSNR costs",
        (WIDTH, max(3.2, 0.2 * len(known) + 0.8)),
        draw,
    )


def front(costs: np.ndarray, gains: np.ndarray) -> list[int]:
    """The places of the points that no other beats, cheapest first: every cheaper or equally cheap one gains less.

    Args:
        costs: N values, less is better.
        gains: N values, more is better.
    """
    best = -np.inf
    kept = []
    for place in np.lexsort((-gains, costs)).tolist():
        if gains[place] > best:
            kept.append(place)
            best = gains[place]
    return kept


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Heights from 0 to 1 near those wanted, in the same order, that lie at least ``gap`` apart.

    Where there are too many for the gap, they are spaced evenly.
    """
    count = len(wanted)
    gap = min(gap, 1 / max(1, count - 1))
    order = np.argsort(wanted, kind="stable")
    heights = np.array([wanted[place] for place in order], float)
    for i in range(1, count):
        heights[i] = max(heights[i], heights[i - 1] + gap)
    ceiling = 1.0
    for i in range(count - 1, -1, -1):
        heights[i] = min(heights[i], ceiling)
        ceiling = heights[i] - gap
    placed = [0.0] * count
    for place, height in zip(order.tolist(), heights.tolist(), strict=True):
        placed[place] = max(0.0, height)
    return placed


def _panel(axis: "Axes", entries: Sequence[Entry], costs: np.ndarray, looks: Mapping[str, Look]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    gains = np.array([float(entry.mean("mean_psnr")) for entry in entries])
    room = 0.08 * max(0.5, float(np.ptp(gains)))
    low, high = float(gains.min()) - room, float(gains.max()) + room
    axis.set_xscale("log")
    axis.set_xlim(costs.min() / 1.25, costs.max() * 1.25)
    axis.set_ylim(low, high)
    wide = costs.max() > 50 * costs.min()
    axis.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(visible=True, axis="x")
    beaten_by_none = front(costs, gains)
    axis.plot(costs[beaten_by_none], gains[beaten_by_none], color=MUTED, linewidth=1, zorder=1)
    heights = spread(((gains - low) / (high - low)).tolist(), GAP)
    for entry, cost, gain, height in zip(entries, costs, gains, heights, strict=True):
        look = looks[entry.label]
        axis.plot(cost, gain, marker=look.marker, color=look.colour, markersize=6.5, markeredgewidth=0, zorder=3)
        axis.annotate(
            short(entry.label, 24),
            (cost, gain),
            xytext=(1.04, height),
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=INK,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": look.colour,
                "linewidth": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 4,
            },
        )


def _cost(entry: Entry, name: str) -> float:
    return float(np.mean([result.cost(name) for result in entry.results]))

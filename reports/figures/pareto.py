"""What PSNR costs: mean PSNR after the whole stream against bytes stored, computation, and what a task trains."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reports.figures.leading import MOST_LINES, leading
from reports.groups import Entry, Group
from reports.items.drawing import WIDTH, drawing, shorts
from reports.items.item import Item
from reports.items.style import INK, MUTED, Look, looks, told_apart
from reports.results import Result
from reports.seeds import several
from reports.text import listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator

Axis = tuple[Callable[[Result], float], float, str]
"""A cost of a run, what it is divided by, and how the axis is called."""

COSTS: tuple[Axis, ...] = (
    (lambda result: result.kept_bytes, 1024.0, "stored, with data (KiB)"),
    (lambda result: result.cost("macs_per_pixel"), 1000.0, "multiply-accumulates per pixel (thousands)"),
)
TRAINED: tuple[Axis, ...] = (
    (lambda result: result.later_parameters, 1000.0, "numbers that a further task trains (thousands)"),
)

LINES = {"yes": "solid", "no": "dashed", "unknown": "dotted"}
"""How the front of the strategies is drawn that are told the task at test time, are not, or do not say."""

WHO = {"yes": "are told the task at test time", "no": "are not told the task", "unknown": "do not say"}
"""Those strategies in words."""

MOST_NAMED = 24
"""Entries that a panel names; more names would have no room."""

GAP = 0.058
"""Distance between two labels as a share of the panel's height."""


def item(group: Group) -> Item | None:
    """Mean PSNR against bytes and against multiply-accumulates; None where fewer than two told their costs."""
    uncounted = [entry.label for entry in group.entries if any(np.isnan(_cost(entry, cost)) for cost, *_ in COSTS)]
    caption = (
        "Mean PSNR over all tasks after the whole stream, against the bytes that are to be kept to go on (the network, "
        "what the strategy remembers, and training images that it trains on again), and against the computation of a "
        "restored pixel, of the task learned last. Costs are on logarithmic axes."
    )
    note = ""
    if uncounted:
        note = (
            f" Left out, since their runs do not say what they keep and compute, or are from before the images they "
            f"keep were counted: {listed(uncounted)}."
        )
    return _item(group, "pareto", "What PSNR costs", COSTS, caption, note)


def trained(group: Group) -> Item | None:
    """Mean PSNR against the numbers that a further task trains; None where fewer than two are known."""
    caption = (
        "Mean PSNR over all tasks after the whole stream, against the numbers that a task after the first trains until "
        "it ends: those pruned before do not count, the scores that masks are made of do. Their mean over these tasks, "
        "on a logarithmic axis. Strategies above each other are compared at equal "
        "trained parameters."
    )
    unknown = [entry.label for entry in group.entries if np.isnan(entry.mean("later_parameters"))]
    note = ""
    if unknown:
        note = f" Left out, as they learn all tasks at once or do not say what a task trained: {listed(unknown)}."
    return _item(group, "trained", "What a further task trains", TRAINED, caption, note)


def _item(group: Group, name: str, title: str, axes: Sequence[Axis], caption: str, note: str) -> Item | None:
    """A panel for each cost; None where fewer than two entries are known to have them all."""
    known = [
        entry
        for entry in group.entries
        if all(0 < _cost(entry, cost) < np.inf for cost, *_ in axes) and np.isfinite(entry.mean("mean_psnr"))
    ]
    if len(known) < 2:
        return None
    if several(known):
        caption += " All are means over the seeds."
    caption += _lines_told(known, axes) + note
    free = [entry.label for entry in group.entries if any(_cost(entry, cost) == 0 for cost, *_ in axes)]
    if free:
        caption += f" Left out, since no logarithmic axis has a place for 0: {listed(free)}."
    if len(known) > MOST_NAMED:
        caption += (
            f" Each panel names {MOST_NAMED} of {len(known)}: what nothing else beats, then those with the highest "
            "PSNR. The others are small grey points, their numbers stand in the tables."
        )

    all_looks = looks(group.labels)
    drawn = {**all_looks, **told_apart([entry.label for entry in leading(group.entries, MOST_LINES)], all_looks)}

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(1, len(axes), squeeze=False)[0]
        for axis, (cost, unit, title) in zip(panels, axes, strict=True):
            _panel(axis, known, np.array([_cost(entry, cost) / unit for entry in known]), drawn)
            axis.set_xlabel(title)
        panels[0].set_ylabel("mean PSNR (dB)")

    size = WIDTH, max(3.2, 0.2 * min(len(known), MOST_NAMED) + 0.8)
    return Item(name, group.key, title, drawing=drawing(caption, title, size, draw))


def _lines_told(entries: Sequence[Entry], axes: Sequence[Axis]) -> str:
    """The sentence about the lines: about those alone that are drawn, since one point makes no line."""
    kinds = {told: [entry for entry in entries if entry.told == told] for told in LINES}
    gains = {told: np.array([float(entry.mean("mean_psnr")) for entry in members]) for told, members in kinds.items()}
    drawn = [
        told
        for told, members in kinds.items()
        if any(len(front(np.array([_cost(entry, cost) for entry in members]), gains[told])) > 1 for cost, *_ in axes)
    ]
    if not drawn:
        return ""
    both = " in both" if len(axes) == 2 else ""
    if len(kinds[drawn[0]]) == len(entries):
        return f" The line joins what nothing else beats{both}."
    first, *others = drawn
    sentence = f" The {LINES[first]} line joins what nothing else beats{both} among the strategies that {WHO[first]}"
    return "".join([sentence, *(f", the {LINES[told]} one among those that {WHO[told]}" for told in others), "."])


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


def named(costs: np.ndarray, gains: np.ndarray, most: int) -> list[int]:
    """The places of at most so many points: of the front, then of the others, those that gain most; in rising order."""
    others = np.ones(len(gains), bool)
    others[front(costs, gains)] = False
    return sorted(np.lexsort((-gains, others))[:most].tolist())


def locator(left: float, right: float) -> "Locator":
    """Where the ticks of a logarithmic axis lie: one to six, whose labels have room beside each other."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    if right < 5 * left:
        return MaxNLocator(4)
    return LogLocator(subs=(1,) if right > 80 * left else (1, 2, 5))


def _panel(axis: "Axes", entries: Sequence[Entry], costs: np.ndarray, looks: Mapping[str, Look]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    gains = np.array([float(entry.mean("mean_psnr")) for entry in entries])
    room = 0.08 * max(0.5, float(np.ptp(gains)))
    low, high = float(gains.min()) - room, float(gains.max()) + room
    axis.set_xscale("log")
    left, right = costs.min() / 1.25, costs.max() * 1.25
    axis.set_xlim(left, right)
    axis.set_ylim(low, high)
    axis.xaxis.set_major_locator(locator(left, right))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(visible=True, axis="x")
    kinds = list(dict.fromkeys(entry.told for entry in entries))
    for told in kinds:
        members = np.array([place for place, entry in enumerate(entries) if entry.told == told])
        best = members[front(costs[members], gains[members])]
        line = LINES[told] if len(kinds) > 1 else "solid"
        axis.plot(costs[best], gains[best], color=MUTED, linewidth=1, linestyle=line, zorder=1)
    chosen = named(costs, gains, MOST_NAMED)
    rest = np.setdiff1d(np.arange(len(entries)), chosen)
    axis.plot(costs[rest], gains[rest], linestyle="", marker=".", color=MUTED, markersize=4, alpha=0.6, zorder=1.5)
    heights = spread(((gains[chosen] - low) / (high - low)).tolist(), GAP)
    names = shorts((entries[place].label for place in chosen), 36)
    for place, height, name in zip(chosen, heights, names, strict=True):
        entry, cost, gain = entries[place], costs[place], gains[place]
        look = looks[entry.label]
        axis.plot(cost, gain, marker=look.marker, color=look.colour, markersize=6.5, markeredgewidth=0, zorder=3)
        at = np.log(cost / left) / np.log(right / left), (gain - low) / (high - low)
        axis.plot(
            [at[0], 1.03],
            [at[1], height],
            transform=axis.transAxes,
            color=look.colour,
            linewidth=0.6,
            zorder=2,
            clip_on=False,
        )
        axis.text(1.04, height, name, transform=axis.transAxes, va="center", fontsize=7.5, color=INK)


def _cost(entry: Entry, cost: Callable[[Result], float]) -> float:
    return float(np.mean([cost(result) for result in entry.results]))

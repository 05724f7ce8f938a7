"""Figure 6: each task at each place in the order; Table 3 drawn."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmark.experiments import paper
from reports.groups import Entry
from reports.items.drawing import WIDTH, drawing
from reports.items.item import Item
from reports.items.style import MUTED
from reports.paper.evidence import FOUR_TASKS, Evidence
from reports.paper.figures.sharing import COLOURS, WITH
from reports.results import Array
from reports.seeds import several
from reports.text import fixed, seeds_told

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def item(evidence: Evidence) -> Item | None:
    """PSNR of each task against its place in the order, one panel for each task."""
    table = paper.load("table3")
    found = [evidence.entry(one) for one in table.combinations()]
    entries = [entry for entry in found if entry is not None]
    if len(entries) < len(found):
        return None
    share = table.set["cmc.fraction"]
    alone = evidence.find(fraction=share, sharing="none")
    without = [] if alone is None else [result.seed for result in alone.results]
    values = {task: _by_place(paper.orders(table), entries, task, "mean") for task in FOUR_TASKS}
    spreads = {task: _by_place(paper.orders(table), entries, task, "spread") for task in FOUR_TASKS}

    by_first = sorted(entries, key=lambda entry: entry.results[0].config["order"].index(FOUR_TASKS[0]))
    seeds = " / ".join(" ".join(str(result.seed) for result in entry.results) for entry in by_first)

    def draw(figure: "Figure") -> None:
        axes = figure.subplots(1, len(FOUR_TASKS))
        for axis, task in zip(axes, FOUR_TASKS, strict=True):
            place = np.arange(1, len(entries) + 1)
            bars = np.nan_to_num(spreads[task])
            axis.errorbar(place, values[task], bars, color=COLOURS[WITH], marker="o", markersize=5, capsize=3)
            if alone is not None:
                level = float(alone.mean("final_psnr")[FOUR_TASKS.index(task)])
                axis.axhline(level, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
            axis.set_title(task)
            axis.set_xticks(place)
            axis.set_xlim(0.7, len(entries) + 0.3)
            axis.set_xlabel("place in the order")
            axis.margins(y=0.15)
        axes[0].set_ylabel("PSNR (dB)")

    lines = (f"{task} {' / '.join(fixed(float(value)) for value in values[task])}" for task in FOUR_TASKS)
    figure = drawing(
        f"Test PSNR of each task when it is learned first, second, third or last, at {100 * share:g} % of the "
        f"memory; seeds of the orders by the place of {FOUR_TASKS[0]}: {seeds}."
        + (" Bars are one standard deviation over seeds." if several(entries) else "")
        + (f" Dashed: the same task learned without sharing, {seeds_told(without)}." if without else ""),
        f"PSNR at place 1 / 2 / 3 / 4: {'; '.join(lines)}",
        (WIDTH, 2.7),
        draw,
    )
    return Item("figure6", evidence.key, "Figure 6: a task at each place in the order", drawing=figure)


def _by_place(orders: Sequence[list[str]], entries: list[Entry], task: str, statistic: str) -> Array:
    """(4,) dB: a statistic of the task's final PSNR over seeds, by the place at which it was learned."""
    found: Mapping[int, float] = {
        order.index(task): float(getattr(entry, statistic)("final_psnr")[order.index(task)])
        for order, entry in zip(orders, entries, strict=True)
    }
    return np.array([found[place] for place in sorted(found)])

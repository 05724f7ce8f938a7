"""What a task took from the tasks before it."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reports.configurations import training
from reports.figures.leading import CHOICE, MOST_PANELS, leading
from reports.groups import Entry, Group
from reports.items.drawing import WIDTH, drawing, shorts
from reports.items.item import Item
from reports.items.style import GRID, INK, change_colours, looks
from reports.results import Array
from reports.seeds import paired
from reports.text import fixed, listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALONE = "independent"
"""The strategy that gives every task a network of its own."""


def item(group: Group) -> Item | None:
    """What each task took from the tasks before it: its PSNR when learned, over a network of its own.

    None for a stream of one task, and where no such network (strategy ``independent``) was trained in the group. Rows
    are the other entries that learned one task after another, each over the first such network of its backbone and
    training, over the seeds that both have; of more than MOST_PANELS, the leading ones.
    """
    if len(group.order) < 2:
        return None
    alone: list[Entry] = []
    for entry in group.entries:
        if entry.results[0].strategy == ALONE and _match(entry, alone) is None:
            alone.append(entry)
    found = _gains([entry for entry in group.entries if entry not in alone], alone)
    alike = [entry for entry in group.entries if entry.label in found]
    if not alike:
        return None
    shown = leading(alike, MOST_PANELS)
    gains = np.array([found[entry.label] for entry in shown])
    colours = looks(group.labels)
    names = shorts(entry.label for entry in shown)
    used = [entry.label for entry in alone if any(_match(row, alone) is entry for row in shown)]
    each = ", each over that of its own backbone and training" if len(used) > 1 else ""
    caption = (
        "PSNR (dB) of each task at the moment it was learned, over a network of its own that learned nothing before "
        f"({listed(used)}{each}), over the seeds of both: what a task took from earlier tasks, or what its share of "
        "the network costs it. Violet is better than alone, orange worse."
    )
    if len(shown) < len(alike):
        caption += f" Shown are {len(shown)} of {len(alike)}, {CHOICE}."
    figure = drawing(
        caption,
        "; ".join(
            f"{name}: mean {fixed(float(row.mean()), sign=True)} dB" for name, row in zip(names, gains, strict=True)
        ),
        (min(WIDTH, 0.085 * max(map(len, names)) + 0.85 * len(group.order) + 0.6), 0.3 * len(shown) + 0.6),
        partial(
            _draw,
            pd.DataFrame(gains, index=names, columns=shorts(group.order, 14)),
            [colours[entry.label].colour for entry in shown],
        ),
    )
    return Item("transfer", group.key, "What a task took from earlier ones", drawing=figure)


def _gains(entries: Sequence[Entry], alone: Sequence[Entry]) -> dict[str, Array]:
    """Label → what each task gained, of those that learned all tasks and share seeds with a match in ``alone``."""
    found = {}
    for entry in entries:
        match = _match(entry, alone)
        gaps = paired(entry, match, "psnr") if match is not None else ()
        if len(gaps) and np.isfinite(gains := np.diag(np.mean(gaps, axis=0))).all():
            found[entry.label] = gains
    return found


def _draw(gains: pd.DataFrame, colours: Sequence[str], figure: "Figure") -> None:
    """A heatmap of gains (dB), with a colour for each row's name."""
    import seaborn as sns

    limit = max(1.0, float(np.abs(gains.to_numpy()).max()))
    axis = figure.subplots()
    axis.grid(False)
    sns.heatmap(
        gains,
        ax=axis,
        vmin=-limit,
        vmax=limit,
        cmap=change_colours(),
        annot=np.array([[fixed(gain, sign=True) for gain in row] for row in gains.to_numpy()]),
        fmt="",
        annot_kws={"color": INK, "fontsize": 8.5},
        linewidths=0.8,
        linecolor=GRID,
        cbar=False,
    )
    axis.tick_params(rotation=0)
    for label, colour in zip(axis.get_yticklabels(), colours, strict=True):
        label.set_color(colour)


def _match(entry: Entry, alone: Sequence[Entry]) -> Entry | None:
    """Which networks of their own are like those of an entry, if any."""
    return next((one for one in alone if _network(one) == _network(entry)), None)


def _network(entry: Entry) -> tuple[Any, Any]:
    config = entry.results[0].config
    return config.get("backbone"), training(entry.results[0])

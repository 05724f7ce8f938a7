"""The figures: what changed, what was forgotten, how training went.

Every figure is drawn on the Agg backend without pyplot's global state, keeps its text as text, and is the same
byte for byte when it is drawn again from the same data.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reports.results import Group
from reports.style import GRID, INK, MUTED, VARIABLES, Look
from reports.text import fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.6
"""Inches; with text of 9 points a figure stays readable when it is printed across a page."""

LARGEST_SCALE = 1.75
"""Pixels per point up to which a figure grows with the page."""

CHANGE = ("#e07b1acc", "#e07b1a00", "#7f5fc900", "#7f5fc9cc")
"""From lost to gained, clear where nothing changed, so that the ground of a light or a dark page shows through; orange
and violet stay apart for colour-blind readers."""

SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "figure.facecolor": "none",
    "hatch.color": GRID,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "reports",
}


@dataclass(frozen=True)
class Drawing:
    """A finished figure.

    Args:
        name: its file name without the ending.
        title: what it shows, in a few words.
        caption: how to read it, in a sentence or two.
        description: what it says to those who cannot see it.
        svg: the drawing with light colours, on a transparent ground.
        png: the same at 160 dots per inch, on white.
    """

    name: str
    title: str
    caption: str
    description: str
    svg: str
    png: bytes

    def inline(self) -> str:
        """The SVG for the inside of a page: ids of its own, and colours that follow the page's theme."""
        svg = self.svg[self.svg.index("<svg") :]
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
        svg = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{self.name}-", svg)
        svg = re.sub(
            r'(<svg[^>]*?) width="([\d.]+)pt" height="[\d.]+pt"',
            lambda m: f'{m[1]} style="--full: {float(m[2]) * LARGEST_SCALE:.0f}px"',
            svg,
            count=1,
        )
        return re.sub(
            r"(?<=: )#[0-9a-f]{6}\b", lambda m: f"var(--{VARIABLES[m[0]]})" if m[0] in VARIABLES else m[0], svg
        )


def matrices(group: Group, looks: Mapping[str, Look]) -> Drawing:
    """PSNR on every task after every task, one panel per entry, coloured by the change since the task was learned."""
    tasks = len(group.order)
    columns = min(len(group.entries), max(1, int(WIDTH / (0.5 * tasks + 0.4))))
    rows = -(-len(group.entries) // columns)
    changes = [entry.mean("change") for entry in group.entries]
    limit = max(1.0, float(np.nanmax([np.abs(c[np.isfinite(c)]).max(initial=0.0) for c in changes])))

    def draw(figure: "Figure") -> None:
        import seaborn as sns
        from matplotlib.colors import LinearSegmentedColormap

        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis in axes.flat[len(group.entries) :]:
            axis.set_axis_off()
        mesh = None
        for axis, entry, change in zip(axes.flat, group.entries, changes, strict=False):
            psnr = entry.mean("psnr")
            axis.grid(False)
            sns.heatmap(
                pd.DataFrame(change),
                ax=axis,
                vmin=-limit,
                vmax=limit,
                cmap=LinearSegmentedColormap.from_list("change", list(zip((0, 0.5, 0.5, 1), CHANGE, strict=True))),
                annot=np.vectorize(fixed)(psnr),
                fmt="",
                annot_kws={"fontsize": 8.5 if tasks < 7 else 7},
                linewidths=0.8,
                linecolor=GRID,
                cbar=False,
                square=tasks > 5,
            )
            for text in axis.texts:
                text.set_color(INK)
            _not_yet(axis, psnr)
            axis.set_title(short(entry.label), color=looks[entry.label].colour, pad=6)
            axis.set_xticks(np.arange(tasks) + 0.5, [short(task, 14) for task in group.order], rotation=0)
            axis.set_yticks(np.arange(tasks) + 0.5, [short(task, 14) for task in group.order], rotation=0)
            axis.tick_params(labelsize=8, labelbottom=True)
            if tasks > 4 or max(len(task) for task in group.order) > 8:
                axis.tick_params(axis="x", rotation=35)
            mesh = axis.collections[0]
        for axis in axes[:, 0]:
            axis.set_ylabel("after learning")
        for axis in axes.flat[max(0, len(group.entries) - columns) : len(group.entries)]:
            axis.set_xlabel("PSNR (dB) on")
        assert mesh is not None
        bar = figure.colorbar(mesh, ax=axes, shrink=min(1.0, 2.2 / (rows * 2.0) + 0.2), pad=0.015, aspect=18)
        bar.set_label("change since learned (dB)")
        bar.outline.set_visible(False)
        if bar.solids is not None:
            bar.solids.set(rasterized=True, edgecolor="none")  # as an image: single cells would show their seams

    return drawing(
        f"{group.key}-matrix",
        "PSNR on every task after every task",
        "Each row is a moment in the stream, each column a task; the figure is the PSNR on that task at that moment. "
        "The diagonal is the moment a task was learned. Colour is the change since then: orange was lost, violet was "
        "gained. Hatched: not learned yet.",
        "; ".join(
            f"{entry.label}: mean forgetting {fixed(float(entry.mean('mean_forgetting')))} dB"
            for entry in group.entries
        ),
        (min(WIDTH, columns * (0.5 * tasks + 0.4) + 1.8), rows * (0.42 * tasks + 0.75) + 0.2),
        draw,
    )


def retention(group: Group, frame: pd.DataFrame, looks: Mapping[str, Look]) -> Drawing:
    """PSNR of each task from the moment it was learned to the end of the stream, one panel per task.

    Args:
        group: what is compared.
        frame: the group's tidy matrix (``reports.frames.matrix``).
        looks: how each label is drawn.
    """
    labels = [entry.label for entry in group.entries]
    frame = frame[frame["label"].isin(labels) & (frame["after"] >= frame["place"])]
    tasks = len(group.order)
    step = 0.16 / max(1, len(labels))
    frame = frame.assign(
        x=frame["after"] + frame["label"].map({v: (i - (len(labels) - 1) / 2) * step for i, v in enumerate(labels)})
    )

    def panel(axis: "Axes", place: int) -> None:
        _lines(axis, frame[frame["place"] == place], "x", labels, looks, markers=True)
        _input_line(axis, group, place)
        axis.set_xlim(0.7, tasks + 0.3)
        axis.set_xticks(range(1, tasks + 1), [short(task, 14) for task in group.order], rotation=30)
        axis.set_xlabel("after learning")

    return _panels(
        f"{group.key}-forgetting",
        "What became of each task",
        "PSNR on each task from the moment it was learned to the end of the stream; a level line has forgotten "
        "nothing. Dashed: the degraded input. Points are moved sideways a little where they would hide each other.",
        group,
        looks,
        panel,
        "PSNR (dB)",
    )


def training(group: Group, frame: pd.DataFrame, looks: Mapping[str, Look]) -> Drawing:
    """Validation PSNR against the epoch, one panel per task; epoch 0 is before the first update on the task.

    Args:
        group: what is compared.
        frame: the group's training curves (``reports.frames.curves``).
        looks: how each label is drawn.
    """
    labels = [entry.label for entry in group.entries if entry.label in set(frame["label"])]
    frame = frame[frame["label"].isin(labels)]

    def panel(axis: "Axes", place: int) -> None:
        _lines(axis, frame[frame["place"] == place], "epoch", labels, looks, markers=False)
        axis.locator_params(axis="x", integer=True, nbins=6)
        axis.set_xlabel("epoch")

    return _panels(
        f"{group.key}-curves",
        "How each task was learned",
        "PSNR on the validation images after each epoch. Epoch 0 is the network as it comes to the task: what it knows "
        "from the tasks before.",
        group,
        looks,
        panel,
        "validation PSNR (dB)",
    )


def _panels(
    name: str,
    title: str,
    caption: str,
    group: Group,
    looks: Mapping[str, Look],
    panel: Callable[["Axes", int], None],
    unit: str,
) -> Drawing:
    """One panel per task, with a legend of the strategies below."""
    columns = min(len(group.order), 4)
    rows = -(-len(group.order) // columns)
    labels = [entry.label for entry in group.entries]

    def draw(figure: "Figure") -> None:
        from matplotlib.lines import Line2D

        axes = figure.subplots(rows, columns, squeeze=False)
        for axis in axes.flat[len(group.order) :]:
            axis.set_axis_off()
        for place, (axis, task) in enumerate(zip(axes.flat, group.headings, strict=False), 1):
            panel(axis, place)
            axis.set_title(f"{place}  {short(task)}")
            axis.set_ylabel(unit if (place - 1) % columns == 0 else "")
            axis.tick_params(labelsize=8)
        handles = [
            Line2D([], [], color=looks[v].colour, marker=looks[v].marker, markersize=5, dashes=looks[v].dash or (1, 0))
            for v in labels
        ]
        figure.legend(handles, [short(v, 44) for v in labels], loc="outside lower center", ncols=4, labelcolor=INK)

    return drawing(name, title, caption, title, (WIDTH, rows * 2.3 + 0.25 * (1 + len(labels) // 4)), draw)


def _lines(
    axis: "Axes", frame: pd.DataFrame, x: str, labels: Sequence[str], looks: Mapping[str, Look], markers: bool
) -> None:
    """One line per label: the mean over seeds, with a band of one standard deviation."""
    import seaborn as sns

    if frame.empty:
        return
    sns.lineplot(
        frame,
        x=x,
        y="psnr",
        hue="label",
        style="label",
        hue_order=labels,
        style_order=labels,
        palette={label: looks[label].colour for label in labels},
        markers={label: looks[label].marker for label in labels} if markers else False,
        dashes={label: looks[label].dash or "" for label in labels},
        markersize=6,
        markeredgewidth=0,
        errorbar="sd",
        legend=False,
        ax=axis,
    )


def _input_line(axis: "Axes", group: Group, place: int) -> None:
    value = group.input("input_psnr")[place - 1]
    if np.isfinite(value):
        axis.margins(y=0.14)
        axis.axhline(value, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axis.annotate(
            "degraded input",
            (0.02, value),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            fontsize=7.5,
            color=MUTED,
        )


def _not_yet(axis: "Axes", psnr: np.ndarray) -> None:
    """Hatch the tasks not learned yet, and write their PSNR in a quiet colour."""
    from matplotlib.patches import Rectangle

    for i, j in zip(*np.triu_indices(len(psnr), 1), strict=True):
        axis.add_patch(
            Rectangle((float(j), float(i)), 1, 1, facecolor="none", edgecolor=GRID, hatch="////", linewidth=0)
        )
        if np.isfinite(psnr[i, j]):
            axis.text(j + 0.5, i + 0.5, fixed(psnr[i, j]), ha="center", va="center", fontsize=7.5, color=MUTED)


def short(text: str, longest: int = 36) -> str:
    """A text cut to a length, with an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


@contextmanager
def _canvas(size: tuple[float, float]) -> Iterator["Figure"]:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def drawing(
    name: str, title: str, caption: str, description: str, size: tuple[float, float], draw: Callable[["Figure"], None]
) -> Drawing:
    """Draw a figure of this size (in inches) with the report's settings; the other arguments are those of Drawing."""
    with _canvas(size) as figure:
        draw(figure)
        svg, png = io.StringIO(), io.BytesIO()
        nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(svg, format="svg", metadata=nothing, transparent=True)
        figure.savefig(png, format="png", dpi=160, facecolor="#ffffff", metadata={"Software": None})
    return Drawing(name, title, caption, description, svg.getvalue(), png.getvalue())

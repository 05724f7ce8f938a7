"""The figures: what changed, what was forgotten, how training went.

Every figure is drawn on the Agg backend without pyplot's global state, keeps its text as text, and is the same
byte for byte when it is drawn again from the same data.
"""

import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reports.figures.style import DASHES, GRID, INK, MARKERS, MUTED, VARIABLES, Look
from reports.results import Entry, Group
from reports.text import fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

WIDTH = 9.6
"""Inches; with text of 9 points a figure stays readable when it is printed across a page."""

LARGEST_SCALE = 1.75
"""Pixels per point up to which a figure grows with the page."""

MOST_PANELS = 24
"""Entries of which a figure shows a panel each."""

ALONE = "independent"
"""The strategy that gives every task a network of its own."""

MOST_LINES = 12
"""Entries that a figure draws in colour and names in its legend; more cannot be told apart."""

CHOICE = "the best of each strategy and then those with the highest mean PSNR after the whole stream"
"""How :func:`leading` chooses, in words."""

LETTER = 0.09
"""Inches that a letter of a panel's title takes, about."""

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
    """PSNR on every task after every task, one panel per entry, coloured by the change since the task was learned.

    Of more than MOST_PANELS entries the leading ones are drawn.
    """
    tasks = len(group.order)
    shown = leading(group.entries, MOST_PANELS)
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
                cmap=_change_colours(),
                edgecolor=GRID,
                linewidth=0.8,
            )
            if tasks > 5:
                axis.set_aspect("equal")
            _not_yet(axis, psnr)
            for i, j in zip(*np.tril_indices(tasks), strict=True):
                if np.isfinite(psnr[i, j]):
                    _number(axis, i, j, psnr[i, j], 8.5 if tasks < 7 else 7, INK)
            axis.set_title(title, color=looks[entry.label].colour, pad=6)
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
        f"{group.key}-matrix",
        "PSNR on every task after every task",
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


def transfer(group: Group, looks: Mapping[str, Look]) -> Drawing | None:
    """What each task took from the tasks before it: its PSNR when learned, over a network of its own.

    None where no such network (strategy ``independent``) was trained in the group. Rows are the other entries of the
    same backbone and training that learned one task after another; of more than MOST_PANELS, the leading ones.
    """
    alone = next((entry for entry in group.entries if entry.results[0].strategy == ALONE), None)
    if alone is None:
        return None
    alike = [
        entry
        for entry in group.entries
        if entry is not alone and _network(entry) == _network(alone) and np.isfinite(np.diag(entry.mean("psnr"))).all()
    ]
    if not alike:
        return None
    shown = leading(alike, MOST_PANELS)
    level = np.diag(alone.mean("psnr"))
    gains = np.array([np.diag(entry.mean("psnr")) - level for entry in shown])
    limit = max(1.0, float(np.abs(gains[np.isfinite(gains)]).max(initial=0.0)))
    names = [short(entry.label) for entry in shown]

    def draw(figure: "Figure") -> None:
        import seaborn as sns

        axis = figure.subplots()
        axis.grid(False)
        sns.heatmap(
            pd.DataFrame(gains, index=names, columns=[short(task, 14) for task in group.order]),
            ax=axis,
            vmin=-limit,
            vmax=limit,
            cmap=_change_colours(),
            annot=np.array([[fixed(gain, sign=True) for gain in row] for row in gains]),
            fmt="",
            annot_kws={"color": INK, "fontsize": 8.5},
            linewidths=0.8,
            linecolor=GRID,
            cbar=False,
        )
        axis.tick_params(axis="y", rotation=0)
        axis.tick_params(axis="x", rotation=0)
        for label, entry in zip(axis.get_yticklabels(), shown, strict=True):
            label.set_color(looks[entry.label].colour)

    caption = (
        "PSNR (dB) of each task at the moment it was learned, over a network of its own that learned nothing before "
        f"({alone.label}): what a task took from earlier tasks, or what its share of the network costs it. Violet is "
        "better than alone, orange worse."
    )
    if len(shown) < len(alike):
        caption += f" Shown are {len(shown)} of {len(alike)}, {CHOICE}."
    return drawing(
        f"{group.key}-transfer",
        "What a task took from earlier ones",
        caption,
        "; ".join(
            f"{name}: mean {fixed(float(row.mean()), sign=True)} dB" for name, row in zip(names, gains, strict=True)
        ),
        (min(WIDTH, 0.085 * max(map(len, names)) + 0.85 * len(group.order) + 0.6), 0.3 * len(shown) + 0.6),
        draw,
    )


def _change_colours() -> "LinearSegmentedColormap":
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("change", list(zip((0, 0.5, 0.5, 1), CHANGE, strict=True)))


def _network(entry: Entry) -> tuple[Any, Any]:
    config = entry.results[0].config
    return config.get("backbone"), config.get("training")


def retention(group: Group, frame: pd.DataFrame, looks: Mapping[str, Look]) -> Drawing:
    """PSNR of each task from the moment it was learned to the end of the stream, one panel per task.

    Args:
        group: what is compared.
        frame: the group's tidy matrix (``reports.tables.frames.matrix``).
        looks: how each label is drawn.
    """
    frame = frame[frame["after"] >= frame["place"]]
    tasks = len(group.order)
    named = len(leading(group.entries, MOST_LINES))

    def panel(axis: "Axes", place: int, lines: "_Lines") -> None:
        lines.draw(axis, place, apart=0.16 / max(1, named), markers=True)
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
        (frame, "after"),
        panel,
        "PSNR (dB)",
    )


def training(group: Group, frame: pd.DataFrame, looks: Mapping[str, Look]) -> Drawing:
    """Validation PSNR against the epoch, one panel per task; epoch 0 is before the first update on the task.

    Args:
        group: what is compared.
        frame: the group's training curves (``reports.tables.frames.curves``).
        looks: how each label is drawn.
    """

    def panel(axis: "Axes", place: int, lines: "_Lines") -> None:
        lines.draw(axis, place)
        axis.locator_params(axis="x", integer=True, nbins=6)
        axis.set_xlabel("epoch")

    return _panels(
        f"{group.key}-curves",
        "How each task was learned",
        "PSNR on the validation images after each epoch. Epoch 0 is the network as it comes to the task: what it knows "
        "from the tasks before.",
        group,
        looks,
        (frame, "epoch"),
        panel,
        "validation PSNR (dB)",
    )


def leading(entries: Sequence[Entry], most: int) -> list[Entry]:
    """At most so many entries, in the order given: the best of each strategy, then those with the highest mean PSNR.

    So a figure shows every strategy before it shows variants of one; there, too, the highest mean PSNR comes first.
    """
    means = np.array([float(entry.mean("mean_psnr")) for entry in entries])
    best = np.argsort(-means, kind="stable").tolist()  # nan comes last
    firsts = {entries[place].results[0].strategy: place for place in reversed(best)}.values()
    chosen = sorted(best, key=lambda place: place not in firsts)[:most]
    return [entries[place] for place in sorted(chosen)]


def _panels(
    name: str,
    title: str,
    caption: str,
    group: Group,
    looks: Mapping[str, Look],
    data: tuple[pd.DataFrame, str],
    panel: Callable[["Axes", int, "_Lines"], None],
    unit: str,
) -> Drawing:
    """One panel per task, with a legend of the strategies below; ``data`` is a tidy frame and its column for x."""
    columns = min(len(group.order), 4)
    rows = -(-len(group.order) // columns)
    chosen = [entry.label for entry in leading(group.entries, MOST_LINES)]
    others = [entry.label for entry in group.entries if entry.label not in set(chosen)]
    lines = _Lines(*data, told_apart(chosen, looks), others)
    if others:
        caption += (
            f" In colour: {len(chosen)} of {len(group.entries)}, {CHOICE}. The other {len(others)} are thin grey "
            "lines, their numbers stand in the tables."
        )
    titles = [f"{place}  {heading}" for place, heading in enumerate(group.headings, 1)]
    titles = [wrapped(text, WIDTH / columns - 0.4) for text in titles]
    names = [short(label, 44) for label in chosen]
    across = max(1, min(4, int(WIDTH / (0.6 + 0.078 * max(len(text) for text in names)))))

    def draw(figure: "Figure") -> None:
        from matplotlib.lines import Line2D

        axes = figure.subplots(rows, columns, squeeze=False)
        for axis in axes.flat[len(group.order) :]:
            axis.set_axis_off()
        for place, (axis, heading) in enumerate(zip(axes.flat, titles, strict=False), 1):
            panel(axis, place, lines)
            axis.set_title(heading)
            axis.set_ylabel(unit if (place - 1) % columns == 0 else "")
            axis.tick_params(labelsize=8)
        handles = [
            Line2D([], [], color=look.colour, marker=look.marker, markersize=5, dashes=look.dash or (1, 0))
            for look in lines.looks.values()
        ]
        figure.legend(handles, names, loc="outside lower center", ncols=across, labelcolor=INK, handlelength=3)

    height = rows * (2.3 + 0.16 * max(text.count("\n") for text in titles)) + 0.25 * (1 + len(chosen) // across)
    return drawing(name, title, caption, title, (WIDTH, height), draw)


def told_apart(labels: Sequence[str], looks: Mapping[str, Look]) -> dict[str, Look]:
    """The looks of these labels, where one of a colour used before gets a marker and a dash not used with it before."""
    found: dict[str, Look] = {}
    for label in labels:
        look = looks[label]
        kin = [other for other in found.values() if other.colour == look.colour]
        marker = _unused(look.marker, MARKERS, [other.marker for other in kin])
        dash = _unused(look.dash, DASHES, [other.dash for other in kin])
        found[label] = replace(look, marker=marker, dash=dash)
    return found


def _unused(wanted: Any, choices: Sequence[Any], used: Sequence[Any]) -> Any:
    """What is wanted if it is used least, or else the first of the choices that is."""
    return min((wanted, *choices), key=used.count)


class _Lines:
    """Lines of PSNR over x: the mean over seeds, with a band of one standard deviation.

    Args:
        frame: tidy, with the columns label, place, psnr and x.
        x: the column on the horizontal axis.
        looks: labels that are drawn in colour, and how.
        others: labels that are drawn as thin grey lines.
    """

    def __init__(self, frame: pd.DataFrame, x: str, looks: Mapping[str, Look], others: Sequence[str]) -> None:
        self.looks, self.others = looks, others
        known = frame[frame["label"].isin({*looks, *others})].dropna(subset=["psnr"])
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


def short(text: str, longest: int = 36) -> str:
    """A text cut to a length, with an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def wrapped(text: str, inches: float) -> str:
    """A panel's title in at most three lines that fit a width, with an ellipsis where even three do not hold it."""
    return "\n".join(textwrap.wrap(text, max(8, int(inches / LETTER)), max_lines=3, placeholder="…")) or text


def drawing(
    name: str, title: str, caption: str, description: str, size: tuple[float, float], draw: Callable[["Figure"], None]
) -> Drawing:
    """Draw a figure of this size (in inches) with the report's settings; the other arguments are those of Drawing."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # the user's matplotlibrc, and what a notebook has set, have no say
        matplotlib.rcParams.update(SETTINGS)
        figure = Figure(figsize=size, dpi=160, layout="constrained")
        draw(figure)
        if layout := figure.get_layout_engine():
            layout.execute(figure)
        figure.set_layout_engine("none")  # what was laid out once stays
        svg, png = io.StringIO(), io.BytesIO()
        nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.set_facecolor("#ffffff")  # Figure.savefig would draw everything twice
        FigureCanvasAgg(figure).print_png(png, metadata={"Software": None})
        figure.set_facecolor("none")
        FigureCanvasSVG(figure).print_svg(svg, metadata=nothing)
    return Drawing(name, title, caption, description, svg.getvalue(), png.getvalue())

"""Colours that figures and page share.

Figures on disk use the light colours below. Where a figure is inlined in the page, each of these colours becomes a
CSS variable, so that the same drawing follows the reader's light or dark theme.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap

INK, MUTED, GRID = "#1d2129", "#69707c", "#d5d9e0"
"""Text, secondary text, and lines that carry no data."""

DARK = {INK: "#e7e9ee", MUTED: "#9aa2b1", GRID: "#3a404c"}

SERIES = {
    "#0072b2": "#4aa8e0",
    "#d55e00": "#f28c3b",
    "#009e73": "#34c79b",
    "#b0568f": "#de90c0",
    "#c68a00": "#e8b94a",
    "#3f9fd0": "#8fd0f2",
    "#5f5f68": "#b9bcc6",
}
"""Light colour to dark colour. The set is Okabe and Ito's, safe for colour-blind readers, a little darker where the
original is too pale for thin lines on white."""

CHANGE = ("#e07b1acc", "#e07b1a00", "#7f5fc900", "#7f5fc9cc")
"""From lost to gained, clear where nothing changed, so that the ground of a light or a dark page shows through; orange
and violet stay apart for colour-blind readers."""

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1.5, 1.5), (6, 1.5, 1.5, 1.5))

VARIABLES = {INK: "ink", MUTED: "muted", GRID: "line", **{colour: f"series-{i}" for i, colour in enumerate(SERIES)}}
"""Colour in a figure to the name of the page's CSS variable."""


@dataclass(frozen=True)
class Look:
    """How one strategy is drawn, in every figure of a report.

    Args:
        colour: a key of SERIES.
        marker: a matplotlib marker.
        dash: an on-off pattern in line widths; empty for a solid line.
    """

    colour: str
    marker: str
    dash: tuple[float, ...]

    @property
    def variable(self) -> str:
        """The CSS variable that holds the colour on the page."""
        return VARIABLES[self.colour]


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """A look for every label; once the colours are used up they return with another dash."""
    colours = list(SERIES)
    return {
        label: Look(
            colours[i % len(colours)],
            MARKERS[i % len(MARKERS)],
            DASHES[i // len(colours) % len(DASHES)],
        )
        for i, label in enumerate(labels)
    }


def told_apart(labels: Sequence[str], looks: Mapping[str, Look]) -> dict[str, Look]:
    """The looks of these labels, where one of a colour used before gets a marker and a dash not used with it before.

    Once all dashes were used with its colour it gets another: what has no markers would else be drawn as another is.
    """
    found: dict[str, Look] = {}
    for label in labels:
        look = looks[label]
        colours = [other.colour for other in found.values()]
        if colours.count(look.colour) >= len(DASHES):
            look = replace(look, colour=_unused(look.colour, list(SERIES), colours))
        kin = [other for other in found.values() if other.colour == look.colour]
        marker = _unused(look.marker, MARKERS, [other.marker for other in kin])
        dash = _unused(look.dash, DASHES, [other.dash for other in kin])
        found[label] = replace(look, marker=marker, dash=dash)
    return found


def _unused(wanted: Any, choices: Sequence[Any], used: Sequence[Any]) -> Any:
    """What is wanted if it is used least, or else the first of the choices that is."""
    return min((wanted, *choices), key=used.count)


def change_colours() -> "LinearSegmentedColormap":
    """CHANGE as a colour map over -1 to 1."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("change", list(zip((0, 0.5, 0.5, 1), CHANGE, strict=True)))


def stylesheet() -> str:
    """The CSS variables of both themes."""
    light = "".join(f"--{name}:{colour};" for colour, name in VARIABLES.items())
    dark = "".join(f"--{VARIABLES[colour]}:{other};" for colour, other in {**DARK, **SERIES}.items())
    return f":root{{{light}}}@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}"

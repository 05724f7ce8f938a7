"""A finished figure, and how all figures are drawn.

Every figure is drawn on the Agg backend without pyplot's global state, keeps its text as text, and is the same
byte for byte when it is drawn again from the same data.
"""

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from reports.items.style import GRID, INK, MUTED, VARIABLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 9.6
"""Inches; with text of 9 points a figure stays readable when it is printed across a page."""

LARGEST_SCALE = 1.75
"""Pixels per point up to which a figure grows with the page."""

ENDINGS = (0.0, 0.3, 0.5, 0.7)
"""Shares of a text that is cut which may be left for its end; the first that keeps texts apart is taken."""

LETTER = 0.09
"""Inches that a letter of a panel's title takes, about."""

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
        caption: how to read it, in a sentence or two.
        description: what it says to those who cannot see it.
        svg: the drawing with light colours, on a transparent ground.
        png: the same at 160 dots per inch, on white.
    """

    caption: str
    description: str
    svg: str
    png: bytes

    def inline(self, name: str) -> str:
        """The SVG for the inside of a page: ids that begin with a name, and colours that follow the page's theme."""
        svg = self.svg[self.svg.index("<svg") :]
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
        svg = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
        svg = re.sub(
            r'(<svg[^>]*?) width="([\d.]+)pt" height="[\d.]+pt"',
            lambda m: f'{m[1]} style="--full: {float(m[2]) * LARGEST_SCALE:.0f}px"',
            svg,
            count=1,
        )
        return re.sub(
            r"(?<=: )#[0-9a-f]{6}\b", lambda m: f"var(--{VARIABLES[m[0]]})" if m[0] in VARIABLES else m[0], svg
        )


def drawing(caption: str, description: str, size: tuple[float, float], draw: Callable[["Figure"], None]) -> Drawing:
    """Draw a figure of this size (in inches) with the report's settings; the other arguments are those of Drawing."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the SVG has the letters, the PNG boxes
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
    return Drawing(caption, description, svg.getvalue(), png.getvalue())


def shorts(texts: Iterable[str], longest: int = 36) -> list[str]:
    """Texts cut to a length, with an ellipsis for what is left out, so that different ones stay different.

    What is left out is the end, or what comes before it where texts would be alike; all stay whole where nothing helps.
    """
    return _apart(list(texts), (partial(_cut, longest=longest, ending=share) for share in ENDINGS)) or list(texts)


def wrapped(texts: Iterable[str], inches: float) -> list[str]:
    """Panels' titles in at most three lines that fit a width, with an ellipsis where even three do not hold them.

    Different ones stay different, as in :func:`shorts`; where nothing helps, they take as many lines as they need.
    """
    given, letters = list(texts), max(8, int(inches / LETTER))

    def lines(text: str, ending: float) -> str:
        held = _cut(text, int(2.4 * letters), ending) if ending else text  # lines are not filled to their ends
        return "\n".join(textwrap.wrap(held, letters, max_lines=3, placeholder="…")) or text

    found = _apart(given, (partial(lines, ending=share) for share in ENDINGS))
    return found or [textwrap.fill(text, letters) for text in given]


def _cut(text: str, longest: int, ending: float) -> str:
    """A text cut to a length, of which a share is left for its end."""
    end = int(ending * longest)
    return text if len(text) <= longest else f"{text[: longest - 1 - end]}…{text[len(text) - end :]}"


def _apart(texts: list[str], ways: Iterable[Callable[[str], str]]) -> list[str]:
    """The texts as the first of some ways has them that makes no two different ones alike; empty if all do."""
    found = ([way(text) for text in texts] for way in ways)
    return next((cut for cut in found if len(set(cut)) == len(set(texts))), [])

"""The page: one HTML file with everything inside, for reading without a network.

Whatever comes from a run directory is escaped by Jinja2; only drawings made here are inserted as markup. A content
security policy lets the page run its own script and load nothing.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import pictures
from reports.groups import Collection, Group
from reports.items.item import Item
from reports.items.style import looks, stylesheet
from reports.items.table import Cell, Column, Table
from reports.page import album
from reports.page.caveats import Caveat, caveats
from reports.page.findings import finding
from reports.page.settings import Settings, settings
from reports.paper import scorecard
from reports.paper.claims import CONTRADICTED, HOLDS, UNDECIDED, UNJUDGED, UNMEASURED, Verdict
from reports.paper.evidence import Evidence
from reports.paper.figures import figure5
from reports.text import NOTHING, fixed, plain, seeds_told

TEMPLATES = Path(__file__).parent

LARGEST = 14_500_000
"""Bytes of a page up to which it takes in pictures; without them it may be larger."""

LARGEST_INSIDE = 100_000
"""Bytes of a table up to which the page holds it for download, for readers who were given the page alone."""

FORMATS = {".csv": "CSV", ".md": "Markdown", ".tex": "LaTeX", ".svg": "SVG", ".png": "PNG"}
"""Ending of a file beside the page to what its link says."""


@dataclass(frozen=True)
class Section:
    """Everything the page shows of one group, but for its pictures.

    Args:
        group: what is compared.
        items: its tables and figures in the order in which they are shown.
    """

    group: Group
    items: list[Item]

    @cached_property
    def finding(self) -> str:
        """What the comparison found, in one sentence."""
        return finding(self.group)

    @property
    def about(self) -> str:
        """What is compared, on one line: the order, the seeds of what finished, the images and the day."""
        seeds = sorted({result.seed for result in self.group.finished})
        trained = dict.fromkeys(str(source.train) for source in self.group.sources)
        tested = dict.fromkeys(str(source.test) for source in self.group.sources)
        parts = [
            " → ".join(self.group.order),
            seeds_told(seeds) if seeds else "",
            f"trained on {', '.join(trained)}, tested on {', '.join(tested)}",
            self.dates,
        ]
        return "; ".join(part for part in parts if part)

    @property
    def caveats(self) -> list[Caveat]:
        """What to know before the figures."""
        return caveats(self.group)

    @cached_property
    def settings(self) -> Settings:
        """How the runs were set, and the commands that make them again."""
        return settings(self.group)

    @property
    def protocols(self) -> list[str]:
        """How the metrics of what finished were computed; more than one makes the figures of the group incomparable."""
        return sorted({text for result in self.group.finished for text in result.protocols})

    @property
    def dates(self) -> str:
        """The first and the last day on which a run of the group was at work."""
        moments = [result.run.status.get(key) for result in self.group.results for key in ("started", "updated")]
        days = sorted({plain(moment)[:10] for moment in moments if moment})
        return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}" if days else ""

    @property
    def tasks(self) -> Table | None:
        """Each task as the stream defines it; None where the configuration does not say.

        The datasets that it names are left out: images come from them only where the sources say so.
        """
        tasks = self.group.results[0].config.get("tasks")
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            return None
        said = dict.fromkeys(name for task in tasks for name, value in task.items() if value not in (None, ""))
        names = [name for name in said if name != "dataset"]
        rows = [[Cell(plain(task[name], 300) if name in task else NOTHING) for name in names] for task in tasks]
        return Table("Tasks as the stream defines them", [Column(plain(name)) for name in names], rows, kind="words")

    @property
    def sources(self) -> Table | None:
        """Where the images of each task come from; None where all are embedded."""
        if self.group.embedded:
            return None
        columns = [Column(head) for head in ("task", "trained on", "tested on", "training images also in a test set")]
        leaks = [str(entry.get("leaks", NOTHING)) for entry in self.group.results[0].config["sources"]]
        rows = [
            [Cell(task), Cell(str(source.train)), Cell(str(source.test)), Cell(leaking)]
            for task, source, leaking in zip(self.group.order, self.group.sources, leaks, strict=True)
        ]
        return Table("Where the images come from", columns, rows, kind="words")


@dataclass(frozen=True)
class PaperPart:
    """Everything the page shows of the paper for one preset: its claims, tables and figures.

    Args:
        evidence: the runs.
        verdicts: what became of each claim.
        items: the paper's tables with ours, and its figures made from our runs.
    """

    evidence: Evidence
    verdicts: list[Verdict]
    items: list[Item]

    @property
    def measured(self) -> list[Verdict]:
        """The claims of which something was measured."""
        return [verdict for verdict in self.verdicts if verdict.state != UNMEASURED]

    @property
    def missing(self) -> list[Verdict]:
        """The others."""
        return [verdict for verdict in self.verdicts if verdict.state == UNMEASURED]

    @property
    def reproduce(self) -> str:
        """The command that has the others measured."""
        return self.evidence.reproduce([verdict.claim.run for verdict in self.missing])

    @property
    def summary(self) -> str:
        """How many claims hold, are contradicted and undecided, of those that were measured and may be judged."""
        states = [verdict.state for verdict in self.measured]
        if not states:
            return f"None of the paper’s {len(self.verdicts)} claims was measured."
        if UNJUDGED in states:
            return (
                f"No claim is judged by runs of the preset {self.evidence.preset}; {len(states)} of the paper’s "
                f"{len(self.verdicts)} were measured."
            )
        holding, against, still = (states.count(state) for state in (HOLDS, CONTRADICTED, UNDECIDED))
        return (
            f"Of the paper’s {len(self.verdicts)} claims {len(states)} "
            f"{'was' if len(states) == 1 else 'were'} measured: {holding} {'holds' if holding == 1 else 'hold'} here, "
            f"{against} {'is' if against == 1 else 'are'} contradicted, "
            f"{still} {'is' if still == 1 else 'are'} undecided."
        )

    @property
    def note(self) -> str:
        """How the claims were judged."""
        return scorecard.note(self.verdicts)


@dataclass(frozen=True)
class Link:
    """One file to download.

    Args:
        text: its format.
        name: its file name.
        href: where it lies, relative to the page.
        inside: the same file as a data URI; empty where it is too large for that, or no table.
    """

    text: str
    name: str
    href: str
    inside: str


def page(
    collection: Collection,
    parts: Sequence[PaperPart],
    sections: Sequence[Section],
    times: Sequence[Item],
    files: Mapping[str, str | bytes],
) -> str:
    """The whole page.

    Args:
        collection: what was read.
        parts: the paper's claims, tables and figures, one for each preset.
        sections: one per group.
        times: what was measured of time.
        files: what lies beside the page: path relative to it (such as ``tables/runs.csv``) to content.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (TEMPLATES / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = environment.get_template("report.html.j2")
    shown = [item.table for section in sections for item in section.items if item.table]
    content = {
        "collection": collection,
        "parts": parts,
        "sections": sections,
        "times": times,
        "looks": looks(collection.labels),
        "links": links(files),
        "style": Markup(stylesheet() + (TEMPLATES / "style.css").read_text(encoding="utf-8") + switches(shown)),
        "script": Markup(script),
        "policy": "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        "error_scale": album.stored(pictures.error_scale()),
        "error_range": pictures.ERROR_RANGE,
        "quality": album.QUALITY,
        "inline": lambda item: Markup(item.drawing.inline(item.key)),
        "fixed": fixed,
    }
    bare = template.render(content, album=album.Album())
    scenes = [scene for part in parts for scene in figure5.scenes(part.evidence)]
    scenes += [scene for section in sections for scene in album.scenes(section.group)]
    return template.render(
        content, album=album.album(scenes, LARGEST - len(bare.encode(errors="surrogateescape")))
    ).lstrip()


def switches(tables: Sequence[Table]) -> str:
    """The style by which a switch leaves one view of its table to be seen; it needs no script."""
    places = range(max((len(table.views) for table in tables), default=0))
    chosen = [f'.table:has(.views [value="{n}"]:checked) [data-view]:not([data-view="{n}"])' for n in places]
    return f"@media screen {{ {', '.join(chosen)} {{ display: none; }} }}" if chosen else ""


def links(files: Mapping[str, str | bytes]) -> dict[str, list[Link]]:
    """The files beside the page by their name without the ending: a table, a figure and its data, in their formats."""
    found: dict[str, list[Link]] = {}
    for path, content in files.items():
        name = PurePosixPath(path)
        inside = ""
        if isinstance(content, str) and name.parts[0] == "tables" and len(content) <= LARGEST_INSIDE:
            data = base64.b64encode(content.encode(errors="surrogateescape")).decode()
            inside = f"data:text/plain;charset=utf-8;base64,{data}"
        link = Link(FORMATS[name.suffix], name.name, path, inside)
        found.setdefault(name.stem, []).append(link)
    return found

"""The page: one HTML file with everything inside, for reading without a network.

Whatever comes from a run directory is escaped by Jinja2; only drawings made here are inserted as markup. A content
security policy lets the page run its own script and load nothing.
"""

import base64
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.figures.style import looks, stylesheet
from reports.groups import Collection, Group, setting
from reports.item import Item
from reports.labels import flatten
from reports.page import pictures
from reports.page.findings import finding
from reports.paper.claims import FAILS, HOLDS, UNMEASURED, Verdict
from reports.paper.evidence import Evidence
from reports.paper.figures import figure5
from reports.results import Result
from reports.tables.table import Cell, Column, Table
from reports.text import NOTHING, fixed, listed, plain

TEMPLATES = Path(__file__).parent

LARGEST = 14_500_000
"""Bytes of a page up to which it takes in pictures; without them it may be larger."""

LARGEST_INSIDE = 100_000
"""Bytes of a table up to which the page holds it for download, for readers who were given the page alone."""

FORMATS = {".csv": "CSV", ".md": "Markdown", ".tex": "LaTeX", ".svg": "SVG", ".png": "PNG"}
"""Ending of a file beside the page to what its link says."""


@dataclass(frozen=True)
class Section:
    """Everything the page shows of one group, but for its pictures."""

    group: Group
    finding: str
    items: list[Item]

    @property
    def seeds(self) -> str:
        """The seeds, listed."""
        return listed([str(seed) for seed in sorted({result.seed for result in self.group.results})])

    @property
    def protocols(self) -> list[str]:
        """How the metrics were computed; more than one makes the figures of the group incomparable."""
        return sorted({text for result in self.group.results for text in result.protocols})

    @property
    def dates(self) -> str:
        """The first and the last day on which a run of the group was at work."""
        moments = [result.run.status.get(key) for result in self.group.results for key in ("started", "updated")]
        days = sorted({plain(moment)[:10] for moment in moments if moment})
        return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}" if days else ""

    @property
    def tasks(self) -> Table | None:
        """Each task as the stream defines it; None where the configuration does not say."""
        tasks = self.group.results[0].config.get("tasks")
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            return None
        names = list(dict.fromkeys(name for task in tasks for name, value in task.items() if value not in (None, "")))
        rows = [[Cell(plain(task[name], 300) if name in task else NOTHING) for name in names] for task in tasks]
        return Table("Tasks as the stream defines them", [Column(plain(name)) for name in names], rows, kind="words")

    @property
    def data(self) -> str:
        """The data section on one line, without what no result depends on."""
        return plain(setting(self.group.results[0])["data"], 200)

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
    def summary(self) -> str:
        """How many claims hold, do not hold, and were not measured."""
        states = [verdict.state for verdict in self.verdicts]
        holding, failing, unmeasured = (states.count(state) for state in (HOLDS, FAILS, UNMEASURED))
        text = f"Of the paper’s {len(states)} claims {holding} hold here and {failing} do not"
        return f"{text}; {unmeasured} were not measured." if unmeasured else f"{text}."


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


def section(group: Group, items: Sequence[Item]) -> Section:
    """Gather what the page shows of one group.

    Args:
        group: what is compared.
        items: the group's tables and figures in the order in which they are shown.
    """
    return Section(group, finding(group), list(items))


def page(
    collection: Collection,
    parts: Sequence[PaperPart],
    sections: Sequence[Section],
    files: Mapping[str, str | bytes],
) -> str:
    """The whole page.

    Args:
        collection: what was read.
        parts: the paper's claims, tables and figures, one for each preset.
        sections: one per group.
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
    content = {
        "collection": collection,
        "parts": parts,
        "sections": sections,
        "looks": looks(collection.labels),
        "links": links(files),
        "style": Markup(stylesheet() + (TEMPLATES / "style.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "policy": "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        "error_scale": pictures.error_scale(),
        "error_range": pictures.ERROR_RANGE,
        "quality": pictures.QUALITY,
        "inline": lambda item: Markup(item.drawing.inline(item.key)),
        "fixed": fixed,
        "settings": settings,
        "command": command,
    }
    bare = template.render(content, album=pictures.Album())
    scenes = [scene for part in parts for scene in figure5.scenes(part.evidence)]
    scenes += [scene for section in sections for scene in pictures.scenes(section.group)]
    return template.render(
        content, album=pictures.album(scenes, LARGEST - len(bare.encode(errors="surrogateescape")))
    ).lstrip()


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


def settings(result: Result) -> dict[str, list[tuple[str, str]]]:
    """A run's configuration and environment as names and values; its tasks stand in the group's own table."""
    config = {name: value for name, value in result.config.items() if name != "tasks"}
    parts = {"Settings": config, "Environment": result.run.environment}
    return {title: [(plain(k), plain(v, 300)) for k, v in flatten(values).items()] for title, values in parts.items()}


UNSET = ("data.root", "data.cache")
"""Places that are not named in a command where there is none; any text would be one."""


def command(result: Result) -> str:
    """The command that makes the run again; it names every setting, so that later defaults do not matter."""
    config = result.config
    named = {name: config.get(name) for name in ("strategy", "stream", "preset", "seed")}
    named["order"] = ",".join(str(task) for task in config["order"])
    lines = ["python -m benchmark run " + " ".join(f"--{name} {_quoted(value)}" for name, value in named.items())]
    sections = {name: config.get(name) or {} for name in ("data", "backbone", "training")}
    sections[result.strategy] = config.get("settings") or {}
    for name, value in flatten(sections).items():
        if value is None and name in UNSET:
            continue
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        lines.append(f"    --set {_quoted(f'{name}={text}')}")
    return " \\\n".join(lines)


def _quoted(value: Any) -> str:
    return shlex.quote(plain(value, 1000))

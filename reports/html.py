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
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import pictures, tables
from reports.figures import Drawing
from reports.findings import finding
from reports.labels import flatten
from reports.published import load
from reports.results import Collection, Group, Result
from reports.style import Look, stylesheet
from reports.tables import Table
from reports.text import fixed, listed, plain

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """Everything the page shows of one group."""

    group: Group
    finding: str
    comparison: Table
    beside_paper: Table | None
    figures: dict[str, Drawing]
    matrices: list[Table]
    costs: Table | None
    unfinished: Table | None
    strips: list[tuple[pictures.Strip, list[tuple[str, str]]]]
    strips_left_out: int
    quality: int

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
    def tasks(self) -> list[str]:
        """Each task as the stream defines it, on one line; empty where the configuration does not say."""
        tasks = self.group.results[0].config.get("tasks")
        return [plain(task, 200) for task in tasks] if isinstance(tasks, list) else []

    @property
    def data(self) -> str:
        """The data section on one line."""
        return plain(self.group.data, 200)


def section(group: Group, figures: Mapping[str, Drawing], budget: int) -> Section:
    """Gather what the page shows of one group.

    Args:
        group: what is compared.
        figures: the group's drawings by the place they take: matrix, forgetting, curves.
        budget: bytes its pictures may take.
    """
    strips = pictures.strips(group)
    coded, quality = pictures.encode(strips, budget)
    costs = tables.costs(group)
    return Section(
        group=group,
        finding=finding(group),
        comparison=tables.comparison(group),
        beside_paper=_beside_paper(group),
        figures=dict(figures),
        matrices=[tables.matrix(group, entry) for entry in group.entries],
        costs=costs if len(costs.columns) > 1 else None,
        unfinished=tables.unfinished(group.unfinished) if group.unfinished else None,
        strips=list(zip(strips, coded, strict=False)),
        strips_left_out=len(strips) - len(coded),
        quality=quality,
    )


def page(
    collection: Collection, sections: Sequence[Section], looks: Mapping[str, Look], csvs: Mapping[str, str]
) -> str:
    """The whole page.

    Args:
        collection: what was read.
        sections: one per group.
        looks: how each label is drawn.
        csvs: file name to content of the tables beside the page.
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
    return (
        environment.get_template("report.html.j2")
        .render(
            collection=collection,
            sections=sections,
            looks=looks,
            style=Markup(stylesheet() + (TEMPLATES / "style.css").read_text(encoding="utf-8")),
            script=Markup(script),
            policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
            paper=load("table2"),
            downloads=[(name, _data_uri(content)) for name, content in csvs.items()],
            drawings=[drawing for part in sections for drawing in part.figures.values()],
            inline=lambda drawing: Markup(drawing.inline()),
            fixed=fixed,
            settings=settings,
            command=command,
        )
        .lstrip()
    )


def settings(result: Result) -> dict[str, list[tuple[str, str]]]:
    """A run's configuration and environment as names and values."""
    parts = {"Settings": result.config, "Environment": result.run.environment}
    return {title: [(plain(k), plain(v, 300)) for k, v in flatten(values).items()] for title, values in parts.items()}


def command(result: Result) -> str:
    """The command that makes the run again; it names every setting, so that later defaults do not matter."""
    config = result.config
    named = {name: config.get(name) for name in ("strategy", "stream", "preset", "seed")}
    named["order"] = ",".join(str(task) for task in config["order"])
    lines = ["python -m benchmark run " + " ".join(f"--{name} {_quoted(value)}" for name, value in named.items())]
    sections = {name: config.get(name) or {} for name in ("data", "backbone", "training")}
    sections[result.strategy] = config.get("settings") or {}
    for name, value in flatten(sections).items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        lines.append(f"    --set {_quoted(f'{name}={text}')}")
    return " \\\n".join(lines)


def _quoted(value: Any) -> str:
    return shlex.quote(plain(value, 1000))


def _beside_paper(group: Group) -> Table | None:
    paper = load("table2")
    comparable = group.stream == "four_tasks" and group.order == list(paper.tasks.values())
    return tables.beside_paper(group, paper) if comparable and group.entries else None


def _data_uri(text: str) -> str:
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"

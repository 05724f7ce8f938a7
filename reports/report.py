"""A report: what it holds, in which order, and how it is made from run directories."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmark.core.errors import UserError
from benchmark.experiments import paper
from benchmark.reference.records import Records
from reports import folder
from reports.figures import curves, forgetting, matrix, pareto, profiles, stability, transfer, wins, wrong_task
from reports.groups import Collection, Group, collect
from reports.items.item import Item
from reports.page import html
from reports.paper import contents, scorecard
from reports.paper.claims import UNMEASURED, judge
from reports.paper.evidence import gather
from reports.paper.tables.printed import as_printed
from reports.tables import comparison, costs, identification, images, mixtures, runs, summary

CONTENTS: tuple[Callable[[Group], Item | None], ...] = (
    summary.item,
    comparison.item,
    images.item,
    runs.unfinished,
    wins.item,
    matrix.item,
    transfer.item,
    forgetting.item,
    stability.item,
    curves.item,
    pareto.item,
    pareto.trained,
    costs.item,
    wrong_task.item,
    identification.item,
    mixtures.item,
)
"""What a report holds of every group, in the order in which a page shows it. A table or figure is one file with a
function of a group, and one line here."""


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Args:
        index: its page.
        collection: the runs that it is about, and those that could not be read.
        items: its tables and figures.
        scorecard: what became of the paper's claims, as :data:`reports.paper.scorecard.COLUMNS` names them.
    """

    index: Path
    collection: Collection
    items: list[Item]
    scorecard: pd.DataFrame


def make(paths: list[Path], out: Path, overwrite: bool = False, reference: Path | None = None) -> Report:
    """Read runs and write a report; see :func:`reports.build`."""
    folder.check(out, overwrite)
    with Records(reference) if reference is not None else nullcontext() as records:
        return _make(collect(paths, records), out, overwrite)


def _make(collection: Collection, out: Path, overwrite: bool) -> Report:
    if collection.unreadable and not (collection.groups or collection.layer or collection.profiles):
        reasons = dict.fromkeys(bad.reason for bad in collection.unreadable)
        raise UserError("\n".join(["There is nothing to report: no run can be read.", *reasons]))

    parts = _of_the_paper(collection)
    judged = [(part.evidence, part.verdicts) for part in parts]
    scored = scorecard.frame(judged)
    sections = [
        html.Section(group, [item for make in CONTENTS if (item := make(group))]) for group in collection.groups
    ]
    times = [profiles.item(rows) for rows in collection.profiles]
    shown = [item for part in parts for item in part.items]
    tables = {item.name for item in shown if item.table}
    items = [
        runs.item(collection),
        *shown,
        *(as_printed(name) for name in paper.names() if name in tables),
        scorecard.item(scored, judged),
        *(item for section in sections for item in section.items),
        *times,
    ]
    files: dict[str, str | bytes] = {}
    for item in items:
        files |= item.files()
    _write(out, files, html.page(collection, parts, sections, times, files), overwrite)
    return Report(out / folder.INDEX, collection, items, scored)


def _of_the_paper(collection: Collection) -> list[html.PaperPart]:
    """Tables and figures of the paper and its claims, for each preset that has any; an item stands in the first."""
    parts: list[html.PaperPart] = []
    shown: set[str] = set()
    for evidence in gather(collection):
        found = [item for make in contents.CONTENTS if (item := make(evidence)) and item.key not in shown]
        verdicts = judge(evidence)
        if found or any(verdict.state != UNMEASURED for verdict in verdicts):
            parts.append(html.PaperPart(evidence, verdicts, found))
            shown |= {item.key for item in found}
    return parts


def _write(out: Path, files: Mapping[str, str | bytes], page: str, overwrite: bool) -> None:
    try:
        folder.write(out, {**files, folder.INDEX: page}, overwrite)
    except OSError as error:
        raise UserError(
            f"Cannot write the report to '{out}': {error.strerror or error}. "
            "Choose a folder you may write to with --out."
        ) from error

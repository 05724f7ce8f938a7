"""A report: what it holds, in which order, and how it is made from run directories."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmark.core.errors import UserError
from benchmark.core.runs import layer_table
from benchmark.core.runs.directory import LAYER_PROFILE
from reports import folder
from reports.figures import curves, forgetting, matrix, pareto, transfer
from reports.groups import Collection, Group, collect
from reports.item import Item
from reports.page import html
from reports.paper import claims
from reports.paper import figures as paper_figures
from reports.paper import tables as paper_tables
from reports.paper.evidence import families
from reports.paper.published import load
from reports.tables import comparison, costs, runs, unfinished

CONTENTS: tuple[Callable[[Group], Item | None], ...] = (
    comparison.item,
    matrix.item,
    transfer.item,
    forgetting.item,
    curves.item,
    pareto.item,
    costs.item,
    unfinished.item,
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
        scorecard: what became of the paper's claims, as :data:`reports.paper.claims.COLUMNS` names them.
    """

    index: Path
    collection: Collection
    items: list[Item]
    scorecard: pd.DataFrame


def make(paths: list[Path], out: Path, layer: Path | None = None, overwrite: bool = False) -> Report:
    """Read runs and write a report; see :func:`reports.build`."""
    folder.check(out, overwrite)
    layer = layer or next((path / LAYER_PROFILE for path in paths if (path / LAYER_PROFILE).is_file()), None)
    collection = Collection([], []) if layer and not paths else collect(paths)
    rows = layer_table.read(layer) if layer else []
    if collection.unreadable and not (collection.groups or rows):
        reasons = dict.fromkeys(bad.reason for bad in collection.unreadable)
        raise UserError("\n".join(["There is nothing to report: no run can be read.", *reasons]))

    parts = []
    for family in families(collection):
        judged = claims.judge(family)
        found = [*paper_tables.beside(family), *paper_figures.beside(family)]
        if found or any(verdict.state != claims.UNMEASURED for verdict in judged):
            parts.append(html.PaperPart(family, [*judged, claims.judge_layer(rows)], found))
    cost = paper_tables.layer(rows) if rows else None
    papers = [*(item for part in parts for item in part.items), *([cost] if cost else [])]
    printed = sorted({item.name for item in papers if item.table})
    scorecard = claims.frame([(part.family, part.verdicts) for part in parts])
    sections = [
        html.section(group, [item for make in CONTENTS if (item := make(group))]) for group in collection.groups
    ]
    items = [
        runs.item(collection),
        *papers,
        *(Item(f"published-{name}", data=load(name).frame()) for name in printed),
        Item("scorecard", data=scorecard),
        *(item for section in sections for item in section.items),
    ]
    files: dict[str, str | bytes] = {}
    for item in items:
        files |= item.files()
    _write(out, files, html.page(collection, parts, cost, sections, files), overwrite)
    return Report(out / folder.INDEX, collection, items, scorecard)


def _write(out: Path, files: Mapping[str, str | bytes], page: str, overwrite: bool) -> None:
    try:
        folder.write(out, {**files, folder.INDEX: page}, overwrite)
    except OSError as error:
        raise UserError(
            f"Cannot write the report to '{out}': {error.strerror or error}. "
            "Choose a folder you may write to with --out."
        ) from error

"""Table 3: each task at each place in the order."""

from benchmark.experiments import paper
from reports.items.item import Item
from reports.items.table import Cell, Column, Table, number
from reports.paper.evidence import FOUR_TASKS, Evidence
from reports.paper.tables.printed import as_item, caption, cell, printed
from reports.seeds import facts
from reports.text import NOTHING


def item(evidence: Evidence) -> Item | None:
    """A row for each task, and for each experiment its place and PSNR."""
    experiment = paper.load("table3")
    found = [evidence.entry(one) for one in experiment.combinations()]
    if not any(found):
        return None
    columns = [Column("task")]
    for place in range(1, len(found) + 1):
        over = f"experiment {place}"
        columns += [Column("place", over), Column("here", over), Column("paper", over)]
    rows = []
    for task, said in zip(FOUR_TASKS, printed(experiment).rows, strict=True):
        row = [Cell(task, task)]
        for place, (order, entry) in enumerate(zip(paper.orders(experiment), found, strict=True)):
            at = order.index(task)
            ours = Cell(NOTHING)
            if entry is not None:
                margin = float(entry.margin("final_psnr")[at])
                ours = number(float(entry.mean("final_psnr")[at]), spread=margin)
            row += [Cell(str(at + 1), float(at + 1)), ours, cell(said.cells[2 + 2 * place])]
        _mark_places(row)
        rows.append(row)
    note = facts(evidence.title, [entry for entry in found if entry is not None])
    return as_item(experiment, Table(caption(experiment), columns, rows, note=note, kind="sortable"), evidence.key)


def _mark_places(row: list[Cell]) -> None:
    """Mark the place at which a task does best, ours and the paper's."""
    for first in (2, 3):
        places = range(first, len(row), 3)
        known = [row[i].value for i in places if isinstance(row[i].value, float)]
        if len(known) < 2:
            continue
        best = max(known)  # type: ignore[type-var]
        text = next(row[i].text for i in places if row[i].value == best)
        for i in places:
            if row[i].text == text:
                row[i] = Cell(row[i].text, row[i].value, row[i].small, True, row[i].spread)

"""The paper's tables with our own figures beside the printed ones."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchmark.core.runs.layer_table import Row
from reports.groups import Entry
from reports.item import Item
from reports.paper import control
from reports.paper.evidence import Family
from reports.paper.published import Published, load
from reports.seeds import facts
from reports.tables.marks import KNOWLEDGE, mark
from reports.tables.table import Cell, Column, Table, number
from reports.text import NOTHING, count, fixed
from strategies.built_in import BUILT_IN
from strategies.traits import WORDS, answers

HERE, PRINTED = "measured here", "printed in the paper"

SHARING = "Knowledge Sharing"
"""The heading under which tables of the paper say with and without."""

EXPERIMENTS = [
    ["derain", "denoise", "deblock", "deblur"],
    ["denoise", "deblock", "deblur", "derain"],
    ["deblock", "deblur", "derain", "denoise"],
    ["deblur", "derain", "denoise", "deblock"],
]
"""The orders of Table 3, rotations of the first."""


def beside(family: Family) -> list[Item]:
    """Every table of the paper of which the family holds at least one figure, but for the one about a layer."""
    found = []
    for name in ("table1", "table2", "table3", "table4", "table5", "table7"):
        paper = load(name)
        table = _orders(paper, family) if name == "table3" else _configurations(name, paper, family)
        if table is not None:
            found.append(_item(name, paper, table, family.key))
    return found


def layer(rows: Sequence[Row]) -> Item:
    """Table 6 beside what was measured on a layer here."""
    paper = load("table6")
    heads = paper.columns[1:]
    columns = [Column("method"), Column("variant")]
    columns += [Column(head, HERE) for head in ("trainable", "kernel", "memory", "GMac", "time", "to plain")]
    columns += [Column(head, PRINTED) for head in heads]
    base = rows[0]
    printed = list(paper.rows)
    cells = []
    for row in rows:
        theirs = next((line for line in printed if line[0].split(" ")[0] == row.method), None)
        if theirs is not None:
            printed.remove(theirs)
        first = next(other for other in rows if other.method == row.method)
        cells.append(
            [
                Cell(row.method, row.method),
                Cell(row.variant, row.variant),
                _times(row.trainable_parameters, first.trainable_parameters),
                _times(row.kernel_parameters, base.kernel_parameters),
                Cell(f"{count(row.peak_memory / 1e6)} MB", row.peak_memory)
                if math.isfinite(row.peak_memory)
                else Cell(NOTHING),
                Cell(fixed(row.gmac, 3), row.gmac),
                Cell(f"{fixed(row.milliseconds)} ms", row.milliseconds),
                Cell(f"{fixed(row.ratio, 3)}×", row.ratio),
                *([Cell(text, _leading(text)) for text in theirs[1:]] if theirs else [Cell(NOTHING)] * len(heads)),
            ]
        )
    note = (
        f"One 3×3 convolution of {base.channels} channels on features of {base.size}×{base.size}; {base.device}, "
        f"{count(base.threads)} threads, median of {base.repeats} forward passes taken by turns. Memory is the peak of "
        "a forward pass, on the CPU that of the whole process. Trainable parameters are given as multiples of the "
        "method's first row, kernel parameters of the plain convolution's."
    )
    table = Table(
        "Cost of more parameters in a layer, ours and the paper's", columns, cells, note=note, kind="sortable"
    )
    return _item("table6", paper, table)


def _item(name: str, paper: Published, table: Table, scope: str = "") -> Item:
    return Item(
        name,
        scope,
        f"Table {paper.table}",
        table=table,
        text=f"{paper.caption} Section {paper.section}. {paper.setting}",
        notes=paper.notes,
    )


def _configurations(name: str, paper: Published, family: Family) -> Table | None:
    """A table whose rows are configurations and whose columns are tasks."""
    found = [family.find(stream=paper.stream, **wanted) for wanted in paper.ours]
    if not any(found):
        return None
    tasks, heads = list(paper.tasks.values()), list(paper.tasks)
    own = [head for head in paper.columns if head not in paper.tasks]
    methods = name == "table2"
    told = [_told(entry, wanted) for entry, wanted in zip(found, paper.ours, strict=True)]
    columns = [Column(head) for head in own] + ([Column("told the task")] if methods else [])
    columns += [Column(task, HERE, best=1) for task in tasks] + [Column(head, PRINTED, best=1) for head in heads]
    rows = []
    for printed, entry, knows in zip(paper.rows, found, told, strict=True):
        cells = dict(zip(paper.columns, printed, strict=True))
        named = [Cell(cells[head], cells[head].casefold()) for head in own] + ([Cell(knows, knows)] if methods else [])
        rows.append([*named, *_ours(entry, tasks, paper), *(_theirs(cells[head]) for head in heads)])
    if methods:
        for entry in family.others([str(wanted["strategy"]) for wanted in paper.ours]):
            found.append(entry)
            told.append(entry.told)
            rows.append(
                [
                    Cell(entry.label, entry.label),
                    Cell(entry.told, entry.told),
                    *_ours(entry, tasks, paper),
                    *[Cell(NOTHING)] * len(heads),
                ]
            )
    first = len(columns) - len(tasks) - len(heads)
    tested = [("final_psnr", [(first + place, place) for place in range(len(tasks))])]
    rows = mark(columns, rows, found, told if methods else _blocks(rows, own), tested)
    sentences = [facts(family.title, [entry for entry in found if entry is not None])]
    if methods:
        sentences.append(KNOWLEDGE)
    if SHARING in own:
        sentences.append(control.note(family, paper.stream, paper.ours))
    return Table(_caption(paper), columns, rows, note=" ".join(sentences), kind="sortable")


def _told(entry: Entry | None, wanted: Mapping[str, Any]) -> str:
    """Whether the strategy of a row is told the task at test time; where it was not run, as the built-in one is."""
    known = BUILT_IN.get(str(wanted.get("strategy", "cmc")))
    return entry.told if entry else answers(known.traits if known else None)[WORDS["needs_task_id"]]


def _blocks(rows: Sequence[list[Cell]], own: Sequence[str]) -> list[tuple[str, ...]]:
    """What a row has in common with those it is compared with: all but the sharing, where that is a column."""
    if SHARING not in own:
        return [()] * len(rows)
    others = [index for index, head in enumerate(own) if head != SHARING]
    return [tuple(row[index].text for index in others) for row in rows]


def _ours(entry: Entry | None, tasks: Sequence[str], paper: Published) -> list[Cell]:
    if entry is None:
        return [Cell(NOTHING)] * len(tasks)
    order = entry.results[0].config["order"]
    places = [order.index(task) for task in tasks]
    psnr, spread, ssim = entry.mean("final_psnr"), entry.spread("final_psnr"), entry.mean("final_ssim")
    cells = []
    for place in places:
        cell = number(float(psnr[place]), spread=float(spread[place]))
        more = f"/{fixed(float(ssim[place]), 3)}" if "ssim" in paper.metrics else ""
        cells.append(Cell(cell.text + more, cell.value, spread=cell.spread))
    return cells


def _caption(paper: Published) -> str:
    return f"Table {paper.table} of the paper, ours beside the printed one"


def _theirs(text: str) -> Cell:
    return Cell(text, _leading(text))


def _leading(text: str) -> float:
    """The number a printed cell begins with."""
    return float(text.split("/")[0].split("×")[0].split(" ")[0])


def _times(value: float, base: float) -> Cell:
    ratio = value / base
    return Cell(f"{fixed(ratio, 1).removesuffix('.0')}×", ratio, f"{count(value)}")


def _orders(paper: Published, family: Family) -> Table | None:
    """Table 3: a row for each task, and for each experiment its place and PSNR."""
    found = [family.find(order=order, fraction=0.0125, sharing="fixed") for order in EXPERIMENTS]
    if not any(found):
        return None
    columns = [Column("task")]
    for place in range(1, 5):
        over = f"experiment {place}"
        columns += [Column("place", over), Column("here", over), Column("paper", over)]
    rows = []
    for task, printed in zip(EXPERIMENTS[0], paper.rows, strict=True):
        row = [Cell(task, task)]
        for experiment, (order, entry) in enumerate(zip(EXPERIMENTS, found, strict=True)):
            at = order.index(task)
            ours = Cell(NOTHING)
            if entry is not None:
                spread = float(entry.spread("final_psnr")[at])
                ours = number(float(entry.mean("final_psnr")[at]), spread=spread)
            row += [Cell(str(at + 1), float(at + 1)), ours, _theirs(printed[2 + 2 * experiment])]
        _mark_places(row)
        rows.append(row)
    note = facts(family.title, [entry for entry in found if entry is not None])
    return Table(_caption(paper), columns, rows, note=note, kind="sortable")


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

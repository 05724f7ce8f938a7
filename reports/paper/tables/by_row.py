"""Tables of the paper whose rows are configurations and whose columns are tasks."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmark.experiments import paper
from benchmark.experiments.experiment import Combination, Experiment
from reports.groups import REFERENCE, Entry
from reports.items.item import Item
from reports.items.table import Cell, Column, Table, number
from reports.paper import control
from reports.paper.evidence import Evidence
from reports.paper.tables.printed import HERE, PRINTED, as_item, caption, cell, printed
from reports.results import final
from reports.seeds import facts
from reports.tables.marks import KNOWLEDGE, mark, reading
from reports.text import NOTHING, fixed
from strategies.built_in import BUILT_IN
from strategies.traits import WORDS, answers

SHARING = "Knowledge Sharing"
"""The heading under which tables of the paper say with and without."""


def table(name: str) -> Callable[[Evidence], Item | None]:
    """A table in which each row names the run that fills it; no item where none of them was run.

    Where the rows are strategies, further ones that were run stand below, and each says whether it is told the task.
    """
    experiment = paper.load(name)
    return lambda evidence: _item(experiment, evidence)


def _item(experiment: Experiment, evidence: Evidence) -> Item | None:
    said = printed(experiment)
    wanted = [experiment.filling(row) for row in said.rows]
    found = [evidence.entry(one) for one in wanted]
    if not any(found):
        return None
    tasks, heads = list(said.tasks.values()), list(said.tasks)
    own = [head for head in said.columns if head not in said.tasks]
    methods = len(experiment.strategies) > 1
    if not methods:  # all are runs of one strategy, so notes tell them apart by the printed row
        of = [dict(zip(said.columns, row.cells, strict=True)) for row in said.rows]
        names = [", ".join(f"{head} {cells[head]}" for head in own) for cells in of]
        found = [entry and replace(entry, label=name) for entry, name in zip(found, names, strict=True)]
    told = [_told(entry, one) for entry, one in zip(found, wanted, strict=True)]
    columns = [Column(head) for head in own] + ([Column("told the task")] if methods else [])
    columns += [Column(task, HERE, best=1) for task in tasks] + [Column(head, PRINTED, best=1) for head in heads]
    rows = []
    for row, entry, knows in zip(said.rows, found, told, strict=True):
        cells = dict(zip(said.columns, row.cells, strict=True))
        came = REFERENCE if entry and entry.reference else ""
        named = [Cell(cells[head] + came * (head == own[0]), cells[head].casefold()) for head in own]
        named += [Cell(knows, knows)] if methods else []
        rows.append([*named, *_ours(entry, tasks, said.metrics), *(cell(cells[head]) for head in heads)])
    if methods:
        for entry in evidence.others([one.strategy for one in wanted]):
            found.append(entry)
            told.append(entry.told)
            named = [Cell(entry.label, entry.label), Cell(entry.told, entry.told)]
            rows.append([*named, *_ours(entry, tasks, said.metrics), *[Cell(NOTHING)] * len(heads)])
    first = len(columns) - len(tasks) - len(heads)
    tested = [("final_psnr", [(first + place, place) for place in range(len(tasks))])]
    kinds = told if methods else _blocks(rows, own)
    rows = mark(columns, rows, found, kinds, tested)
    sentences = [facts(evidence.title, [entry for entry in found if entry is not None]), *reading(found, kinds)]
    if methods:
        sentences.append(KNOWLEDGE)
    if SHARING in own:
        sentences.append(control.note(evidence, wanted))
    aside = frozenset(place for place, entry in enumerate(found) if entry is None)
    made = Table(caption(experiment), columns, rows, note=" ".join(sentences), kind="sortable", aside=aside)
    return as_item(experiment, made, evidence.key)


def _told(entry: Entry | None, wanted: Combination) -> str:
    """Whether the strategy of a row is told the task at test time; where it was not run, as the built-in one is."""
    known = BUILT_IN.get(wanted.strategy)
    return entry.told if entry else answers(known.traits if known else None)[WORDS["needs_task_id"]]


def _blocks(rows: Sequence[list[Cell]], own: Sequence[str]) -> list[tuple[str, ...]]:
    """What a row has in common with those it is compared with: all but the sharing, where that is a column."""
    if SHARING not in own:
        return [()] * len(rows)
    others = [index for index, head in enumerate(own) if head != SHARING]
    return [tuple(row[index].text for index in others) for row in rows]


def _ours(entry: Entry | None, tasks: Sequence[str], metrics: Sequence[str]) -> list[Cell]:
    if entry is None:
        return [Cell(NOTHING)] * len(tasks)
    order = entry.results[0].config["order"]
    places = [order.index(task) for task in tasks]
    psnr, margin, ssim = entry.mean("final_psnr"), entry.margin("final_psnr"), entry.mean(final("ssim"))
    cells = []
    for place in places:
        value = number(float(psnr[place]), spread=float(margin[place]))
        more = f"/{fixed(float(ssim[place]), 3)}" if "ssim" in metrics else ""
        cells.append(Cell(value.text + more, value.value, spread=value.spread))
    return cells

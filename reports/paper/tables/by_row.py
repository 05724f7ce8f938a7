"""Tables of the paper whose rows are configurations and whose columns are tasks."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from benchmark.experiments import paper
from benchmark.experiments.experiment import Combination, Experiment, Printed
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
    body = (_methods if len(experiment.strategies) > 1 else _variants)(said, wanted, found, evidence)
    columns = [
        *(Column(head) for head in body.heads),
        *(Column(task, HERE, best=1) for task in said.tasks.values()),
        *(Column(head, PRINTED, best=1) for head in said.tasks),
    ]
    tested = [("final_psnr", len(body.heads) + place, place) for place in range(len(said.tasks))]
    rows = mark(columns, body.rows, body.found, body.kinds, tested)
    known = [entry for entry in body.found if entry is not None]
    sentences = [facts(evidence.title, known), *reading(body.found, body.kinds), *body.notes]
    aside = frozenset(place for place, entry in enumerate(body.found) if entry is None)
    made = Table(caption(experiment), columns, rows, note=" ".join(sentences), kind="sortable", aside=aside)
    return as_item(experiment, made, evidence.key)


@dataclass(frozen=True)
class _Body:
    """Rows of a table.

    Args:
        heads: the columns before the figures.
        rows: the cells.
        found: what was run for each row, if anything.
        kinds: for each row what those have in common that it is compared with.
        notes: what is to be said below the table.
    """

    heads: Sequence[str]
    rows: list[list[Cell]]
    found: Sequence[Entry | None]
    kinds: Sequence[Hashable]
    notes: Sequence[str]


def _methods(said: Printed, wanted: Sequence[Combination], found: Sequence[Entry | None], evidence: Evidence) -> _Body:
    """A row for each strategy, with those below that the paper does not have, and whether it is told the task."""
    own, others = _own(said), evidence.others([one.strategy for one in wanted])
    told = [_told(entry, one) for entry, one in zip(found, wanted, strict=True)]
    rows = [
        _beside(said, own, cells, entry, [Cell(knows, knows)])
        for cells, entry, knows in zip(said.by_head, found, told, strict=True)
    ]
    return _Body(
        [*own, "told the task"],
        [*rows, *(_further(said, entry) for entry in others)],
        [*found, *others],
        [*told, *(entry.told for entry in others)],
        [KNOWLEDGE],
    )


def _variants(said: Printed, wanted: Sequence[Combination], found: Sequence[Entry | None], evidence: Evidence) -> _Body:
    """A row for each configuration of one strategy, which notes tell apart by the printed row."""
    own = _own(said)
    names = [", ".join(f"{head} {cells[head]}" for head in own) for cells in said.by_head]
    entries = [entry and replace(entry, label=name) for entry, name in zip(found, names, strict=True)]
    rows = [_beside(said, own, cells, entry) for cells, entry in zip(said.by_head, entries, strict=True)]
    return _Body(own, rows, entries, _blocks(rows, own), [control.note(evidence, wanted)] if SHARING in own else [])


def _own(said: Printed) -> list[str]:
    """The columns that tell configurations apart."""
    return [head for head in said.columns if head not in said.tasks]


def _beside(
    said: Printed, own: Sequence[str], cells: Mapping[str, str], entry: Entry | None, more: Sequence[Cell] = ()
) -> list[Cell]:
    """A printed row with ours; ``more`` follows its own columns."""
    came = REFERENCE if entry and entry.reference else ""
    named = [Cell(cells[head] + came * (head == own[0]), cells[head].casefold()) for head in own]
    return [*named, *more, *_ours(entry, said), *(cell(cells[head]) for head in said.tasks)]


def _further(said: Printed, entry: Entry) -> list[Cell]:
    """A row of a strategy that the paper does not have."""
    named = [Cell(entry.label, entry.label), Cell(entry.told, entry.told)]
    return [*named, *_ours(entry, said), *[Cell(NOTHING)] * len(said.tasks)]


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


def _ours(entry: Entry | None, said: Printed) -> list[Cell]:
    tasks = list(said.tasks.values())
    if entry is None:
        return [Cell(NOTHING)] * len(tasks)
    order = entry.results[0].config["order"]
    places = [order.index(task) for task in tasks]
    psnr, margin, ssim = entry.mean("final_psnr"), entry.margin("final_psnr"), entry.mean(final("ssim"))
    cells = []
    for place in places:
        value = number(float(psnr[place]), spread=float(margin[place]))
        more = f"/{fixed(float(ssim[place]), 3)}" if "ssim" in said.metrics else ""
        cells.append(Cell(value.text + more, value.value, spread=value.spread))
    return cells

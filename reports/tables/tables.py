"""The tables of the page: what each cell says, how it sorts, and which value is the best of its column."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reports.results import Array, Entry, Group, Result, mean
from reports.seeds import FEWEST, LEVEL, facts, paired, significance
from reports.text import NOTHING, count, fixed, plain, quantity
from strategies.traits import WORDS

EVIDENCE = (
    "Outputs changed: compared by hashes, on the test images and each under its own task's label, which is evidence on "
    "these images. Where the tensors on which a task's output depends are compared, too, 0 of them changed is proof, "
    "for any image under that label."
)

CAPACITY = (
    "Trained per task: parameters that a task trains and keeps after any pruning, as a multiple of the plain network's."
)

KNOWLEDGE = (
    "Strategies told the task at test time and those not told are ranked by themselves: the best of each are in bold."
)
"""The note of a table that has both."""

UNCOUNTED = "not counted"
"""What stands for the bytes of runs from before the images that a strategy keeps were counted."""

LONGEST = 18
"""Letters after which a cell wraps on paper."""


@dataclass(frozen=True)
class Column:
    """The heading of a column.

    Args:
        head: the heading.
        over: the heading that it shares with its neighbours, above its own.
        title: what it means, in a sentence.
        best: 1 where more is better, -1 where less is better, 0 where there is no better.
    """

    head: str
    over: str = ""
    title: str = ""
    best: int = 0


@dataclass(frozen=True)
class Cell:
    """One cell.

    Args:
        text: what it says.
        value: what it sorts by; None sorts last.
        small: a second, quieter line.
        best: whether it is the best of its column.
        spread: the standard deviation over seeds, as printed; empty for a single seed.
        level: whether it is not significantly worse than the best of its column.
    """

    text: str
    value: float | str | None = None
    small: str = ""
    best: bool = False
    spread: str = ""
    level: bool = False

    @property
    def under(self) -> str:
        """What stands below the text: the second line and the spread."""
        return " ".join(part for part in (self.small, f"±{self.spread}" if self.spread else "") if part)


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Args:
        caption: what it shows.
        columns: its headings; the first column names the row.
        rows: its cells, row by row.
        fixed: rows at the top that sorting leaves in place.
        note: what one has to know to read it, in sentences; stands below it wherever it goes.
    """

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    fixed: int = 0
    note: str = ""

    @property
    def breadth(self) -> int:
        """Letters that a row takes side by side, so that paper can set it as large as it fits; headings may wrap."""
        widest = 0
        for index, column in enumerate(self.columns):
            texts = [row[index].text for row in self.rows] + [row[index].under for row in self.rows]
            widest += min(LONGEST, max(len(text) for text in [*texts, *column.head.split(), ""]))
        return widest + len(self.columns)

    @property
    def spans(self) -> list[tuple[str, int, int]]:
        """The upper row of headings: text, columns spanned, index of the first; empty text for a column of its own."""
        spans: list[tuple[str, int, int]] = []
        for index, column in enumerate(self.columns):
            if column.over and spans and spans[-1][0] == column.over:
                spans[-1] = (column.over, spans[-1][1] + 1, spans[-1][2])
            else:
                spans.append((column.over, 1, index))
        return spans


def comparison(group: Group) -> Table:
    """The degraded input and every entry: PSNR and SSIM per task after the whole stream, and what was forgotten."""
    columns = [
        Column("strategy"),
        Column("told the task", "", "whether it knows at test time which task an image is of"),
    ]
    for task in group.headings:
        columns += [
            Column("PSNR", task, "dB, and below it the gain over the degraded input", best=1),
            Column("SSIM", task, "", best=1),
        ]
    columns += [
        Column("mean PSNR", "", "dB, mean over the tasks, and below it the gain over the degraded input", best=1),
        Column("forgetting", "", "dB lost on a task since its best moment, mean over all tasks but the last", best=-1),
        Column("BWT", "", "backward transfer: dB by which later tasks changed earlier ones", best=1),
        Column("FWT", "", "forward transfer: dB over the degraded input on tasks not learned yet", best=1),
        Column(
            "trained per task",
            "parameters",
            "parameters that a task trains and keeps after any pruning, in plain backbones, and below it their number",
        ),
        Column("stored", "parameters", "parameters stored after the whole stream", best=-1),
        Column(
            "outputs changed",
            "",
            "outputs on test images of earlier tasks that are no longer bit-identical after the last task, and below "
            "it the tensors on which they depend",
            best=0,
        ),
    ]
    inputs, input_ssim = group.input("input_psnr"), group.input("input_ssim")
    first = [Cell("degraded input", ""), Cell(NOTHING)]
    for value, similarity in zip(inputs, input_ssim, strict=True):
        first += [number(value), number(similarity, 3)]
    first += [number(mean(inputs)), *[Cell(NOTHING)] * 6]
    tasks = len(group.order)
    tested: list[tuple[str, list[tuple[int, int | None]]]] = [
        ("final_psnr", [(2 + 2 * place, place) for place in range(tasks)]),
        ("final_ssim", [(3 + 2 * place, place) for place in range(tasks)]),
    ]
    for step, name in enumerate(("mean_psnr", "mean_forgetting", "backward_transfer", "forward_transfer")):
        tested.append((name, [(2 + 2 * tasks + step, None)]))
    told = [entry.told for entry in group.entries]
    rows = mark(columns, [_entry_row(entry, inputs) for entry in group.entries], group.entries, told, tested)
    sentences = [facts(f"preset {group.preset}", group.entries), CAPACITY]
    if len(set(told)) > 1:
        sentences.append(KNOWLEDGE)
    if any(entry.owned for entry in group.entries):
        sentences.append(EVIDENCE)
    return Table(
        caption=f"After the whole stream: {group.title}",
        columns=columns,
        rows=[first, *rows],
        fixed=1,
        note=" ".join(sentences),
    )


def _entry_row(entry: Entry, inputs: Array) -> list[Cell]:
    seeds = f"{len(entry.results)} seeds" if len(entry.results) > 1 else ""
    row = [
        Cell(entry.label, entry.label.casefold(), "; ".join(filter(None, (seeds, entry.settings_from)))),
        Cell(entry.told, entry.told),
    ]
    psnr, ssim, spread = entry.mean("final_psnr"), entry.mean("final_ssim"), entry.spread("final_psnr")
    for value, similarity, deviation, start in zip(psnr, ssim, spread, inputs, strict=True):
        row += [number(value, spread=deviation, gain=value - start), number(similarity, 3)]
    average = float(entry.mean("mean_psnr"))
    row.append(number(average, spread=float(entry.spread("mean_psnr")), gain=average - float(inputs.mean())))
    row.append(number(float(entry.mean("mean_forgetting")), spread=float(entry.spread("mean_forgetting"))))
    row.append(number(float(entry.mean("backward_transfer")), sign=True))
    row.append(number(float(entry.mean("forward_transfer")), sign=True))
    row.append(trained(entry))
    stored = float(np.mean([result.cost("stored_parameters") for result in entry.results]))
    row.append(Cell(count(stored), _sortable(stored)))
    changed = entry.changed
    below = f"{entry.owned[0]} of {entry.owned[1]} tensors" if entry.owned else ""
    row.append(Cell(f"{changed[0]} of {changed[1]}", changed[0], below) if changed else Cell(NOTHING))
    return row


def matrix(group: Group, entry: Entry) -> Table:
    """PSNR on every task after every task, and in small the change since the task was learned."""
    psnr, change = entry.mean("psnr"), entry.mean("change")
    rows = [[Cell("degraded input"), *(number(value) for value in group.input("input_psnr"))]]
    for i, task in enumerate(group.order):
        cells = [Cell(f"{i + 1} {task}")]
        for j in range(len(group.order)):
            note = "not learned yet" if j > i else "learned" if j == i else fixed(change[i, j], sign=True)
            cells.append(Cell(fixed(psnr[i, j]), small=note if np.isfinite(psnr[i, j]) else ""))
        rows.append(cells)
    return Table(entry.label, [Column("after learning"), *(Column(task) for task in group.headings)], rows)


def costs(group: Group) -> Table:
    """What every entry stores and computes after the whole stream, the mean over its seeds; and what it declares."""
    names = list(dict.fromkeys(name for entry in group.entries for result in entry.results for name in result.costs))
    traits = [word for name, word in WORDS.items() if name != "needs_task_id"]
    columns = [Column("strategy"), *(Column(name.replace("_", " ")) for name in names)]
    if not names:
        return Table("Stored and computed", columns, [])
    columns += [Column("stored with data", "", "the checkpoint, and training images that are needed again")]
    columns += [Column(word) for word in traits]
    rows = []
    for entry in group.entries:
        cells = [Cell(entry.label, entry.label.casefold())]
        for name in names:
            known = [result.costs[name] for result in entry.results if name in result.costs]
            value = float(np.mean([number for number, _ in known])) if known else math.nan
            cells.append(Cell(quantity(value, known[0][1]), value) if known and math.isfinite(value) else Cell(NOTHING))
        kept = float(entry.mean("kept_bytes"))
        stored = any("stored_bytes" in result.costs for result in entry.results)
        cells.append(Cell(quantity(kept, "B"), kept) if math.isfinite(kept) else Cell(UNCOUNTED if stored else NOTHING))
        rows.append([*cells, *(Cell(entry.traits[word], entry.traits[word]) for word in traits)])
    note = (
        "To go on, a strategy needs its checkpoint and those training images of learned tasks that it trains on again: "
        "data bytes, decoded to 8-bit RGB, images that tasks share counted once."
    )
    return Table("Stored and computed", columns, rows, note=note)


def unfinished(results: Sequence[Result]) -> Table:
    """Runs that did not finish, with the last PSNR they have for each task they learned."""
    rows = []
    for result in results:
        status = result.run.status
        place = result.learned
        order = [plain(task) for task in result.config["order"]]
        have = [f"{task} {fixed(result.psnr[place - 1, j])}" for j, task in enumerate(order[:place]) if place]
        rows.append(
            [
                Cell(result.run.name, small=f"{result.strategy}, seed {result.seed}"),
                Cell(result.state),
                Cell(f"{place} of {len(order)}", place),
                Cell(", ".join(have) or "nothing was measured"),
                Cell(plain(status["error"], 400) if status.get("error") else NOTHING),
            ]
        )
    heads = ["run", "state", "tasks measured", "PSNR after the last of them (dB)", "error"]
    return Table("Runs that did not finish", [Column(head) for head in heads], rows)


def number(value: float, digits: int = 2, spread: float = math.nan, gain: float = math.nan, sign: bool = False) -> Cell:
    """A number as a cell, with its deviation over seeds and what it gains where these are known; a dash for nan."""
    return Cell(
        fixed(value, digits, sign),
        _sortable(value),
        fixed(gain, sign=True) if math.isfinite(gain) else "",
        spread=fixed(spread, digits) if math.isfinite(spread) else "",
    )


def _sortable(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def trained(entry: Entry) -> Cell:
    """What a task trains and keeps: in plain backbones, and below it in parameters; the latter alone in older runs."""
    own, over = float(entry.mean("task_parameters")), float(entry.mean("over_plain"))
    return Cell(f"{fixed(over)}×", over, count(own)) if math.isfinite(over) else Cell(count(own), _sortable(own))


def mark(
    columns: Sequence[Column],
    rows: Sequence[list[Cell]],
    entries: Sequence[Entry | None],
    kinds: Sequence[Any],
    tested: Sequence[tuple[str, Sequence[tuple[int, int | None]]]],
) -> list[list[Cell]]:
    """Mark the best cells of each column, and those not significantly worse, among the rows of one kind each.

    Args:
        columns: the headings.
        rows: one for each entry.
        entries: what each row stands for.
        kinds: rows of one kind are compared with each other.
        tested: figures and their places, as :func:`mark_level` takes them.
    """
    marked = list(rows)
    for kind in dict.fromkeys(kinds):
        places = [place for place, other in enumerate(kinds) if other == kind]
        block = mark_best(columns, [rows[place] for place in places])
        for name, at in tested:
            mark_level(block, [entries[place] for place in places], name, at)
        for place, row in zip(places, block, strict=True):
            marked[place] = row
    return marked


def mark_best(columns: Sequence[Column], rows: Iterable[list[Cell]]) -> list[list[Cell]]:
    """Mark the best cells of each column, comparing what is printed; where nothing is beside it, nothing is best."""
    marked = [list(row) for row in rows]
    if len(marked) < 2:
        return marked
    for index, column in enumerate(columns):
        known = [row[index].value for row in marked if isinstance(row[index].value, float)]
        if not column.best or len(known) < 2 or len({row[index].text for row in marked}) == 1:
            continue
        best = (max if column.best > 0 else min)(known)  # type: ignore[type-var]
        text = next(row[index].text for row in marked if row[index].value == best)
        for row in marked:
            if row[index].text == text:
                row[index] = replace(row[index], best=True)
    return marked


def mark_level(
    rows: Sequence[list[Cell]], entries: Sequence[Entry | None], name: str, places: Sequence[tuple[int, int | None]]
) -> None:
    """Mark the cells that are not significantly below the best of their column.

    Args:
        rows: the rows of a table, in which the best cells are marked.
        entries: for each row what it stands for.
        name: the figure that the columns show.
        places: (column, index into the figure, None for a single number).
    """
    for column, index in places:
        best = next((i for i, row in enumerate(rows) if row[column].best), None)
        top = entries[best] if best is not None else None
        if top is None:
            continue
        for row, entry in zip(rows, entries, strict=True):
            if entry is None or row[column].best:
                continue
            differences = paired(top, entry, name)
            if len(differences) >= FEWEST:
                level = significance(differences if index is None else differences[:, index]) >= LEVEL
                row[column] = replace(row[column], level=level)

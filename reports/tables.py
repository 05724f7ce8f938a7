"""The tables of the page: what each cell says, how it sorts, and which value is the best of its column."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from reports.published import Published
from reports.results import Array, Entry, Group, Result, mean
from reports.text import NOTHING, count, fixed, plain, quantity


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
    """

    text: str
    value: float | str | None = None
    small: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Args:
        caption: what it shows.
        columns: its headings; the first column names the row.
        rows: its cells, row by row.
        fixed: rows at the top that sorting leaves in place.
        series: for each row the label whose colour it carries, or an empty string.
    """

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    fixed: int = 0
    series: list[str] = field(default_factory=list)

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
    columns = [Column("strategy")]
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
        Column("parameters", "", "parameters stored after the whole stream", best=-1),
        Column(
            "outputs changed", "", "test outputs of earlier tasks no longer bit-identical after the last task", best=0
        ),
    ]
    inputs, input_ssim = group.input("input_psnr"), group.input("input_ssim")
    first = [Cell("degraded input", "")]
    for value, similarity in zip(inputs, input_ssim, strict=True):
        first += [_number(value), _number(similarity, 3)]
    first += [_number(mean(inputs)), *[Cell(NOTHING)] * 5]
    rows = [_entry_row(entry, inputs) for entry in group.entries]
    return Table(
        caption="After the whole stream",
        columns=columns,
        rows=[first, *_mark_best(columns, rows)],
        fixed=1,
        series=["", *(entry.label for entry in group.entries)],
    )


def _entry_row(entry: Entry, inputs: Array) -> list[Cell]:
    seeds = len(entry.results)
    row = [Cell(entry.label, entry.label.casefold(), f"{seeds} seeds" if seeds > 1 else "")]
    psnr, ssim, spread = entry.mean("final_psnr"), entry.mean("final_ssim"), entry.spread("final_psnr")
    for value, similarity, deviation, start in zip(psnr, ssim, spread, inputs, strict=True):
        row += [_number(value, spread=deviation, gain=value - start), _number(similarity, 3)]
    average = float(entry.mean("mean_psnr"))
    row.append(_number(average, spread=float(entry.spread("mean_psnr")), gain=average - float(inputs.mean())))
    row.append(_number(float(entry.mean("mean_forgetting")), spread=float(entry.spread("mean_forgetting"))))
    row.append(_number(float(entry.mean("backward_transfer")), sign=True))
    row.append(_number(float(entry.mean("forward_transfer")), sign=True))
    stored = float(np.mean([result.cost("stored_parameters") for result in entry.results]))
    row.append(Cell(count(stored), _sortable(stored)))
    changed = entry.changed
    row.append(Cell(f"{changed[0]} of {changed[1]}", changed[0]) if changed else Cell(NOTHING))
    return row


def matrix(group: Group, entry: Entry) -> Table:
    """PSNR on every task after every task, and in small the change since the task was learned."""
    psnr, change = entry.mean("psnr"), entry.mean("change")
    rows = [[Cell("degraded input"), *(_number(value) for value in group.input("input_psnr"))]]
    for i, task in enumerate(group.order):
        cells = [Cell(f"{i + 1} {task}")]
        for j in range(len(group.order)):
            note = "not learned yet" if j > i else "learned" if j == i else fixed(change[i, j], sign=True)
            cells.append(Cell(fixed(psnr[i, j]), small=note if np.isfinite(psnr[i, j]) else ""))
        rows.append(cells)
    return Table(entry.label, [Column("after learning"), *(Column(task) for task in group.headings)], rows)


def costs(group: Group) -> Table:
    """What every entry stores and computes after the whole stream; the mean over its seeds."""
    names = list(dict.fromkeys(name for entry in group.entries for result in entry.results for name in result.costs))
    columns = [Column("strategy"), *(Column(name.replace("_", " ")) for name in names)]
    rows = []
    for entry in group.entries:
        cells = [Cell(entry.label, entry.label.casefold())]
        for name in names:
            known = [result.costs[name] for result in entry.results if name in result.costs]
            value = float(np.mean([number for number, _ in known])) if known else math.nan
            cells.append(Cell(quantity(value, known[0][1]), value) if known and math.isfinite(value) else Cell(NOTHING))
        rows.append(cells)
    return Table("Stored and computed", columns, rows, series=[entry.label for entry in group.entries])


def beside_paper(group: Group, paper: Published) -> Table:
    """Our final PSNR beside the paper's figures for the same strategy; the paper's other rows follow."""
    printed = {row[0]: dict(zip(paper.columns, row, strict=True)) for row in paper.rows}
    columns = [Column("strategy"), *(Column(task, "measured here") for task in group.headings)]
    columns.append(Column("method", "printed in the paper"))
    columns += [Column(heading, "printed in the paper") for heading in paper.tasks]
    rows, series, used = [], [], set()
    for entry in group.entries:
        method = paper.strategies.get(entry.results[0].strategy, "")
        used.add(method)
        ours = [_number(value) for value in entry.mean("final_psnr")]
        rows.append([Cell(entry.label, entry.label.casefold()), *ours, *_printed(printed.get(method), paper)])
        series.append(entry.label)
    for method, row in printed.items():
        if method not in used:
            rows.append([Cell("not run here"), *[Cell(NOTHING)] * len(group.order), *_printed(row, paper)])
            series.append("")
    return Table("Final PSNR (dB), ours and the paper's", columns, rows, series=series)


def _printed(row: dict[str, str] | None, paper: Published) -> list[Cell]:
    if row is None:
        return [Cell(NOTHING)] * (1 + len(paper.tasks))
    method = row[paper.columns[0]]
    return [Cell(method, method.casefold()), *(Cell(row[heading], float(row[heading])) for heading in paper.tasks)]


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


def _number(
    value: float, digits: int = 2, spread: float = math.nan, gain: float = math.nan, sign: bool = False
) -> Cell:
    small = [f"±{fixed(spread, digits)}" if math.isfinite(spread) else "", fixed(gain, sign=True)]
    return Cell(
        fixed(value, digits, sign),
        _sortable(value),
        " ".join(part for part in reversed(small) if part not in ("", NOTHING)),
    )


def _sortable(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _mark_best(columns: Sequence[Column], rows: Iterable[list[Cell]]) -> list[list[Cell]]:
    """Mark the best cells of each column, comparing what is printed; with fewer than two rows nothing is best."""
    marked = [list(row) for row in rows]
    if len(marked) < 2:
        return marked
    for index, column in enumerate(columns):
        known = [row[index].value for row in marked if isinstance(row[index].value, float)]
        if not column.best or not known or len({row[index].text for row in marked}) == 1:
            continue
        best = (max if column.best > 0 else min)(known)  # type: ignore[type-var]
        text = next(row[index].text for row in marked if row[index].value == best)
        for row in marked:
            if row[index].text == text:
                row[index] = replace(row[index], best=True)
    return marked

"""PSNR on every task after every task."""

import numpy as np
import pandas as pd

from benchmark.core.metrics import compared
from benchmark.core.tables import INTEGER, NUMBER, TEXT, Schema
from benchmark.core.tables import Column as Field
from reports.groups import Entry, Group
from reports.items.table import Cell, Column, Table, number
from reports.tables.rows import RUN
from reports.text import fixed


def schema() -> Schema:
    """The columns of the tidy matrix."""
    return Schema(
        (
            RUN[0],
            Field("strategy", TEXT, "the strategy's name"),
            *RUN[1:],
            Field("after", INTEGER, "tasks learned so far"),
            Field("after_task", TEXT, "the task learned last"),
            Field("place", INTEGER, "1-based place of the evaluated task in the stream"),
            Field("task", TEXT, "its name"),
            *(Field(metric.name, NUMBER, metric.unit, optional=True) for metric in compared()),
            Field("gain", NUMBER, "PSNR over the degraded input, dB", optional=True),
            Field("change", NUMBER, "PSNR since the task was learned, dB; missing before that", optional=True),
        )
    )


def frame(group: Group) -> pd.DataFrame:
    """One row per run, learned task and evaluated task: every compared metric, and what PSNR is relative to."""
    rows = []
    for label, result in group.labelled:
        change, order = result.change, [str(task) for task in result.config["order"]]
        for i, j in np.argwhere(~np.isnan(result.psnr)):
            rows.append(
                {
                    "label": label,
                    "strategy": result.strategy,
                    "seed": result.seed,
                    "run": result.run.name,
                    "after": i + 1,
                    "after_task": order[i],
                    "place": j + 1,
                    "task": order[j],
                    **{name: values[i, j] for name, values in result.outputs.items()},
                    "gain": result.psnr[i, j] - result.input_psnr[j],
                    "change": change[i, j],
                }
            )
    return schema().frame_of(rows)


def table(group: Group, entry: Entry) -> Table:
    """PSNR on every task after every task, and in small the change since the task was learned."""
    psnr, change = entry.mean("psnr"), entry.mean("change")
    rows = [[Cell("degraded input"), *(number(value) for value in group.input("psnr"))]]
    for i, task in enumerate(group.order):
        cells = [Cell(f"{i + 1} {task}")]
        for j in range(len(group.order)):
            note = "not learned yet" if j > i else "learned" if j == i else fixed(change[i, j], sign=True)
            cells.append(Cell(fixed(psnr[i, j]), small=note if np.isfinite(psnr[i, j]) else ""))
        rows.append(cells)
    return Table(entry.label, [Column("after learning"), *(Column(task) for task in group.headings)], rows)

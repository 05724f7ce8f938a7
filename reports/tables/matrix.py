"""PSNR on every task after every task."""

import numpy as np
import pandas as pd

from benchmark.core.tables import INTEGER, NUMBER, TEXT, Schema
from benchmark.core.tables import Column as Field
from reports.groups import Entry, Group
from reports.tables.rows import RUN
from reports.tables.table import Cell, Column, Table, number
from reports.text import fixed

MATRIX = Schema(
    (
        RUN[0],
        Field("strategy", TEXT, "the strategy's name"),
        *RUN[1:],
        Field("after", INTEGER, "tasks learned so far"),
        Field("after_task", TEXT, "the task learned last"),
        Field("place", INTEGER, "1-based place of the evaluated task in the stream"),
        Field("task", TEXT, "its name"),
        Field("psnr", NUMBER, "dB"),
        Field("ssim", NUMBER, "", optional=True),
        Field("gain", NUMBER, "dB over the degraded input", optional=True),
        Field("change", NUMBER, "dB relative to the moment the task was learned; missing before that", optional=True),
    )
)
"""The tidy matrix."""


def frame(group: Group) -> pd.DataFrame:
    """One row per run, learned task and evaluated task: PSNR in dB, SSIM, and what they are relative to.

    ``gain`` is PSNR over the degraded input; ``change`` is PSNR relative to the moment the task was learned, empty
    before that.
    """
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
                    "psnr": result.psnr[i, j],
                    "ssim": result.ssim[i, j],
                    "gain": result.psnr[i, j] - result.input_psnr[j],
                    "change": change[i, j],
                }
            )
    return MATRIX.frame_of(rows)


def table(group: Group, entry: Entry) -> Table:
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

"""Fair tuning: every strategy's main setting, chosen on the validation photographs by the same rule.

``tuning.yaml`` names the setting of each strategy and the values to try. A value's score is the mean validation PSNR
over all tasks after the last one, so that learning and not forgetting count alike; test images play no part.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmark.errors import UserError, unknown
from benchmark.runs import Run, refuse_other, write_table
from benchmark.tables import INTEGER, NUMBER, TEXT, Column, Schema, headings, rows_of

GRID = Path(__file__).with_name("tuning.yaml")

COLUMNS = Schema(
    columns=(
        Column("strategy", TEXT, "the strategy's name"),
        Column("setting", TEXT, "which of its settings"),
        Column("value", TEXT, "what was tried, as ``--set`` takes it"),
        Column("seed", INTEGER, "of the run"),
        Column("score", NUMBER, "dB, the mean of the columns that follow, one for each task"),
    ),
    key=("strategy", "setting", "value", "seed"),
)
"""Columns of the table of what was tried, before those of the tasks."""


def grid(strategies: Sequence[str] | None = None) -> list[tuple[str, str, Any]]:
    """What is to be tried: (strategy, setting, value), one for each run.

    Raises:
        UserError: a strategy has nothing to tune.
    """
    settings: dict[str, dict[str, list[Any]]] = yaml.safe_load(GRID.read_text(encoding="utf-8"))
    for name in strategies or []:
        if name not in settings:
            raise unknown("strategy to tune", name, settings, f"Add its setting to {GRID.name}.")
    return [
        (strategy, setting, value)
        for strategy, tried in settings.items()
        if strategies is None or strategy in strategies
        for setting, values in tried.items()
        for value in values
    ]


def check_table(path: Path) -> None:
    """Make sure that the table may be extended, before anything is trained for it.

    Raises:
        UserError: another file stands at the path.
    """
    refuse_other(path, COLUMNS.names, "--table")


def score(run: Run) -> dict[str, float]:
    """Validation PSNR in dB on every task after the last one, by the task's name.

    Raises:
        UserError: the run is not finished.
    """
    if not run.finished:
        raise UserError(f"'{run.path}' is not finished; the same command goes on with it.")
    rows = run.metrics.query("subject == 'validation' and metric == 'psnr'")
    last = rows[rows["after"] == rows["after"].max()].sort_values("place")
    return dict(zip(last["task"], last["value"].astype(float), strict=True))


def write(path: Path, tried: Sequence[tuple[tuple[str, str, Any], Run]]) -> pd.DataFrame:
    """Write one row for each run, best first within a strategy; rows of other strategies are kept.

    Returns:
        The table: COLUMNS, then one column for each task; nan where a strategy was not tried on a task.

    Raises:
        UserError: a run is not finished, or the table that is there cannot be read.
    """
    rows: list[dict[str, Any]] = []
    for (strategy, setting, value), run in tried:
        scores = {_column(task): round(psnr, 3) for task, psnr in score(run).items()}
        rows.append(
            {
                "strategy": strategy,
                "setting": setting,
                "value": value if isinstance(value, str) else json.dumps(value),
                "seed": run.config["seed"],
                "score": round(sum(score(run).values()) / len(scores), 3),
                **scores,
            }
        )
    if path.exists() and (names := headings(path)):
        schema = _schema(names)
        before = rows_of(schema.read(path, "Restore the table, or write to another one with --table."))
        again = {row["strategy"] for row in rows}
        rows = [row for row in before if row["strategy"] not in again] + rows
    rows.sort(key=lambda row: (row["strategy"], -row["score"]))
    schema = _schema([name for row in rows for name in row])
    write_table(path, rows, schema)
    return schema.frame_of(rows)


def _schema(names: Sequence[str]) -> Schema:
    """COLUMNS, and every further name as a task."""
    tasks = [name for name in dict.fromkeys(names) if name not in COLUMNS.names]
    scores = (Column(task, NUMBER, "dB on the task's validation images after the last task", True) for task in tasks)
    return Schema((*COLUMNS.columns, *scores), COLUMNS.key)


def _column(task: str) -> str:
    """The column of a task, which may be called like one of COLUMNS."""
    return f"task {task}" if task in COLUMNS.names else task

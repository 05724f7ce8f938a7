"""Fair tuning: every strategy's main setting, chosen on the validation photographs by the same rule.

``tuning.yaml`` names the setting of each strategy and the values to try. A value's score is the mean validation PSNR
over all tasks after the last one, so that learning and not forgetting count alike; test images play no part.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmark.errors import UserError, unknown
from benchmark.runs import Run, refuse_other, write_table

GRID = Path(__file__).with_name("tuning.yaml")

COLUMNS = ["strategy", "setting", "value", "seed", "score"]


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
    refuse_other(path, COLUMNS, "--table")


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
        The table: COLUMNS, then one column for each task.
    """
    rows = []
    tasks: list[str] = []
    for (strategy, setting, value), run in tried:
        scores = score(run)
        tasks = list(scores)
        mean = sum(scores.values()) / len(scores)
        rows.append(
            {"strategy": strategy, "setting": setting, "value": value, "seed": run.config["seed"], "score": mean}
            | scores
        )
    frame = pd.DataFrame(rows).round(3)
    if path.exists():
        before = pd.read_csv(path)
        frame = pd.concat([before[~before["strategy"].isin(frame["strategy"])], frame], ignore_index=True)
    frame = frame.sort_values(["strategy", "score"], ascending=[True, False], kind="stable")
    columns = [*COLUMNS, *tasks]
    write_table(path, [dict(zip(columns, row, strict=True)) for row in frame[columns].to_numpy().tolist()], columns)
    return frame

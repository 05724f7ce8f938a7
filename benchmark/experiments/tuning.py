"""Fair tuning: every strategy's settings, chosen on the validation photographs by the same rule.

``tuning.yaml`` names the settings of each strategy and the values to try, one setting at a time, the others being the
preset's. A value's score is the mean validation PSNR over all tasks after the last one, so that learning and not
forgetting count alike; test images play no part. Every value is tried with one seed, and the two best of each setting
with the others, too, since a single seed tells close values apart by luck.

A best value at an end of what was tried proves nothing: the next one might be better still. So a grid has to have its
best value inside, or say why it cannot go on at that end. A value whose training diverges was tried, and has lost.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import Field, ValidationError

from benchmark.core.errors import UserError, unknown
from benchmark.core.runs.directory import Run
from benchmark.core.runs.locks import extending
from benchmark.core.runs.writing import refuse_other, told, write_table
from benchmark.core.tables import INTEGER, NUMBER, TEXT, Column, Schema, headings, rows_of
from benchmark.core.validation import Closed, explain
from benchmark.core.yaml_files import YamlFile
from benchmark.engine.events import Listener, ignore
from benchmark.engine.executors.workers import Workers
from benchmark.planning import plan
from benchmark.streams.definition import load, shipped

if TYPE_CHECKING:
    from benchmark.engine.executors.execute import Results

GRID = Path(__file__).with_name("tuning.yaml")

COLUMNS = Schema(
    columns=(
        Column("strategy", TEXT, "the strategy's name"),
        Column("setting", TEXT, "which setting, with its section, such as ``mas.weight``"),
        Column("value", NUMBER, "what was tried"),
        Column("seed", INTEGER, "of the run"),
        Column("score", NUMBER, "dB, the mean of the columns that follow, one for each task; -inf if it diverged"),
    ),
    key=("strategy", "setting", "value", "seed"),
)
"""Columns of the table of what was tried, before those of the tasks."""

ORIGIN = (
    Column("preset", TEXT, "the preset that was tuned for; empty where it was not noted", later=True),
    Column("stream", TEXT, "the stream that was tuned on; empty where it was not noted", later=True),
)
"""Columns by which a table is not extended by scores that are not to be compared with its own."""

_OWN = (*COLUMNS.names, *(column.name for column in ORIGIN))

MEND = "Restore the table, or write to another one with --table."
"""What to do about a table that cannot be read."""


class Values(Closed):
    """What is tried of one setting."""

    values: list[int | float] = Field(min_length=2, description="in rising order")
    order: list[str] = Field(default_factory=list, description="the tasks to learn; all of the stream's if left out")
    least: str = Field("", description="why nothing below the first value can be tried; empty if it can")
    most: str = Field("", description="why nothing above the last value can be tried; empty if it can")


@dataclass(frozen=True)
class Trial:
    """One value of one setting of one strategy.

    Args:
        strategy: its name.
        setting: with its section, such as ``mas.weight``.
        value: what to try.
        order: the tasks to learn, with commas between; None for all of the stream's.
    """

    strategy: str
    setting: str
    value: int | float
    order: str | None = None

    @property
    def assignment(self) -> str:
        """As ``--set`` takes it."""
        return f"{self.setting}={self.value!r}"


@dataclass(frozen=True)
class Choice:
    """What the table says of one setting of one strategy.

    Args:
        strategy, setting: which.
        value: the best, by its mean score over ``seeds``; values tried with fewer seeds have dropped out before.
        score: that mean in dB.
        second: the next best by the same rule; None if only one was tried and did not diverge.
        margin: by how many dB the best is better, on the mean over the seeds.
        spread: standard deviation of that difference over the seeds in dB; nan for one seed.
        seeds: with how many seeds all values that are compared were tried.
        open_end: the best value is the first or last that was tried, and nothing says why there is none beyond it.
        rivals: values that dropped out for having fewer seeds, and are better on those that they have in common with
            the best; there are some only where a table was extended by a search with another first seed.
    """

    strategy: str
    setting: str
    value: float
    score: float
    second: float | None
    margin: float
    spread: float
    seeds: int
    open_end: bool
    rivals: Sequence[float] = ()


@cache
def grids() -> dict[str, dict[str, Values]]:
    """Strategy → setting → what is tried, from ``tuning.yaml``.

    Raises:
        UserError: the file says what cannot be; the line is told.
    """
    file = YamlFile(GRID, "tuning file", "strategies with the settings to try below them")
    found: dict[str, dict[str, Values]] = {}
    for strategy, settings in file.data.items():
        for setting, tried in settings.items():
            try:
                found.setdefault(strategy, {})[setting] = Values.model_validate(tried)
            except ValidationError as error:
                raise file.error([strategy, setting], explain(error, Values)) from error
    return found


def grid(strategies: Sequence[str] | None = None) -> list[Trial]:
    """What is to be tried.

    Raises:
        UserError: a strategy has nothing to tune.
    """
    for name in strategies or []:
        if name not in grids():
            raise unknown("strategy to tune", name, grids(), f"Add its settings to {GRID.name}.")
    return [
        Trial(strategy, setting, value, ",".join(tried.order) or None)
        for strategy, settings in grids().items()
        if strategies is None or strategy in strategies
        for setting, tried in settings.items()
        for value in tried.values
    ]


def search(
    strategies: Sequence[str] | None,
    seeds: Sequence[int],
    preset: str,
    stream: str,
    out: Path,
    table: Path,
    on_event: Listener = ignore,
    workers: Workers = Workers(),
) -> tuple[pd.DataFrame, "Results"]:
    """Try every value with the first seed and the two best of each setting with the others, and extend the table.

    Args:
        strategies: which to tune; None for all.
        seeds: at least one.
        preset, stream: training length and sizes, and what is learned.
        out: folder for the run directories; finished runs are not done again.
        table: CSV of what was tried.
        on_event: told of every step.
        workers: how many runs at once, where, and with how many threads.

    Returns:
        The whole table, as :func:`read` gives it, and what has become of the runs; those that failed have diverged.

    Raises:
        UserError: a name is unknown, the table is another file, or a run fails otherwise; the table has the rest.
    """
    from benchmark.engine.executors.execute import Results

    check_table(table, preset, stream)
    first, *others = seeds
    trials, results = grid(strategies), Results([], [])
    tried = _try(trials, [first], preset, stream, out, table, on_event, workers, results)
    if others and (best := finalists(tried[tried["seed"] == first], trials)):
        tried = _try(best, others, preset, stream, out, table, on_event, workers, results)
    return tried, results


def finalists(table: pd.DataFrame, trials: Iterable[Trial]) -> list[Trial]:
    """Of each setting's trials the two with the highest mean score, to be repeated with more seeds; none diverged."""
    means = table.groupby(["strategy", "setting", "value"])["score"].mean()
    scored = [(means[one.strategy, one.setting, float(one.value)], one) for one in trials]
    kept: dict[tuple[str, str], list[Trial]] = {}
    for mean, one in sorted(scored, key=lambda scored: -scored[0]):
        if mean > -math.inf:
            kept.setdefault((one.strategy, one.setting), []).append(one)
    return [one for group in kept.values() for one in group[:2]]


def usual_table(preset: str, stream: str) -> Path:
    """Where the table stands unless a person says otherwise; streams of one name and other tasks do not share one.

    Raises:
        UserError: there is no such stream.
    """
    return Path(f"tuning-{preset}-{_stream_name(stream)}.csv")


def check_table(path: Path, preset: str, stream: str) -> None:
    """Make sure that the table may be extended, before anything is trained for it.

    Raises:
        UserError: another file stands at the path, or a table of another preset, stream or tasks.
    """
    refuse_other(path, COLUMNS.names, "--table")
    if not path.exists() or not (names := headings(path)):
        return
    tried, here = _schema(names).read(path, MEND), (preset, _stream_name(stream))
    found = [one for one in zip(tried["preset"], tried["stream"], strict=True) if all(one)]
    others = [" on ".join(one) for one in dict.fromkeys(found) if one != here]
    known = [*_OWN, *(_column(task.name) for task in load(stream).tasks)]
    others += [f"task {name}" for name in names if name not in known]
    if others:
        raise UserError(
            f"'{path}' has scores of {', '.join(others)}, and those of {' on '.join(here)} are not compared with them. "
            "Choose another file with --table."
        )


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


def read(path: Path) -> pd.DataFrame:
    """The table of what was tried: COLUMNS, ORIGIN, then one column for each task; nan where a task was not learned.

    Raises:
        UserError: it cannot be read.
    """
    schema = _schema(headings(path))
    return schema.frame(schema.read(path, MEND))


def write(path: Path, tried: Sequence[tuple[Trial, Run]], stream: str = "") -> pd.DataFrame:
    """Write one row for each run, best first within a setting and seed; a row of the same trial and seed is replaced.

    Args:
        path: of the table.
        tried: what was tried, with its run.
        stream: what the rows name as theirs.

    Returns:
        The whole table, as :func:`read` gives it.

    Raises:
        UserError: a run neither finished nor diverged, or the table cannot be read or written.
    """
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    if path.exists() and (names := headings(path)):
        before = _schema(names).read(path, MEND)
        rows = {tuple(row[name] for name in COLUMNS.key): row for row in rows_of(before)}
    for trial, run in tried:
        scores = {} if _diverged(run) else score(run)
        row = {
            "strategy": trial.strategy,
            "setting": trial.setting,
            "value": trial.value,
            "seed": run.config["seed"],
            "score": round(sum(scores.values()) / len(scores), 3) if scores else -math.inf,
            "preset": run.config["preset"],
            "stream": stream,
        }
        row |= {_column(task): round(psnr, 3) for task, psnr in scores.items()}
        rows[tuple(row[name] for name in COLUMNS.key)] = row
    ranked = sorted(rows.values(), key=lambda row: (row["strategy"], row["setting"], row["seed"], -row["score"]))
    schema = _schema([name for row in ranked for name in row])
    with told(path, "--table"):
        write_table(path, ranked, schema)
    return schema.frame_of(ranked)


def choices(table: pd.DataFrame) -> list[Choice]:
    """The best value of every setting in the table, in its order; none where every value diverged with some seed."""
    found = []
    for (strategy, setting), rows in table.groupby(["strategy", "setting"], sort=False):
        tried = rows.pivot(index="value", columns="seed", values="score")
        scores = tried[~(tried == -math.inf).any(axis=1)]
        if scores.empty:
            continue
        counts = scores.notna().sum(axis=1)
        compared = scores[counts >= counts.nlargest(2).min()].dropna(axis=1)
        ranked = compared.mean(axis=1).sort_values(ascending=False, kind="stable")
        best, *others = [float(value) for value in ranked.index]
        second = others[0] if others else None
        fewer = scores.drop(compared.index)
        over = (fewer - scores.loc[best]).mean(axis=1)
        gaps = compared.loc[best] - compared.loc[best if second is None else second]
        found.append(
            Choice(
                strategy=str(strategy),
                setting=str(setting),
                value=best,
                score=float(ranked.iloc[0]),
                second=second,
                margin=float(gaps.mean()),
                spread=float(gaps.std(ddof=1)),
                seeds=len(gaps),
                open_end=_open_end(str(strategy), str(setting), best, sorted(tried.index)),
                rivals=[float(value) for value in over.index[over > 0]],
            )
        )
    return found


def _try(
    trials: Sequence[Trial],
    seeds: Sequence[int],
    preset: str,
    stream: str,
    out: Path,
    table: Path,
    on_event: Listener,
    workers: Workers,
    total: "Results",
) -> pd.DataFrame:
    """Do the runs of some trials with some seeds, write them into the table, and add them to ``total``."""
    from benchmark.engine.executors.execute import execute
    from benchmark.engine.setup import resolve

    listed = ",".join(str(seed) for seed in seeds)
    planned = [
        (trial, resolve(config))
        for trial in trials
        for config in plan(trial.strategy, stream, preset, listed, trial.order, None, None, [trial.assignment])
    ]
    results = execute([config for _, config in planned], out, on_event, workers)
    total.runs.extend(results.runs)
    total.failures.extend(results.failures)
    failed = {failure.run for failure in results.failures if not _diverged(failure.run)}
    done = [(trial, run) for (trial, _), run in zip(planned, results.runs, strict=True) if run not in failed]
    with extending(table, "--table"):
        check_table(table, preset, stream)
        tried = write(table, done, _stream_name(stream))
    if failed:
        total.check()
    return tried


def _diverged(run: Run) -> bool:
    with suppress(UserError):
        return bool(run.status["state"] == "diverged")
    return False


def _stream_name(stream: str) -> str:
    """A stream's name in tables; that of a file tells its tasks, too."""
    if stream in shipped():
        return stream
    tasks = [task.model_dump(mode="json", exclude={"title"}) for task in load(stream).tasks]
    content = hashlib.sha256(json.dumps(tasks, sort_keys=True).encode())
    return f"{Path(stream).stem}-{content.hexdigest()[:8]}"


def _open_end(strategy: str, setting: str, best: float, tried: Sequence[float]) -> bool:
    known = grids().get(strategy, {}).get(setting)
    below = known is not None and known.least and best <= known.values[0]  # else the file's end was not tried
    above = known is not None and known.most and best >= known.values[-1]
    return (best == tried[0] and not below) or (best == tried[-1] and not above)


def _schema(names: Sequence[str]) -> Schema:
    """COLUMNS, ORIGIN, and every further name as a task."""
    tasks = [name for name in dict.fromkeys(names) if name not in _OWN]
    scores = (Column(task, NUMBER, "dB on the task's validation images after the last task", True) for task in tasks)
    return Schema((*COLUMNS.columns, *ORIGIN, *scores), COLUMNS.key)


def _column(task: str) -> str:
    """The column of a task, which may be called like one of the others."""
    return f"task {task}" if task in _OWN else task

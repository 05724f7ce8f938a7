"""One run, printed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmark.core.clock import duration
from benchmark.core.runs.directory import Run
from reports.groups import Unreadable, tasks
from reports.page.settings import given
from reports.results import Result, read
from reports.text import fixed, plain, quantity

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text


def show(run: Run, console: "Console") -> None:
    """Print one run: its settings, PSNR on every task after every task, what was forgotten, and how it ended.

    Raises:
        UserError: the run cannot be read.
    """
    result = read(run)
    console.print(_settings(result))
    console.print(_matrix(result))
    if result.costs:
        console.print(_costs(result))
    console.print(_status(result))


def _settings(result: Result) -> "Table":
    table = _table(f"{result.strategy}, seed {result.seed}", "setting", "value")
    for name, value in given(result).items():
        table.add_row(_text(name), _text(value))
    table.add_section()
    for place, ((name, definition, _), source) in enumerate(zip(tasks(result), result.sources, strict=True), 1):
        own = {key: value for key, value in definition.items() if key != "name"}
        what = plain(own, 200) or "as the stream defines it"
        text = f"{what}; trained on {source.train}, tested on {source.test}"
        table.add_row(_text(f"task {place}: {plain(name)}"), _text(text))
    return table


def _matrix(result: Result) -> "Table":
    order = [plain(task) for task in result.config["order"]]
    table = _table("PSNR (dB) on each task; in brackets the change since it was learned", "after learning")
    for task in order:
        table.add_column(_text(task), justify="right")
    table.add_row("degraded input", *(fixed(value) for value in result.input_psnr), style="dim")
    for i, task in enumerate(order):
        table.add_row(_text(task), *(_cell(result, i, j) for j in range(len(order))))
    table.add_section()
    table.add_row("gain over the input", *(fixed(v, sign=True) for v in result.gain))
    forgotten = result.forgetting if result.finished else np.full(len(order), np.nan)
    table.add_row("forgetting", *(fixed(v) for v in forgotten))
    return table


def _cell(result: Result, i: int, j: int) -> "Text":
    psnr, change = result.psnr[i, j], result.change[i, j]
    if j > i:
        return _text(fixed(psnr), "dim")
    if i == j or np.isnan(change):
        return _text(fixed(psnr))
    lost = change <= -0.005
    return _text(f"{fixed(psnr)} ({fixed(change, sign=True)})", "red" if lost else "green" if change >= 0.005 else "")


def show_scorecard(scored: pd.DataFrame, console: "Console") -> None:
    """Print what became of the paper's claims, from a report's scorecard; those not measured are counted."""
    from reports.paper.claims import CONTRADICTED, HOLDS, UNMEASURED
    from reports.paper.scorecard import NEEDED

    colours = {HOLDS: "green", CONTRADICTED: "yellow"}
    for preset, claims in scored[scored["verdict"] != UNMEASURED].groupby("preset", sort=False):
        title = "The paper's claims" + (f", preset {preset}" if preset != "" else "")
        shown = claims[["claim", "verdict", NEEDED, "measured"]]
        table = _table(title, *shown.columns)
        for claim, verdict, needed, measured in shown.itertuples(index=False):
            table.add_row(_text(claim), _text(verdict, colours.get(verdict, "")), _text(needed), _text(measured))
        console.print(table)
    measured = set(scored.loc[scored["verdict"] != UNMEASURED, "key"])
    missing = len(set(scored["key"]) - measured)
    if missing:
        console.print(f"{missing} claim{'s were' if missing > 1 else ' was'} not measured by these runs.")


def show_unreadable(unreadable: Sequence[Unreadable], console: "Console") -> None:
    """Print which runs are left out of a report and why."""
    for bad in unreadable:
        console.print(f"Note: {bad.run.name} is left out. {bad.reason}")


def _costs(result: Result) -> "Table":
    table = _table("Stored and computed", "quantity", "value")
    for name, (value, unit) in result.costs.items():
        table.add_row(_text(name.replace("_", " ")), quantity(value, unit))
    return table


def _status(result: Result) -> "Text":
    status = result.run.status
    parts = [f"{result.state}, {result.learned} of {len(result.psnr)} tasks measured"]
    seconds = _seconds(status)
    if seconds is not None:
        parts.append(duration(seconds))
    if result.finished:
        parts.append(f"mean forgetting {fixed(result.mean_forgetting)} dB")
    if result.changed is not None:
        tensors = f", and {result.owned[0]} of {result.owned[1]} tensors that they depend on" if result.owned else ""
        parts.append(f"{result.changed[0]} of {result.changed[1]} outputs changed{tensors}")
    if status.get("error"):
        parts.append(plain(status["error"], 400))
    return _text("; ".join(parts), "green" if result.finished else "yellow")


def _seconds(status: Mapping[str, Any]) -> float | None:
    """The seconds of all tasks together, however the status holds them; None when it does not."""
    seconds = status.get("seconds")
    values = seconds.values() if isinstance(seconds, dict) else seconds if isinstance(seconds, list) else [seconds]
    known = [value for value in values if isinstance(value, int | float)]
    return float(sum(known)) if known else None


def _table(title: str, *columns: str) -> "Table":
    from rich.table import Table

    table = Table(title=_text(title, "bold"), title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column)
    return table


def _text(text: str, style: str = "") -> "Text":
    """Text from a file, in which square brackets are only brackets."""
    from rich.text import Text

    return Text(text, style=style)

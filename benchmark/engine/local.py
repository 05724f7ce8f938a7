"""Runs in this process, one after another, with as many threads as torch has."""

from collections.abc import Sequence
from pathlib import Path

import torch
from avalanche.core import SupervisedPlugin

from benchmark.config import RunConfig
from benchmark.core.runs.directory import Run
from benchmark.engine import events
from benchmark.engine.events import Listener
from benchmark.engine.executors.execute import execute as execute_all
from benchmark.engine.executors.workers import Workers


def execute(
    configs: Sequence[RunConfig],
    out: Path,
    on_event: Listener = events.ignore,
    *,
    force: bool = False,
    plugins: Sequence[SupervisedPlugin] = (),
) -> list[Run]:
    """:func:`benchmark.engine.executors.execute.execute` here; all runs are finished then.

    Raises:
        UserError: a run cannot be started, or has failed; the others are finished.
    """
    workers = Workers(jobs=1, threads=torch.get_num_threads())
    results = execute_all(configs, out, on_event, workers, force=force, plugins=plugins)
    if results.failures:
        raise results.failures[0].error
    return results.runs

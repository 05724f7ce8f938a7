"""What is left of an experiment, and how long it will take."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from benchmark.config import RunConfig, preset_settings, sizes
from benchmark.errors import UserError
from benchmark.progress import duration
from benchmark.runs import Run, locate
from strategies import registry

OVERHEAD = 1.5
"""A task takes about this many times as long as the plain network's steps: validation, tests, the strategy itself."""

LEAST = 3.0
"""Seconds that a task takes however short its training: its tests and what is written."""


@dataclass(frozen=True)
class Planned:
    """One run of an experiment.

    Args:
        config: what to run, resolved.
        run: its directory, there or not.
        done: how many of its tasks are finished.
        seconds_per_task: how long one of its tasks is expected to take.
    """

    config: RunConfig
    run: Run
    done: int
    seconds_per_task: float

    @property
    def seconds_left(self) -> float:
        """How long what is missing is expected to take."""
        return self.seconds_per_task * (len(self.config.order) - self.done)

    @property
    def state(self) -> str:
        """In words: finished, how much of it is, or missing."""
        tasks = len(self.config.order)
        if self.done == tasks:
            return "finished"
        return f"{self.done} of {tasks} tasks" if self.done else "missing"


Step = Callable[[RunConfig], float]
"""Seconds of a training step of a configuration's plain network."""


def schedule(configs: Sequence[RunConfig], out: Path, step: Step | None = None) -> list[Planned]:
    """What is done of some runs and how long the others will take.

    A task is expected to take as long as the tasks of a finished run below ``out`` with the same network and training,
    if possible of the same strategy; where there is none, what the steps of its plain network take, measured now, and
    half as much again.

    Args:
        configs: the runs, resolved; equal ones count once.
        out: folder for the run directories.
        step: how to measure a step; by default on this machine, now.
    """
    measure = step or _step_seconds
    known = locate(out)
    past = _past([Run(path) for path in known.values()])
    steps: dict[str, float] = {}
    planned = []
    for config in {config.identity: config for config in configs}.values():
        run = Run(known.get(config.identity, out / config.run_name))
        done = _done(run, len(config.order))
        kinds = _kinds(config.model_dump(mode="json"))
        seconds = next((past[kind] for kind in kinds if kind in past), None)
        if seconds is None and done < len(config.order):
            network = f"{config.backbone} {config.training}"
            if network not in steps:
                steps[network] = measure(config)
            seconds = LEAST + OVERHEAD * steps[network] * config.training.updates
        planned.append(Planned(config, run, done, seconds or 0.0))
    return planned


def summary(planned: Sequence[Planned]) -> str:
    """How many runs are finished, and how long the others will take."""
    left = [one for one in planned if one.seconds_left]
    if not left:
        return f"{len(planned)} runs, all finished."
    seconds = sum(one.seconds_left for one in left)
    return f"{len(planned)} runs, {len(planned) - len(left)} finished; the rest takes about {duration(seconds)}."


def render(planned: Sequence[Planned], needed: Mapping[str, Sequence[str]], console: Console) -> None:
    """Print every run with its state, its expected time and what it is for.

    Args:
        planned: the runs.
        needed: identity of a run to the experiments it belongs to.
        console: where to print.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("identity", "state", "expected", "run", "for"):
        table.add_column(column, no_wrap=column in ("identity", "state", "expected"))
    for one, name in zip(planned, names([one.config for one in planned]), strict=True):
        left = duration(one.seconds_left) if one.seconds_left else ""
        identity = one.config.identity
        table.add_row(identity, one.state, left, name, " ".join(needed.get(identity, ())))
    console.print(table)
    console.print(summary(planned))


def names(configs: Sequence[RunConfig]) -> list[str]:
    """What tells each run, in words: the strategy, what differs from the preset, another order, the seed.

    Args:
        configs: resolved. The order is named where it is not that of the first run on the same stream, the stream and
            the seed where there are several.
    """
    called = _streams(configs)
    streams = {stream: config.order for stream, config in reversed(list(zip(called, configs, strict=True)))}
    seeds = {config.seed for config in configs}
    found = []
    for stream, config in zip(called, configs, strict=True):
        parts = [config.strategy]
        if len(streams) > 1:
            parts.append(stream)
        usual_training, usual_backbone = sizes(config.preset)
        kind = registry.load(config.strategy)
        usual_settings = registry.settings(kind, preset_settings(config.preset, config.strategy))
        pairs: list[tuple[str, Mapping[str, Any], BaseModel]] = [
            (config.strategy, config.settings, usual_settings),
            ("backbone", config.backbone.model_dump(mode="json"), usual_backbone),
            ("training", config.training.model_dump(mode="json"), usual_training),
        ]
        for section, values, usual in pairs:
            known = usual.model_dump(mode="json")
            parts += [f"{section}.{name}={value}" for name, value in values.items() if value != known.get(name)]
        if config.order != streams[stream]:
            parts.append(" → ".join(config.order))
        if len(seeds) > 1:
            parts.append(f"seed {config.seed}")
        found.append(" ".join(parts))
    return found


def _streams(configs: Sequence[RunConfig]) -> list[str]:
    """The name of each run's stream; those of other tasks under the same name are numbered."""
    known: dict[str, list[dict[str, Any]]] = {}
    names = []
    for config in configs:
        tasks = {task["name"]: task for task in config.tasks}
        others = known.setdefault(config.stream, [])
        fits = [all(other.get(name, task) == task for name, task in tasks.items()) for other in others]
        number = [*fits, True].index(True)
        others[number:] = others[number:] or [{}]
        others[number].update(tasks)
        names.append(f"{config.stream} ({number + 1})" if number else config.stream)
    return names


def _done(run: Run, tasks: int) -> int:
    if not (run.path / "status.json").exists():
        return 0
    return tasks if run.finished else int(run.status.get("tasks_done", 0))


def _kinds(config: Mapping[str, Any]) -> list[str]:
    """What the time of a task depends on, with the strategy and without."""
    work = f"{config['backbone']} {config['training']}"
    return [f"{config['strategy']} {work}", work]


def _past(runs: Sequence[Run]) -> dict[str, float]:
    """Median seconds of a task over the finished runs of each kind."""
    seconds: dict[str, list[float]] = {}
    for run in runs:
        with suppress(UserError, KeyError):  # a damaged run tells nothing; the report names it
            if run.finished and isinstance(run.status.get("seconds"), int | float):
                for kind in _kinds(run.config):
                    seconds.setdefault(kind, []).append(run.status["seconds"] / len(run.config["order"]))
    return {kind: median(values) for kind, values in seconds.items()}


def _step_seconds(config: RunConfig) -> float:
    from benchmark.data.profile import step_milliseconds

    return step_milliseconds(config.training, config.backbone) / 1000

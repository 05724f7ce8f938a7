"""What is left of an experiment, and how long it will take."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from benchmark.config import RunConfig, Training, sizes
from benchmark.core.clock import duration
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import Run, locate
from benchmark.core.runs.formats import completed
from benchmark.engine.executors.forecast import span
from benchmark.planning import usual_settings
from strategies import registry


@dataclass(frozen=True)
class Parts:
    """What the parts of a run of the plain network take, in seconds.

    Args:
        start: from nothing to the first task: the network, the benchmark, the degraded test images measured.
        update: one batch update, with the patches drawn for it.
        validation: once through the validation images of a task.
        test: once through the test images of a task, every output measured.
    """

    start: float
    update: float
    validation: float
    test: float

    def task(self, training: Training, tasks: int, relative_cost: float = 1.0, follows: bool = False) -> float:
        """Seconds from the beginning of one task to its checkpoint.

        The validation images of the task are restored before the first epoch and after each; once it is learned, the
        test and the validation images of every task are.

        Args:
            training: how long a task is trained.
            tasks: how many tasks the stream has.
            relative_cost: an update of the strategy, in updates of the plain network.
            follows: whether the tasks before it are measured after every epoch, too (evaluation.stability_gap).
        """
        validations = (training.epochs + 1) * ((tasks + 1) / 2 if follows else 1) + tasks
        return relative_cost * training.updates * self.update + validations * self.validation + tasks * self.test


@dataclass(frozen=True)
class Planned:
    """One run of an experiment.

    Args:
        config: what to run, resolved.
        run: its directory, there or not.
        done: how many of its tasks are finished.
        finished: whether the run is.
        seconds_to_start: how long it is expected to take until its first task begins.
        seconds_per_task: how long one of its tasks is expected to take.
    """

    config: RunConfig
    run: Run
    done: int
    finished: bool
    seconds_to_start: float
    seconds_per_task: float

    @property
    def seconds_left(self) -> float:
        """How long what is missing is expected to take; 0 if the run is finished."""
        left = len(self.config.order) - self.done
        return 0.0 if self.finished else self.seconds_to_start + self.seconds_per_task * left

    @property
    def state(self) -> str:
        """In words: finished, how much of it is, or missing."""
        if self.finished:
            return "finished"
        return f"{self.done} of {len(self.config.order)} tasks" if self.done else "missing"


Measure = Callable[[RunConfig], Parts]
"""Seconds of the parts of a configuration's run, with the plain network."""


def schedule(configs: Sequence[RunConfig], out: Path, measure: Measure) -> list[Planned]:
    """What is done of some runs and how long the others will take.

    A task is expected to take as long as the tasks of a finished run below ``out`` with the same network, training
    and images, if possible of the same strategy; where there is none, what its updates, validations and tests take,
    measured now with the plain network.

    Args:
        configs: the runs, resolved; equal ones count once.
        out: folder for the run directories.
        measure: how to measure the parts of a run, as :func:`benchmark.experiments.cost.measure` does.
    """
    known = locate(out)
    past = _past([Run(path) for path in known.values()])
    measured: dict[str, Parts] = {}
    planned = []
    for config in {config.identity: config for config in configs}.values():
        run = Run(known.get(config.identity, out / config.run_name))
        kinds = _kinds(config.model_dump(mode="json"))
        start, task = next((past[kind] for kind in kinds if kind in past), (0.0, 0.0))
        if not run.finished and not task:
            work = _measured_alike(config)
            if work not in measured:
                measured[work] = measure(config)
            parts = measured[work]
            relative = registry.load(config.strategy).relative_cost
            follows = config.evaluation.stability_gap
            start, task = parts.start, parts.task(config.training, len(config.order), relative, follows)
        planned.append(Planned(config, run, run.tasks_done, run.finished, start, task))
    return planned


def summary(planned: Sequence[Planned], jobs: int = 1) -> str:
    """How many runs are finished, and how long the others will take, so many at once."""
    left = [one for one in planned if not one.finished]
    if not left:
        return f"{len(planned)} runs, all finished."
    seconds = span([one.seconds_left for one in left], jobs)
    return f"{len(planned)} runs, {len(planned) - len(left)} finished; the rest takes about {duration(seconds)}."


def render(planned: Sequence[Planned], needed: Mapping[str, Sequence[str]], console: Console, jobs: int = 1) -> None:
    """Print every run with its state, its expected time and what it is for.

    Args:
        planned: the runs.
        needed: identity of a run to the experiments it belongs to.
        console: where to print.
        jobs: how many runs at once.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("identity", "state", "expected", "run", "for"):
        table.add_column(column, no_wrap=column in ("identity", "state", "expected"))
    for one, name in zip(planned, names([one.config for one in planned]), strict=True):
        left = "" if one.finished else duration(one.seconds_left)
        identity = one.config.identity
        table.add_row(identity, one.state, left, name, " ".join(needed.get(identity, ())))
    console.print(table)
    console.print(summary(planned, jobs))


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
        pairs: list[tuple[str, Mapping[str, Any], BaseModel]] = [
            (config.strategy, config.settings, usual_settings(config)),
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


def _kinds(config: Mapping[str, Any]) -> list[str]:
    """What the time of a task depends on, with the strategy and without: its size, and the images of all tasks."""
    parts = [config[part] for part in ("backbone", "training", "data", "evaluation")]
    parts += [sorted(_text(one) for one in config.get(part) or ()) for part in ("tasks", "sources")]
    work = _text(parts)
    return [f"{config['strategy']} {work}", work]


def _text(values: Any) -> str:
    return json.dumps(values, sort_keys=True, default=str)


def _measured_alike(config: RunConfig) -> str:
    """What the parts of a run depend on: the network, a batch, the images."""
    training = config.training
    sizes = (training.batch_size, training.patch_size, training.device)
    tasks = sorted(str(task) for task in config.tasks)
    return f"{config.backbone} {sizes} {config.data} {tasks}"


def _past(runs: Sequence[Run]) -> dict[str, tuple[float, float]]:
    """Median seconds until the first task, and of a task, over the finished runs of each kind that tell them."""
    seconds: dict[str, list[tuple[float, float]]] = {}
    for run in runs:
        with suppress(UserError, KeyError):  # a damaged run tells nothing; the report names it
            status = run.status
            start, whole = (status.get(name, 0.0) for name in ("seconds_to_start", "seconds"))
            if run.finished and isinstance(start, int | float) and isinstance(whole, int | float) and whole > 0:
                for kind in _kinds(completed(run.config)):
                    seconds.setdefault(kind, []).append((start, whole / len(run.config["order"])))
    return {kind: tuple(median(values) for values in zip(*pairs, strict=True)) for kind, pairs in seconds.items()}

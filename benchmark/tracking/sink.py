"""What every tracker does with the events of runs; a file for each says how its library writes it down."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from benchmark.core.names import file_name
from benchmark.engine import events
from benchmark.engine.events import Event, RunDescribed

EVERY = 10
"""Batch updates between two of which the loss and the learning rate are written."""
PROJECT = "continual-restoration"
"""What the runs are filed under, where a tracker has experiments or projects."""


class Sink:
    """Base of the trackers: a listener that may follow several runs at once.

    A subclass defines :meth:`open`, :meth:`log` and :meth:`close`; each may raise what its library raises.

    Args:
        folder: where to write; it need not exist yet.
    """

    title: ClassVar[str]
    """What the tracker is called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.due: dict[str, int] = {}
        """Of each run that is followed, the update from which on the loss is written next."""
        self.task: dict[str, str] = {}
        """Of each, what it learns."""
        self.used = False

    def __call__(self, event: Event) -> None:
        """Write an event down."""
        match event:
            case RunDescribed(run=run, updates=updates):
                self.open(event)
                self.due[run] = updates + 1
                self.used = True
            case events.RunFinished(run=run) if run in self.due:
                del self.due[run]
                self.close(run, finished=True)
            case events.RunFailed(run=run) if run in self.due:
                del self.due[run]
                self.close(run, finished=False)
            case events.Updated(run=run, update=update, loss=loss, learning_rate=rate) if update >= self.due.get(
                run, update + 1
            ):
                self.due[run] = update - update % EVERY + EVERY
                self.log(run, {"train/loss": loss, "train/learning_rate": rate}, update)
            case events.TaskBegun(run=run, task=task):
                self.task[run] = task
            case events.EpochEnded(run=run, psnr=psnr, update=update) if run in self.due:
                self.log(run, {f"validation/{_letters(self.task.get(run, ''))}": psnr}, update)
            case events.TaskMeasured(run=run, update=update) if run in self.due:
                self.log(run, _measured(event), update)

    def end(self) -> None:
        """Close what is open: runs that were not finished."""
        while self.due:
            run, _ = self.due.popitem()
            self.close(run, finished=False)

    @property
    def view(self) -> str:
        """The command that shows, or sends off, what was written."""
        raise NotImplementedError

    def open(self, run: RunDescribed) -> None:
        """Begin to follow a run; one that goes on, goes on here."""
        raise NotImplementedError

    def log(self, run: str, values: Mapping[str, float], update: int) -> None:
        """Write values down, by name, after so many updates of the run."""
        raise NotImplementedError

    def close(self, run: str, finished: bool) -> None:
        """End to follow a run."""
        raise NotImplementedError


def parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as flat names and plain values: ``training.epochs``; lists as JSON.

    >>> parameters({"seed": 0, "data": {"root": None}, "order": ["derain"]})
    {'seed': 0, 'data.root': None, 'order': '["derain"]'}
    """
    return dict(_flat("", config))


def tags(run: RunDescribed) -> dict[str, str]:
    """What a run is found by."""
    config = run.config
    found = {name: str(config[name]) for name in ("strategy", "stream", "preset", "seed") if name in config}
    return {"run": run.run, "identity": run.identity, "directory": str(Path(run.path).absolute()), **found}


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield prefix + name, json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value


def _letters(task: str) -> str:
    """A task's name, which may be any, in letters that every tracker takes; of several tasks, with dashes between."""
    return "-".join(file_name(name).replace("+", ".") for name in task.split("+"))


def _measured(event: events.TaskMeasured) -> dict[str, float]:
    values = {f"psnr/{_letters(task)}": psnr for task, psnr in event.psnr.items()}
    values["tasks_learned"] = event.after
    if event.forgetting is not None:
        values["forgetting"] = event.forgetting
    return values

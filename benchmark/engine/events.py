"""What runs tell while they are executed, so that anyone can follow them: a progress bar, a log, another machine.

An event is a small frozen value that can be pickled. Whoever executes runs is given a function that takes them
(:data:`Listener`); it is called in the process that trains, after each step, and must return soon.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened to a run.

    Args:
        run: the name of its directory; empty where it is about several.
    """

    run: str


Listener = Callable[[Event], None]
"""What is told of events."""


@dataclass(frozen=True)
class Share:
    """What a run contributes to the work of all.

    Args:
        updates: batch updates of all its tasks.
        weight: how long one takes, in a unit that all runs share.
    """

    updates: int
    weight: float = 1.0


@dataclass(frozen=True)
class Planned(Event):
    """These runs are to be done now, by name and in this order; told before the first.

    Args:
        shares: what each contributes to the work of all.
        jobs: how many of them at once.
        threads: of each; 0 where that is not known.
    """

    shares: Mapping[str, Share]
    jobs: int = 1
    threads: int = 0


@dataclass(frozen=True)
class RunKept(Event):
    """The run was finished before, and nothing is done."""


@dataclass(frozen=True)
class RunBegun(Event):
    """A run begins, or goes on; also once more, after its process was lost."""


@dataclass(frozen=True)
class RunRestarted(Event):
    """The run was begun by an earlier version, whose ``format`` of unfinished runs is not read; it begins again."""

    format: int


@dataclass(frozen=True)
class RunResumed(Event):
    """The run goes on after ``finished`` of its ``tasks``; ``updates``, also of the next task, need not be repeated.

    ``differs`` says in words in what the machine, its settings or the versions are others than before;
    ``lost`` what of the run is gone, and the time of what was done with it; ``pictures`` how many of its outputs'
    pictures are.
    """

    finished: int
    tasks: int
    updates: int
    differs: str = ""
    lost: str = ""
    pictures: int = 0


@dataclass(frozen=True)
class RunDamaged(Event):
    """Files of the run are damaged, with what is wrong with each; it goes back to before them."""

    files: Mapping[str, str]


@dataclass(frozen=True)
class RunDescribed(Event):
    """What the run is, once it is known; what was kept of it is told after this.

    Args:
        path: the run directory.
        identity: what decides the result, in short; it stands in the name, too.
        config: the resolved configuration, as it stands in ``config.yaml``.
        updates: batch updates that it goes on after; 0 from the start.
    """

    path: str
    identity: str
    config: Mapping[str, Any]
    updates: int


@dataclass(frozen=True)
class RunFinished(Event):
    """Every task was learned and measured, in so many seconds."""

    seconds: float


@dataclass(frozen=True)
class RunFailed(Event):
    """The run failed, and ``message`` says why; the others go on."""

    message: str


@dataclass(frozen=True)
class RunLost(Event):
    """The process that made the run is gone, as ``message`` says; the run is tried again."""

    message: str


@dataclass(frozen=True)
class RunWaits(Event):
    """Another process writes the run, as ``message`` says; it is come back to after all others."""

    message: str


@dataclass(frozen=True)
class TaskBegun(Event):
    """A strategy begins a task, or several at once (``denoise+derain``): number ``place``, from 1, of ``tasks``."""

    strategy: str
    task: str
    place: int
    tasks: int


@dataclass(frozen=True)
class Updated(Event):
    """``count`` batch updates were made, one unless they were held back.

    Args:
        loss: that of the last one's batch.
        count: how many are told of.
        update: how many the run has made with them, in all tasks.
        learning_rate: with which the last one was made.
    """

    loss: float
    count: int = 1
    update: int = 0
    learning_rate: float = 0.0


@dataclass(frozen=True)
class EpochEnded(Event):
    """An epoch ended; number 0 is the state before the first update, and has no loss.

    Args:
        epoch, epochs: which, and of how many in this training.
        loss: the mean of its updates.
        psnr: on the validation images of what is learned, in dB.
        update: how many updates the run has made in all tasks.
    """

    epoch: int
    epochs: int
    loss: float | None
    psnr: float
    update: int = 0


@dataclass(frozen=True)
class TaskMeasured(Event):
    """A task, or several at once, was learned, and the network measured on the test images of every task.

    Args:
        after: how many tasks are learned.
        psnr: PSNR[after][j] of each task j of the stream, by name, in dB.
        forgetting: the mean over the tasks before the last of what each has lost since its best moment, in dB; None
            where that is not known, as after the first.
        update: how many updates the run has made.
    """

    after: int
    psnr: Mapping[str, float]
    forgetting: float | None
    update: int


def ignore(event: Event) -> None:
    """A listener that does nothing."""

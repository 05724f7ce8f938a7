"""Where runs are made on this machine: in this process, or in several that are started for it."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.process import endings
from benchmark.core.process.surroundings import changed
from benchmark.engine.events import Event, Listener
from benchmark.engine.executors import child
from benchmark.engine.executors.attempt import Ended, attempt

if TYPE_CHECKING:
    from avalanche.core import SupervisedPlugin

PATIENCE = 60.0
"""Seconds in which a process has to end that was asked to; it does so after its current step."""
IDLE = 0.5
"""Seconds after which :meth:`Places.wait` returns, whatever has happened."""


@dataclass(eq=False)
class Work:
    """One run that is to be done.

    Args:
        config: what to run, resolved.
        path: its directory.
        force: begin again.
        plugins: further Avalanche plugins.
        lost: how often its process was lost.
        not_before: the moment (``time.monotonic``) from which it may be tried again.
    """

    config: RunConfig
    path: Path
    force: bool = False
    plugins: "Sequence[SupervisedPlugin]" = ()
    lost: int = 0
    not_before: float = 0.0


class Places(Protocol):
    """Where a number of runs can be made at once."""

    jobs: int

    def begin(self, work: Work) -> None:
        """Begin a run; fewer than ``jobs`` are in progress."""

    def wait(self, on_event: Listener) -> list[tuple[Work, Ended]]:
        """Tell what happens for a moment, until something ends; gives what has ended."""

    def stop(self, signal: str) -> None:
        """Have everything end that is in progress, because of a signal, and wait for it."""

    def close(self) -> None:
        """Give back what was taken."""


class Here:
    """In this process, one run at a time."""

    jobs = 1

    def __init__(self) -> None:
        self.work: list[Work] = []

    def begin(self, work: Work) -> None:
        """Note it; the run is done while it is waited for."""
        self.work.append(work)

    def wait(self, on_event: Listener) -> list[tuple[Work, Ended]]:
        """Do the run."""
        one = self.work.pop()
        return [(one, attempt(one.config, one.path, on_event, force=one.force, plugins=one.plugins))]

    def stop(self, signal: str) -> None:
        """Nothing is left to be stopped: what stops this process has stopped the run."""

    def close(self) -> None:
        """Nothing was taken."""


class Processes:
    """Processes beside each other, each with a pipe of its own; one that is killed takes its run along and no other.

    A process is started when there is a run for it, and does one run after another. None is forked, since torch's
    threads do not survive it.

    Args:
        threads: of each.
        devices: for each the GPU that it sees, or None.

    Raises:
        UserError: the present folder, in which they would start, is gone.
    """

    def __init__(self, threads: int, devices: Sequence[str | None]) -> None:
        try:
            Path.cwd()
        except OSError as error:
            raise UserError(
                "Several runs at once are made by processes that start in the present folder, and that is gone or "
                "cannot be read. Go to another one, or do one run at a time with --jobs 1."
            ) from error
        self.jobs, self.threads = len(devices), threads
        self.context = get_context("spawn")
        self.reason = self.context.RawValue("i", [*endings.CODES].index("SIGTERM"))
        self.free: list[_Process | str | None] = list(reversed(devices))
        self.busy: list[tuple[_Process, Work]] = []

    def begin(self, work: Work) -> None:
        """Send a run to a free process, which is started if need be."""
        free = self.free.pop()
        process = free if isinstance(free, _Process) else self._start(free)
        self.busy.append((process, work))
        with suppress(OSError):  # it is gone, which is found when it is waited for
            process.pipe.send(child.Order(work.config.model_dump(mode="json"), work.path, work.force, work.plugins))

    def wait(self, on_event: Listener) -> list[tuple[Work, Ended]]:
        """Read the pipes."""
        ready = wait([process.pipe for process, _ in self.busy], IDLE)
        ended: list[tuple[Work, Ended]] = []
        for process, work in list(self.busy):
            if process.pipe not in ready:
                continue
            try:
                said = process.pipe.recv()
            except (EOFError, OSError):
                said = Ended("lost", process.farewell())
            if isinstance(said, Event):
                on_event(said)
                continue
            self.busy.remove((process, work))
            self.free.append(process if said.state != "lost" else process.device)
            ended.append((work, said))
        return ended

    def stop(self, signal: str) -> None:
        """Send SIGTERM to every process, and read its pipe until it has ended."""
        self.reason.value = [*endings.CODES].index(signal)
        for process, _ in self.busy:
            process.process.terminate()
        until = time.monotonic() + PATIENCE
        while self.busy and time.monotonic() < until:
            ready = wait([process.pipe for process, _ in self.busy], IDLE)
            self.busy = [one for one in self.busy if one[0].pipe not in ready or one[0].heard()]

    def close(self) -> None:
        """Hang up, upon which every process ends."""
        processes = [
            *(process for process in self.free if isinstance(process, _Process)),
            *(one[0] for one in self.busy),
        ]
        for process in processes:
            process.pipe.close()
        for process in processes:
            process.end()

    def _start(self, device: str | None) -> "_Process":
        ours, theirs = self.context.Pipe()
        words = {name: str(self.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        words["PYTHONSAFEPATH"] = "1"  # it is told where to look, and nothing of the present folder comes before
        if device is not None:
            words["CUDA_VISIBLE_DEVICES"] = device
        process = self.context.Process(target=child.main, args=(theirs, self.reason, self.threads))
        with changed(words):
            resource_tracker.ensure_running()  # else it starts in what follows, and lets signals through
            with endings.held():
                process.start()
        theirs.close()
        return _Process(process, ours, device)


@dataclass(frozen=True)
class _Process:
    process: SpawnProcess
    pipe: Connection
    device: str | None

    def heard(self) -> bool:
        """Take what it said last for heard; whether it may say more."""
        try:
            self.pipe.recv()
        except (EOFError, OSError):
            self.farewell()
            return False
        return True

    def end(self) -> None:
        """Wait for it, and do not wait for ever."""
        for act in (self.process.terminate, self.process.kill):
            self.process.join(10)
            if self.process.exitcode is not None:
                return
            act()
        self.process.join()

    def farewell(self) -> str:
        """What is known of a process that is gone."""
        self.pipe.close()
        self.end()
        code = self.process.exitcode or 0
        if code < 0:
            full = ", as where the memory is full" if code == -9 else ""
            return f"its process was ended by signal {-code}{full}"
        return f"its process ended by itself, with exit code {code}"

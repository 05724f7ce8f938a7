"""How long what is left of some runs will take, told from their events.

A run's work is its updates, weighted as its share says. A run does its work as fast as it has done it since its first
task began, measurements between tasks included, once it has finished a task; before that as fast as others that have.
What is left is dealt out, in the order of the runs, to as many places as there are.
"""

import heapq
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from benchmark.engine import events
from benchmark.engine.events import Event, Share


@dataclass
class _Progress:
    """One run: its work, how much of it is there already or has been done since, and when (in seconds)."""

    work: float
    weight: float
    kept: float = 0.0
    done: float = 0.0
    begun: float | None = None
    trained_since: float | None = None
    tasks_begun: int = 0
    over: bool = False

    @property
    def left(self) -> float:
        return 0.0 if self.over else max(0.0, self.work - self.kept - self.done)

    @property
    def whole(self) -> bool:
        """Whether a task with its measurements has been timed, so that this run's own pace can be told."""
        return self.tasks_begun > 1 and self.done > 0


@dataclass
class Forecast:
    """Listens to the events of runs, and foretells.

    Args:
        now: the time in seconds.
    """

    now: Callable[[], float] = time.monotonic
    runs: dict[str, _Progress] = field(default_factory=dict)
    jobs: int = 1
    paces: dict[str, float] = field(default_factory=dict)
    starts: list[float] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, events.Planned):
            self.plan(event.shares, event.jobs)
        run = self.runs.get(event.run)
        if run is None:
            return
        match event:
            case events.RunBegun():
                run.begun, run.trained_since, run.tasks_begun, run.kept, run.done = self.now(), None, 0, 0.0, 0.0
            case events.RunResumed(updates=updates):
                run.kept = updates * run.weight
            case events.TaskBegun():
                run.tasks_begun += 1
                if run.trained_since is None:
                    run.trained_since = self.now()
                    self.starts.append(run.trained_since - (run.begun or run.trained_since))
            case events.Updated(count=count):
                run.done += count * run.weight
            case events.RunFinished():
                if pace := self._pace(run):
                    self.paces[event.run] = pace
                run.over = True
            case events.RunKept() | events.RunFailed():
                run.over = True
            case events.RunLost() | events.RunWaits():
                run.begun = run.trained_since = None

    def plan(self, shares: Mapping[str, Share], jobs: int) -> None:
        """Foretell these runs; those that were planned before stay."""
        self.jobs = jobs
        self.runs |= {name: _Progress(share.updates * share.weight, share.weight) for name, share in shares.items()}

    @property
    def part(self) -> float:
        """How much of all work is there, from 0 to 1."""
        work = sum(run.work for run in self.runs.values())
        return 1 - sum(run.left for run in self.runs.values()) / work if work else 1.0

    def seconds_left(self, name: str | None = None) -> float | None:
        """Seconds until one run, or all, will have ended; None as long as nothing has been timed."""
        running = {one: run for one, run in self.runs.items() if run.begun is not None and not run.over}
        timed = [pace for run in running.values() if run.whole and (pace := self._pace(run))] + [*self.paces.values()]
        timed = timed or [pace for run in running.values() if (pace := self._pace(run))]
        if not timed:
            return None if any(run.left for run in self.runs.values()) else 0.0
        mean = fmean(timed)
        needed = {one: run.left * ((self._pace(run) if run.whole else None) or mean) for one, run in running.items()}
        if name is not None:
            return needed.get(name, 0.0)
        start = fmean(self.starts) if self.starts else 0.0
        waiting = [start + run.left * mean for run in self.runs.values() if run.begun is None and not run.over]
        return span([*needed.values(), *waiting], self.jobs)

    def _pace(self, run: _Progress) -> float | None:
        """Seconds for a unit of a run's work."""
        if run.trained_since is None or not run.done:
            return None
        return (self.now() - run.trained_since) / run.done


def span(seconds: Iterable[float], jobs: int) -> float:
    """Seconds until the last of some pieces of work ends, of which ``jobs`` are done at once, in this order.

    >>> span([3, 1, 1, 1], 2), span([3, 1, 1, 1], 1), span([], 2)
    (3, 6, 0.0)
    """
    ends: list[float] = []
    for piece in seconds:
        begun = heapq.heappop(ends) if len(ends) >= jobs else 0
        heapq.heappush(ends, begun + piece)
    return max(ends, default=0.0)

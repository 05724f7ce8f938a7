"""What is printed through, one console, and the progress of runs: live bars on a terminal, plain lines elsewhere."""

import sys
import time
from dataclasses import dataclass, field
from io import TextIOWrapper

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmark.core.clock import duration
from benchmark.core.printing import Description, Plain
from benchmark.engine import events
from benchmark.engine.events import Event, Share

console = Plain()


@dataclass
class Reporter:
    """Listens to the events of runs and shows them.

    The time still needed is an extrapolation from the updates made so far, each weighted as its run's share says.

    Args:
        console: where to write. Where that is no terminal but a log, every line is there as soon as it is printed.
    """

    console: Console
    shares: dict[str, Share] = field(default_factory=dict)
    total: float = 0.0
    done: float = 0.0
    updates: int = 0
    began: float = field(default_factory=time.monotonic)
    live: Progress | None = None
    bar: TaskID | None = None
    label: str = ""
    last: str = ""

    def __enter__(self) -> "Reporter":
        if not self.console.is_terminal:
            if isinstance(sys.stdout, TextIOWrapper) and self.console.file is sys.stdout:
                sys.stdout.reconfigure(line_buffering=True)
            return self
        self.live = Progress(
            Description("bold"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("{task.fields[detail]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("ETA {task.fields[eta]}"),
            console=self.console,
        )
        self.bar = self.live.add_task("starting", total=None, detail="", eta="?")
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case events.Planned(shares=shares):
                self.shares = dict(shares)
                self.total += sum(share.updates * share.weight for share in shares.values())
            case events.RunKept(run=run):
                self._skip(run, self._share(run).updates)
                self._say(f"{run}: finished before; kept (--force repeats it)")
            case events.RunBegun(run=run) if len(self.shares) > 1 and run in self.shares:
                self._say(f"{run}: run {[*self.shares].index(run) + 1} of {len(self.shares)}")
            case events.RunRestarted(run=run, format=given):
                self._say(f"{run}: was begun in format {given} by an earlier version; it begins again")
            case events.RunResumed(run=run, finished=finished, tasks=tasks, updates=updates):
                self._skip(run, updates)
                self._say(f"{run}: goes on after {finished} of {tasks} tasks, {updates:,} updates in all")
            case events.RunDamaged(run=run, files=files):
                told = "; ".join(f"{name}: {problem}" for name, problem in files.items())
                self._say(f"{run}: goes back to before what is damaged ({told})")
            case events.RunFinished(run=run, seconds=seconds):
                self._say(f"{run}: finished in {duration(seconds)}")
            case events.TaskBegun(strategy=strategy, task=task, place=place, tasks=tasks):
                self.label = f"{strategy}  {task} ({place}/{tasks})"
                self._show("")
            case events.Updated(run=run, loss=loss):
                self.done += self._share(run).weight
                self.updates += 1
                if self.updates % 5 == 0:
                    self._show(f"loss {loss:.5f}  {self.last}")
            case events.EpochEnded():
                self._epoch(event)

    def remaining(self) -> str:
        """The time still needed for all runs, in words."""
        if self.done == 0:
            return "?"
        return duration((time.monotonic() - self.began) / self.done * max(0, self.total - self.done))

    def _epoch(self, event: events.EpochEnded) -> None:
        self.last = f"epoch {event.epoch}/{event.epochs}  PSNR {event.psnr:.2f} dB"
        if self.live is not None:
            self._show(self.last)
        elif event.epoch > 0:
            loss = f"loss {event.loss:.5f}" if event.loss is not None else ""
            self._say(
                f"{self.label}  epoch {event.epoch}/{event.epochs}  {loss}  validation PSNR {event.psnr:.2f} dB  "
                f"ETA {self.remaining()}"
            )

    def _share(self, run: str) -> Share:
        return self.shares.get(run, Share(0))

    def _skip(self, run: str, updates: int) -> None:
        """Take work that need not be done again out of the total."""
        self.total -= updates * self._share(run).weight

    def _say(self, text: str) -> None:
        """Print a line that stays."""
        (self.live.console if self.live else self.console).print(text)

    def _show(self, detail: str) -> None:
        if self.live is not None and self.bar is not None:
            self.live.update(
                self.bar,
                total=self.total,
                completed=self.done,
                description=self.label,
                detail=detail,
                eta=self.remaining(),
            )

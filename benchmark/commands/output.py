"""What is printed through, one console, and the progress of runs: live bars on a terminal, plain lines elsewhere.

A terminal that cannot go back (TERM=dumb), as in an editor, gets lines, too."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import TextIOWrapper

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmark.core.clock import duration
from benchmark.core.printing import Description, Plain
from benchmark.engine import events
from benchmark.engine.events import Event
from benchmark.engine.executors.forecast import Forecast

console = Plain()


@dataclass
class Line:
    """What is shown of a run that is in progress.

    Args:
        label: the strategy and its task.
        last: what the last epoch came to.
        bar: its bar on a terminal.
    """

    label: str = ""
    last: str = ""
    bar: TaskID | None = None


@dataclass
class Reporter:
    """Listens to the events of runs and shows them: a line for each that is in progress, and one for all of several.

    Args:
        console: where to write. Where that is no terminal but a log, every line is there as soon as it is printed.
        now: the time in seconds.
        takes_force: whether the command has an option by which finished runs are repeated.
    """

    console: Console
    now: Callable[[], float] = time.monotonic
    takes_force: bool = False
    names: list[str] = field(default_factory=list)
    jobs: int = 1
    lines: dict[str, Line] = field(default_factory=dict)
    ended: int = 0
    live: Progress | None = None
    total: TaskID | None = None
    shown: float = 0.0

    def __post_init__(self) -> None:
        self.forecast = Forecast(self.now)

    def __enter__(self) -> "Reporter":
        if not self.console.is_interactive:
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
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        self.forecast(event)
        run = event.run
        match event:
            case events.Planned(shares=shares):
                self._plan(event, list(shares))
            case events.RunKept():
                self._end(run, f"finished before; kept{' (--force repeats it)' if self.takes_force else ''}")
            case events.RunBegun():
                self.lines[run] = self._line(run)
                if len(self.names) > 1 and run in self.names:
                    self._say(f"{run}: run {self.names.index(run) + 1} of {len(self.names)}")
            case events.RunRestarted(format=given):
                self._say(f"{run}: was begun in format {given} by an earlier version; it begins again")
            case events.RunResumed():
                self._say(f"{run}: {_resumed(event)}")
            case events.RunDamaged(files=files):
                told = "; ".join(f"{name}: {problem}" for name, problem in files.items())
                self._say(f"{run}: goes back to before what is damaged ({told})")
            case events.RunLost(message=message):
                self._say(f"{run}: {message}; it is tried again")
            case events.RunWaits(message=message):
                self._say(f"{run}: {message} It is come back to after the others.")
            case events.RunFailed(message=message):
                self._end(run, f"failed: {message}" if len(self.names) > 1 else "")
            case events.RunFinished(seconds=seconds):
                self._end(run, f"finished in {duration(seconds)}")
            case events.TaskBegun(strategy=strategy, task=task, place=place, tasks=tasks):
                number = f"{self.names.index(run) + 1}  " if self.jobs > 1 and run in self.names else ""
                self._line(run).label = f"{number}{strategy}  {task} ({place}/{tasks})"
                self._show(run, "")
            case events.Updated(loss=loss) if self.now() >= self.shown + 0.1:
                self._show(run, f"loss {loss:.5f}  {self._line(run).last}")
            case events.EpochEnded():
                self._epoch(event)

    def remaining(self) -> str:
        """The time still needed for all runs, in words."""
        return _words(self.forecast.seconds_left())

    def _plan(self, event: events.Planned, names: list[str]) -> None:
        self.names, self.jobs, self.ended = names, event.jobs, 0
        if len(names) > 1 and event.threads:
            beside = f"{event.jobs} runs at once" if event.jobs > 1 else "one run at a time"
            self._say(f"{beside}, {event.threads} thread{'s'[: event.threads - 1]} each (--jobs, --threads)")
        if self.live is not None and len(names) > 1 and self.total is None:
            self.total = self.live.add_task("all runs", total=1.0, detail="", eta="?")

    def _epoch(self, event: events.EpochEnded) -> None:
        line = self._line(event.run)
        line.last = f"epoch {event.epoch}/{event.epochs}  PSNR {event.psnr:.2f} dB"
        if self.live is not None:
            self._show(event.run, line.last)
        elif event.epoch > 0:
            loss = f"loss {event.loss:.5f}" if event.loss is not None else ""
            self._say(
                f"{line.label}  epoch {event.epoch}/{event.epochs}  {loss}  validation PSNR {event.psnr:.2f} dB  "
                f"ETA {self.remaining()}"
            )

    def _end(self, run: str, text: str) -> None:
        """A run is over: its line goes."""
        self.ended += 1
        line = self.lines.pop(run, Line())
        if self.live is not None and line.bar is not None:
            self.live.remove_task(line.bar)
        if text:
            self._say(f"{run}: {text}")
        self._show_total()

    def _line(self, run: str) -> Line:
        return self.lines.setdefault(run, Line())

    def _say(self, text: str) -> None:
        """Print a line that stays."""
        (self.live.console if self.live else self.console).print(text)

    def _show(self, run: str, detail: str) -> None:
        if self.live is None:
            return
        self.shown = self.now()
        line = self._line(run)
        if line.bar is None:
            line.bar = self.live.add_task(line.label, total=1.0, detail="", eta="?")
        progress = self.forecast.runs.get(run)
        part = 1 - progress.left / progress.work if progress and progress.work else 0.0
        eta = _words(self.forecast.seconds_left(run))
        self.live.update(line.bar, completed=part, description=line.label, detail=detail, eta=eta)
        self._show_total()

    def _show_total(self) -> None:
        if self.live is not None and self.total is not None:
            detail = f"{self.ended} of {len(self.names)} runs"
            self.live.update(self.total, completed=self.forecast.part, detail=detail, eta=self.remaining())


def _resumed(event: events.RunResumed) -> str:
    """From where a run goes on, and what is not as it was."""
    parts = [f"goes on after {event.finished} of {event.tasks} tasks, {event.updates:,} updates in all"]
    if event.differs:
        parts.append(f"not as it began, which may change results ({event.differs})")
    if event.lost:
        parts.append(f"{event.lost}, and how long they took is not known any more")
    if event.pictures:
        parts.append(f"{event.pictures} pictures of its outputs are missing, which a report will not show")
    return "; ".join(parts)


def _words(seconds: float | None) -> str:
    return "?" if seconds is None else duration(seconds)

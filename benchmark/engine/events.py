"""How a run tells what it is doing: live bars on a terminal, plain lines elsewhere."""

import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmark.core.printing import Description
from benchmark.core.process import endings


@dataclass
class Reporter:
    """Follows the runs of one command.

    Args:
        console: where to write.
        total: batch updates of all runs together, each times its run's weight; the ETA is an extrapolation from it.
        weight: how long an update of the present run takes, in a unit that all runs share.
    """

    console: Console
    total: float
    weight: float = 1.0
    done: float = 0.0
    updates: int = 0
    began: float = field(default_factory=time.monotonic)
    live: Progress | None = None
    bar: TaskID | None = None
    label: str = ""
    last: str = ""

    def __enter__(self) -> "Reporter":
        if self.console.is_terminal:
            self.live = Progress(
                Description("bold"),
                BarColumn(),
                TextColumn("{task.percentage:3.0f}%"),
                TextColumn("{task.fields[detail]}", markup=False),
                TimeElapsedColumn(),
                TextColumn("ETA {task.fields[eta]}"),
                console=self.console,
            )
            self.bar = self.live.add_task("starting", total=self.total, detail="", eta="?")
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        (self.live.console if self.live else self.console).print(text)

    def task(self, run: str, name: str, place: int, tasks: int) -> None:
        """A task of a run begins."""
        self.label = f"{run}  {name} ({place}/{tasks})"
        self._show("")

    def update(self, loss: float) -> None:
        """One batch update was made."""
        endings.check()
        self.done += self.weight
        self.updates += 1
        if self.live is not None and self.updates % 5 == 0:
            self._show(f"loss {loss:.5f}  {self.last}")

    def skip(self, updates: int) -> None:
        """Work that need not be done again, taken out of the total."""
        self.total -= updates * self.weight
        if self.live is not None and self.bar is not None:
            self.live.update(self.bar, total=self.total)

    def epoch(self, epoch: int, epochs: int, loss: float | None, psnr: float) -> None:
        """An epoch ended; epoch 0 is the state before the first update."""
        self.last = f"epoch {epoch}/{epochs}  PSNR {psnr:.2f} dB"
        if self.live is not None:
            self._show(f"{self.last}")
        elif epoch > 0:
            shown = f"loss {loss:.5f}" if loss is not None else ""
            self.say(
                f"{self.label}  epoch {epoch}/{epochs}  {shown}  validation PSNR {psnr:.2f} dB  ETA {self.remaining()}"
            )

    def remaining(self) -> str:
        """The time still needed for all runs, extrapolated from the updates made so far."""
        if self.done == 0:
            return "?"
        seconds = (time.monotonic() - self.began) / self.done * max(0, self.total - self.done)
        return duration(seconds)

    def _show(self, detail: str) -> None:
        if self.live is not None and self.bar is not None:
            self.live.update(self.bar, completed=self.done, description=self.label, detail=detail, eta=self.remaining())


def duration(seconds: float) -> str:
    """Seconds as people write them.

    >>> duration(75), duration(3700)
    ('1 min 15 s', '1 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

"""The measuring itself: subjects that take turns, medians, and ratios of what was measured beside each other.

A machine that does other work, too, is slow for a while and then quick again. So all subjects are timed once, then all
again in the opposite order, and so on; a ratio is the median of the ratios within each turn.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmark.core import clock
from benchmark.core.process import memory
from benchmark.core.runs.profile_table import WHOLE, Row

Parts = Mapping[str, float]
"""Part → milliseconds, with WHOLE among them."""


def place(name: str = "auto") -> torch.device:
    """The device of a name: ``cpu``, ``cuda``, or ``auto`` for a GPU if there is one.

    TF32 is turned off and freed memory is kept, as for runs.
    """
    memory.keep()
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu"))


def called(device: torch.device) -> str:
    """A device in words."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def milliseconds(function: Callable[[], object], device: torch.device) -> float:
    """How long a function takes, until all that it asked a GPU for is done."""
    synchronise(device)
    start = clock.now()
    function()
    synchronise(device)
    return clock.since(start) * 1000


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def by_turns(timers: Sequence[Callable[[], float]], repeats: int, console: Console | None = None) -> np.ndarray:
    """(repeats, subjects) what each timer gives, called by turns, forth and back."""
    times = np.zeros((repeats, len(timers)))
    turns = [(r, i if r % 2 == 0 else len(timers) - 1 - i) for r in range(repeats) for i in range(len(timers))]
    for repeat, index in track(turns, "Timing", console=console, disable=console is None):
        times[repeat, index] = timers[index]()
    return times


def ratio(times: np.ndarray, base: np.ndarray) -> float:
    """The median of the ratios of two subjects, repeat by repeat."""
    return float(np.median(times / base))


class Stopwatch:
    """Adds up milliseconds by part.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.parts: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what is done inside as a part."""
        synchronise(self.device)
        start = clock.now()
        yield
        synchronise(self.device)
        self.parts[name] += clock.since(start) * 1000

    def split(self, count: int, rest: str) -> dict[str, float]:
        """The parts of one of ``count`` steps, what is left of WHOLE as ``rest``; and begin again."""
        parts = {name: value / count for name, value in self.parts.items()}
        self.parts.clear()
        return parts | {rest: parts[WHOLE] - sum(value for name, value in parts.items() if name != WHOLE)}


def compare(
    profile: str,
    subjects: Mapping[str, Callable[[], Parts]],
    repeats: int,
    device: torch.device,
    setting: str,
    console: Console | None = None,
    warm_up: int = 1,
) -> list[Row]:
    """Measure subjects by turns; ratios are to the first.

    Args:
        profile: as in :class:`Row`.
        subjects: name → what measures it once, part by part.
        repeats: how often each is timed, at least once.
        device: where.
        setting: as in :class:`Row`.
        console: where to show progress.
        warm_up: how often each is measured before, for nothing.
    """
    found: dict[str, list[Parts]] = {name: [] for name in subjects}

    def timer(name: str) -> Callable[[], float]:
        def once() -> float:
            found[name].append(subjects[name]())
            return found[name][-1][WHOLE]

        return once

    times = by_turns([timer(name) for name in subjects], repeats + warm_up, console)[warm_up:]
    rows = []
    for index, (name, measured) in enumerate(found.items()):
        for part in dict.fromkeys(part for parts in measured for part in parts):
            median = float(np.median([parts.get(part, 0.0) for parts in measured[warm_up:]]))
            compared = ratio(times[:, index], times[:, 0]) if part == WHOLE else float("nan")
            rows.append(
                Row(profile, name, part, median, compared, setting, repeats, called(device), torch.get_num_threads())
            )
    return rows


def render(rows: list[Row], console: Console) -> None:
    """Print the rows as a table, a line for each subject and a column for each part."""
    parts = list(dict.fromkeys(row.part for row in rows))
    table = Table(box=None, header_style="bold", pad_edge=False, title=f"milliseconds, {rows[0].setting}")
    for column in (rows[0].profile, *parts, "× first"):
        table.add_column(column, justify="left" if column == rows[0].profile else "right")
    for subject in dict.fromkeys(row.subject for row in rows):
        own = {row.part: row for row in rows if row.subject == subject}
        figures = [f"{own[part].milliseconds:,.1f}" if part in own else "–" for part in parts]
        table.add_row(subject, *figures, f"{own[WHOLE].ratio:.3f}")
    console.print(table)

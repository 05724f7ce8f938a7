"""What belongs to an experiment and is no run: measured once, into a file beside the run directories."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmark.core.runs.directory import LAYER_PROFILE


@dataclass(frozen=True)
class Measurement:
    """Something that is measured once.

    Args:
        file: the name of its file among the run directories.
        measure: does it, and writes the file.
    """

    file: str
    measure: Callable[[Path, Console], object]

    def of(self, out: Path, console: Console) -> Path:
        """The file in a folder of run directories, measured now where it is not there yet."""
        path = out / self.file
        if not path.exists():
            self.measure(path, console)
        return path


def _layer(path: Path, console: Console) -> None:
    from benchmark.profiling.layer import profile

    profile(path, console=console)


MEASUREMENTS = {"layer": Measurement(LAYER_PROFILE, _layer)}
"""By the name that an experiment's ``measure`` has."""

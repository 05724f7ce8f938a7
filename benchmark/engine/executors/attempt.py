"""One attempt at a run, wherever it is made: what comes of it, as plain data, and few events on the way.

This module imports nothing slow, so that a process that has just been started can say what went wrong in that.
"""

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import Run
from benchmark.core.runs.locks import RunBusy
from benchmark.core.runs.writing import write_text
from benchmark.engine.events import Event, Listener, Updated

if TYPE_CHECKING:
    from avalanche.core import SupervisedPlugin


@dataclass(frozen=True)
class Ended:
    """How an attempt ended; but for ``error`` it can be sent from one process to another.

    Args:
        state: finished; failed; busy, as another process writes the run; or lost, with the process that made it.
        message: what is to be told of it.
        notes: what is to be told after it.
        bug: whether the suite, and not what the user gave, is to blame for the failure.
        error: the error itself, in the process in which it was raised.
    """

    state: Literal["finished", "failed", "busy", "lost"]
    message: str = ""
    notes: tuple[str, ...] = ()
    bug: bool = False
    error: Exception | None = field(default=None, compare=False)

    def sent(self) -> "Ended":
        """The same without the error, whose class another process may not know."""
        return replace(self, error=None)

    def exception(self) -> Exception:
        """The error, or one that says the same."""
        if self.error is not None:
            return self.error
        error = RuntimeError(self.message) if self.bug else UserError(self.message)
        for note in self.notes:
            error.add_note(note)
        return error


def attempt(
    config: RunConfig | Mapping[str, Any],
    path: Path,
    on_event: Listener,
    *,
    force: bool = False,
    plugins: "Sequence[SupervisedPlugin]" = (),
) -> Ended:
    """:func:`benchmark.engine.job.run`, whose errors are told and not raised; a traceback is kept in the directory.

    Raises:
        Stopped: a signal came, or nobody reads the output any more.
    """
    from benchmark.engine import job

    try:
        job.run(config, path, on_event, force=force, plugins=plugins)
    except RunBusy as error:
        return Ended("busy", str(error))
    except UserError as error:
        return Ended("failed", str(error), tuple(getattr(error, "__notes__", ())), error=error)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        return Ended("failed", message, (_kept_trace(error, path, message),), bug=True, error=error)
    return Ended("finished")


def _kept_trace(error: Exception, path: Path, message: str) -> str:
    """Where the traceback is kept; itself, where there is no directory for it yet."""
    from benchmark.engine.endings import TRACE

    trace = "".join(traceback.format_exception(error))
    with suppress(OSError, UserError):
        run = Run(path)
        if (path / "config.yaml").is_file():
            write_text(path / TRACE, trace)
            run.update_status(state="failed", error=message)
            return f"The traceback is kept in '{path / TRACE}'."
    return trace


class Throttled:
    """Passes the events of one run on, but few of its updates: one that is passed on counts those that were held back.

    Args:
        listener: whom to tell.
        seconds: between two updates that are told, at least.
        now: the time in seconds.
    """

    def __init__(self, listener: Listener, seconds: float = 0.5, now: Callable[[], float] = time.monotonic) -> None:
        self.listener, self.seconds, self.now = listener, seconds, now
        self.held: Updated | None = None
        self.told = now()

    def __call__(self, event: Event) -> None:
        """Pass an event on, or hold it back."""
        if not isinstance(event, Updated):
            self.flush()
            self.listener(event)
            return
        before = self.held.count if self.held else 0
        self.held = replace(event, count=before + event.count)
        if self.now() >= self.told + self.seconds:
            self.flush()

    def flush(self) -> None:
        """Tell what was held back."""
        held, self.held = self.held, None
        if held is not None:
            self.told = self.now()
            self.listener(held)

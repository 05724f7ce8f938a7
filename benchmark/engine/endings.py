"""What becomes of a run that ends before its time: the record says what ended it, and the user what is kept.

==============================  ===========  ========================================================================
what ended it                   state        what is said
==============================  ===========  ========================================================================
Ctrl-C, SIGTERM, SIGHUP         interrupted  what is kept and how to go on; exit code 128 + the signal's number
output that nobody reads        interrupted  the same on standard error; exit code 141
a loss or output is no number   diverged     after which update; exit code 2
memory, or the disk, is full    failed       what to make smaller; exit code 2
too many files are open         failed       which limit to raise; exit code 2
a file cannot be read, written  failed       which, and why; exit code 2
an error in a plugin            failed       the plugin's name, and where in it; exit code 2
an error in the suite           failed       its traceback; exit code 1
SIGKILL, or a power cut         running      nothing; read back as interrupted (``Run.status``)
==============================  ===========  ========================================================================

A traceback that is not shown is kept as ``error.txt`` in the run directory.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from benchmark import backbones
from benchmark.config import RunConfig
from benchmark.core.errors import UserError, shortage
from benchmark.core.plugins.catalogue import Catalogue
from benchmark.core.plugins.content import is_users
from benchmark.core.process import endings
from benchmark.core.runs.directory import Run
from benchmark.core.runs.writing import write_text
from strategies import registry

TRACE = "error.txt"
"""The traceback of the error that ended a run, in its directory; taken away when it goes on."""

GRADIENTS = Path(torch.autograd.__file__).parent
"""Where torch takes gradients: what fails there is what was computed, though no line of it is at work by then."""


class Diverged(UserError):
    """Training came to a loss or an output that is no number."""


@contextmanager
def recorded(run: Run, config: RunConfig) -> Iterator[None]:
    """Whatever ends the block is written into the run's status before it is passed on.

    Raises:
        Stopped: a signal came, or nobody reads the output any more.
        UserError: memory or disk are full, a file cannot be used, or a plugin is broken.
    """
    (run.path / TRACE).unlink(missing_ok=True)
    try:
        yield
    except BrokenPipeError as error:
        stop = endings.broken_pipe()
        _record(run, "interrupted", f"stopped by {stop}")
        raise stop from error
    except (endings.Stopped, KeyboardInterrupt) as stop:
        _record(run, "interrupted", f"stopped by {stop if isinstance(stop, endings.Stopped) else 'Ctrl-C'}")
        raise
    except UserError as error:
        _record(run, "diverged" if isinstance(error, Diverged) else "failed", str(error))
        raise
    except BaseException as error:
        with suppress(OSError, UserError):
            run.refuse_gone()
            write_text(run.path / TRACE, "".join(traceback.format_exception(error)))
        known = _shortage(error, run.path) or _blame(error, config)
        _record(run, "failed", str(known or f"{type(error).__name__}: {error}"))
        endings.check()  # a worker that was stopped by the same signal ends in an error of its own
        if known is None:
            raise
        for note in getattr(error, "__notes__", []):
            known.add_note(note)
        if (run.path / TRACE).exists():
            known.add_note(f"The traceback is kept in '{run.path / TRACE}'.")
        raise known from error


@contextmanager
def reachable(path: Path) -> Iterator[None]:
    """A file that cannot be read or written inside of the block is told as such, and so is memory that is full.

    Args:
        path: the run directory.

    Raises:
        UserError: a file could not be used, or there was too little of something.
    """
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        known = _shortage(error, path)
        if known is None:
            raise
        raise known from error


@contextmanager
def blamed(config: RunConfig) -> Iterator[None]:
    """An error inside of the block is told with the plugin that the strategy or the backbone came from, if it did.

    Raises:
        UserError: a plugin is broken.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        blame = None if isinstance(error, UserError) else _blame(error, config)
        if blame is None:
            raise
        raise blame from error


def _record(run: Run, state: str, error: str) -> None:
    with suppress(OSError):  # a full disk; the run then counts as interrupted once its process is gone
        run.update_status(state=state, error=error)


def _shortage(error: BaseException, path: Path) -> UserError | None:
    """The error to tell where memory or disk are full, too many files are open, or one cannot be used."""
    short = shortage(error)
    if short == "memory" or isinstance(error, torch.OutOfMemoryError):
        return UserError(
            "The memory is full. Train with a smaller training.batch_size, training.patch_size or backbone.width, or "
            "evaluate in smaller tiles with data.tile."
        )
    if short == "shared memory":
        return UserError(
            "The shared memory, /dev/shm, is full, through which processes that draw training patches pass them on. "
            "Give it more, as with --shm-size in a container, or do without such processes: --set data.workers=0"
        )
    if short == "room":
        return UserError(f"'{path}' cannot be written: {error}. Make room, or choose another folder with --out.")
    used = ""
    if isinstance(error, OSError) and error.filename is not None:
        used = f"'{error.filename}' cannot be used: {error.strerror}"
    if short == "files":
        return UserError(
            f"{used or 'More files are open at once than may be'}. Raise the limit before the command, ulimit -n 4096, "
            "or have fewer processes draw training patches: --set data.workers=0"
        )
    return UserError(f"{used}. Mend that, or choose another --out.") if used else None


def _blame(error: BaseException, config: RunConfig) -> UserError | None:
    """The error to tell where a plugin's code failed: what it brought, where it is from, the line; None if none did."""
    if isinstance(error, SystemExit):
        what = f"it ended the process (SystemExit: {error.code})"
    else:
        what = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    in_gradient = bool(frames) and Path(frames[-1].filename).is_relative_to(GRADIENTS)
    suspects: list[tuple[str, str, Catalogue[Any], bool, str]] = [
        ("Backbone", config.backbone.name, backbones.CATALOGUE, False, ""),
        ("Strategy", config.strategy, registry.CATALOGUE, True, "gives back, and leaves in the trainer"),
        ("Backbone", config.backbone.name, backbones.CATALOGUE, in_gradient, "computes, as in place"),
    ]
    for kind, name, catalogue, led_astray, what_else in suspects:
        entry = catalogue.entries().get(name)
        if entry is None or not entry.origin:
            continue
        file = catalogue.file_of(name)
        own = [frame for frame in frames if file is not None and Path(frame.filename) == file]
        if own or led_astray:
            theirs = [frame for frame in frames if is_users(Path(frame.filename))] or own
            last = (theirs or frames)[-1:]
            place = f"{last[0].filename}, line {last[0].lineno}, in {last[0].name}" if last else entry.origin
            if not theirs and file is not None:
                place += f", which is none of its own code: look at what {file} {what_else}"
            return UserError(f"{kind} '{name}' ({entry.origin}) failed: {what}\nat {place}")
    return UserError(f"Strategy '{config.strategy}': {what}.") if isinstance(error, SystemExit) else None

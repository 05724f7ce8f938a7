"""How a command ends before its time: by a signal, or because nobody reads its output any more.

A signal becomes an exception, :class:`Stopped`, which passes through everything (a run notes it in its record on the
way) and is told once, at the end. This module imports nothing slow, so that it holds from the first moment on.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmark.core.shell import joined, literal

CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGPIPE": 141}
"""What ends a command, and its exit code then: 128 and the signal's number."""

_WORDS = {"SIGINT": "Ctrl-C", "SIGHUP": "SIGHUP (its terminal was closed)", "SIGPIPE": "a closed pipe"}

_HEARD = ("SIGINT", "SIGTERM", "SIGHUP")

_received: list["Stopped"] = []
_waiting = 0
"""How many blocks of :func:`deferred` are open."""

_launcher = ["python", "-m", "benchmark"]
_done = set[str]()
"""Words of the command that have had their effect."""
_chosen: list[str] = []
"""Words that the command chose for itself, by chance."""


class Stopped(BaseException):
    """The command is to end now.

    No ``Exception`` and no ``KeyboardInterrupt``, so that no library on the way takes it for something it may handle.

    Args:
        signal: a key of CODES.
    """

    def __init__(self, signal: str) -> None:
        super().__init__(_WORDS.get(signal, signal))
        self.signal = signal
        self.code = CODES[signal]


def listen() -> None:
    """Let SIGINT (Ctrl-C), SIGTERM and SIGHUP raise :class:`Stopped`; a second Ctrl-C ends the process at once.

    A signal that was ignored when the process began, as by ``nohup``, stays ignored.
    """
    owner = os.getpid()
    heard = {
        number: name
        for name in _HEARD
        if (number := getattr(signal, name, None)) and signal.getsignal(number) is not signal.SIG_IGN
    }

    def stop(number: int, frame: Any) -> None:
        if os.getpid() != owner:  # a worker, forked from here; its parent does what is to be done
            raise KeyboardInterrupt
        for other in heard:
            signal.signal(other, signal.SIG_DFL if other == signal.SIGINT else signal.SIG_IGN)
        stop_for(heard[number])

    for number in heard:
        signal.signal(number, stop)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Inside of the block a signal raises nothing; whoever works there asks :func:`pending` and then :func:`check`."""
    global _waiting
    _waiting += 1
    try:
        yield
    finally:
        _waiting -= 1


def stop_for(signal: str) -> None:
    """Do as when a signal comes, a key of CODES."""
    _received.append(Stopped(signal))
    if not _waiting:
        raise _received[0]


def pending() -> bool:
    """Whether a signal came."""
    return bool(_received)


def follow(told: Callable[[], str]) -> None:
    """In a worker that another process started: let SIGTERM alone raise :class:`Stopped`, as what that process heard.

    What a terminal sends goes to all of its processes; the first of them tells its workers.

    Args:
        told: gives the signal that the other process heard, a key of CODES.
    """
    owner = os.getpid()

    def stop(number: int, frame: Any) -> None:
        if os.getpid() != owner:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_IGN)
        stop_for(told())

    numbers = [number for name in _HEARD if (number := getattr(signal, name, None))]
    for number in numbers:
        signal.signal(number, stop if number == signal.SIGTERM else signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)  # held back until here, see ``held``


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Signals that come while this lasts are heard after it; a process that is started meanwhile holds them, too."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in _HEARD])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check() -> None:
    """Raise :class:`Stopped` if a signal came, and raised nothing or was lost on the way, as in a destructor."""
    if _received:
        raise _received[0]


def mute(stderr: bool = False) -> None:
    """Let whatever is still written to standard output, or to standard error, go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), (sys.stderr if stderr else sys.stdout).fileno())


def broken_pipe() -> Stopped:
    """What to raise when nobody reads standard output any more."""
    mute()
    return Stopped("SIGPIPE")


def tell(stop: BaseException) -> int:
    """Say on standard error what ended the command, what is kept (the notes of the exception) and how to go on.

    Returns:
        The exit code.
    """
    notes = getattr(stop, "__notes__", [])
    code = stop.code if isinstance(stop, Stopped) else CODES["SIGINT"]
    if notes or code != CODES["SIGPIPE"]:  # head has what it wanted
        lines = [f"Interrupted by {stop if isinstance(stop, Stopped) else 'Ctrl-C'}.", *notes]
        lines.append(f"{'Go on' if notes else 'Start again'} with: {command(sys.argv[1:])}")
        try:
            print("\n" + literal("\n".join(lines)), file=sys.stderr, flush=True)
        except (OSError, ValueError):
            mute(stderr=True)  # else Python tries again at its end, and exits with another code
    return code


def command(words: Iterable[str]) -> str:
    """The command that goes on, to be pasted into a shell."""
    return joined([*_launcher, *(word for word in words if word not in _done), *_chosen])


def had_effect(word: str) -> None:
    """Say that a word has had its effect, as ``--force`` once runs are begun anew, for :func:`command` to leave out."""
    _done.add(word)


def chose(*words: str) -> None:
    """Say what was not asked for and left to chance, for :func:`command`, which is to go on with the same."""
    _chosen[:] = words


def launched_by(*words: str) -> None:
    """Say how this command was started, for :func:`command`, if not by ``python -m benchmark``."""
    _launcher[:] = words

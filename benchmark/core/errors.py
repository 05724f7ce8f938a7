"""The one kind of error a user can mend."""

import errno
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_MEMORY = (
    "can't allocate memory",
    "annot allocate memory",
    "out of memory",
    "failed to map segment",
    "killed by signal: Killed",
)
_NO_SHARED_MEMORY = ("out of shared memory", "shared memory(shm)")
_NO_FILES = ("Too many open files", "received 0 items of ancdata")


class UserError(Exception):
    """Something the user gave cannot be used.

    The message names what was given, what is accepted and how to mend it. The command line prints it
    without a traceback and exits with ``exit_code``.
    """

    exit_code = 2


def shortened(given: str) -> str:
    """What was given, as an error repeats it: cut where it grows too long to be read."""
    return given if len(given) <= 200 else f"{given[:200]}…"


def told(error: BaseException) -> str:
    """The type and the message of an error that code from outside raised, whatever its own methods do."""
    try:
        message = str(error)
    except Exception:
        message = "its message cannot be read"
    return f"{type(error).__name__}: {message}"


def shortage(error: BaseException) -> Literal["memory", "shared memory", "files", "room", ""]:
    """What there was too little of where an error came from: room on a disk, or files that may be open at once, say;
    empty if of nothing.

    Libraries tell it in words alone. Processes that pass data on to each other have /dev/shm for a disk.
    """
    text, number = str(error), error.errno if isinstance(error, OSError) else None
    worded = isinstance(error, RuntimeError | ImportError)
    full = number in _FULL or any(f"os error {one}" in text for one in _FULL)  # as safetensors words it
    places = [Path(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__)]
    if worded and any(words in text for words in _NO_SHARED_MEMORY):
        return "shared memory"
    if full and any("multiprocessing" in place.parts for place in places):
        return "shared memory"
    if number in (errno.EMFILE, errno.ENFILE) or any(words in text for words in _NO_FILES):
        return "files"
    if isinstance(error, MemoryError) or number == errno.ENOMEM or (worded and any(one in text for one in _NO_MEMORY)):
        return "memory"
    return "room" if full else ""


def meant(given: str, choices: Iterable[str]) -> str:
    """A question after the choice that is nearest to what was given, after a blank; empty if none is near.

    >>> meant("EWC", ["ewc", "cmc"])
    " Did you mean 'ewc'?"
    """
    small = {choice.casefold(): choice for choice in choices}
    near = get_close_matches(given.casefold(), small, n=1)
    return f" Did you mean '{small[near[0]]}'?" if near else ""


def unknown(kind: str, given: str, choices: Iterable[str], hint: str = "") -> UserError:
    """The error for a name that is not among the choices, with the nearest choice pointed out."""
    names = sorted(choices)
    given = shortened(given)
    suggestion = meant(given, names)
    accepted = ", ".join(names) if names else "none available"
    return UserError(f"Unknown {kind} '{given}'.{suggestion} Accepted: {accepted}.{' ' + hint if hint else ''}")

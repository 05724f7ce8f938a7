"""What a person's shell and settings may be, made the same for every command before anything else is imported."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

NUMBERS = {
    "TERMINAL_WIDTH": (20, 9999),
    "COLUMNS": (20, 9999),
    "LINES": (1, 9999),
    "LOKY_MAX_CPU_COUNT": (1, 9999),
    "JOBLIB_MULTIPROCESSING": (0, 1),
    "SOURCE_DATE_EPOCH": (0, 2**40),
}
"""Variables that libraries read as whole numbers, the least and the most that is of use. typer, rich, joblib and
matplotlib take any value, also what is no number or has no room for a word, and fail, or show nothing."""


@contextlib.contextmanager
def changed(words: Mapping[str, str]) -> Iterator[None]:
    """Other values of environment variables for as long as this lasts."""
    before = {name: os.environ.get(name) for name in words}
    os.environ.update(words)
    try:
        yield
    finally:
        for name, word in before.items():
            if word is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = word


def prepare() -> None:
    """Be independent of the locale, of what the terminal can show, and of the user's choice of a matplotlib backend.

    Files' names and contents are UTF-8: where the locale says otherwise, the interpreter is replaced by itself in
    UTF-8 mode. What is printed keeps the encoding of the terminal or pipe; letters that it lacks are escaped. A stream
    that is closed (``>&-``) leads nowhere, before the next file that is opened takes its place.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    if sys.getfilesystemencoding().lower() != "utf-8" and not sys.flags.utf8_mode:
        os.environ.setdefault("PYTHONIOENCODING", getattr(sys.stdout, "encoding", None) or "utf-8")
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            with contextlib.suppress(OSError, ValueError):
                reconfigure(errors="backslashreplace")
    for name, (least, most) in NUMBERS.items():
        told = os.environ.get(name, "")
        if not (told.isascii() and told.isdecimal() and len(told) < 15 and least <= int(told) <= most):
            os.environ.pop(name, None)
    for name in [name for name in os.environ if name.startswith("TQDM_")]:
        del os.environ[name]  # these are about bars that Avalanche has, and nobody sees
    os.environ["MPLBACKEND"] = "agg"  # matplotlib, which Avalanche imports too, does not start with an unknown one

"""One writer for each run directory, each report, and each table or archive that several processes extend.

The lock is the operating system's, on a hidden file beside the directory or the table: it ends with the process that
holds it, however that ends, and works between machines where their shared disk passes locks on. The file stays, as
taking it away could let in two; beside the directory it also holds where that is deleted and made anew. A report's
folder is locked itself.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from benchmark.core.errors import UserError
from benchmark.core.runs.writing import told


class RunBusy(UserError):
    """Another process writes the run directory."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Be the only one who writes a run directory, whether it is there yet or not, inside of the block.

    Raises:
        RunBusy: another process does; it is told which.
        UserError: nothing can be written there.
    """
    place = path.resolve()  # a link to a directory has no lock of its own
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place.with_name(f".{place.name}.lock")).acquire(blocking=False)
    except Timeout:
        raise RunBusy(
            f"'{path}' is being written by {_holder(path)}. Wait until it ends, or stop it; the same command then goes "
            "on from what it left."
        ) from None
    except OSError as error:
        raise UserError(
            f"Cannot write the run to '{path}': {error.strerror or error}. Choose another folder with --out."
        ) from error
    with lock:
        yield


@contextmanager
def extending(path: Path, option: str) -> Iterator[None]:
    """Be the only one who reads a file and writes it anew inside of the block; whoever else does is waited for.

    Raises:
        UserError: nothing can be written there; ``option`` chooses the path.
    """
    with told(path, option):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock")).acquire()
    with lock:
        yield


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Be the only one who writes a folder inside of the block; whoever else does is waited for.

    The folder itself is what is locked, so that no file stays. Where that cannot be done, as on Windows and on some
    disks of a network, nobody is waited for.
    """
    with ExitStack() as held:
        with suppress(OSError, ImportError):
            import fcntl

            folder.mkdir(parents=True, exist_ok=True)
            number = os.open(folder, os.O_RDONLY)
            held.callback(os.close, number)
            fcntl.flock(number, fcntl.LOCK_EX)
        yield


def _holder(path: Path) -> str:
    """Which process writes a directory, in words, as far as its status tells."""
    try:
        process = json.loads((path / "status.json").read_text("utf-8"))["process"]
        return f"process {int(process['pid'])} on '{process['host']}'"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"

"""Files that others made, opened with care: nothing waits, nothing is endless, no link leads astray."""

import errno
import os
import stat
import sys
import tempfile
from io import BufferedReader
from pathlib import Path

from benchmark.core.errors import UserError

_AT_ONCE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""How a file is opened for reading without waiting for a writer should it be a pipe."""

OF_THE_DISK = frozenset(
    ("#recycle", "$recycle.bin", "@eadir", "@recycle", "__macosx", "lost+found", "system volume information")
)
"""Folders that systems and disks make for themselves, in lower case: trash, thumbnails, remains of a crash."""

LONGEST = (103 if sys.platform == "darwin" else 107) - len("/pymp-12345678/listener-12345678")
"""Bytes in the path of the folder for temporary files, at most, so that Python can put its sockets there."""


def regular(path: Path) -> BufferedReader:
    """A file for reading, opened without waiting for a writer should it be a pipe.

    Raises:
        UserError: it is no regular file but a folder, a pipe or a device.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, _AT_ONCE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{str(path)!r} is not a regular file.")
    return os.fdopen(descriptor, "rb")


def opened(path: Path) -> BufferedReader:
    """A file for reading that a person named; it may be a pipe, of which nothing is read if nobody writes into it.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, _AT_ONCE)
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)  # what is written into a pipe is waited for
    try:
        return os.fdopen(descriptor, "rb")
    except OSError:  # a folder
        os.close(descriptor)
        raise


def unreadable(path: Path) -> str:
    """Why it cannot be told what is at a path, or why that cannot be read; empty if it can, or nothing is there."""
    try:
        folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
        return "" if missing else str(error.strerror)
    return "" if os.access(path, os.R_OK | (os.X_OK if folder else 0)) else os.strerror(errno.EACCES)


def closed(path: Path, error: PermissionError) -> UserError:
    """The error for a file or folder that may not be read: nothing of it is known to be lost."""
    return UserError(f"{str(path)!r} cannot be read: {error.strerror}. Make it readable, or ask whose it is.")


def content(path: Path, largest: int) -> bytes:
    """All that a regular file holds.

    Args:
        path: the file.
        largest: bytes that it may have.

    Raises:
        UserError: it is no regular file, or larger, or may not be read.
        OSError: it cannot be opened or read otherwise.
    """
    try:
        with regular(path) as file:
            small = os.fstat(file.fileno()).st_size <= largest
            found = file.read(largest + 1) if small else b""
    except PermissionError as error:
        raise closed(path, error) from error
    if not small or len(found) > largest:
        raise UserError(f"{str(path)!r} has more than {largest:,} bytes and is not read.")
    return found


def named(folder: Path, ending: str) -> dict[str, Path]:
    """The files of a folder that have an ending, by their names without it; hidden ones are left out.

    Where files are copied on macOS, ``._quick.yaml`` may lie beside ``quick.yaml``, and is none.
    """
    return {path.stem: path for path in sorted(folder.glob(f"*{ending}")) if not path.name.startswith(".")}


def is_beside(name: str) -> bool:
    """Whether a name in a folder is hidden or of OF_THE_DISK, so that it is none of what the user has put there."""
    return name.startswith(".") or name.lower() in OF_THE_DISK


def refuse_leaving(path: Path, root: Path) -> None:
    """Refuse a path that leads out of a folder, by ``..`` or by links.

    Raises:
        UserError: it does, or its links go round in a circle.
    """
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # links without end
        inside = False
    if not inside:
        raise UserError(f"{str(path)!r} leads out of {str(root)!r}. Put the file itself in its place, or take it away.")


def temporary_place() -> str:
    """The folder in which the system has its temporary files.

    Raises:
        UserError: there is none that can be written to.
    """
    try:
        return tempfile.gettempdir()
    except OSError as error:
        raise UserError(
            "There is no folder for temporary files that can be written to. Set TMPDIR to one, with room in it."
        ) from error


def refuse_long_place() -> None:
    """Refuse a folder for temporary files in which processes cannot meet, since its path is too long for a socket's.

    Raises:
        UserError: it is, or there is no such folder.
    """
    length = len(os.fsencode(temporary_place()))
    if length > LONGEST:
        raise UserError(
            "Processes that pass data on to each other meet in the folder for temporary files, and its path is too "
            f"long for that: {length} bytes, of at most {LONGEST}. Set TMPDIR to a folder with a shorter path."
        )

"""What files hold, as digests: each file is read once, and again only when its state on disk has changed.

The state is size, time of change (of the content and of the entry) and inode number. It is remembered with the digest
in one JSON file, beside the patch cache if that can be written, else in the user's folder for caches, else only in this
process. That file is an aid: it may be deleted or damaged, and where two processes write it at once the last one wins;
what is missing is read again.
"""

import hashlib
import json
import os
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.core.runs.writing import write_text
from benchmark.data.opening import quoted

FILE = "digests.json"
FORMAT = 1
"""Raised when files of an earlier version can no longer be used."""

_BEGINNING = b'{"format": '
"""How a memory file begins; another ``digests.json`` in a folder for caches is somebody else's."""

UNSETTLED = 2.0
"""Seconds for which a file that was just changed is not remembered: within the granularity of a file system's clock
(two seconds at the coarsest) another change of equal size would leave the same state."""

State = tuple[int, int, int, int]
"""Size, time of change of the content and of the entry in nanoseconds, inode number."""

_known: dict[Path, dict[str, tuple[State, str]]] = {}


def contents(paths: Collection[Path], folder: Path) -> dict[Path, str]:
    """The digest of each file's bytes: BLAKE2b, 128 bits, in hexadecimal.

    Args:
        paths: the files.
        folder: where digests are remembered; usually the one of the patch cache. Paths are remembered relative to it,
            so that data and memory can be moved together.

    Raises:
        UserError: a file cannot be read.
    """
    names = {path: os.path.relpath(path, folder) for path in dict.fromkeys(paths)}
    states = {path: state_of(path) for path in names}
    found: dict[Path, str] = {}
    for remembered in _memories(folder):
        for path in names.keys() - found.keys():
            state, digest = remembered.get(names[path], (None, ""))
            if state == states[path]:
                found[path] = digest
        if len(found) == len(names):
            break
    unknown = [path for path in names if path not in found]
    if unknown:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # hashlib works without the interpreter's lock
            read = dict(zip(unknown, pool.map(_read, unknown), strict=True))
        found |= {path: digest for path, (digest, _) in read.items()}
        _remember(folder, {names[path]: (state, digest) for path, (digest, state) in read.items() if state})
    return found


def _read(path: Path) -> tuple[str, State | None]:
    """A file's digest, and its state if that is sure to tell the next change."""
    began = time.time()
    before = state_of(path)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise UserError(f"{quoted(path)} cannot be opened: {error.strerror}.") from error
    settled = max(before[1:3]) < (began - UNSETTLED) * 1e9
    return digest, before if settled and state_of(path) == before else None


def state_of(path: Path) -> State:
    """A file's state on disk, as it is now.

    Raises:
        UserError: it cannot be told.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{quoted(path)} cannot be opened: {error.strerror}.") from error
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _memories(folder: Path) -> Iterator[dict[str, tuple[State, str]]]:
    """What is remembered, the quickest memory first."""
    known = _known.setdefault(folder.absolute(), {})
    yield dict(known)
    for place in _places(folder):
        loaded = _load(place)
        for name, entry in loaded.items():
            known.setdefault(name, entry)
        yield loaded


def _remember(folder: Path, new: dict[str, tuple[State, str]]) -> None:
    if not new:
        return
    known = _known.setdefault(folder.absolute(), {})
    known |= new
    for place in filter(_may_be_ours, _places(folder)):
        with suppress(OSError):
            files = {name: entry for name, entry in (_load(place) | known).items() if _exists(folder, name)}
            write_text(place, json.dumps({"format": FORMAT, "files": files}))
            return


def _may_be_ours(place: Path) -> bool:
    """Whether a memory file may be written to a place: nothing is there, or one that is whole or cut short."""
    try:
        with place.open("rb") as file:
            return _BEGINNING.startswith(file.read(len(_BEGINNING)))
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _exists(folder: Path, name: str) -> bool:
    return Path(os.path.normpath(folder / name)).exists()  # as the name was made: the folder itself need not exist


def _places(folder: Path) -> list[Path]:
    """Where digests may be kept, the best place first."""
    key = hashlib.sha256(str(folder.absolute()).encode(errors="surrogateescape")).hexdigest()[:16]
    caches = _caches()
    return [folder / FILE, *([caches / "continual-restoration" / f"digests-{key}.json"] if caches else [])]


def _caches() -> Path | None:
    """The user's folder for caches; a relative one does not count, as it would be another in every folder."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if chosen.is_absolute():
        return chosen
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (pathlib's fails where nobody knows where home is)
    known = home.is_absolute() and os.environ.get("HOME") != ""  # "" would be the root of all folders
    return home / ".cache" if known else None


def _load(place: Path) -> dict[str, tuple[State, str]]:
    """The entries of a memory file; none if it is missing, damaged or of another format."""
    try:
        data = json.loads(place.read_text("utf-8"))
        if data["format"] != FORMAT:
            return {}
        return {name: _entry(*entry) for name, entry in data["files"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}


def _entry(state: list[int], digest: str) -> tuple[State, str]:
    size, modified, changed, inode = state
    if len(digest) != 32:
        raise ValueError(f"no digest: {digest}")
    return (size, modified, changed, inode), digest

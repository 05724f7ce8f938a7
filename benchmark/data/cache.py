"""The cache: the training pictures of a dataset as plain bytes, so that a patch costs a memory-mapped crop.

``data prepare`` decodes every picture that is not for testing once. Beside the data, or in a folder of the user's
choice, stands::

    .cache-continual-restoration/
        DIV2K-1f0c93ab/
            clean.rgb          the pictures one after another: uint8, height × width × 3
            clean.json         what each of them is: name, place, and the state of the file it came from
            degraded.rgb       for datasets of pairs, in the same order
            degraded.json

A side that is being written is called ``clean.rgb.part``, and ``clean.journal`` has one line for each picture that is
whole, with its checksum. An interrupted run is taken up after the last of them. At the end the files get their names,
the index last. A side is used as long as every source file has the content, the size and the time of change that the
index tells, and is written anew otherwise.
"""

import hashlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Literal, overload

import numpy as np
from filelock import FileLock, Timeout
from rich.console import Console

from benchmark.core.errors import UserError
from benchmark.core.printing import passing
from benchmark.core.yaml_files import command
from benchmark.data.datasets import Dataset, Item, find
from benchmark.data.digests import contents
from benchmark.data.opening import quoted
from benchmark.data.pictures import Picture

FOLDER = ".cache-continual-restoration"
FORMAT = 2
"""Raised when files of an earlier version can no longer be used."""

Side = Literal["clean", "degraded"]

_OTHER = "--cache DIR (of data prepare) or --set data.cache=DIR (of commands that make runs)"


@dataclass(frozen=True)
class CachedPicture:
    """A picture as its headers and its file's state tell it; when any of this changes, the cache is stale."""

    name: str
    file: str
    width: int
    height: int
    bytes: int
    modified: int
    digest: str

    @property
    def length(self) -> int:
        """Bytes of the decoded picture."""
        return self.width * self.height * 3


@dataclass(frozen=True)
class CachedImages(Sequence[np.ndarray]):
    """Cached pictures as read-only arrays, uint8, height × width × 3, that are read from disk where they are touched.

    One file is mapped for all of them. A copy in another process maps the file again; no pixels are sent.
    """

    path: Path
    pictures: tuple[CachedPicture, ...]

    @cached_property
    def _bytes(self) -> np.ndarray:
        return np.asarray(np.memmap(self.path, np.uint8, "r")) if self.pictures else np.empty(0, np.uint8)

    @cached_property
    def _starts(self) -> list[int]:
        return np.cumsum([0, *(one.length for one in self.pictures)]).tolist()

    def __len__(self) -> int:
        return len(self.pictures)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        one = self.pictures[index]
        start = self._starts[range(len(self))[index]]
        return self._bytes[start : start + one.length].reshape(one.height, one.width, 3)

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "pictures": self.pictures}


@dataclass(frozen=True)
class Prepared:
    """What came of caching one dataset: its folder in the cache, None if it has only test pictures; or the problem.

    The dataset is None where the problem is that something under the root could not be listed.
    """

    dataset: Dataset | None
    place: Path | None
    problem: str = ""


def prepare(
    dataset: Dataset,
    folder: Path,
    advance: Callable[[], None] = lambda: None,
    on_wait: Callable[[str], None] | None = None,
) -> Path:
    """Write the cache of one dataset, unless it is there and still fits.

    Args:
        dataset: a dataset in good order.
        folder: where caches are kept; usually ``FOLDER`` under the data root.
        advance: called once for each picture that is written or found written.
        on_wait: told where another process is writing this cache, which is then waited for; if None, that is an error.

    Returns:
        The dataset's own folder in the cache.

    Raises:
        UserError: the dataset has problems, the disk is full or read-only, or another process is writing this cache.
    """
    dataset.usable()
    place = _place(dataset, folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _locked(place, on_wait):
            for side in _sides(dataset):
                _prepare_side(dataset, side, folder, advance)
    except OSError as error:
        if all(_finished(place, side, _cached(dataset, side, folder)) for side in _sides(dataset)):
            return place  # another one's, which may only be read
        raise UserError(
            f"The cache {quoted(place)} cannot be written: {error.strerror}. Choose another folder with {_OTHER}."
        ) from error
    return place


def prepare_all(root: Path, folder: Path | None = None, console: Console | None = None) -> list[Prepared]:
    """Write the cache of every dataset under a root that has pictures to train on.

    Args:
        root: the folder that holds the datasets.
        folder: where caches are kept; ``FOLDER`` under the root if None.
        console: where to show progress, if it is a terminal.

    Returns:
        One line about each dataset, then about each problem of the root itself. Neither a dataset that cannot be cached
        nor what cannot be listed keeps the others from it.

    Raises:
        UserError: the root is no folder, or holds no dataset.
    """
    survey = find(root)
    if not survey.datasets:
        raise UserError("\n".join(survey.problems))
    prepared = []
    for dataset in survey.datasets:
        try:
            needed = cached_items(dataset) or dataset.problems
            place = prepare_shown(dataset, folder or root / FOLDER, console) if needed else None
            prepared.append(Prepared(dataset, place))
        except UserError as error:
            prepared.append(Prepared(dataset, None, str(error)))
    return prepared + [Prepared(None, None, problem) for problem in survey.problems]


def load(dataset: Dataset, folder: Path, side: Side = "clean") -> CachedImages:
    """The cached pictures of one side, in the order of :func:`cached_items`.

    Raises:
        UserError: this side is not cached, or its files have changed since.
    """
    place = _place(dataset, folder)
    cached = _cached(dataset, side, folder)
    if not _finished(place, side, cached):
        state = "does not fit its files any more" if _index(place, side).exists() else "does not exist"
        written = command("data", "prepare", "--cache", folder, dataset.root)
        raise UserError(f"The cache of {dataset.name} {state}. Write it with: {written}")
    return CachedImages(_pixels(place, side), tuple(cached))


def cached_items(dataset: Dataset) -> list[Item]:
    """The items that are cached: all that are not for testing, in order."""
    return [item for item in dataset.items if item.split != "test"]


def prepare_shown(dataset: Dataset, folder: Path, console: Console | None = None) -> Path:
    """:func:`prepare` with a progress bar, if the console is a terminal; another process that writes is waited for."""
    pictures = len(cached_items(dataset)) * len(_sides(dataset))
    with passing(console) as shown:
        task = shown.add_task(dataset.name, total=pictures)
        return prepare(dataset, folder, lambda: shown.advance(task), console.print if console else lambda text: None)


def _prepare_side(dataset: Dataset, side: Side, folder: Path, advance: Callable[[], None]) -> None:
    place, cached = _place(dataset, folder), _cached(dataset, side, folder)
    pictures = [_picture(item, side) for item in cached_items(dataset)]
    if _finished(place, side, cached):
        for _ in cached:
            advance()
        return
    part, journal = place / f"{side}.rgb.part", place / f"{side}.journal"
    _index(place, side).unlink(missing_ok=True)
    _pixels(place, side).unlink(missing_ok=True)
    done = _whole(part, journal, cached)
    _check_space(place, sum(one.length for one in cached[done:]))
    with part.open("ab") as pixels, journal.open("a", encoding="utf-8") as lines:
        for number, (one, picture) in enumerate(zip(cached, pictures, strict=True)):
            if number >= done:
                data = np.ascontiguousarray(picture.read().pixels).data.cast("B")
                if len(data) != one.length:
                    raise UserError(f"{quoted(picture.path)} changed while it was read. Run the command again.")
                pixels.write(data)
                pixels.flush()
                lines.write(json.dumps({"source": asdict(one), "checksum": zlib.crc32(data)}) + "\n")
                lines.flush()
            advance()
        os.fsync(pixels.fileno())
    part.replace(_pixels(place, side))
    index = place / f"{side}.json.part"
    index.write_text(json.dumps({"format": FORMAT, "sources": [asdict(one) for one in cached]}), "utf-8")
    index.replace(_index(place, side))
    journal.unlink()


def _whole(part: Path, journal: Path, cached: list[CachedPicture]) -> int:
    """How many pictures an interrupted run has left whole; both files are cut off behind the last of them."""
    done, end = 0, 0
    lines = journal.read_text("utf-8", errors="replace").splitlines(keepends=True) if journal.exists() else []
    if part.exists():
        with part.open("rb") as pixels:
            for one, line in zip(cached, lines, strict=False):
                if not _is_whole(one, line, pixels):
                    break
                done, end = done + 1, end + one.length
    journal.write_text("".join(lines[:done]), "utf-8")
    with part.open("ab") as pixels:
        pixels.truncate(end)
    return done


def _is_whole(one: CachedPicture, line: str, pixels: BinaryIO) -> bool:
    try:
        noted = json.loads(line)
        same = noted["source"] == asdict(one)
        checksum = noted["checksum"]
    except (ValueError, LookupError, TypeError):
        return False
    data = pixels.read(one.length) if same else b""
    return len(data) == one.length and zlib.crc32(data) == checksum


def _finished(place: Path, side: Side, cached: list[CachedPicture]) -> bool:
    try:
        index = json.loads(_index(place, side).read_text("utf-8"))
        length = _pixels(place, side).stat().st_size
    except (OSError, ValueError):
        return False
    expected = {"format": FORMAT, "sources": [asdict(one) for one in cached]}
    return index == expected and length == sum(one.length for one in cached)


def _cached(dataset: Dataset, side: Side, folder: Path) -> list[CachedPicture]:
    cached = []
    digests = contents([_picture(item, side).path for item in cached_items(dataset)], folder)
    for item in cached_items(dataset):
        picture = _picture(item, side)
        width, height = item.size()
        state = picture.path.stat()
        file = os.path.relpath(picture.path, dataset.root)
        cached.append(
            CachedPicture(item.name, file, width, height, state.st_size, state.st_mtime_ns, digests[picture.path])
        )
    return cached


def _picture(item: Item, side: Side) -> Picture:
    picture = item.clean if side == "clean" else item.degraded
    if picture is None:
        raise UserError(f"'{item.name}' has no degraded picture.")
    return picture


def _sides(dataset: Dataset) -> tuple[Side, ...]:
    return ("clean", "degraded") if dataset.paired else ("clean",)


def _place(dataset: Dataset, folder: Path) -> Path:
    """The dataset's folder in the cache. It stays the same when data and cache are moved together."""
    where = os.path.relpath(dataset.root.resolve(), folder.resolve())
    identity = f"{dataset.family}\n{dataset.name}\n{dataset.layout}\n{where}"
    key = hashlib.sha256(identity.encode(errors="surrogateescape"))
    return folder / f"{re.sub(r'[^A-Za-z0-9]+', '_', dataset.name)[:100]}-{key.hexdigest()[:8]}"


def _pixels(place: Path, side: Side) -> Path:
    return place / f"{side}.rgb"


def _index(place: Path, side: Side) -> Path:
    return place / f"{side}.json"


def _check_space(place: Path, needed: int) -> None:
    free = shutil.disk_usage(place).free
    if needed > free:
        raise UserError(
            f"The cache {quoted(place)} needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free. "
            f"Choose a folder on another disk with {_OTHER}."
        )


@contextmanager
def _locked(place: Path, on_wait: Callable[[str], None] | None) -> Iterator[None]:
    """Held by one process at a time; given up when the process ends, however it ends."""
    lock = FileLock(place / "lock")
    try:
        held = lock.acquire(blocking=False)
    except Timeout as error:
        busy = f"Another process is writing the cache {quoted(place)}."
        if on_wait is None:
            raise UserError(f"{busy} Wait until it is done.") from error
        on_wait(f"{busy} It is waited for.")
        held = lock.acquire()
    with held:
        yield

"""The folders under a data root, listed once, with whatever could not be listed told in words."""

import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from benchmark.core import own
from benchmark.core.errors import UserError
from benchmark.core.files import is_beside, unreadable
from benchmark.data.names import composed, in_order, is_text
from benchmark.data.opening import ENDINGS, quoted

ENTRIES = 1_000_000
"""Files and folders that are listed under one root; SIDD's crops are the largest known dataset, with 61,000."""
DEPTH = 12

Split = Literal["train", "test", "undivided"]
"""Which side a picture is for; ``undivided`` where no name says so, and the user decides."""


@dataclass(frozen=True)
class Folder:
    """One folder: its images and MATLAB files sorted by name, its subfolders, and its name's way from the root.

    ``parts`` starts with the name of the data root itself, in lower case and with its letters composed:
    ``("data", "rain100l", "train")``.
    """

    path: Path
    parts: tuple[str, ...]
    images: tuple[Path, ...] = ()
    arrays: tuple[Path, ...] = ()
    folders: tuple["Folder", ...] = ()

    def fitting(self, *names: str) -> list["Folder"]:
        """The subfolders with one of these names, given in lower case; capitals do not matter.

        Those without images come only where none of them has any.
        """
        fitting = [child for child in self.folders if child.parts[-1] in names]
        return [child for child in fitting if child.images] or fitting

    def folder(self, *names: str) -> "Folder | None":
        """The first of :meth:`fitting`, None if there is none."""
        return next(iter(self.fitting(*names)), None)

    def everything(self) -> Iterator["Folder"]:
        """This folder, then all below it."""
        yield self
        for child in self.folders:
            yield from child.everything()

    def without(self, files: Collection[Path], folders: Collection[Path]) -> "Folder":
        """This folder less some of its own files and less some subfolders, at any depth."""
        return replace(
            self,
            images=tuple(path for path in self.images if path not in files),
            arrays=tuple(path for path in self.arrays if path not in files),
            folders=tuple(child.without(files, folders) for child in self.folders if child.path not in folders),
        )

    @property
    def split(self) -> Split:
        """The side that the nearest folder's name speaks of; the data root's own name counts for itself alone."""
        for part in reversed(self.parts[1:] or self.parts):
            if "train" in re.sub("constrain|restrain", "", part):
                return "train"
            if re.search("(?<![a-z])test", part) or is_validation(part):
                return "test"
        return "undivided"


def is_validation(part: str) -> bool:
    """Whether a folder's name, in lower case, speaks of validation."""
    return re.search("(?<![a-z])(valid|(val|eval)(?![a-z]))", part) is not None


def is_degraded(part: str) -> bool:
    """Whether a folder's name, in lower case, speaks of degraded copies: ``noisy50``, ``div2k_valid_jpeg20``."""
    words = r"(noisy|blur(red|ry)?|lq|lr)(?![a-z])|(jpe?g|noise|sigma)[_-]?q?\d"
    return re.search(f"(?<![a-z])({words})", part) is not None


OTHERS = "Files that are neither images"
"""How the note begins that tells of files with other endings."""
LISTED = "which is listed already."
"""How the note ends that tells of a folder to which several ways lead."""
ASTRAY = "so what it leads to is left out."
"""How the note ends that tells of a link that cannot be followed and whose name is no picture's."""


@dataclass
class Remarks:
    """What a user should know of a listing: ``problems`` have to be mended, ``notes`` need not.

    ``strays`` are the problems of single files that would have been listed, so that they can be told of their dataset.
    """

    problems: list[str] = field(default_factory=list)
    strays: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def scan(root: Path) -> tuple[Folder, Remarks]:
    """List everything under a root. Links are followed, but no folder is listed twice.

    Dot folders are left out, and so are the suite's own runs and reports below the root, with a note.

    Raises:
        UserError: the root is no folder, cannot be read, has a name that cannot be recorded, or holds more than a data
            root can.
    """
    if not is_text(root):
        raise UserError(f"{quoted(root)} is not valid UTF-8 and cannot be recorded. Rename the folder.")
    if problem := unreadable(root):
        raise UserError(f"{quoted(root)} cannot be read: {problem}. Give a folder that can, which holds the datasets.")
    if not root.is_dir():
        raise UserError(f"{quoted(root)} is not a folder. Give the folder that holds the datasets.")
    scanner = _Scanner()
    folder = scanner.visit(root, (_part(root.resolve()),))
    if scanner.others:
        kinds = ", ".join(f"{ending} ({count})" for ending, count in sorted(scanner.others.items()))
        scanner.remarks.notes.append(f"{OTHERS} ({', '.join(ENDINGS)}) nor .mat are left out: {kinds}.")
    if scanner.own:
        kinds = ", ".join(f"{number} {kind}{'' if number == 1 else 's'}" for kind, number in scanner.own.items())
        scanner.remarks.notes.append(f"What the suite itself has written is left out: {kinds}.")
    return folder, scanner.remarks


class _Scanner:
    def __init__(self) -> None:
        self.remarks = Remarks()
        self.others: Counter[str] = Counter()
        self.own: Counter[str] = Counter()
        self.visited: dict[tuple[int, int], Path] = {}
        self.entries = 0

    def visit(self, path: Path, parts: tuple[str, ...]) -> Folder:
        status = path.stat()
        self.visited[status.st_dev, status.st_ino] = path
        images, arrays, folders = [], [], []
        listed = self._listed(path)
        if len(parts) > 1 and (kind_of_ours := own.written(path, [entry.name for entry in listed])):
            self.own[kind_of_ours] += 1
            return Folder(path, parts)
        for entry in listed:
            ending = entry.suffix.lower()
            try:
                kind = entry.stat()
            except OSError as error:
                self._lost(entry, ending, str(error.strerror))
                continue
            if stat.S_ISDIR(kind.st_mode):
                child = self._child(entry, kind, parts)
                folders += [child] if child else []
            elif ending not in (*ENDINGS, ".mat"):
                self.others[ending or "no ending"] += 1
            elif not stat.S_ISREG(kind.st_mode):
                self.remarks.strays[entry] = f"{quoted(entry)} is not a regular file."
            elif not is_text(entry):
                self.remarks.strays[entry] = _unwritable(entry)
            elif ending == ".mat":
                arrays.append(entry)
            else:
                images.append(entry)
        return Folder(path, parts, tuple(images), tuple(arrays), tuple(folders))

    def _lost(self, entry: Path, ending: str, reason: str) -> None:
        """Tell what cannot be opened; a link that would be no picture is no fault of the pictures beside it."""
        link = os.path.islink(entry)  # noqa: PTH114 (pathlib's fails in a folder that may not be entered)
        if link and ending not in (*ENDINGS, ".mat"):
            self.remarks.notes.append(f"{quoted(entry)} is a link and cannot be followed ({reason}), {ASTRAY}")
        else:
            mend = " It is a link; mend or remove it." if link else ""
            self.remarks.strays[entry] = f"{quoted(entry)} cannot be opened: {reason}.{mend}"

    def _child(self, path: Path, status: os.stat_result, parts: tuple[str, ...]) -> Folder | None:
        earlier = self.visited.get((status.st_dev, status.st_ino))
        if earlier is not None:
            self.remarks.notes.append(f"{quoted(path)} leads to {quoted(earlier)}, {LISTED}")
            return None
        if not is_text(path):
            self.remarks.problems.append(_unwritable(path))
            return None
        if len(parts) > DEPTH:
            self.remarks.problems.append(f"{quoted(path)} lies more than {DEPTH} folders deep and is not listed.")
            return None
        return self.visit(path, (*parts, _part(path)))

    def _listed(self, path: Path) -> list[Path]:
        try:
            with os.scandir(path) as entries:
                found = [path / entry.name for entry in entries if not is_beside(entry.name)]
        except OSError as error:
            self.remarks.problems.append(f"{quoted(path)} cannot be listed: {error.strerror}.")
            return []
        self.entries += len(found)
        if self.entries > ENTRIES:
            raise UserError(f"More than {ENTRIES:,} files. Give the folder that holds the datasets, not one above it.")
        return sorted(found, key=in_order)


def _part(path: Path) -> str:
    return composed(path.name).lower()


def _unwritable(path: Path) -> str:
    return f"The name of {quoted(path)} is not valid UTF-8 and cannot be recorded. Rename it."

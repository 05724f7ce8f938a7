"""Folders that the suite itself wrote, known by the files in them, so that their pictures are not taken for data."""

import os
from collections.abc import Collection
from pathlib import Path

RECORD = frozenset({"config.yaml", "environment.json"})
"""Files by which a folder is known to be a run directory."""

MANIFEST = "files.txt"
"""Lists the files of a report, so that the next one in the same folder can take away what is left over."""

MARK = "# Files of a report by 'python -m benchmark report'; the next one here replaces them."
"""The first line of MANIFEST."""


def is_run(path: Path) -> bool:
    """Whether a folder is a run directory; none is that may not be looked into."""
    return all(os.path.isfile(path / name) for name in RECORD)  # noqa: PTH113 (pathlib's fails there)


def written(path: Path, names: Collection[str]) -> str:
    """What of the suite's a folder is: ``run``, ``report``, or nothing.

    Args:
        path: the folder.
        names: of what it holds.
    """
    if set(names) >= RECORD and is_run(path):
        return "run"
    manifest = path / MANIFEST
    try:
        if MANIFEST in names and manifest.is_file():
            with manifest.open("rb") as file:
                return "report" if file.read(len(MARK) + 1).rstrip() == MARK.encode() else ""
    except OSError:
        pass
    return ""

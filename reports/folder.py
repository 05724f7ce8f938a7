"""The folder of a report: what in it is the report's own, and what is somebody else's.

``files.txt`` says so: its first line is MARK, and the others name every file that a report wrote there. Only
``index.html``, ``files.txt`` and what lies in ``tables/`` and ``figures/`` is ever written or taken away; other files
beside them are left alone. A folder without the mark is taken only if it is empty. Of several reports that are written
to one folder at once, each waits for the one before it.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.core.own import MANIFEST, MARK
from benchmark.core.runs.locks import in_turn
from benchmark.core.runs.writing import write_text

INDEX, PARTS = "index.html", ("tables", "figures")

_OTHER = "Choose another with --out (of report) or --report (of reproduce and sweep)"


def check(out: Path, overwrite: bool = False) -> None:
    """Make sure that a report may be written to a folder, before any work is done for it.

    Args:
        out: the folder, there or not.
        overwrite: replace files that no report wrote, too; links are never followed all the same.

    Raises:
        UserError: it is no folder, or a file of somebody else's stands where the report belongs.
    """
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise UserError(f"Cannot write the report to '{out}': it is not a folder. {_OTHER}.")
    try:
        links = [name for name in (INDEX, MANIFEST, *PARTS) if (out / name).is_symlink()]
        if links:
            raise UserError(f"'{out / links[0]}' is a link; a report is not written through it. Take it away.")
        foreign = _foreign(out)
    except OSError as error:
        raise UserError(f"'{out}' cannot be read: {error.strerror}. {_OTHER}.") from error
    if foreign and not overwrite:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise UserError(
            f"'{out}' holds what no report wrote: '{foreign[0]}'{more}. A report is written to a folder that is empty "
            f"or holds an earlier report. {_OTHER}, or replace those files with --overwrite."
        )


def write(out: Path, files: Mapping[str, str | bytes], overwrite: bool = False) -> None:
    """Write a report's files, each whole or not at all, and take away those of an earlier report that this one lacks.

    Args:
        out: the folder.
        files: the content of every file by its name, such as ``tables/runs.csv``.
        overwrite: as in :func:`check`.

    Raises:
        UserError: the folder is somebody else's.
        OSError: it cannot be written.
    """
    check(out, overwrite)
    with in_turn(out):
        check(out, overwrite)
        before = _listed(out)
        _write_manifest(out, {*before, *files})
        for name in before - {*files, MANIFEST}:
            (out / name).unlink(missing_ok=True)
        for name, content in files.items():
            write_text(out / name, content)
        _write_manifest(out, set(files))


def _write_manifest(out: Path, names: set[str]) -> None:
    write_text(out / MANIFEST, "".join(f"{line}\n" for line in (MARK, *sorted({*names, MANIFEST}))))


def _foreign(out: Path) -> list[str]:
    """What stands in a folder where the report belongs and is not the report's; all there is where no report is.

    Another process may be writing a report there. That lists a file before it writes it, and takes it away before it
    lists it no more; so the list is read last, and what is gone by then does not count.
    """
    above = [path.name for path in out.iterdir()]
    found = [name for name in (INDEX, MANIFEST) if os.path.lexists(out / name)]
    for part in PARTS:
        if (out / part).is_dir():
            found += [f"{part}/{path.name}" for path in (out / part).iterdir()]
        elif (out / part).exists():
            found.append(part)
    ours = _listed(out)
    if not ours:
        found = above
    whole = {name for name in found if name in ours and (out / name).is_file() and not (out / name).is_symlink()}
    return sorted(name for name in {*found} - whole if not _temporary(name) and os.path.lexists(out / name))


def _listed(out: Path) -> set[str]:
    """The files that the folder's manifest names, as far as they can be a report's; empty where there is none.

    A report of a suite that did not mark its manifest yet is known by its list of runs and its page.
    """
    lines: list[str] = []
    with suppress(FileNotFoundError, UnicodeDecodeError, IsADirectoryError):
        lines = (out / MANIFEST).read_text(encoding="utf-8").splitlines()
    if lines[:1] == [MARK]:
        names = set(lines[1:])
    elif "tables/runs.csv" in lines and lines == sorted(lines) and all(_may_be_ours(name) for name in lines):
        names = {*lines, INDEX, MANIFEST}
    else:
        return set()
    return {name for name in names if _may_be_ours(name)}


def _may_be_ours(name: str) -> bool:
    folder, _, file = name.partition("/")
    inside = folder in PARTS and file not in ("", ".", "..") and not {"/", "\\", "\0"} & set(file)
    return inside or name in (INDEX, MANIFEST)


def _temporary(name: str) -> bool:
    """Whether this is a file of ours that was being written when the process was killed."""
    last = name.rpartition("/")[2]
    return last.startswith(".") and last.rpartition(".")[2].isdigit()

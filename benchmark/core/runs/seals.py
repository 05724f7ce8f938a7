"""The seal of a finished run: a checksum of every file of its own, by which damage is seen.

``checksums.json`` is written last of all. What stands in a sealed directory is read only if it still has its checksum,
and a run that says it is finished but has no seal was cut off in its last moment and goes on. The other way round, a
run that says it is not finished, as where its status was set back for it to go on, has no seal that holds.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.core.files import content, refuse_leaving, regular
from benchmark.core.runs.records import SIZE, from_json
from benchmark.core.runs.schemas import TABLES
from benchmark.core.runs.writing import write_json

SEAL = "checksums.json"
STATUS, MISSING, UNREADABLE = "status.json", "is missing", "cannot be read"
PICTURES, STATES = "images/[!.]*--*.png", "checkpoints/task-*.safetensors"
"""Names of a run's own files in its folders."""
OWN = ("config.yaml", "environment.json", STATUS, *TABLES, PICTURES, STATES)
"""Files of a finished run, which are sealed; what people lay beside them is theirs."""
UNFINISHED = ("running", "failed", "diverged", "interrupted")
"""States of a run to which no seal belongs."""


def seal(path: Path) -> None:
    """Write down the checksums of all files of a run directory that are its own.

    Raises:
        OSError: a file cannot be read, or the seal not be written.
    """
    files = sorted(file for name in OWN for file in path.glob(name) if file.is_file())
    write_json(
        path / SEAL, {"sha256": {file.relative_to(path).as_posix(): digest(file.read_bytes()) for file in files}}
    )


def open_again(path: Path) -> None:
    """Take the seal away, before something is changed."""
    (path / SEAL).unlink(missing_ok=True)


def discard_unreadable(path: Path) -> None:
    """Take away a seal that is damaged itself, before a run is begun again; a good one stays."""
    try:
        checksums(path)
    except UserError:
        open_again(path)


def checksums(path: Path) -> dict[str, str]:
    """The checksums of a run directory's files by their names; none if it is not sealed, or says it is not finished.

    Raises:
        UserError: the seal itself is damaged.
    """
    if _unfinished(path):
        return {}
    try:
        refuse_leaving(path / SEAL, path)
        found = from_json(content(path / SEAL, SIZE).decode("utf-8"))["sha256"]
        return {str(name): str(found[name]) for name in found}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"'{path / SEAL}' cannot be read: {error}. Restore it, or repeat the run with --force."
        ) from error


def damage(path: Path) -> dict[str, str]:
    """What is wrong with a sealed run directory: file → ``is missing``, ``has changed`` or why it cannot be read.

    Raises:
        UserError: the seal itself is damaged.
    """
    found = {}
    sealed = checksums(path)
    for name, expected in sealed.items():
        try:
            refuse_leaving(path / name, path)
            with regular(path / name) as file:
                changed = hashlib.file_digest(file, "sha256").hexdigest() != expected
            if changed:
                found[name] = "has changed"
        except UserError as error:
            found[name] = f"{UNREADABLE} ({error})"
        except FileNotFoundError:
            found[name] = MISSING
        except OSError as error:
            found[name] = f"{UNREADABLE} ({error.strerror or error})"
    return damage(path) if found and checksums(path) != sealed else found  # it was begun anew meanwhile


def kept_nowhere_else(damaged: Mapping[str, str]) -> list[str]:
    """The damaged files that the same command does not mend: all but tables, checkpoints and a status that is missing.

    What tables hold stands in checkpoints, too, and how far a run has come is told by its last one.
    """
    return [
        name
        for name, problem in damaged.items()
        if not (name.startswith("checkpoints/") or name in TABLES or (name == STATUS and problem == MISSING))
    ]


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _unfinished(path: Path) -> bool:
    """Whether a status that can be read says so; one that cannot be is for its reader to tell."""
    try:
        refuse_leaving(path / "status.json", path)
        return from_json(content(path / "status.json", SIZE).decode("utf-8")).get("state") in UNFINISHED
    except (OSError, ValueError, AttributeError, UserError):
        return False

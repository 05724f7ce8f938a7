"""Files that are written whole or not at all: to a temporary name beside them, then renamed."""

import csv
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from benchmark.core.errors import UserError
from benchmark.core.tables import Schema, headings

_TEMPORARY = re.compile(r"\..+\.(yaml|json|txt|csv|png|safetensors)\.\d+", re.DOTALL)


LONGEST = 255
"""Bytes of a file's name, on most file systems."""


def temporary_name(path: Path) -> Path:
    """Where a file is written until it is whole: hidden beside it, under a name that nobody else takes.

    It is drawn: processes on two machines, or in two containers, may have one number, and two threads always do.
    A name without room for what is added is cut before its ending.
    """
    behind = f".{secrets.randbelow(10**16):016}"
    room = LONGEST - len(behind) - 1
    name = path.name
    if len(os.fsencode(name)) > room:
        ending = path.suffix if len(os.fsencode(path.suffix)) < room // 2 else ""
        kept = os.fsencode(path.stem)[: room - len(os.fsencode(ending))]
        name = kept.decode("utf-8", errors="ignore") + ending
    return path.with_name(f".{name}{behind}")


def is_temporary(path: Path) -> bool:
    """Whether a file has a name from :func:`temporary_name`, and not one that a person would give."""
    return bool(_TEMPORARY.fullmatch(path.name)) and path.is_file()


def write_text(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: to a temporary name beside it, then renamed.

    Text is written as UTF-8; what names of files hold that is none, as the bytes it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path)
    try:
        temporary.write_bytes(
            content.encode("utf-8", errors="surrogateescape") if isinstance(content, str) else content
        )
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write a mapping as indented JSON, atomically."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n")


class _Dumper(yaml.SafeDumper):
    """Writes plain data; quotes what PyYAML would write in a way that is read as something else."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """A text; the line break U+0085 in one is lost unless it is written as an escape."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style='"' if "\x85" in data else None)


_Dumper.add_representer(str, _Dumper.represent_str)


def write_yaml(path: Path, data: Mapping[str, Any]) -> None:
    """Write a mapping of plain data as YAML, atomically."""
    write_text(path, yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], schema: Schema) -> None:
    """Write rows as CSV, atomically; numbers keep every digit, so equal runs give equal bytes."""
    write_text(path, schema.text(rows))


@contextmanager
def told(path: Path, option: str) -> Iterator[None]:
    """Whoever writes a file inside of the block is told if that cannot be done.

    Args:
        path: the file.
        option: the command's option that chooses it, for the error.

    Raises:
        UserError: it cannot be written, as onto a full disk.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Cannot write '{path}': {error.strerror or error}. Choose another file with {option}."
        ) from error


def refuse_other(path: Path, columns: Sequence[str], option: str) -> None:
    """Make sure that a table may be written to a path, before the work for it is done.

    Args:
        path: where the table will be.
        columns: what a table of this kind has; one that is there will be replaced or extended.
        option: the command's option that chooses the path, for the error.

    Raises:
        UserError: something else stands there, it cannot be read, or nothing can be written beside it.
    """
    _refuse_unwritable(path, option)
    try:
        names = headings(path)
    except FileNotFoundError:
        return
    except csv.Error:
        names = [""]
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}. Choose another file with {option}.") from error
    if names and not set(columns) <= set(names):
        raise UserError(
            f"'{path}' is another file: its first line does not name {', '.join(columns)}. "
            f"Move it away, or choose another file with {option}."
        )


def _refuse_unwritable(path: Path, option: str) -> None:
    """Write an empty file where the first folder of a path is that there is, and take it away again."""
    folder = next(above for above in path.absolute().parents if above.is_dir())
    trial = temporary_name(folder / path.name)
    with told(path, option):
        trial.touch()
        trial.unlink()

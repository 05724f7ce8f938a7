"""Files that are written whole or not at all: to a temporary name beside them, then renamed."""

import csv
import json
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmark.core.errors import UserError
from benchmark.core.tables import Schema, headings

_TEMPORARY = re.compile(r"\..+\.(yaml|json|txt|csv|png|safetensors)\.\d+", re.DOTALL)


def temporary_name(path: Path) -> Path:
    """Where a file is written until it is whole: hidden beside it, under a name of this process."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def is_temporary(path: Path) -> bool:
    """Whether a file has a name from :func:`temporary_name`, of any process, and not one that a person would give."""
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


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], schema: Schema) -> None:
    """Write rows as CSV, atomically; numbers keep every digit, so equal runs give equal bytes."""
    write_text(path, schema.text(rows))


def refuse_other(path: Path, columns: Sequence[str], option: str) -> None:
    """Make sure that a table may be written to a path, before the work for it is done.

    Args:
        path: where the table will be.
        columns: what a table of this kind has; one that is there will be replaced or extended.
        option: the command's option that chooses the path, for the error.

    Raises:
        UserError: something else stands there, or it cannot be read.
    """
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

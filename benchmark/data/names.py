"""Names of files and folders as text: one form for letters that can be composed in several ways.

``é`` may be stored as one character or as ``e`` with an accent behind it (archives packed on macOS have the latter).
Both are one name to a person, so every name is composed (Unicode's NFC) before it is compared, sorted, shown or written
to a file. Paths are left as they are, since the disk tells the two apart.
"""

import unicodedata
from pathlib import Path

from benchmark.core import names


def composed(name: str) -> str:
    """A name with its letters composed: Unicode's normal form C."""
    return unicodedata.normalize("NFC", name)


def stem(path: Path) -> str:
    """A file's name without its ending, composed."""
    return composed(path.stem)


def folded(name: str) -> str:
    """A name for comparisons in which capitals do not matter."""
    return composed(composed(name).casefold())


def in_order(path: Path) -> tuple[str, str]:
    """The key by which files are sorted: their names, however these are composed."""
    return composed(path.name), path.name


def is_text(path: Path) -> bool:
    """Whether a path is valid Unicode, so that it can be written into a record."""
    return names.is_text(str(path))

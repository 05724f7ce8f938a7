"""A home for Avalanche where the user has none that can be written, as in a container with a foreign user.

Avalanche reads ``~/.avalanche/config.json`` when it is imported, writes it if it is not there, and fails where it
cannot. It knows no other way to tell it a place. So where that is, its module alone is imported with a home folder that
is made for it and taken away again; nothing of it is used afterwards. Whoever imports a package of this suite has this.

matplotlib reads a ``matplotlibrc`` of the user's when it is imported, and fails where that is no UTF-8. Which file it
is and what to do is told then.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark.core.errors import UserError
from benchmark.core.process.surroundings import changed

MODULE = "avalanche.benchmarks.datasets.dataset_utils"
"""The module of Avalanche that reads and writes its configuration."""

HOMES = ("HOME", "USERPROFILE")


def usable() -> bool:
    """Whether Avalanche's configuration is in the user's home and can be read; it is written if it is missing."""
    folder = Path(os.path.expanduser("~/.avalanche"))  # noqa: PTH111 (as Avalanche finds it)
    file = folder / "config.json"
    if not folder.is_absolute() or os.environ.get("HOME") == "":  # "" would be the root of all folders
        return False
    try:
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as written:
                json.dump({"dataset_location": str(folder / "data")}, written, indent=4)
            Path(written.name).replace(file)  # at once, as another process may be reading
        return isinstance(json.loads(file.read_text()), dict)
    except (OSError, ValueError):
        return False


@contextmanager
def lent() -> Iterator[None]:
    """A home folder for as long as this lasts."""
    with tempfile.TemporaryDirectory() as folder, changed(dict.fromkeys(HOMES, folder)):
        yield


class _Avalanche(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        if usable():
            super().exec_module(module)
            return
        with lent():
            super().exec_module(module)


class _Matplotlib(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        try:
            super().exec_module(module)
        except (UnicodeDecodeError, OSError) as error:
            find = vars(module).get("matplotlib_fname")
            file = find() if find else None  # the one that it has just tried to read
            if file is None or (isinstance(error, OSError) and error.filename != file):
                raise
            problem = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
            raise UserError(
                f"'{Path(file).absolute()}', the settings that matplotlib reads when it is imported, {problem}. "
                "Save it as UTF-8, or take it away; nothing here depends on it."
            ) from error


LOADERS: dict[str, type[importlib.machinery.SourceFileLoader]] = {MODULE: _Avalanche, "matplotlib": _Matplotlib}
"""What is imported with care, and how."""


class _Finder(importlib.abc.MetaPathFinder):
    """Finds these modules as they are found anyway, and has them loaded with care."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        if fullname not in LOADERS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin:
            spec.loader = LOADERS[fullname](fullname, spec.origin)
        return spec


def prepare() -> None:
    """Have Avalanche and matplotlib imported with care from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())

"""A Python file or module that is named by a person (``--plugin``), imported, and known by its content."""

import hashlib
import importlib.util
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from benchmark.core.errors import UserError, told
from benchmark.core.plugins.content import class_lines, content, is_users
from benchmark.core.process.endings import Stopped
from benchmark.core.yaml_files import as_path


@dataclass(frozen=True)
class Plugin:
    """An imported plugin.

    Args:
        module: what was imported.
        imports: what imports it again from anywhere: the absolute path of a file, or the name of a module.
        origin: the file's or module's name, and a hash of its content and of what it imports.
        said: the words it was given by, for errors.
    """

    module: ModuleType
    imports: str
    origin: str
    said: str

    def classes(self, wanted: Callable[[type], bool]) -> list[tuple[str, type]]:
        """The classes that it defines itself, in order, by their names in it; of two names of one class the first.

        Raises:
            UserError: two stand in its source under one name, of which Python keeps the last.
        """
        found = {
            kind: attribute
            for attribute, kind in reversed(vars(self.module).items())
            if isinstance(kind, type) and kind.__module__ == self.module.__name__ and wanted(kind)
        }
        lines = class_lines(Path(getattr(self.module, "__file__", None) or ""))
        for kind in found:
            first, *more = lines.get(kind.__name__, [0])
            if more:
                raise UserError(
                    f"{self.said}: two classes are called {kind.__name__}, in lines {first} and {more[-1]}, and Python "
                    "keeps the last alone. Give each a name of its own."
                )
        return [(attribute, kind) for kind, attribute in reversed(found.items())]


def read(given: str) -> Plugin:
    """Import a Python file (ending in .py) or a module. A file is imported again each time it is given.

    Raises:
        UserError: there is no such file, or it cannot be imported.
    """
    is_file = given.endswith(".py")
    if not is_file and (given.startswith((".", "~")) or {"/", os.sep} & set(given) or given.lower().endswith(".py")):
        raise UserError(
            f"--plugin {given}: that is no module's name, such as my_package.my_module, and the name of a Python file "
            "has to end in .py."
        )
    try:
        path = as_path(given) if is_file else None
        missing = path is not None and not path.is_file()
    except (OSError, ValueError) as error:
        raise UserError(f"--plugin {given}: {error}.") from error
    if missing:
        raise UserError(f"--plugin {given}: there is no such file.")
    try:
        with _staying():
            module = _import_file(path) if path else import_module(given)
        digest = content(module.__name__, path or Path(getattr(module, "__file__", None) or ""))
    except (KeyboardInterrupt, Stopped):
        raise
    except BaseException as error:
        why = failed(error, path)
        first = given.partition(".")[0]
        unknown = isinstance(error, ModuleNotFoundError) and error.name == first
        if unknown and path is None and PathFinder.find_spec(first, [""]):
            why += "\nIt lies in the present folder; begin the command with PYTHONPATH=. so that it is found."
        raise UserError(f"--plugin {given} cannot be imported: {why}") from error
    again, name = (str(path.resolve()), path.name) if path else (given, given)
    return Plugin(module, again, f"{name}#{digest}", f"--plugin {given}")


@contextmanager
def _staying() -> Iterator[None]:
    """The present folder is afterwards what it was before; the command's relative paths are meant from there."""
    try:
        before = Path.cwd()
    except OSError:  # it is gone
        yield
        return
    try:
        yield
    finally:
        os.chdir(before)


class _AsWritten(SourceFileLoader):
    """Compiles a file as it is now; Python takes what it compiled before if only size and time of change are equal."""

    def get_code(self, fullname: str) -> CodeType:
        """See :class:`importlib.abc.InspectLoader`."""
        return self.source_to_code(self.get_data(self.path), self.path)


def failed(error: BaseException, path: Path | None = None) -> str:
    """What a plugin's own code ended with: the error, the line of the user's that it came from, and, of a file that was
    imported, what to do if a module beside it was not found."""
    what = str(error) if isinstance(error, UserError) else told(error)
    theirs = [frame for frame in traceback.extract_tb(error.__traceback__) if is_users(Path(frame.filename))]
    at = f"\nat {theirs[-1].filename}, line {theirs[-1].lineno}" if theirs else ""
    if path is None or not isinstance(error, ImportError):
        return what + at
    beside = (error.name or "").partition(".")[0]
    folder = shlex.quote(str(path.resolve().parent))
    if "relative import" in str(error):
        return (
            f"{what}{at}\nA file given by itself is in no package. Write 'from other import ...' for other.py beside "
            f"it, and begin the command with PYTHONPATH={folder}; or give --plugin package.module."
        )
    if beside and any((path.resolve().parent / name).exists() for name in (f"{beside}.py", beside)):
        return f"{what}{at}\nIt lies beside the file; begin the command with PYTHONPATH={folder}, so that it is found."
    return what + at


def _import_file(path: Path) -> ModuleType:
    """Import a file under a name that no other file has."""
    place = str(path.resolve())
    readable = re.sub(r"\W", "_", path.stem)
    name = f"continual_restoration_plugin_{readable}_{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, place, loader=_AsWritten(name, place))
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

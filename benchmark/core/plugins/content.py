"""Which code a plugin brings along: a digest of its file and of every file of the user's that it imports."""

import ast
import hashlib
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path

_OURS = [Path(__file__).parents[3] / name for name in ("benchmark", "strategies", "baselines", "reports")]
_PACKAGES = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]


def content(module: str, file: Path) -> str:
    """A digest of :func:`sources`.

    Args:
        module: the name under which the plugin was imported.
        file: its source.
    """
    told = hashlib.sha256()
    for name, (_, source) in sorted(sources(module, file).items()):
        called = "" if name == module else name  # a file's name in the process tells where it lies
        told.update(f"{called} {len(source)}\n".encode(errors="surrogateescape") + source)
    return told.hexdigest()[:8]


def sources(module: str, file: Path) -> dict[str, tuple[Path, bytes]]:
    """An imported plugin's source and those of the modules that it imports, directly or through others.

    The standard library, installed packages and the suite itself do not count: these have versions and revisions. What
    lies in the plugin's own package always counts. Imports are read from the source, also those inside of functions;
    nothing is executed.

    Args:
        module: the name under which the plugin was imported.
        file: its source.

    Returns:
        By name of the module, its file and the content of that.
    """
    found: dict[str, tuple[Path, bytes]] = {}
    open_modules = [(module, file)]
    while open_modules:
        name, path = open_modules.pop()
        if name in found:
            continue
        with suppress(OSError):
            source = path.read_bytes()
            found[name] = path, source
            for imported in _imports(name, path, source):
                place = _place(imported)
                own = imported.partition(".")[0] == module.partition(".")[0]
                if place is not None and (own or is_users(place)):
                    open_modules.append((imported, place))
    return found


def _imports(name: str, path: Path, source: bytes) -> Iterator[str]:
    """The full names of what a module imports, of the packages that hold it, and of what may be a module in these."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    yield from _with_parents(package)
    if path.suffix != ".py":
        return
    for node in ast.walk(_parsed(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            with suppress(ImportError):
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                yield from _with_parents(base)
                yield from (f"{base}.{alias.name}" for alias in node.names)


def class_lines(file: Path) -> dict[str, list[int]]:
    """In which lines of a module's source, from 1, a class of a name begins, for those that stand in no other block."""
    lines: dict[str, list[int]] = {}
    with suppress(OSError):
        for node in _parsed(file.read_bytes()).body:
            if isinstance(node, ast.ClassDef):
                lines.setdefault(node.name, []).append(node.lineno)
    return lines


def _parsed(source: bytes) -> ast.Module:
    """The syntax of a source; nothing of one that is none."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _with_parents(name: str) -> list[str]:
    parts = name.split(".") if name else []
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _place(name: str) -> Path | None:
    """The file of a module, imported or not; None if it has none."""
    imported = sys.modules.get(name)
    if imported is not None:
        place = getattr(imported, "__file__", None)
        return Path(place) if place else None
    search = None
    spec = None
    for part in _with_parents(name):
        spec = PathFinder.find_spec(part, search)
        if spec is None:
            return None
        search = spec.submodule_search_locations or []
    return Path(spec.origin) if spec and spec.has_location and spec.origin else None


def is_users(place: Path) -> bool:
    """Whether a file is the user's own: there, and neither the suite's nor part of Python or an installed package."""
    packages = [Path(folder) for folder in (*_PACKAGES, site.getusersitepackages()) if folder]
    resolved = place.resolve()
    return resolved.is_file() and not any(resolved.is_relative_to(folder.resolve()) for folder in (*_OURS, *packages))

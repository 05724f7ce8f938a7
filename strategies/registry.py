"""Where strategies are found by name.

There are three ways in. Built-in strategies stand in a table, :mod:`strategies.built_in`, so that listing them imports
neither torch nor Avalanche. Installed packages announce theirs under the entry-point group
``continual_restoration.strategies``; they are listed without being imported, too. And ``--plugin`` names a Python file
or module, which is imported at once.
"""

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmark.config import SECTIONS
from benchmark.core.errors import UserError, unknown
from benchmark.core.validation import explain
from benchmark.core.yaml_files import as_path
from strategies.built_in import BUILT_IN, Entry
from strategies.origin import content

if TYPE_CHECKING:
    from strategies.base import Strategy

GROUP = "continual_restoration.strategies"
"""The entry-point group in which installed packages announce strategies: name → ``module:Class``."""


_plugins: dict[str, Entry] = {}


def entries() -> dict[str, Entry]:
    """Every available strategy by name; a built-in name cannot be taken by another."""
    return {**_installed(), **_plugins, **BUILT_IN}


def add_plugins(sources: Iterable[str]) -> None:
    """:func:`add_plugin` for each."""
    for source in sources:
        add_plugin(source)


def add_plugin(source: str) -> list[str]:
    """Import a Python file (ending in .py) or module, and make the strategies it defines available.

    The same file or module may be given again.

    Returns:
        The names of its strategies.

    Raises:
        UserError: it cannot be imported, defines no strategy, or one whose name cannot be used or is taken.
    """
    from strategies.base import Strategy

    is_file = source.endswith(".py")
    path = as_path(source) if is_file else Path()
    if is_file and not path.is_file():
        raise UserError(f"--plugin {source}: there is no such file.")
    try:
        module = _import_file(path) if is_file else import_module(source)
    except (Exception, SystemExit) as error:
        raise UserError(f"--plugin {source} cannot be imported: {type(error).__name__}: {error}") from error
    found = {
        kind: attribute
        for attribute, kind in reversed(vars(module).items())  # of two names of one class, the first
        if isinstance(kind, type)
        and issubclass(kind, Strategy)
        and kind.__module__ == module.__name__
        and hasattr(kind, "name")
    }
    if not found:
        raise UserError(f"--plugin {source} defines no strategy: a subclass of strategies.base.Strategy with a name.")
    file = getattr(module, "__file__", None)
    home = str(Path(file).resolve()) if file else source
    origin = f"{path.name if is_file else source}#{content(module.__name__, Path(file or ''))}"
    added: dict[str, Entry] = {}
    for kind, attribute in reversed(found.items()):
        entry = Entry(f"{module.__name__}:{attribute}", _first_line(kind), origin, kind.traits, home)
        _check_name(f"--plugin {source}: class {attribute}", kind.name, entry)
        if kind.name in added:
            other = added[kind.name].target.partition(":")[2]
            raise UserError(
                f"--plugin {source}: the classes {other} and {attribute} are both called '{kind.name}'. "
                "Give each a name of its own."
            )
        added[kind.name] = entry
    _plugins.update(added)
    return list(added)


def load(name: str) -> "type[Strategy]":
    """The class of a strategy.

    Raises:
        UserError: no strategy has this name, several packages announce it, or its package is broken.
    """
    available = entries()
    if name not in available:
        raise unknown("strategy", name, available)
    entry = available[name]
    if entry.rivals:
        raise UserError(
            f"Strategy '{name}' is announced by several packages: {', '.join((entry.origin, *entry.rivals))}. "
            "Uninstall all but one."
        )
    module, _, attribute = entry.target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:
        if not entry.origin:
            raise
        raise UserError(
            f"Strategy '{name}' ({entry.summary}) cannot be imported from {entry.target}: "
            f"{type(error).__name__}: {error}. Mend or uninstall the package; other strategies are not affected."
        ) from error


def revision(strategy: "type[Strategy]") -> int:
    """The revision of a strategy's results: 1, and one more for every change of its class or of one it derives from.

    Raises:
        UserError: a class gives a revision that is no whole number from 1.
    """
    changes = 0
    for kind in strategy.__mro__:
        number = vars(kind).get("revision", 1)
        if not isinstance(number, int) or number < 1:
            raise UserError(f"{kind.__name__}.revision = {number!r}: expected a whole number, 1 or more.")
        changes += number - 1
    return 1 + changes


def settings(strategy: "type[Strategy]", given: dict[str, Any]) -> Any:
    """A strategy's settings from plain values.

    Raises:
        UserError: a setting is unknown or out of range.
    """
    try:
        return strategy.Settings.model_validate(given)
    except ValidationError as error:
        raise UserError(explain(error, strategy.Settings, strategy.name)) from error


def _installed() -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for point in dict.fromkeys(entry_points(group=GROUP)):
        package = point.dist.name if point.dist else "a package"
        entry = Entry(point.value, f"installed by {package}", _origin(point))
        before = found.get(point.name)
        if before is None or before.target == entry.target:
            found[point.name] = before or entry
        else:
            found[point.name] = replace(before, rivals=(*before.rivals, entry.origin))
    return found


def _check_name(what: str, name: Any, entry: Entry) -> None:
    """Refuse a plugin's strategy whose name means something else already, or could not be written in a command."""
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]+", name)):
        raise UserError(f"{what}: the name {name!r} cannot be used. Letters, digits, '_' and '-' are accepted.")
    taken = ""
    if name in BUILT_IN:
        taken = "a built-in strategy"
    elif name in SECTIONS:
        taken = "a group of settings"
    elif name in _plugins:
        other = _plugins[name]
        taken = "" if other.source == entry.source else f"a strategy of the plugin {other.source}"
    elif name in (installed := _installed()) and installed[name].target != entry.target:
        taken = f"a strategy of {installed[name].origin} ({installed[name].target})"
    if taken:
        raise UserError(f"{what}: the name '{name}' is taken by {taken}. Choose another.")


def _origin(point: Any) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _import_file(path: Path) -> Any:
    """Import a file under a name that no other file has."""
    place = str(path.resolve())
    name = f"continual_restoration_plugin_{path.stem}_{hashlib.sha256(place.encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, place)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().partition("\n")[0]


def file_of(name: str) -> Path | None:
    """The file in which a strategy's class stands, if its module has been imported from one."""
    module = sys.modules.get(entries()[name].target.partition(":")[0])
    file = getattr(module, "__file__", None)
    return Path(file) if file else None

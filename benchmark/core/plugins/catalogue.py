"""What can be chosen by name, and the three ways into it.

What is built in stands in a table that names where each class is, so that listing imports none of them. Installed
packages announce theirs under an entry-point group; they are listed without being imported, too. And plugins
(:mod:`benchmark.core.plugins.plugin`) are imported when they are named.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

from benchmark.core.errors import UserError, shortened, told, unknown
from benchmark.core.plugins.plugin import Plugin


@dataclass(frozen=True)
class Entry:
    """Where a class is, and one line about it.

    Args:
        target: the class as ``module:Class``.
        summary: for lists.
        origin: empty for what is built in; else the package and its version, or the file or module and a hash of its
            content and of what it imports.
        imports: of a plugin, what imports it again: the file or module.
        rivals: of what is installed, the packages that announce another of this name.
    """

    target: str
    summary: str
    origin: str = ""
    imports: str = ""
    rivals: tuple[str, ...] = ()


E = TypeVar("E", bound=Entry)

OWN = "One of your own is named with --plugin, by its file or module."
"""What to do where a name is not known."""


class Catalogue(Generic[E]):
    """All that can be chosen of one kind.

    Args:
        kind: what it is, such as ``strategy``, for errors.
        group: the entry-point group in which installed packages announce theirs: name → ``module:Class``.
        built_in: the suite's own by name; no other may take such a name.
        entry: makes an entry of a target and a summary.
        reserved: names that mean something else, and what.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        built_in: Mapping[str, E],
        entry: Callable[..., E],
        reserved: Mapping[str, str] | None = None,
    ) -> None:
        self.kind, self.group, self.built_in, self.entry = kind, group, built_in, entry
        self.reserved = reserved or {}
        self.plugins: dict[str, E] = {}

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self.plugins or name in self.entries()

    def entries(self) -> dict[str, E]:
        """Everything by name; what an installed package calls by a name that means something else is left out."""
        installed = {name: one for name, one in self._installed().items() if name not in self.reserved}
        return {**installed, **self.plugins, **self.built_in}

    def add(self, plugin: Plugin, found: Mapping[str, E]) -> None:
        """Make what a plugin brings available; it may bring again what it brought before.

        Raises:
            UserError: a name cannot be used or is taken; nothing is added then.
        """
        for name, entry in found.items():
            self._check(f"{plugin.said}: class {entry.target.partition(':')[2]}", name, entry)
        self.plugins.update(found)

    def found(
        self,
        plugin: Plugin,
        wanted: Callable[[type], bool],
        name_of: Callable[[Any], Any],
        **more: Callable[[Any], Any],
    ) -> dict[str, E]:
        """The classes of a plugin that belong here, by the name that each gives itself.

        Args:
            plugin: imported.
            wanted: tells whether a class belongs here.
            name_of: gives the name of one.
            more: further fields of an entry, each made from the class.

        Raises:
            UserError: two classes have the same name.
        """
        entries: dict[str, E] = {}
        for attribute, kind in plugin.classes(wanted):
            name = name_of(kind)
            _refuse_unwritable(f"{plugin.said}: class {attribute}", name)
            if there := _alike(name, entries):
                other = entries[there].target.partition(":")[2]
                but = f", but for capitals ('{there}')" if there != name else ""
                raise UserError(
                    f"{plugin.said}: the classes {other} and {attribute} are both called '{name}'{but}. "
                    "Give each a name of its own."
                )
            summary = str(kind.__doc__ or "").strip().partition("\n")[0]
            fields = {field: value(kind) for field, value in more.items()}
            target = f"{plugin.module.__name__}:{attribute}"
            entries[name] = self.entry(target, summary, origin=plugin.origin, imports=plugin.imports, **fields)
        return entries

    def load(self, name: str) -> Any:
        """The class of this name.

        Raises:
            UserError: there is none, several packages announce it, or its package is broken.
        """
        available = self.entries()
        if name not in available:
            raise unknown(self.kind, name, available, OWN)
        entry = available[name]
        if entry.origin and name not in self.plugins:
            _refuse_unwritable(f"{self.kind.capitalize()} of {entry.origin}", name)
        if entry.rivals:
            raise UserError(
                f"{self.kind.capitalize()} '{name}' is announced by several packages: "
                f"{', '.join((entry.origin, *entry.rivals))}. Uninstall all but one."
            )
        module, _, attribute = entry.target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except (Exception, SystemExit) as error:
            if not entry.origin:
                raise
            raise UserError(
                f"{self.kind.capitalize()} '{name}' ({entry.summary}) cannot be imported from {entry.target}: "
                f"{told(error)}. Mend or uninstall the package; others are not affected."
            ) from error

    def file_of(self, name: str) -> Path | None:
        """The file in which a class stands, if its module has been imported from one."""
        module = sys.modules.get(self.entries()[name].target.partition(":")[0])
        file = getattr(module, "__file__", None)
        return Path(file) if file else None

    def _installed(self) -> dict[str, E]:
        found: dict[str, E] = {}
        for name, target, package, version in _announced(self.group, tuple(sys.path)):
            entry = self.entry(target, f"installed by {package or 'a package'}", origin=version or target)
            before = found.get(name)
            if before is None or before.target == entry.target:
                found[name] = before or entry
            else:
                found[name] = replace(before, rivals=(*before.rivals, entry.origin))
        return found

    def _check(self, what: str, name: str, entry: E) -> None:
        """Refuse a name that means something else already, be it in other capitals."""
        taken = ""
        if there := _alike(name, self.built_in):
            taken = f"a built-in {self.kind}"
        elif there := _alike(name, self.reserved):
            taken = self.reserved[there]
        elif there := _alike(name, self.plugins):
            other = self.plugins[there]
            taken = "" if other.imports == entry.imports else f"a {self.kind} of the plugin {other.imports}"
        elif (there := _alike(name, installed := self._installed())) and installed[there].target != entry.target:
            taken = f"a {self.kind} of {installed[there].origin} ({installed[there].target})"
        if taken:
            alike = f", whose name is '{there}'" if there != name else ""
            raise UserError(f"{what}: the name '{name}' is taken by {taken}{alike}. Choose another.")


def _alike(name: str, known: Iterable[str]) -> str:
    """The name among those that are known which is the same but for capitals, if not in all; empty if none is."""
    return next((one for one in known if one.casefold() == name.casefold()), "")


def _refuse_unwritable(what: str, name: Any) -> None:
    """Refuse a name that could not be written in a command, or in a file's name."""
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name)):
        raise UserError(
            f"{what}: the name {shortened(repr(name))} cannot be used. Letters, digits, '_' and '-' are accepted, 60 "
            "at most."
        )


@cache
def _announced(group: str, path: tuple[str, ...]) -> list[tuple[str, str, str, str]]:
    """What installed packages announce in a group: name, ``module:Class``, package, package and version.

    Args:
        group: the entry-point group.
        path: where packages are looked for; they are read once for each.
    """
    from importlib.metadata import entry_points

    found = []
    for one in dict.fromkeys(entry_points(group=group)):
        package, version = (one.dist.name, one.dist.version) if one.dist else ("", "")
        found.append((one.name, one.value, package, f"{package} {version}".strip()))
    return found


def revision(kind: type) -> int:
    """The revision of a class's results: 1, and one more for every change of it or of a class that it derives from.

    Raises:
        UserError: a class gives a revision that is no whole number from 1.
    """
    changes = 0
    for one in kind.__mro__:
        number = vars(one).get("revision", 1)
        if not isinstance(number, int) or number < 1:
            raise UserError(f"{one.__name__}.revision = {number!r}: expected a whole number, 1 or more.")
        changes += number - 1
    return 1 + changes

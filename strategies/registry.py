"""Where strategies are found by name, and plugins, which may bring strategies and backbones, are added.

Built-in strategies stand in a table, :mod:`strategies.built_in`, so that listing them imports neither torch nor
Avalanche. How others come in is told in :mod:`benchmark.core.plugins.catalogue`.
"""

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from benchmark import backbones
from benchmark.config import MEANT, PROSE, SECTIONS, RunConfig
from benchmark.core.errors import UserError, shortened
from benchmark.core.plugins import plugin as plugins
from benchmark.core.plugins.calls import where
from benchmark.core.plugins.catalogue import Catalogue
from benchmark.core.validation import explain
from strategies.built_in import BUILT_IN, Entry
from strategies.traits import Traits

if TYPE_CHECKING:
    from strategies.base import Strategy

GROUP = "continual_restoration.strategies"
"""The entry-point group in which installed packages announce strategies: name → ``module:Class``."""

RESERVED = {
    **dict.fromkeys(SECTIONS, "a group of settings"),
    **dict.fromkeys(PROSE, "a text of configuration files"),
    **dict.fromkeys(("degraded", "clean"), "a picture that reports show beside those of strategies"),
}
"""Names that mean something else where a strategy's stands, and what."""

CATALOGUE = Catalogue("strategy", GROUP, BUILT_IN, Entry, RESERVED)


def entries() -> dict[str, Entry]:
    """Every available strategy by name; a built-in name cannot be taken by another."""
    return CATALOGUE.entries()


def load(name: str) -> "type[Strategy]":
    """The class of a strategy.

    Raises:
        UserError: no strategy has this name, several packages announce it, or its package is broken.
    """
    return _checked(CATALOGUE.load(name))


def add_plugin(source: str) -> list[str]:
    """Import a Python file (ending in .py) or module, and make the strategies and backbones it defines available.

    The same file or module may be given again.

    Returns:
        The names of its strategies, then those of its backbones.

    Raises:
        UserError: it cannot be imported, defines neither, or one whose name cannot be used or is taken.
    """
    from strategies.base import Strategy

    plugin = plugins.read(source)
    try:
        found = CATALOGUE.found(
            plugin,
            lambda kind: issubclass(kind, Strategy) and hasattr(kind, "name"),
            lambda kind: kind.name,
            traits=lambda kind: _checked(kind).traits,
        )
        networks = backbones.found(plugin)
    except UserError as error:
        raise error if str(error).startswith(plugin.said) else UserError(f"{plugin.said}: {error}") from error
    except Exception as error:  # of a class that does what it likes when it is looked at
        raise UserError(f"{plugin.said} cannot be used: {plugins.failed(error)}") from error
    if not (found or networks):
        nameless = [kind.__name__ for _, kind in plugin.classes(lambda kind: issubclass(kind, Strategy))]
        raise UserError(
            f"--plugin {source} defines no strategy, which is a subclass of strategies.base.Strategy with a name, and "
            "no backbone, which is a class under @benchmark.backbones.register(name)."
            + (f" {nameless[0]} is a Strategy and has no name: name = 'my_strategy'." if nameless else "")
        )
    backbones.CATALOGUE.add(plugin, networks)
    CATALOGUE.add(plugin, found)
    for name in found:
        know(name)
    return [*found, *networks]


def know(name: str) -> None:
    """Have the settings of a strategy from outside read by their types from now on; its class is imported.

    Raises:
        UserError: see :func:`load`.
    """
    if entries()[name].origin:
        MEANT[name] = load(name).Settings


def add_plugins(sources: Iterable[str]) -> None:
    """:func:`add_plugin` for each."""
    for source in sources:
        add_plugin(source)


def recall(config: RunConfig) -> None:
    """Make sure that a configuration's strategy and backbone are the code that it was made with.

    In a process that does not know them yet, such as a worker of a pool, their plugins are imported.

    Args:
        config: resolved; says where plugins are and which content they had.

    Raises:
        UserError: a plugin cannot be imported, or is no longer what it was.
    """
    if _strangers(config):
        add_plugins(config.imports)
    for what, recorded, here in _strangers(config):
        raise UserError(
            f"{what} is not the code that this run was planned with: that came from {recorded or 'the suite'}, and "
            f"here it comes from {here or 'the suite'}. Give the command again, for a run with the code as it is now."
        )


def known(config: RunConfig) -> bool:
    """Whether a configuration's strategy and backbone are here as the code that it was made with."""
    return not _strangers(config)


def _strangers(config: RunConfig) -> list[tuple[str, str, str]]:
    """What is not here as a configuration says: which, the origin it had, and the one it has."""
    name, network = config.strategy, config.backbone.name
    known, networks = entries().get(name), backbones.entries().get(network)
    asked = [
        (f"Strategy '{name}'", config.plugin, known.origin if known else "nowhere"),
        (f"Backbone '{network}'", config.backbone_plugin, networks.origin if networks else "nowhere"),
    ]
    return [one for one in asked if one[1] != one[2]]


def _checked(kind: Any) -> Any:
    """A class, once it is known to be a strategy with declarations of the types that they have in the base class.

    Raises:
        UserError: it is not.
    """
    from strategies.base import Settings, Strategy

    if not (isinstance(kind, type) and issubclass(kind, Strategy)):
        raise UserError(f"{kind!r} is no subclass of strategies.base.Strategy.")
    traits, cost = kind.traits, kind.relative_cost
    if not (isinstance(traits, Traits) and all(isinstance(answer, bool) for answer in vars(traits).values())):
        raise UserError(f"{kind.__name__}.traits = {traits!r}: expected strategies.traits.Traits of True and False.")
    if not (isinstance(kind.Settings, type) and issubclass(kind.Settings, Settings)):
        raise UserError(
            f"{kind.__name__}.Settings = {kind.Settings!r}: expected a subclass of strategies.base.Settings."
        )
    if isinstance(getattr(kind, "settings", None), type):
        raise UserError(f"{kind.__name__}.settings is a class. Name it Settings, with a capital: Settings = ...")
    _refuse_defaults(kind)
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 < cost < inf:
        raise UserError(f"{kind.__name__}.relative_cost = {cost!r}: expected a number above 0.")
    return kind


def _refuse_defaults(kind: Any) -> None:
    """Refuse settings whose own defaults they do not accept.

    Raises:
        UserError: there is such a default.
    """
    defaults = {name: field.default for name, field in kind.Settings.model_fields.items() if not field.is_required()}
    given = {name: default for name, default in defaults.items() if default is not PydanticUndefined}
    try:
        kind.Settings.model_validate(given)
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0]) if problem["loc"] else ""
            if name in given and problem["type"] != "extra_forbidden":
                raise UserError(
                    f"{kind.Settings.__name__}.{name}{where(kind.Settings)}: its own default {given[name]!r} is not "
                    f"accepted. {problem['msg'].removeprefix('Value error, ')}."
                ) from error


def settings(strategy: "type[Strategy]", given: dict[str, Any]) -> Any:
    """A strategy's settings from plain values.

    Raises:
        UserError: a setting is unknown, out of range, or nothing that a run's record can hold.
    """
    kind = strategy.Settings
    try:
        checked = kind.model_validate(given)
    except ValidationError as error:
        raise UserError(explain(error, kind, strategy.name)) from error
    for name in kind.model_fields:
        try:
            checked.model_dump(mode="json", include={name})
        except (ValueError, TypeError) as error:
            value = shortened(repr(getattr(checked, name)))
            raise UserError(
                f"{strategy.name}.{name} = {value}{where(kind)}: a run's record cannot hold that. Let the setting be a "
                "number, a text, True or False, None, or a list or dict of these, and make of it what is needed."
            ) from error
    return checked

"""Where strategies are found by name.

There are three ways in. Built-in strategies stand in a table that names where each class is, so that listing them
imports neither torch nor Avalanche. Installed packages announce theirs under the entry-point group
``continual_restoration.strategies``; they are listed without being imported, too. And ``--plugin`` names a Python file
or module, which is imported at once.
"""

import importlib.util
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmark.errors import UserError, unknown
from benchmark.validation import explain
from strategies.origin import content
from strategies.traits import Traits

if TYPE_CHECKING:
    from strategies.base import Strategy

GROUP = "continual_restoration.strategies"
"""The entry-point group in which installed packages announce strategies: name → ``module:Class``."""


@dataclass(frozen=True)
class Entry:
    """Where a strategy is, and one line about it.

    Args:
        target: the class as ``module:Class``.
        summary: for lists.
        origin: empty for built-in strategies; else the package and its version, or the file or module and a hash of its
            content and of what it imports.
        traits: what the class declares; None where it is not known before the class is imported.
    """

    target: str
    summary: str
    origin: str = ""
    traits: Traits | None = None


OWN_PARTS = Traits(needs_task_id=True, grows=True, protects_exactly=True)
"""Traits of what adds a part of its own for every task."""

BUILT_IN = {
    "cmc": Entry(
        "strategies.cmc.strategy:CMC", "kernels from one shared, partly frozen memory (the paper's)", traits=OWN_PARTS
    ),
    "packnet": Entry(
        "strategies.packnet:PackNet",
        "each task keeps the largest free weights and prunes the rest",
        traits=Traits(needs_task_id=True, protects_exactly=True),
    ),
    "mas": Entry("strategies.mas:MAS", "holds weights that earlier tasks' outputs are sensitive to", traits=Traits()),
    "ewc": Entry(
        "strategies.ewc:EWC",
        "holds weights that earlier tasks' losses are sensitive to (Fisher)",
        traits=Traits(grows=True),
    ),
    "si": Entry(
        "strategies.si:SI", "holds weights by what they contributed to earlier tasks' learning", traits=Traits()
    ),
    "lwf": Entry("strategies.lwf:LwF", "distils the old network's outputs on the new task's images", traits=Traits()),
    "replay": Entry(
        "strategies.replay:Replay",
        "mixes stored patches of earlier tasks into every batch",
        traits=Traits(stores_data=True),
    ),
    "agem": Entry(
        "strategies.agem:AGEM",
        "projects gradients that would raise the loss on stored patches",
        traits=Traits(stores_data=True),
    ),
    "together": Entry(
        "baselines.together:Together",
        "one network, all tasks at once, never told the task",
        traits=Traits(stores_data=True),
    ),
    "together_task_id": Entry(
        "baselines.together:TogetherTaskId",
        "all tasks at once, each with its own biases; ours, told the task",
        traits=Traits(stores_data=True, needs_task_id=True),
    ),
    "cumulative": Entry(
        "baselines.cumulative:Cumulative",
        "trains on with all earlier data kept and mixed in",
        traits=Traits(stores_data=True),
    ),
    "independent": Entry(
        "baselines.independent:Independent", "a full network of its own for every task", traits=OWN_PARTS
    ),
    "deform": Entry(
        "baselines.deform:Deform", "a smaller network with deformable convolutions for every task", traits=OWN_PARTS
    ),
    "finetune": Entry(
        "baselines.finetune:Finetune", "plain training on each task in turn, without protection", traits=Traits()
    ),
}
"""The strategies of the suite. Their traits are those that the classes declare; they stand here, too, so that lists and
reports on older runs know them without importing torch."""

_plugins: dict[str, Entry] = {}


def entries() -> dict[str, Entry]:
    """Every available strategy by name; a built-in name cannot be taken by another."""
    installed = {
        point.name: Entry(point.value, f"installed by {point.dist.name if point.dist else 'a package'}", _origin(point))
        for point in entry_points(group=GROUP)
    }
    return {**installed, **_plugins, **BUILT_IN}


def add_plugin(source: str) -> list[str]:
    """Import a Python file (ending in .py) or module, and make the strategies it defines available.

    Returns:
        The names of its strategies.

    Raises:
        UserError: it cannot be imported, defines no strategy, or one that takes a built-in name.
    """
    from strategies.base import Strategy

    path = Path(source)
    is_file = source.endswith(".py")
    if is_file and not path.is_file():
        raise UserError(f"--plugin {source}: there is no such file.")
    module_name = f"continual_restoration_plugin_{path.stem}" if is_file else source
    try:
        module = _import_file(path, module_name) if is_file else import_module(source)
    except (Exception, SystemExit) as error:
        raise UserError(f"--plugin {source} cannot be imported: {type(error).__name__}: {error}") from error
    found = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Strategy) and kind.__module__ == module_name
    ]
    named = {kind.name: kind for kind in found if hasattr(kind, "name")}
    if not named:
        raise UserError(f"--plugin {source} defines no strategy: a subclass of strategies.base.Strategy with a name.")
    for name, kind in named.items():
        if name in BUILT_IN:
            raise UserError(f"--plugin {source}: the name '{name}' is taken by a built-in strategy. Choose another.")
        origin = f"{path.name if is_file else source}#{content(module_name, Path(module.__file__ or ''))}"
        _plugins[name] = Entry(f"{module_name}:{kind.__name__}", _first_line(kind), origin, kind.traits)
    return list(named)


def load(name: str) -> "type[Strategy]":
    """The class of a strategy.

    Raises:
        UserError: no strategy has this name, or its package is broken.
    """
    available = entries()
    if name not in available:
        raise unknown("strategy", name, available)
    entry = available[name]
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


def _origin(point: Any) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _import_file(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
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

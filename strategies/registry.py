"""Where strategies are found by name.

The table names where each built-in strategy is, so that listing them imports neither torch nor Avalanche.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from benchmark.errors import UserError, unknown
from benchmark.validation import explain

if TYPE_CHECKING:
    from strategies.base import Strategy

BUILT_IN = {
    "cmc": ("strategies.cmc.strategy:CMC", "kernels estimated from one shared, partly frozen memory (the paper's)"),
    "finetune": ("baselines.finetune:Finetune", "plain training on each task in turn, without protection"),
}
"""Name → (where the class is, one line about it)."""


def names() -> dict[str, str]:
    """Every available strategy with one line about it."""
    return {name: summary for name, (_, summary) in BUILT_IN.items()}


def load(name: str) -> "type[Strategy]":
    """The class of a strategy.

    Raises:
        UserError: no strategy has this name.
    """
    if name not in BUILT_IN:
        raise unknown("strategy", name, BUILT_IN)
    module, _, attribute = BUILT_IN[name][0].partition(":")
    return getattr(import_module(module), attribute)


def settings(strategy: "type[Strategy]", given: dict[str, Any]) -> Any:
    """A strategy's settings from plain values.

    Raises:
        UserError: a setting is unknown or out of range.
    """
    try:
        return strategy.Settings.model_validate(given)
    except ValidationError as error:
        raise UserError(explain(error, strategy.Settings, strategy.name)) from error

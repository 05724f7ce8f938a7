"""Numbers and names from files as short printable text."""

import math
import unicodedata
from collections.abc import Sequence
from typing import Any

NOTHING = "–"
"""What stands where nothing was measured."""


def fixed(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """A number with a fixed number of decimals and a typographic minus; a dash for nan or None."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    rounded = round(value, digits) + 0.0  # adding zero turns −0.0 into 0.0
    return f"{rounded:{'+' if sign and rounded != 0 else ''}.{digits}f}".replace("-", "−")


def count(value: float | None) -> str:
    """A whole number with thin spaces between the thousands; a dash for nan or None."""
    if value is None or math.isnan(value):
        return NOTHING
    return f"{value:,.0f}".replace(",", "\u202f")


def quantity(value: float, unit: str) -> str:
    """A number with its unit; bytes (B) are given in the largest binary unit that leaves at least one."""
    if unit not in ("B", "bytes"):
        whole = float(value).is_integer() or abs(value) >= 1000
        return f"{count(value) if whole else f'{value:.4g}'} {'' if unit == 'count' else unit}".strip()
    for name in ("B", "KiB", "MiB"):
        if abs(value) < 1024:
            return f"{value:.3g} {name}" if value < 100 else f"{value:.0f} {name}"
        value /= 1024
    return f"{value:.3g} GiB" if value < 100 else f"{count(value)} GiB"


def plain(value: Any, longest: int = 60) -> str:
    """Any value from a file on one line: no control characters, cut where it grows too long."""
    if isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "none"}[value]
    elif isinstance(value, dict):
        text = ", ".join(f"{key}={_nested(item)}" for key, item in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(_nested(item) for item in value)
    else:
        text = str(value)
    text = "".join(" " if unicodedata.category(letter).startswith(("C", "Z")) else letter for letter in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _nested(value: Any) -> str:
    """A value inside another one: what has parts of its own stands in brackets."""
    text = plain(value)
    return f"({text})" if isinstance(value, dict) else f"[{text}]" if isinstance(value, list | tuple) else text


def listed(words: Sequence[str]) -> str:
    """Words as they are listed in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([*([", ".join(words[:-1])] if words[:-1] else []), *words[-1:]])


def brief(words: Sequence[str], what: str, most: int = 6) -> str:
    """Words as :func:`listed` has them; of more than ``most``, how many of ``what`` they are."""
    return listed(words) if len(words) <= most else f"{len(words)} {what}"


def seeds_told(seeds: Sequence[int]) -> str:
    """Seeds in words: ``seed 0``, ``seeds 0, 1 and 2``."""
    return f"seed{'s' if len(seeds) > 1 else ''} {listed([str(seed) for seed in seeds])}"

"""Names for the strategies of a comparison: as short as they can be while telling the configurations apart."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reports.text import plain

_MISSING = object()


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as a flat one with dotted keys; a list stays a value."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return flat


def labels(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One label per configuration, such as ``cmc (sharing=none)``.

    A strategy's own settings are named where they differ between configurations of that strategy; the backbone
    and the training are named where they differ between any two of the configurations.
    """
    everyones = [flatten({"backbone": c.get("backbone") or {}, "training": c.get("training") or {}}) for c in configs]
    own = [flatten({"settings": c.get("settings") or {}}) for c in configs]
    strategies = [plain(c["strategy"]) for c in configs]
    shared = _differing(everyones)
    found = []
    for strategy, general, special in zip(strategies, everyones, own, strict=True):
        kin = [settings for settings, name in zip(own, strategies, strict=True) if name == strategy]
        keys = [*_differing(kin), *shared]
        short = Counter(key.rpartition(".")[2] for key in keys)
        values = {**general, **special}
        parts = []
        for key in keys:
            if key in values:
                last = key.rpartition(".")[2]
                name = "backbone" if key == "backbone.name" else last if short[last] == 1 else key
                parts.append(f"{plain(name)}={plain(values[key], 24)}")
        found.append(f"{strategy} ({', '.join(parts)})" if parts else strategy)
    return _distinct(found)


def _differing(flats: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for flat in flats for key in flat)
    return [key for key in keys if any(flat.get(key, _MISSING) != flats[0].get(key, _MISSING) for flat in flats)]


def _distinct(names: Sequence[str]) -> list[str]:
    """Number the names that are equal all the same, which happens when a setting is absent or cut."""
    total, seen = Counter(names), Counter[str]()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(f"{name} #{seen[name]}" if total[name] > 1 else name)
    return distinct

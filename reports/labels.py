"""Names for the strategies of a comparison: as short as they can be while telling the configurations apart."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from reports.text import plain

_MISSING = object()

USUAL = 0.75
"""Share of the configurations that must have a value before it goes without saying."""


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
    and the training are named where they differ between any two of the configurations. A value that more than USUAL of
    them have goes without saying. Where a strategy's code differs, its revision or its plugin is named like a setting,
    and so is the evaluation.
    """
    everyones = [flatten({"backbone": c.get("backbone") or {}, "training": c.get("training") or {}}) for c in configs]
    own = [flatten({**{key: c.get(key) or {} for key in ("settings", "evaluation")}, **_code(c)}) for c in configs]
    strategies = [plain(c["strategy"]) for c in configs]
    shared = _differing(everyones)
    specials = {
        name: _differing([settings for settings, other in zip(own, strategies, strict=True) if other == name])
        for name in dict.fromkeys(strategies)
    }
    found = []
    for strategy, general, special in zip(strategies, everyones, own, strict=True):
        parts = _parts({**general, **special}, {**specials[strategy], **shared})
        found.append(f"{strategy} ({', '.join(parts)})" if parts else strategy)
    return _distinct(found)


def _parts(values: Mapping[str, Any], usual: Mapping[str, Any]) -> list[str]:
    """What a label has to say: those of a configuration's values that are not the usual ones, by the last part of their
    name where that is enough.
    """
    short = Counter(key.rpartition(".")[2] for key in usual)
    parts = []
    for key, unsaid in usual.items():
        no_plugin = values.get(key) == "" and unsaid is _MISSING  # others are named with theirs
        if key in values and values[key] != unsaid and not no_plugin:
            last = key.rpartition(".")[2]
            name = "backbone" if key == "backbone.name" else last if short[last] == 1 else key
            parts.append(f"{plain(name)}={plain(values[key], 24) or 'none'}")
    return parts


def _code(config: Mapping[str, Any]) -> dict[str, Any]:
    revisions = config.get("revisions")
    number = revisions.get("strategy", 1) if isinstance(revisions, Mapping) else 1
    plugins = {name: config.get(name.replace(" ", "_")) or "" for name in ("plugin", "backbone plugin")}
    return {"revision": number, **plugins}


def _differing(flats: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The keys whose values differ, each with the value that goes without saying, or with _MISSING."""
    found = {}
    for key in dict.fromkeys(key for flat in flats for key in flat):
        values = [flat.get(key, _MISSING) for flat in flats]
        if any(value != values[0] for value in values):
            most = max(values, key=values.count)
            found[key] = most if values.count(most) > USUAL * len(values) else _MISSING
    return found


def _distinct(names: Sequence[str]) -> list[str]:
    """Number the names that are equal all the same, which happens when a setting is absent or cut."""
    total, seen = Counter(names), Counter[str]()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(f"{name} #{seen[name]}" if total[name] > 1 else name)
    return distinct

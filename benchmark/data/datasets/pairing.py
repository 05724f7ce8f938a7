"""Which degraded file belongs to which clean one: by what their names say, never by their place in a list."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from benchmark.data.datasets.tree import Folder
from benchmark.data.opening import quoted

Key = TypeVar("Key", bound=Hashable)


def keyed(paths: Iterable[Path], key: Callable[[Path], Key | None]) -> tuple[dict[Key, Path], list[str]]:
    """Files by the key their names give, and the problem of every name that gives none or one already taken."""
    found: dict[Key, Path] = {}
    problems = []
    for path in paths:
        parsed = key(path)
        if parsed is None:
            problems.append(f"{quoted(path)} does not fit the names around it; rename or remove it.")
        elif parsed in found:
            problems.append(f"{quoted(path)} and {quoted(found[parsed])} have the same number or name; remove one.")
        else:
            found[parsed] = path
    return found, problems


def rivals(*sides: Sequence[Folder]) -> list[str]:
    """The problem of every side of pairs for which several folders stand, so that nothing says which is meant."""
    return [
        f"{' and '.join(quoted(folder.path) for folder in side)} each fit one side of pairs. Keep one under this name, "
        "and rename or move the others."
        for side in sides
        if len(side) > 1
    ]


def paired(
    clean: Iterable[Path], degraded: Iterable[Path], key: Callable[[Path], Key | None]
) -> tuple[dict[Key, tuple[Path, Path]], list[str]]:
    """Pairs (clean, degraded) by key, in the order of the clean side, and the problems of both sides' names.

    A file that is left alone is a problem, too.
    """
    clean_by_key, unfit_clean = keyed(clean, key)
    degraded_by_key, unfit_degraded = keyed(degraded, key)
    pairs = {one: (path, degraded_by_key[one]) for one, path in clean_by_key.items() if one in degraded_by_key}
    alone = [f"{quoted(path)} has no degraded partner." for one, path in clean_by_key.items() if one not in pairs]
    alone += [f"{quoted(path)} has no clean partner." for one, path in degraded_by_key.items() if one not in pairs]
    return pairs, [*unfit_clean, *unfit_degraded, *alone]

"""What the record of a run may hold, whoever wrote it: plain data, not too much of it, of the kinds that it has here.

A run directory may come from a stranger. YAML can say in few lines what would fill any memory, or refer to itself; JSON
can be nested deeper than Python can follow. Both are refused here, so that whoever reads a record may walk through it.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import yaml

from benchmark.core.errors import shortened
from benchmark.core.yaml_files import YamlLoader

SIZE = 2**22
"""Bytes that a record may have."""
LARGEST, DEPTH = 100_000, 50
"""Values that a record may hold with all that it refers to written out, and how deep they may stand in each other."""
MOST_TASKS = 1000
"""Tasks of a run; a report makes tables of every task after every other."""

_NUMBER = int | float
KINDS: dict[str, dict[str, Any]] = {
    "config.yaml": {
        **dict.fromkeys(("strategy", "stream", "preset", "plugin", "backbone_plugin"), str),
        **dict.fromkeys(("order", "tasks", "sources", "imports"), list),
        **dict.fromkeys(("data", "backbone", "training", "evaluation", "settings", "revisions"), dict),
        "seed": int,
    },
    "status.json": {
        **dict.fromkeys(("state", "settings_from", "error", "started", "updated"), str),
        **dict.fromkeys(("tasks", "tasks_done", "backbone_parameters"), _NUMBER),
        **dict.fromkeys(("peak_memory", "traits", "process"), dict),
        "seconds_per_task": list,
    },
}
"""File → what stands in it → its type, for what the suite itself looks into; None is accepted, too, but for GIVEN."""

NEEDED = {"status.json": ("state",)}
"""File → what it is never without."""

GIVEN = {
    "config.yaml": ("order",),
    "status.json": ("state", "tasks_done", "backbone_parameters", "peak_memory", "seconds_per_task"),
}
"""File → what may be missing, if it is not in NEEDED, but is never None."""

COUNTED = {"status.json": ("tasks", "tasks_done")}
"""File → the numbers in it that count tasks."""

_WORDS = {str: "a text", int: "a whole number", _NUMBER: "a number", list: "a list", dict: "a mapping"}


def from_yaml(text: str) -> Any:
    """The content of a YAML file.

    Raises:
        ValueError: it is no plain data, or too much.
        yaml.YAMLError: it is not valid.
    """
    return _plain(_followed(partial(yaml.load, Loader=_Loader), text))


def from_json(text: str) -> Any:
    """The content of a JSON file, which may begin with a mark of its encoding, as some editors put there.

    Raises:
        ValueError: it is not valid, or too much.
    """
    return _plain(_followed(json.loads, text.removeprefix("\ufeff")))


def check(name: str, data: Mapping[str, Any]) -> None:
    """Refuse what is not of the kind that it has in this file of a run directory, and a file that lacks what is needed.

    Raises:
        ValueError: something is not, or is missing.
    """
    for key in NEEDED.get(name, ()):
        if key not in data:
            raise ValueError(f"'{key}' is missing")
    for key, kind in KINDS.get(name, {}).items():
        given = data.get(key)
        wrong = not isinstance(given, kind) or (isinstance(given, bool) and kind in (int, _NUMBER))
        empty = given is None and not (key in data and key in GIVEN.get(name, ()))
        if wrong and not empty:
            raise ValueError(f"'{key}' is not {_WORDS[kind]}")
        if given is not None and key in COUNTED.get(name, ()) and not 0 <= given <= MOST_TASKS:
            raise ValueError(f"'{key}' is {given}; a number from 0 to {MOST_TASKS:,} was expected")
    if name == "status.json":
        _check_measured(data)
    order = data.get("order") if name == "config.yaml" else None
    if order and len(order) > MOST_TASKS:
        raise ValueError(f"it names {len(order):,} tasks; at most {MOST_TASKS:,} are read")


def _check_measured(status: Mapping[str, Any]) -> None:
    """Refuse what was measured of tasks that a run cannot have, and what is no number."""
    most = int(status.get("tasks") or MOST_TASKS)
    peaks, seconds = status.get("peak_memory") or {}, status.get("seconds_per_task") or []
    for after in peaks:
        if re.fullmatch("[1-9][0-9]{0,3}", after) is None or int(after) > most:
            named = shortened(repr(after))
            raise ValueError(f"'peak_memory' names {named}; numbers of tasks from 1 to {most:,} were expected")
    for key, values in {"peak_memory": peaks.values(), "seconds_per_task": seconds}.items():
        for value in values:
            number = isinstance(value, _NUMBER) and not isinstance(value, bool)
            if value is not None and not (number and 0 <= value < math.inf):
                raise ValueError(f"'{key}' holds {shortened(repr(value))}, which is no amount")


class _Loader(YamlLoader):
    """Reads YAML as it is written here: without merged mappings, which old versions of PyYAML multiply without end."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
            raise yaml.constructor.ConstructorError(None, None, "'<<' has no place in a record", node.start_mark)


def _followed(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except RecursionError as error:
        raise ValueError(f"it is nested more than {DEPTH} deep") from error


def _plain(data: Any) -> Any:
    """The data, once it is known to be plain and bounded; the walk ends where it is not."""
    seen = 0
    level = [data]
    for _ in range(DEPTH):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                if not all(isinstance(key, str) for key in one):
                    raise ValueError("a key is no text")
                below += one.values()
            elif isinstance(one, list):
                below += one
            elif one is not None and not isinstance(one, str | int | float):
                raise ValueError(f"it holds a value of the type {type(one).__name__}")
            elif isinstance(one, int) and abs(one) >= 2**63:
                raise ValueError("it holds a number of more than 64 bits")
            if seen + len(below) > LARGEST:
                raise ValueError(f"it holds more than {LARGEST:,} values")
        seen += len(below)
        level = below
        if not level:
            return data
    raise ValueError(f"it is nested more than {DEPTH} deep")

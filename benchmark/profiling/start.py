"""What a command imports before it does anything, package by package, as Python itself tells (``-X importtime``).

What a command imports is read from the functions that it goes through: the import statements inside them, which are
what it puts off until it is called. Each is started in a process of its own.
"""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType

import numpy as np
import torch
from rich.console import Console

from benchmark.core.errors import UserError
from benchmark.core.runs.profile_table import WHOLE, Row
from benchmark.profiling.timing import Parts, compare

NAMED = 8
"""Packages that are told apart; the others are summed."""
OTHERS = "others"

_LINE = re.compile(r"import time:\s*(\d+) \|\s*\d+ \|\s*(\S+)")


def measure(
    commands: Mapping[str, Sequence[Callable[..., object]]], repeats: int = 3, console: Console | None = None
) -> list[Row]:
    """Measure the imports of every command.

    Args:
        commands: by its words, the functions that each goes through, but for those they call in their own modules.
        repeats: how often each is started.
        console: where to show progress.
    """
    subjects = {name: _starter(imports(*functions)) for name, functions in commands.items()}
    rows = compare("start", subjects, repeats, torch.device("cpu"), "imports alone", console, warm_up=0)
    most = Counter[str]()
    for row in rows:
        most[row.part] += row.milliseconds  # type: ignore[assignment]
    kept = {part for part, _ in most.most_common(NAMED + 1)}
    return _gathered(rows, kept | {WHOLE})


def imports(*functions: Callable[..., object]) -> str:
    """The import statements inside functions, as lines; before them what every command imports.

    Those of functions that they call in their own modules count; those under a condition do not.
    """
    found = [line for function in functions for line in _imports(function, set())]
    return "\n".join(dict.fromkeys(["import benchmark.__main__", *found]))


def _imports(function: Callable[..., object], seen: set[object]) -> Iterator[str]:
    seen.add(function)
    module = inspect.getmodule(function)
    for node in _walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield ast.unparse(node)
        elif isinstance(node, ast.Name):
            other = getattr(module, node.id, None)
            if isinstance(other, FunctionType) and other.__module__ == function.__module__ and other not in seen:
                yield from _imports(other, seen)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it in their order, without imports under a condition."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.If) and isinstance(child, ast.Import | ast.ImportFrom)):
            yield from _walk(child)


def self_times(told: str) -> dict[str, float]:
    """Milliseconds by package, without those of what it imports, from what ``-X importtime`` tells."""
    packages: dict[str, float] = Counter()  # type: ignore[assignment]
    for microseconds, module in _LINE.findall(told):
        packages[module.partition(".")[0]] += int(microseconds) / 1000
    return dict(packages)


def _starter(lines: str) -> Callable[[], Parts]:
    def start() -> Parts:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", lines], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise UserError(f"A command cannot be started:\n{done.stderr[-2000:]}")
        packages = self_times(done.stderr)
        return packages | {WHOLE: sum(packages.values())}

    return start


def _gathered(rows: list[Row], kept: set[str]) -> list[Row]:
    """The rows of these parts, and for each subject a row for the sum of the others."""
    found = []
    for subject in dict.fromkeys(row.subject for row in rows):
        own = [row for row in rows if row.subject == subject]
        rest = float(np.sum([row.milliseconds for row in own if row.part not in kept]))
        found += [row for row in own if row.part in kept]
        found.append(Row(**vars(own[0]) | {"part": OTHERS, "milliseconds": rest, "ratio": float("nan")}))
    return found

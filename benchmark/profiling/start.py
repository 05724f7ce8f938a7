"""What a command imports before it does anything, package by package, as Python itself tells (``-X importtime``).

What a command imports is read from its function: the import statements inside it, which are what it puts off until it
is called. Each is started in a process of its own.
"""

import ast
import inspect
import re
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping

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
    commands: Mapping[str, Callable[..., object]], repeats: int = 3, console: Console | None = None
) -> list[Row]:
    """Measure the imports of every command.

    Args:
        commands: by its words, the function of each.
        repeats: how often each is started.
        console: where to show progress.
    """
    subjects = {name: _starter(imports(function)) for name, function in commands.items()}
    rows = compare("start", subjects, repeats, torch.device("cpu"), "imports alone", console, warm_up=0)
    most = Counter[str]()
    for row in rows:
        most[row.part] += row.milliseconds  # type: ignore[assignment]
    kept = {part for part, _ in most.most_common(NAMED + 1)}
    return _gathered(rows, kept | {WHOLE})


def imports(function: Callable[..., object]) -> str:
    """The import statements inside a function, as lines; before them what every command imports."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(["import benchmark.__main__", *found])


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

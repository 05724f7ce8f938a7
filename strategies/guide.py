"""The guide to all strategies, written from what their classes say of themselves."""

import inspect
import re
import sys
from collections.abc import Iterator, Sequence

from benchmark.core.errors import UserError
from benchmark.core.validation import described
from strategies import registry
from strategies.base import Strategy
from strategies.traits import WORDS, answers

LEAD = """# Strategies

What each strategy does, from which paper, by which equation, and in what it differs from the original. This page is
written by `python -m benchmark list strategies --guide` from the code's own words. `python -m benchmark check
--strategy NAME` examines what is declared here, and `tests/strategies/` and `tests/baselines/` hold each equation to an
independent computation.

* **told the task**: at test time the network has to know which task an image belongs to.
* **keeps images**: images of earlier tasks, or parts of them, are stored.
* **grows**: what a checkpoint holds grows with every task.
* **protects exactly**: what a task's images are restored to never changes by a bit again, which every run proves by
  hashes of the outputs and of all tensors that they depend on.
* **cost**: time of an update in updates of the plain network, roughly.
"""


def guide(names: Sequence[str]) -> str:
    """The page, in Markdown.

    Raises:
        UserError: Python was told to drop the docstrings that it is written from.
    """
    if sys.flags.optimize > 1:
        raise UserError("The guide is written from docstrings, and Python drops them with -OO or PYTHONOPTIMIZE=2.")
    columns = ["strategy", *WORDS.values(), "cost"]
    kinds = {name: registry.load(name) for name in names}
    rows = [
        [f"[{name}](#{name})", *answers(kind.traits).values(), f"{kind.relative_cost:g}"]
        for name, kind in kinds.items()
    ]
    sections = (part for name, kind in kinds.items() for part in _section(name, kind))
    return "\n".join([LEAD, *_table(columns, rows), *sections]) + "\n"


def _section(name: str, kind: type[Strategy]) -> Iterator[str]:
    about = inspect.getdoc(sys.modules[kind.__module__]) or ""
    yield f"\n## {name}\n"
    yield _markdown(about)
    yield ""
    yield _markdown(inspect.getdoc(kind) or "")
    settings = [[f"`{name}.{one.name}`", one.default, one.meaning] for one in described(kind.Settings)]
    if settings:
        yield ""
        yield from _table(["setting", "default", "meaning"], settings)


def _markdown(text: str) -> str:
    """A docstring as Markdown; what follows a double colon is indented there and here."""
    plain = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text.replace("``", "`"))
    return re.sub(r"::$", ":", plain, flags=re.MULTILINE)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (columns, ["---"] * len(columns), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"

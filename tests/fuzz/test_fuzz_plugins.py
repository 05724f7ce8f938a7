"""Plugin files as nobody meant them: an error in words, or strategies and backbones; never anything else.

Files that wait without end, end the process at once or harm the machine are left out: a plugin is code, and whoever
names it lets it run.
"""

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fuzzing import disturbed, fuzz
from hypothesis import strategies as st

from benchmark import backbones
from benchmark.engine.setup import prepare
from benchmark.planning import plan, settings_from
from strategies import registry
from strategies.traits import answers

ROOT = Path(__file__).parents[2]
FEW, MANY = 60, 350
EXAMPLES = pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])

HEAD = """
from pydantic import Field
from torch import nn
from benchmark.backbones import register
from strategies.base import Settings, Strategy
from strategies.traits import Traits

class Odd(str):
    def __hash__(self): raise ValueError("no hash")
class Mute(Exception):
    def __str__(self): raise ValueError("no words")
class Wild(BaseException): pass
class Watched(type(Strategy)):
    def __getattr__(cls, name): raise ValueError(name)
"""
STATEMENTS = [
    *("raise ValueError('x')", "raise Mute()", "raise Wild('x')", "raise GeneratorExit", "raise SystemExit", "1 / 0"),
    *(
        "import sys; sys.exit(3)",
        "import nothing_of_this_name",
        "from . import x",
        "import sys; del sys.modules[__name__]",
    ),
    *(
        "import sys; sys.modules[__name__] = 5",
        "__file__ = 5",
        "del __file__",
        "__name__ = 5",
        "__name__ = 'x'",
        "__all__ = 7",
    ),
    *(
        "def f(): f()\nf()",
        "x = " + "(" * 500,
        "x = " + "-" * 50_000 + "1",
        "return 1",
        "# coding: nope",
        "a = b = 'é'",
    ),
    *(
        "x = Strategy(None)",
        "Strategy.name",
        "@register('net')\nclass N: pass",
        "@register(5)\nclass N(nn.Module): pass",
    ),
    *(
        "@register('net')\nclass N(nn.Module): pass",
        "@register('fn')\ndef f(): pass",
        "class W(Strategy, metaclass=Watched): pass",
    ),
    "@register('net')\nclass N(nn.Conv2d):\n    def __init__(s, width, blocks, image_skip): super().__init__(3, 3, 5)",
    "@register('net')\nclass N(nn.Module):\n    def __init__(self, width, blocks, image_skip): raise SystemExit",
]
VALUES = [
    *(
        "5",
        "None",
        "True",
        "''",
        "'a b'",
        "'../x'",
        "'cmc'",
        "'training'",
        "'x' * 500",
        "[]",
        "{}",
        "Odd('q')",
        "'<b>'",
    ),
    *(
        "property(lambda self: 1)",
        "Traits",
        "Traits()",
        "Traits(grows=True)",
        "Traits(grows='maybe')",
        "float('nan')",
        "-1",
    ),
    *("dict", "Settings", "type('Settings', (), {})", "lambda *a, **k: None", "1 / 0", "'mine'", "'mine'", "'mine'"),
    "type('Settings', (Settings,), {'__annotations__': {'x': int}})",
    "type('Settings', (Settings,), {'__annotations__': {'x': int}, 'x': Field(default_factory=lambda: 1 / 0)})",
    "type('Settings', (Settings,), {'__annotations__': {'x': 'nowhere'}, 'x': 1})",
]
ATTRIBUTES = [
    *(
        "name",
        "name",
        "traits",
        "Settings",
        "revision",
        "relative_cost",
        "__doc__",
        "__module__",
        "__init__",
        "adapt",
        "rounds",
    ),
    *("before_lunch", "before_update", "after_training_exp", "__slots__", "__eq__", "state", "seed"),
]


@st.composite
def classes(draw: Any) -> str:
    lines = [f"class {draw(st.sampled_from(['A', 'B']))}(Strategy):", "    name = 'mine'"]
    for _ in range(draw(st.integers(0, 3))):
        lines.append(f"    {draw(st.sampled_from(ATTRIBUTES))} = {draw(st.sampled_from(VALUES))}")
    return "\n".join(lines)


made = st.lists(st.one_of(classes(), classes(), st.sampled_from(STATEMENTS)), min_size=1, max_size=3).map(
    lambda parts: HEAD + "\n".join(parts) + "\n"
)
PIECES = [
    "\0",
    "\t",
    "\n",
    "    ",
    "(",
    ")",
    "'",
    '"""',
    "def ",
    "class ",
    "\\",
    "@",
    "lambda",
    "\r",
    "\x0c",
    "é",
    "\ufeff",
]
shipped = st.sampled_from([(ROOT / f"docs/examples/{name}.py").read_text("utf-8") for name in ("anchor", "unet")])
plugins = st.one_of(made, made, made, disturbed(shipped, PIECES), disturbed(made, PIECES))


@contextmanager
def forgotten() -> Iterator[None]:
    """Nothing of what the plugins brought is left behind, in the suite or among Python's modules."""
    before = set(sys.modules)
    try:
        yield
    finally:
        registry.CATALOGUE.plugins.clear()
        backbones.CATALOGUE.plugins.clear()
        for name in set(sys.modules) - before:
            if name.startswith("continual_restoration_plugin_"):
                del sys.modules[name]


@pytest.mark.filterwarnings("ignore")
@EXAMPLES
def test_fuzz_plugin_files(tmp_path: Path, examples: int) -> None:
    numbers = itertools.count()

    def read(source: str) -> None:
        file = tmp_path / f"plugin{next(numbers)}.py"
        file.write_bytes(source.encode("utf-8", errors="surrogatepass"))
        with forgotten():
            for name in registry.add_plugin(str(file)):
                strategy, network = (name, "resnet") if name in registry.entries() else ("finetune", name)
                assert set(answers(registry.entries()[strategy].traits).values()) <= {"yes", "no"}
                planned = plan(strategy, "four_tasks", "smoke", "0", None, None, None, [f"backbone.name={network}"])[0]
                prepare(planned)
                settings_from(planned)

    fuzz(plugins, read, examples)

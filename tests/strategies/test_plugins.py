"""Strategies from outside the tree: by file, by entry point, and broken ones."""

import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import ROOT, Command
from torch import Tensor

from benchmark import config
from benchmark.conformance import _adds, _find_data, _fingerprint
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import find_runs
from benchmark.engine.local import execute
from benchmark.engine.setup import resolve
from benchmark.engine.template import RestorationTemplate
from benchmark.experiments import matrix
from benchmark.planning import plan
from strategies import registry
from strategies.base import Strategy
from strategies.built_in import BUILT_IN

EXAMPLE = ROOT / "docs" / "examples" / "anchor.py"


def test_every_built_in_strategy_is_where_the_table_says() -> None:
    for name, entry in BUILT_IN.items():
        kind = registry.load(name)
        assert issubclass(kind, Strategy)
        assert kind.name == name
        assert kind.__doc__
        assert entry.summary
        assert entry.traits == kind.traits, "which lists and reports tell without importing the class"
        for field, about in kind.Settings.model_fields.items():
            assert about.description, f"{name}.{field} lacks its help"


def test_the_worked_example_passes_the_check_and_appears_in_a_report(command: Command, tmp_path: Path) -> None:
    checked = command("check", "--strategy", "anchor", "--plugin", str(EXAMPLE))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("  ok ") == 9

    runs, page = tmp_path / "runs", tmp_path / "report"
    words = ["--strategy", "anchor,finetune", "--preset", "smoke", "--order", "derain,denoise"]
    done = command("run", *words, "--plugin", str(EXAMPLE), "--set", "anchor.weight=3", "--out", str(runs))
    assert done.returncode == 0, done.stderr
    anchor = find_runs([runs])[0]
    assert anchor.config["settings"] == {"weight": 3.0}
    assert anchor.config["plugin"].startswith("anchor.py#")
    assert command("report", str(runs), "--out", str(page)).returncode == 0
    assert "anchor" in (page / "index.html").read_text()
    (table,) = (page / "tables").glob("*-comparison.csv")
    compared = pd.read_csv(table).set_index("strategy")
    assert compared.loc["anchor", "told the task"] == "no", "as the run says; the report was not given the plugin"


def test_the_check_finds_what_is_not_true(command: Command, tmp_path: Path) -> None:
    liar = tmp_path / "liar.py"
    liar.write_text(
        "import torch\n"
        "from strategies.base import Settings, Strategy, Traits\n"
        "class Liar(Strategy):\n"
        "    'Declares what is not so.'\n"
        "    name = 'liar'\n"
        "    traits = Traits(needs_task_id=True, grows=True, protects_exactly=True)\n"
        "    def after_training_iteration(self, template, *args, **kwargs):\n"
        "        self.kept = template.mb_y\n"
        "    def before_training_exp(self, template, *args, **kwargs):\n"
        "        torch.manual_seed(__import__('time').time_ns() % 2**31)\n"
        "    def before_training_iteration(self, template, *args, **kwargs):\n"
        "        template.mbatch[0] = template.mb_x + 0.01 * torch.rand(())\n"
    )
    done = command("check", "--strategy", "liar", "--plugin", str(liar))
    assert done.returncode == 1
    failed = [line for line in done.stdout.splitlines() if "FAIL" in line]
    for part in ("same bytes (compared", "keeps no training data", "bit-identical", "task's label", "grows"):
        assert any(part in line for line in failed), part
    assert "training pixels in an array" in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("_no_plugins")
def test_the_check_finds_a_term_that_is_never_set(tmp_path: Path) -> None:
    """As in an importance that is never summed, and a penalty on what is not there."""
    source = plugin(tmp_path / "silent.py", "Silent=silent")
    with Path(source).open("a") as file:
        file.write("    importance = ()\n")
        file.write("    def before_backward(self, trainer):\n")
        file.write("        trainer.loss += sum((p**2).sum() for p in self.importance)\n")
    registry.add_plugin(source)
    tiny = ["training.epochs=1", "training.updates_per_epoch=3", "backbone.blocks=1", "data.dead_leaves=0"]
    found = {}
    for name in ("silent", "mas", "finetune"):
        (config,) = plan(name, "four_tasks", "smoke", "0", "derain,denoise", None, None, tiny)
        config = resolve(config)
        (run,) = execute([config], tmp_path / name)
        kind = registry.load(name)
        found[name] = _adds(config, kind(kind.Settings()), run, tmp_path / "plain")
    assert [finding.holds for finding in found.values()] == [False, True, True]
    assert "it defines before_backward; 0 of " in found["silent"].detail
    assert "is plain training" in found["finetune"].detail


@pytest.mark.parametrize("precision", [torch.float32, torch.float16, torch.uint8, torch.int64])
@pytest.mark.parametrize("side", ["degraded", "clean"])
@pytest.mark.parametrize(
    "hide",
    [
        lambda images: images,
        lambda images: {"a": deque([images])},
        lambda images: partial(print, images),
        lambda images: lambda: images,
        lambda images: images.permute(0, 2, 3, 1).numpy(),
        lambda images: images.flatten(),
        lambda images: images.byte().numpy().tobytes() if images.max() > 1 else images.numpy().copy(order="F"),
    ],
    ids=["itself", "deque", "partial", "closure", "channels last", "flat", "bytes"],
)
def test_the_check_finds_images_wherever_a_strategy_keeps_them(
    hide: Callable[[Tensor], Any], side: str, precision: torch.dtype
) -> None:
    """Of both sides of the pairs, and whatever they are kept as."""
    degraded, clean = torch.randint(256, (2, 3, 3, 24, 24)) / 255
    template = object.__new__(RestorationTemplate)
    kind = registry.load("finetune")
    template.strategy, template.model = kind(kind.Settings()), torch.nn.Conv2d(3, 3, 3)
    rows = {row for image in (*degraded, *clean) for row in _fingerprint(image)}
    assert not _find_data(template, rows)
    kept = degraded if side == "degraded" else clean
    kept = kept if precision.is_floating_point else (kept * 255).round()
    template.strategy.kept = hide(kept.to(precision))  # type: ignore[attr-defined]
    assert _find_data(template, rows).startswith("training pixels in ")


HOOK = "from strategies.base import Strategy\nclass A(Strategy):\n    def "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "there is no such file"),
        ("import nothing_of_this_name\n", "ModuleNotFoundError"),
        ("x = 1\n", "defines no strategy"),
        ("from strategies.base import Strategy\nclass A(Strategy):\n    name = 'cmc'\n", "'cmc' is taken"),
        ("from strategies.base import Strategy\nclass A(Strategy):\n    pass\n", "A is a Strategy and has no name"),
        ("x = 1\ny = x / 0\n", r"ZeroDivisionError: division by zero\nat .*bad\.py, line 2"),
        (f"{HOOK}before_updates(self, trainer): pass\n", r"imported: Unknown hook (.|\n)*\nat .*bad\.py, line 2"),
        (
            "from .other import x\n",
            r"Write 'from other import \.\.\.'.* PYTHONPATH=.*; or give --plugin package\.module",
        ),
        ("import bad_helper\n", r"(?s)line 1\nIt lies beside the file; begin the command with PYTHONPATH="),
    ],
)
def test_a_bad_plugin_file_is_a_clear_error(text: str | None, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    (tmp_path / "bad_helper.py").touch()
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=expected):
        registry.add_plugin(str(file))


@pytest.mark.parametrize("given", ["./own", "~/own", "folder/own", "..", "own.PY"])
def test_what_is_neither_a_file_nor_a_module_is_told(given: str) -> None:
    with pytest.raises(UserError, match=rf"--plugin {re.escape(given)}: that is no module's name.* end in \.py"):
        registry.add_plugin(given)


@pytest.mark.parametrize(
    ("given", "lies"),
    [("own", True), ("folder.own", True), ("other", False), ("x" * 5000, False)],
    ids=["a", "b", "c", "d"],
)
def test_a_module_of_the_present_folder_that_python_does_not_look_for_is_pointed_out(
    given: str, lies: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with the console script, or python -P: the present folder is not among those that are looked through."""
    (tmp_path / "own.py").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    with pytest.raises(UserError, match="cannot be imported: ModuleNotFoundError") as caught:
        registry.add_plugin(given)
    assert ("lies in the present folder" in str(caught.value)) == lies


def plugin(file: Path, *classes: str, base: str = "Strategy") -> str:
    """A plugin file of classes given as ``Class=name``; gives its path."""
    text = "from strategies.base import Strategy\n"
    for one in classes:
        kind, _, name = one.partition("=")
        text += f"\n\nclass {kind}({base}):\n    'Made for a test.'\n"
        text += f"    name = {name!r}\n" if name else ""
        base = kind if name else base
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return str(file)


@pytest.fixture
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})


@pytest.mark.usefixtures("_no_plugins")
def test_two_classes_of_one_name_are_refused_and_both_named(tmp_path: Path) -> None:
    for classes in (["Left=same", "Right=same"], ["Left=inherited", "Right="]):
        with pytest.raises(UserError, match="Left and Right are both called"):
            registry.add_plugin(plugin(tmp_path / f"p{len(classes[1])}.py", *classes))
    assert not registry.CATALOGUE.plugins
    source = plugin(tmp_path / "alias.py", "Left=once")
    Path(source).write_text(Path(source).read_text() + "\n\nOther = Left\n")
    assert registry.add_plugin(source) == ["once"]


@pytest.mark.usefixtures("_no_plugins")
def test_names_that_differ_in_capitals_alone_are_one_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Left and Right are both called 'same', but for capitals \('Same'\)"):
        registry.add_plugin(plugin(tmp_path / "two.py", "Left=Same", "Right=same"))
    registry.add_plugin(plugin(tmp_path / "first.py", "A=Shared"))
    registry.add_plugin(plugin(tmp_path / "first.py", "A=shared"))
    for name, taken in {
        "SHARED": "first.py, whose",
        "CMC": "a built-in strategy, whose",
        "Training": ", whose",
    }.items():
        with pytest.raises(UserError, match=rf"the name '{name}' is taken by .*{taken} name is '\w+'"):
            registry.add_plugin(plugin(tmp_path / "second.py", f"B={name}"))
        assert name not in registry.CATALOGUE.plugins


TYPED = """
from pathlib import Path
from typing import Literal
from strategies.base import Settings, Strategy


class TypedSettings(Settings):
    word: str = "a"
    place: Path = Path("a")
    maybe: str | None = None
    words: list[str] = []
    size: Literal["1", "2"] = "1"
    share: float = 0.5
    several: int | str = 1
    on: bool = False


class Typed(Strategy):
    name = "typed"
    Settings = TypedSettings
"""


@pytest.mark.usefixtures("_no_plugins")
@pytest.mark.parametrize("written", ["1e5", "007", "1_000", "true", "null", "~x", "+3", "[a]", "1.50", "False"])
def test_a_text_among_a_plugins_settings_is_what_was_written(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "MEANT", dict(config.MEANT))
    monkeypatch.setattr(registry, "MEANT", config.MEANT)
    source = tmp_path / "typed.py"
    source.write_text(TYPED)
    registry.add_plugin(str(source))

    def settings(file: Path | None, *given: str) -> Any:
        (planned,) = plan("typed", "four_tasks", "smoke", "0", None, None, file, list(given))
        return registry.settings(registry.load("typed"), planned.settings)

    single = settings(None, f"typed.word={written}", f"typed.place={written}", f"typed.maybe={written}")
    assert (single.word, single.place, single.maybe) == (written, Path(written), written)
    quoted = f"'{written}'" if written == "[a]" else written
    others = settings(None, f"typed.words=[{quoted}, b]", "typed.size=2", "typed.share=1e-1", "typed.several=7")
    assert (others.words, others.size, others.share, others.several) == ([written, "b"], "2", 0.1, 7)
    file = tmp_path / "mine.yaml"
    file.write_text(f"typed:\n  word: {quoted}\n  words: [{quoted}, b]\n  on: true\n")
    read = settings(file)
    assert (read.word, read.words, read.on) == (written, [written, "b"], True)

    matrix_file = tmp_path / "matrix.yaml"
    matrix_file.write_text(
        f"summary: s\nstrategies: [typed]\nset: {{typed.word: {quoted}}}\nvary: {{typed.maybe: [{quoted}]}}\n"
    )
    experiment = matrix.load(matrix_file)
    assert experiment.set == {"typed.word": written}
    assert experiment.vary["typed.maybe"] in ([written], [None] if written == "null" else [written])


@pytest.mark.usefixtures("_no_plugins")
def test_a_class_that_another_one_of_its_name_would_hide_is_refused(tmp_path: Path) -> None:
    backbone = (
        "\n\nfrom torch import nn\nfrom benchmark.backbones import register\n\n\n"
        "@register('{name}')\nclass {kind}(nn.Module):\n"
        "    def __init__(self, width, blocks, image_skip):\n        super().__init__()\n"
    )
    two = backbone.format(name="small", kind="Net") + backbone.format(name="large", kind="Net")
    for more, name in (
        ("\n\nclass Left(Strategy):\n    name = 'second'\n", "Left"),
        (backbone.format(name="left", kind="Left"), "Left"),
        (two, "Net"),
    ):
        source = plugin(tmp_path / "hidden.py", "Left=first")
        Path(source).write_text(Path(source).read_text() + more)
        with pytest.raises(UserError, match=rf"hidden\.py: two classes are called {name}, in lines \d+ and \d+"):
            registry.add_plugin(source)
    helper = "\n\nclass Setup:\n    a = 1\n\n\nclass Setup:\n    a = 2\n"
    source = plugin(tmp_path / "helper.py", "Left=third")
    Path(source).write_text(Path(source).read_text() + helper)
    assert registry.add_plugin(source) == ["third"]


@pytest.mark.usefixtures("_no_plugins")
def test_plugins_that_share_a_name_are_refused_and_both_named(tmp_path: Path) -> None:
    first, second = plugin(tmp_path / "a/here.py", "A=shared"), plugin(tmp_path / "b/there.py", "B=shared")
    registry.add_plugin(first)
    registry.add_plugin(first)
    with pytest.raises(UserError, match=r"there\.py: class B: the name 'shared' is taken by .*here\.py"):
        registry.add_plugin(second)


@pytest.mark.usefixtures("_no_plugins")
def test_a_plugin_that_goes_to_another_folder_takes_the_command_not_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = Path(plugin(Path("goes.py"), "Goes=goes"))
    source.write_text(f"import os\nos.chdir('/')\n{source.read_text()}")
    registry.add_plugin("goes.py")
    first = registry.entries()["goes"]
    assert (Path.cwd(), first.imports) == (tmp_path, str(tmp_path / "goes.py"))
    source.write_text(f"{source.read_text()}\n")
    registry.add_plugin("goes.py")
    assert registry.entries()["goes"].origin != first.origin, "its content was read where it lies"


@pytest.mark.usefixtures("_no_plugins")
def test_plugin_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    registry.add_plugin(plugin(tmp_path / "a/same.py", "Kind=from_a"))
    registry.add_plugin(plugin(tmp_path / "b/same.py", "Kind=from_b"))
    assert [registry.load(name).name for name in ("from_a", "from_b")] == ["from_a", "from_b"]


@pytest.mark.usefixtures("_no_plugins")
@pytest.mark.parametrize(
    "name", ["data", "training", "summary", "origins", "degraded", "clean", "a,b", "a.b", "", "a b", "../x"]
)
def test_a_name_that_means_something_else_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text(f"from strategies.base import Strategy\nclass A(Strategy):\n    'Odd.'\n    name = {name!r}\n")
    with pytest.raises(UserError, match="class A: the name"):
        registry.add_plugin(str(file))


@pytest.mark.usefixtures("_no_plugins")
def test_packages_that_share_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for package in ("one", "two"):
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            f"[{registry.GROUP}]\nboth = {package}:Kind\nonly_{package} = {package}:Kind\n"
        )
    with pytest.raises(UserError, match=r"'both' is announced by several packages: (one 1\.0, two|two 1\.0, one) 1\.0"):
        registry.load("both")
    with pytest.raises(UserError, match=r"'only_one' is taken by a strategy of one 1\.0"):
        registry.add_plugin(plugin(tmp_path / "mine.py", "A=only_one"))


def test_a_package_cannot_take_a_name_that_means_something_else_or_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / "odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\ntraining = odd:Kind\na/b = odd:Kind\n")
    assert "training" not in registry.entries()
    planned = plan("cmc", "four_tasks", "smoke", "0", None, None, None, ["training.epochs=3"])
    assert planned[0].training.epochs == 3
    with pytest.raises(UserError, match=r"Strategy of odd 1\.0: the name 'a/b' cannot be used"):
        plan("a/b", "four_tasks", "smoke", "0", None, None, None, [])


@pytest.mark.usefixtures("_no_plugins")
@pytest.mark.parametrize("stem", ["v1:2", "my net.v2", "2024", "a'b%", "-x", "東京"])
def test_a_plugin_file_may_have_any_name(stem: str, tmp_path: Path) -> None:
    registry.add_plugin(plugin(tmp_path / f"{stem}.py", "A=in_odd_file"))
    assert registry.load("in_odd_file").name == "in_odd_file"


@pytest.mark.slow
def test_an_installed_strategy_is_listed_unimported_and_a_broken_one_harms_no_other(tmp_path: Path) -> None:
    (tmp_path / "good_package.py").write_text(EXAMPLE.read_text())
    (tmp_path / "broken_package.py").write_text("raise RuntimeError('half installed')\n")
    info = tmp_path / "outside-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        f"[{registry.GROUP}]\nanchor = good_package:Anchor\nbroken = broken_package:Broken\ncmc = broken_package:X\n"
    )

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "benchmark", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    listed = run("list", "strategies")
    assert "installed by outside" in listed.stdout
    assert "good_package" not in listed.stderr
    broken = run("run", "--strategy", "broken", "--preset", "smoke", "--out", str(tmp_path / "runs"))
    assert broken.returncode == 2
    assert "half installed" in broken.stderr
    words = ["--preset", "smoke", "--order", "denoise", "--out", str(tmp_path / "runs")]
    assert run("run", "--strategy", "anchor,cmc", *words).returncode == 0
    anchor, cmc = find_runs([tmp_path / "runs"])
    assert anchor.config["plugin"] == "outside 1.2"
    assert cmc.config["plugin"] == "", "an installed package cannot take a built-in name"


BUILT = "    def __init__(self, width, blocks, image_skip): pass"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("    traits = {'grows': True}", "traits = {'grows': True}: expected strategies.traits.Traits"),
        ("    traits = Traits(grows='maybe')", "expected strategies.traits.Traits of True and False"),
        ("    Settings = dict", "expected a subclass of strategies.base.Settings"),
        ("    relative_cost = 'much'", "expected a number above 0"),
        ("    relative_cost = float('nan')", "expected a number above 0"),
        ("    name = []", "the name [] cannot be used"),
        ("    name = 'x' * 300", "60 at most"),
        (
            "class O(type(A)):\n    def __getattr__(c, n): raise ValueError(n)\nclass B(Strategy, metaclass=O): pass",
            "",
        ),
        ("class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute", "its message cannot be read"),
        ("class Wild(BaseException): pass\nraise Wild('x')", "cannot be imported: Wild: x"),
        ("raise GeneratorExit", "cannot be imported: GeneratorExit"),
        ("@register('net')\nclass N: pass", "no subclass of torch.nn.Module"),
        ("@register('net')\nclass N(nn.Module): pass", "does not take width, blocks and image_skip"),
        (f"@register('net')\nclass N(nn.Module):\n{BUILT}", "N.forward is missing"),
        (f"@register('net')\nclass N(nn.Module):\n{BUILT}\n    def forward(self): pass", "N.forward takes (self)"),
        ("@register\nclass N(nn.Module): pass", "@register above N needs a name: @register('my_network')"),
        ("    settings = A if False else dict", "A.settings is a class. Name it Settings"),
        ("    class Settings(Settings):\n        w: float = 'x'", "line 6): its own default 'x' is not accepted"),
        (
            "from pydantic import field_validator\nclass S(Settings):\n    w: float = 1\n    @field_validator('w')\n"
            "    def halved(cls, w): return 1 / 0\nclass B(Strategy):\n    name = 'b'\n    Settings = S",
            "cannot be used: ZeroDivisionError: division by zero\nat {file}, line 10",
        ),
    ],
)
def test_what_a_plugin_cannot_declare_is_told_as_it_is_named(body: str, reason: str, tmp_path: Path) -> None:
    head = (
        "from torch import nn\nfrom benchmark.backbones import register\n"
        "from strategies.base import Settings, Strategy, Traits\n"
    )
    file = tmp_path / "mine.py"
    file.write_text(f"{head}class A(Strategy):\n    name = 'mine'\n{body}\n")
    with pytest.raises(UserError) as caught:
        registry.add_plugin(str(file))
    assert str(caught.value).startswith(f"--plugin {file}")
    assert reason.replace("{file}", str(file)) in str(caught.value)
    assert "mine" not in registry.entries()


@pytest.mark.parametrize("default", ["print", "torch.ones(2)", "b'\\xff'", "object()"])
def test_a_setting_that_no_record_can_hold_is_told_before_anything_runs(default: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import typing\nimport torch\nfrom strategies.base import Settings, Strategy\n\n\nclass Odd(Settings):\n"
        f"    size: int = 3\n    of: typing.Any = {default}\n\n\n"
        "class Mine(Strategy):\n    name = 'unwritable'\n    Settings = Odd\n"
    )
    registry.add_plugin(str(file))
    (planned,) = plan("unwritable", "four_tasks", "smoke", "0", "denoise", None, None, [])
    with pytest.raises(UserError, match=re.escape(f"({file}, line 6): a run's record cannot hold that.")) as told:
        resolve(planned)
    assert str(told.value).startswith("unwritable.of = ")
    assert registry.settings(registry.load("unwritable"), {"of": [1, "a", None]}).of == [1, "a", None]

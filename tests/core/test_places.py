"""Places as people write them: homes, empty values, files where folders are needed, commands that can be pasted."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from made_datasets import div2k_folders

from benchmark.commands import options
from benchmark.config import Data
from benchmark.core import yaml_files
from benchmark.core.errors import UserError
from benchmark.planning import plan
from benchmark.streams import definition
from strategies import registry

TASK = "tasks: [{name: haze, degradation: noise}]\n"
MOSTLY = {"run": ["--strategy", "cmc"], "check": ["--strategy", "cmc"], "list": ["settings"], "reproduce": ["table1"]}
MOSTLY |= {"report": ["x"], "sweep": ["x"], "prepare": ["x"]}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def real(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )


def test_a_path_is_read_as_a_shell_reads_it(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert yaml_files.as_path("~/a b") == home / "a b"
    assert yaml_files.as_path("~") == home
    assert yaml_files.as_path("a/~") == Path("a/~")
    assert yaml_files.as_path("$HOME/x") == Path("$HOME/x")
    assert yaml_files.as_path("~nobody_of_this_name/x") == Path("~nobody_of_this_name/x")
    assert yaml_files.as_path("./~") == tmp_path / "~"
    for empty in ("", " ", "\t"):
        with pytest.raises(ValueError, match="empty"):
            yaml_files.as_path(empty)


def test_every_reader_knows_the_home(home: Path) -> None:
    (home / "s.yaml").write_text(TASK)
    (home / "c.yaml").write_text("data: {root: ~/pictures, cache: ~/cache}\n")
    (home / "p.py").write_text(
        "from strategies.base import Strategy\nclass P(Strategy):\n    'A plugin.'\n    name = 'at_home'\n"
    )
    assert definition.load("~/s.yaml").order == ["haze"]
    assert registry.add_plugin("~/p.py") == ["at_home"]
    assert Data(source="datasets", root="~/x", cache="~").root == str(home / "x")
    data = plan("cmc", "~/s.yaml", "smoke", "0", None, None, home / "c.yaml", [])[0].data
    assert (data.root, data.cache) == (str(home / "pictures"), str(home / "cache"))
    given = plan("cmc", "~/s.yaml", "smoke", "0", None, None, None, ["data.root=~/y"])[0]
    assert given.data.root == str(home / "y")


@pytest.mark.slow
def test_commands_know_the_home(home: Path, tmp_path: Path) -> None:
    (home / "s.yaml").write_text(TASK)
    (home / "e.yaml").write_text("strategies: [finetune]\nstreams: [~/s.yaml]\n")
    done = real("sweep", "~/e.yaml", "--preset", "smoke", "--out=~/runs", "--report=~/page", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (home / "page/index.html").is_file()
    assert not (tmp_path / "~").exists()
    (run,) = (home / "runs").glob("finetune-s-*")
    assert real("show", f"~/runs/{run.name}", cwd=tmp_path).returncode == 0


def test_no_option_takes_an_empty_value() -> None:
    from typer.main import get_command

    from benchmark.commands.app import app

    seen = 0
    waiting = [(name, command) for name, command in get_command(app).commands.items()]
    for name, command in waiting:
        if hasattr(command, "commands"):
            waiting += list(command.commands.items())
            continue
        for parameter in command.params:
            if getattr(parameter, "is_flag", False) or parameter.name in ("help", "kind"):
                continue
            option = parameter.param_type_name == "option"
            for empty in ("", "  "):
                words = [*MOSTLY.get(name, []), parameter.opts[-1], empty] if option else [empty]
                with pytest.raises(UserError) as caught:
                    command.make_context(name, words)
                assert (parameter.opts[-1] if option else parameter.metavar or "ROOT").strip("[].") in str(caught.value)
                seen += 1
    assert seen > 80


@pytest.mark.parametrize("text", ["data.root=", "training.epochs= ", "cmc.t="])
def test_no_setting_takes_an_empty_value(text: str) -> None:
    with pytest.raises(UserError, match=f"--set {text}: the value is empty"):
        plan("cmc", "four_tasks", "smoke", "0", None, None, None, [text])


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["run", "--strategy", "cmc", "--out", "{file}"], "--out"),
        (["reproduce", "table1", "--report", "{file}/page"], "--report"),
        (["sweep", "x.yaml", "--out", "{file}"], "--out"),
        (["tune", "--table", "{folder}"], "--table"),
        (["profile", "layer", "--out", "{folder}"], "--out"),
        (["data", "prepare", "x", "--cache", "{file}"], "--cache"),
        (["report", "x", "--out", "{file}"], "--out"),
    ],
)
def test_a_file_is_no_folder_and_a_folder_no_file(words: list[str], option: str, tmp_path: Path) -> None:
    from typer.main import get_command

    from benchmark.commands.app import app

    (tmp_path / "file").write_text("kept")
    places = {"file": tmp_path / "file", "folder": tmp_path}
    with pytest.raises(UserError, match=f"Cannot write to .* with {option}"):
        get_command(app).main([word.format(**places) for word in words], standalone_mode=False)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("path", ["a b", "it's", "$x", "-n", "~u", "a;b", "[c]"])
def test_a_printed_command_can_be_pasted(path: str) -> None:
    words = shlex.split(yaml_files.command("report", Path(path)))
    assert words[:4] == ["python", "-m", "benchmark", "report"]
    assert yaml_files.as_path(words[4]).absolute() == Path(path).absolute()
    assert not words[4].startswith("-")


def test_the_hint_to_prepare_can_be_pasted(tmp_path: Path) -> None:
    from benchmark.data import cache, datasets

    div2k_folders(tmp_path / "my data")
    dataset = datasets.find(tmp_path / "my data").datasets[0]
    with pytest.raises(UserError) as caught:
        cache.load(dataset, tmp_path / "none")
    assert str(tmp_path / "my data") in shlex.split(str(caught.value).partition("with: ")[2])[-1]


@pytest.mark.slow
@pytest.mark.parametrize("state", ["relative", "no folder", "damaged"])
def test_avalanche_needs_no_home(state: str, tmp_path: Path) -> None:
    home = {"relative": "here", "no folder": os.devnull, "damaged": str(tmp_path / "home")}[state]
    (tmp_path / "home/.avalanche").mkdir(parents=True)
    (tmp_path / "home/.avalanche/config.json").write_text("")
    code = (
        "import os\n"
        "from strategies.base import Strategy\n"
        "from avalanche.benchmarks.datasets import dataset_utils\n"
        "assert dataset_utils.AVALANCHE_CONFIG['dataset_location']\n"
        f"assert os.environ['HOME'] == {home!r}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": home, "MPLCONFIGDIR": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.skipif(os.name == "nt", reason="the folder one is in cannot be taken away there")
def test_a_present_folder_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for made in ("folder", None):
        for written in ("runs", "./~runs"):
            with pytest.raises(UserError, match=f"--out '{written}': the present folder, in which it would be, is"):
                options.place("--out", made=made)(written)
    assert options.place("--out", made="folder")(str(tmp_path / "runs")) == tmp_path / "runs"

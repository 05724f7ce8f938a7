"""Places as people write them: homes, empty values, files where folders are needed, commands that can be pasted."""

import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from conftest import ROOT, Command
from made_datasets import div2k_folders
from made_runs import made_run

from benchmark.commands import options
from benchmark.commands.tune import tune
from benchmark.config import Data
from benchmark.core import own, yaml_files
from benchmark.core.errors import UserError
from benchmark.core.runs import profile_table, writing
from benchmark.core.runs.directory import find_runs, locate
from benchmark.core.shell import joined, steers
from benchmark.data import datasets
from benchmark.engine.executors.places import Processes
from benchmark.engine.job import refuse_foreign
from benchmark.experiments import tuning
from benchmark.planning import plan
from benchmark.streams import definition
from reports.groups import collect
from reports.pictures import kept_images
from strategies import registry

TASK = "tasks: [{name: haze, degradation: noise}]\n"
MOSTLY = {"run": ["--strategy", "cmc"], "check": ["--strategy", "cmc"], "list": ["settings"], "reproduce": ["table1"]}
MOSTLY |= {"report": ["x"], "sweep": ["x"], "prepare": ["x"]}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


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
def test_commands_know_the_home(command: Command, home: Path, tmp_path: Path) -> None:
    (home / "s.yaml").write_text(TASK)
    (home / "e.yaml").write_text("strategies: [finetune]\nstreams: [~/s.yaml]\n")
    done = command("sweep", "~/e.yaml", "--preset", "smoke", "--out=~/runs", "--report=~/page", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (home / "page/index.html").is_file()
    assert not (tmp_path / "~").exists()
    (run,) = (home / "runs").glob("finetune-s-*")
    assert command("show", f"~/runs/{run.name}", cwd=tmp_path).returncode == 0


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


@pytest.mark.skipif(os.name == "nt", reason="no such names, and no such shell there")
@pytest.mark.parametrize(
    "path", ["a\nb", "a\udcff'\\\x1b[31m", "\u202eb\u200e c\u200f", "läufe 東京", "\t\U000e0001", '\\$x\a"`']
)
def test_a_printed_command_can_be_pasted_whatever_a_name_holds(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.core.process import endings

    monkeypatch.chdir(tmp_path)
    for written in (yaml_files.command("report", Path(path)), endings.command(["report", path])):
        assert not any(map(steers, written))
        assert not set(written) & set("\u200e\u200f\u202e")
        told = subprocess.run(["bash", "-c", f"printf '%s\\0' {written}"], capture_output=True, check=True).stdout
        assert told.split(b"\0")[:-1] == [b"python", b"-m", b"benchmark", b"report", os.fsencode(path)]


def test_half_a_character_in_a_command_is_spelled() -> None:
    assert joined(["a\ud800"]) == r"$'a\355\240\200'"


@pytest.mark.parametrize("made", [None, "folder", "file"])
@pytest.mark.parametrize("written", ["a" * 300, "a" * 300 + "/b", "a/" * 3000])
def test_a_name_that_is_too_long_is_told(written: str, made: Any) -> None:
    with pytest.raises(UserError, match=r"--out.*name too long|name too long.*--out"):
        options.place("--out", made=made)(written)
    if made is None:
        with pytest.raises(UserError, match="cannot be read: File name too long"):
            datasets.find(Path(written))


@pytest.fixture
def strangers_place() -> Iterator[Path]:
    """A folder that everybody may look into, seen by a user who owns nothing."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        yield place
        os.setresuid(0, 0, 0)  # of a user who could not become another, nothing changes
        for path, folders, _ in os.walk(place):
            for below in folders:
                Path(path, below).chmod(0o755)


@pytest.mark.skipif(not hasattr(os, "setresuid") or os.geteuid() != 0, reason="only root can become another user")
def test_folders_that_may_not_be_looked_into_are_told(strangers_place: Path) -> None:
    for name in ("closed", "listed"):
        made_run(strangers_place / name / "within")
    made_run(strangers_place / "beside/runs")
    ours = next((strangers_place / "listed/within").iterdir())
    ours.chmod(0o444)
    (strangers_place / "closed").chmod(0)
    os.setresuid(65534, 65534, 0)
    for path in (strangers_place / "closed", strangers_place / "closed/within", ours):
        for made in (None, "folder"):
            with pytest.raises(UserError, match="Permission denied"):
                options.place("--out", made=made)(path)  # type: ignore[arg-type]
        with pytest.raises(UserError, match="cannot be read: Permission denied"):
            datasets.find(path)
    assert not own.is_run(ours)
    assert datasets.find(strangers_place / "listed").problems
    assert [run.path.parent.name for run in find_runs([strangers_place / "beside"])] == ["runs"]
    (run,) = find_runs([strangers_place / "listed"])
    with pytest.raises(UserError, match="Permission denied"):
        run.config  # noqa: B018


@pytest.mark.skipif(not hasattr(os, "setresuid") or os.geteuid() != 0, reason="only root can become another user")
def test_runs_that_may_not_be_looked_into_are_told_and_not_called_lost(strangers_place: Path) -> None:
    listed, closed, unread, pictures = (made_run(strangers_place, seed=seed) for seed in range(4))
    assert len(unread.metrics)  # and Python has all that it loads for that, which the other user may not read
    listed.path.chmod(0o444)
    closed.path.chmod(0)
    (unread.path / "metrics.csv").chmod(0)
    (pictures.path / "images").chmod(0)
    os.setresuid(65534, 65534, 0)
    for run in (listed, closed):
        with pytest.raises(UserError, match="cannot be used: Permission denied"):
            refuse_foreign(run.path)
        for asked in ("status", "finished", "metrics"):
            with pytest.raises(UserError, match=r"cannot be read: Permission denied. Make it readable"):
                getattr(run, asked)
    with pytest.raises(UserError, match=r"metrics.csv' cannot be read: Permission denied. Make it readable"):
        unread.metrics  # noqa: B018
    assert pictures.finished
    assert kept_images([pictures]) == {}
    assert kept_images([pictures, unread]).keys() == {"derain", "denoise", "deblock", "deblur"}


@pytest.mark.skipif(not hasattr(os, "setresuid") or os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_whose_runs_may_not_be_listed_is_told_beside_those_that_may(strangers_place: Path) -> None:
    kept = made_run(strangers_place / "runs")
    made_run(strangers_place / "runs/private")
    collect([strangers_place])  # and Python has all that it loads for that, which the other user may not read
    (strangers_place / "runs/private").chmod(0o700)
    os.setresuid(65534, 65534, 0)
    found = collect([strangers_place])
    assert [result.run.path for group in found.groups for one in group.entries for result in one.results] == [kept.path]
    (left_out,) = found.unreadable
    assert left_out.run.path == strangers_place / "runs/private"
    assert "cannot be read: Permission denied. Make it readable" in left_out.reason
    assert kept.path in locate(strangers_place).values()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_or_device_is_no_file_to_be_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", Path(os.devnull)):
        with pytest.raises(UserError, match=f"Cannot write to '{path}': it is not a file. .* --table"):
            options.place("--table", made="file")(path)


def test_a_link_stays_where_a_file_is_written_through_it(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/table.csv").write_text("")
    (tmp_path / "link.csv").symlink_to("kept/table.csv")
    assert options.place("--out", made="file")(tmp_path / "link.csv") == (tmp_path / "kept/table.csv").resolve()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_is_read_and_one_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="needs a list 'tasks'"):
        definition.load(str(pipe))
    writer = threading.Thread(target=lambda: pipe.write_text(TASK))
    writer.start()
    time.sleep(0.2)  # until it waits for a reader
    assert definition.load(str(pipe)).order == ["haze"]
    writer.join()


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
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": home, "MPLCONFIGDIR": matplotlib.get_configdir()},
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
    with pytest.raises(UserError, match=r"that is gone or cannot be read.*--jobs 1"):
        Processes(1, [None, None])
    with pytest.raises(UserError, match=r"--table 'tuning-smoke-four_tasks.csv': the present folder"):
        tune(None, "smoke", "four_tasks", "0", tmp_path / "runs")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no folder in which not even root can write")
def test_a_table_that_could_not_be_written_is_refused_before_the_work_for_it(tmp_path: Path) -> None:
    for table in (Path("/proc/table.csv"), Path("/proc/self/none/table.csv")):
        with pytest.raises(UserError, match=f"Cannot write '{table}': .* Choose another file with --out"):
            writing.refuse_other(table, ["a"], "--out")
        with pytest.raises(UserError, match=r"Cannot write .* Choose another file with --out"):
            profile_table.write([], table)
        with pytest.raises(UserError, match=r"Cannot write .* Choose another file with --table"):
            tuning.write(table, [])
    writing.refuse_other(tmp_path / "none" / "table.csv", ["a"], "--out")
    assert not list(tmp_path.iterdir())

"""Names, terminals, locales and settings as people have them."""

import os
import subprocess
import sys
from pathlib import Path

import joblib
import pytest
from conftest import ROOT
from made_runs import made_run
from rich.table import Table

import reports
from benchmark.commands.app import main
from benchmark.commands.output import Reporter
from benchmark.core import printing
from benchmark.core.process import surroundings, torchrun
from benchmark.engine import events

PLAINEST = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TEXT = "a [bold]b[/bold] [/c] [link=x] :smile: \\[d]"


def run(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
    )


def test_no_text_is_ever_markup(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    console = printing.Plain()
    console.print(TEXT)
    table = Table(TEXT, title=TEXT)
    table.add_row(TEXT)
    console.print(table)
    with printing.progress(console) as shown:
        shown.add_task(TEXT)
    assert capsys.readouterr().out.count(TEXT) == 5


def test_a_line_is_left_whole_and_control_characters_are_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    printing.Plain().print("/a folder/" * 30 + "\x1b[31m\r\x07\udcff 東京 \u202egnp \u2067x שלום 👩\u200d👧")
    printing.error("b" * 100)
    said = capsys.readouterr()
    shown = "\\x1b[31m\\r\\x07\\udcff 東京 \\u202egnp \\u2067x שלום 👩\u200d👧\n"
    assert said.out == "/a folder/" * 30 + shown
    assert said.err == f"Error: {'b' * 100}\n"


@pytest.mark.parametrize("asked", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_colours_in_a_log_are_no_progress_bars(
    asked: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(asked, "1")
    console = printing.Plain()
    assert console.is_terminal, "it has colours"
    with Reporter(console) as reporter:
        reporter(events.RunFinished("first", 1.0))
    assert capsys.readouterr().out == "first: finished in 1 s\n"


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_terminal_that_tells_of_no_columns_shows_tables(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    table = Table("name", "value")
    table.add_row("rows", "17")
    printing.Plain().print(table)
    shown = capsys.readouterr().out
    assert "rows" in shown
    assert "17" in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "encoding"),
    [
        ({"PYTHONIOENCODING": "cp1252"}, "cp1252"),
        ({"PYTHONIOENCODING": "ascii:strict", "COLUMNS": "20"}, "ascii"),
        ({**PLAINEST, "TERM": "dumb"}, "ascii"),
        ({"PYTHONIOENCODING": "utf-8", "PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error"}, "utf-8"),
    ],
)
def test_any_encoding_of_a_terminal_will_do(env: dict[str, str], encoding: str, tmp_path: Path) -> None:
    made = made_run(tmp_path / "läufe [東京]", strategy="smörgås [/b]")
    done = run(tmp_path, "show", str(made.path), **env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding)
    failed = run(tmp_path, "show", "東京 [/b]", **env)
    assert failed.returncode == 2
    assert "東京 [/b]".encode(encoding, "backslashreplace") in failed.stderr


@pytest.mark.slow
def test_the_users_files_in_the_present_folder_take_the_place_of_no_module(tmp_path: Path) -> None:
    for name in ("random", "signal", "json", "yaml", "torch", "reports", "strategies"):
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} of the user')\n")
    (tmp_path / "own.py").write_text(
        "from strategies.base import Strategy\n\n\nclass Own(Strategy):\n    'Mine.'\n\n    name = 'own'\n"
    )
    words = ["--plugin", "own", "--preset", "smoke", "--order", "denoise", "--jobs", "2"]
    done = run(tmp_path, "run", "--strategy", "own,finetune", *words)
    assert done.returncode == 0, done.stderr.decode()
    assert b"2 runs at once" in done.stdout
    assert run(tmp_path, "report", "runs").returncode == 0


@pytest.mark.slow
def test_the_plainest_locale_finds_and_names_the_same_files(tmp_path: Path) -> None:
    made_run(tmp_path / "läufe", strategy="smörgås")
    done = run(tmp_path, "report", "läufe", "--out", "bericht é", **PLAINEST)
    assert done.returncode == 0, done.stderr
    reports.build([tmp_path / "läufe"], tmp_path / "here")
    written = {
        folder: {str(path.relative_to(tmp_path / folder)): path.read_bytes() for path in files}
        for folder in ("bericht é", "here")
        if (files := [path for path in (tmp_path / folder).rglob("*") if path.is_file()])
    }
    assert written["bericht é"] == written["here"]


@pytest.mark.slow
def test_the_users_settings_of_matplotlib_have_no_say(tmp_path: Path) -> None:
    made_run(tmp_path / "runs")
    made_run(tmp_path / "runs", strategy="finetune", keeps=False)
    made_run(tmp_path / "runs", strategy="independent")
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: True\nfont.size: 31\nfont.family: cursive\nlines.linewidth: 9\naxes.linewidth: 7\n"
        "savefig.dpi: 20\nfigure.dpi: 30\naxes.prop_cycle: cycler('color', ['r'])\nxtick.direction: in\n"
        "svg.fonttype: path\nimage.cmap: hot\nlegend.frameon: True\npatch.linewidth: 8\n"
    )
    done = run(tmp_path, "report", "runs", "--out", "theirs", MPLBACKEND="module://no_such_backend")
    assert done.returncode == 0, done.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = run(elsewhere, "report", "../runs", "--out", "../ours", MPLBACKEND="no such backend")
    assert done.returncode == 0, done.stderr
    figures = sorted((tmp_path / "ours/figures").iterdir())
    assert figures
    for figure in figures:
        assert figure.read_bytes() == (tmp_path / "theirs/figures" / figure.name).read_bytes(), figure.name


@pytest.mark.slow
@pytest.mark.parametrize("place", ["here", "named", "home"])
def test_settings_of_matplotlib_that_cannot_be_decoded_are_told(place: str, tmp_path: Path) -> None:
    made_run(tmp_path / "runs")
    folder = {"here": tmp_path, "named": tmp_path / "named", "home": tmp_path / "home/matplotlib"}[place]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "matplotlibrc").write_bytes("# grün\nfont.size: 12\n".encode("latin-1"))
    env = {"named": {"MATPLOTLIBRC": str(folder)}, "home": {"XDG_CONFIG_HOME": str(folder.parent), "MPLCONFIGDIR": ""}}
    smoke = ["--preset", "smoke", "--order", "denoise"]
    for words in (["report", "runs"], ["run", "--strategy", "finetune", *smoke]):
        done = run(tmp_path, *words, **env.get(place, {}))
        told = done.stderr.decode()
        assert done.returncode == 2, told
        assert "Traceback" not in told
        assert str(folder / "matplotlibrc") in told
        assert "is not UTF-8" in told


@pytest.mark.parametrize("width", ["wide", "0", "-5", "80"])
def test_a_width_of_the_terminal_that_is_none_does_not_count(width: str, tmp_path: Path) -> None:
    done = run(tmp_path, "show", "--nothing", TERMINAL_WIDTH=width)
    assert (done.returncode, b"Traceback" in done.stderr) == (2, False), done.stderr
    assert b"No such option: --nothing" in done.stderr


@pytest.mark.parametrize(("name", "size"), [("COLUMNS", "²"), ("COLUMNS", "0"), ("COLUMNS", "9" * 11), ("LINES", "²")])
def test_a_size_of_the_terminal_that_is_none_leaves_errors_and_help_to_be_read(
    name: str, size: str, tmp_path: Path
) -> None:
    done = run(tmp_path, "show", "--nothing", **{name: size})
    assert (done.returncode, b"Traceback" in done.stderr) == (2, False), done.stderr
    assert b"No such option: --nothing" in done.stderr


@pytest.mark.parametrize("told", ["all", "", "0", "-2", "1.5", "1e9"])
def test_a_number_of_cores_that_is_none_does_not_count(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in surroundings.NUMBERS:
        monkeypatch.setenv(name, "44")  # and back, at the end
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", told)
    surroundings.prepare()
    assert joblib.cpu_count() >= 1
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    surroundings.prepare()
    assert joblib.cpu_count() == 1
    assert os.environ["COLUMNS"] == "44"


@pytest.mark.slow
def test_where_the_physical_cores_cannot_be_told_the_logical_ones_count_without_a_word(tmp_path: Path) -> None:
    code = "from benchmark.core.process import cores; print(cores.usable() >= 1)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": str(tmp_path)},  # which has no lscpu
        capture_output=True,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, b"True", b"")


@pytest.mark.slow
def test_numbers_that_libraries_would_fail_on_do_not_count(tmp_path: Path) -> None:
    made_run(tmp_path / "runs")
    odd = dict.fromkeys((*surroundings.NUMBERS, "TQDM_NCOLS", "TQDM_MININTERVAL"), "many")
    done = run(tmp_path, "report", "runs", **odd)
    assert done.returncode == 0, done.stderr
    done = run(tmp_path, "run", "--strategy", "finetune", "--preset", "smoke", "--order", "denoise", **odd)
    assert done.returncode == 0, done.stderr


TORCHRUN = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": "29400"}


@pytest.mark.parametrize("name", [*TORCHRUN, "MASTER_ADDR"])
@pytest.mark.parametrize("value", ["", "two", "-1", "1.5", "²"])
def test_what_torchrun_is_to_tell_and_is_no_number_is_told(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, told in {**TORCHRUN, "MASTER_ADDR": "localhost", torchrun.STARTED: "none"}.items():
        monkeypatch.setenv(variable, told)
    assert torchrun.processes() == 2
    monkeypatch.setenv(name, "" if name == "MASTER_ADDR" else value)
    monkeypatch.setattr(sys, "argv", ["benchmark", "list", "presets"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"The variable {name} is " in capsys.readouterr().err
    monkeypatch.delenv(torchrun.STARTED)
    assert torchrun.processes() == 1


NO_PLACE = "import tempfile\ntempfile._candidate_tempdir_list = lambda: ['/nowhere/at/all']\n"


@pytest.mark.parametrize(
    "words",
    [("reference", "list"), ("check", "--strategy", "finetune"), ("profile", "data", "--repeats", "1")],
    ids=lambda words: words[0],
)
def test_no_folder_for_temporary_files_is_told(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_PLACE)
    done = run(tmp_path, *words, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert (done.returncode, b"Traceback" in done.stderr, b"TMPDIR" in done.stderr) == (2, False, True), done.stderr


@pytest.mark.parametrize("words", [("--help",), ("data", "--help"), ("report", "--help")], ids=" ".join)
def test_help_without_its_texts_says_why(words: tuple[str, ...], tmp_path: Path) -> None:
    for optimized in (False, True):
        done = run(tmp_path, *words, PYTHONOPTIMIZE="2" if optimized else "")
        assert (done.returncode, b"PYTHONOPTIMIZE=2" in done.stdout) == (0, optimized)


def test_a_guide_without_its_texts_is_not_written(tmp_path: Path) -> None:
    done = run(tmp_path, "list", "strategies", "--guide", PYTHONOPTIMIZE="2")
    assert (done.returncode, done.stdout, b"docstrings" in done.stderr) == (2, b"", True)

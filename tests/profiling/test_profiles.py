"""Where the time goes: parts add up, ratios are those of a turn, and the commands write what a report shows."""

import itertools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Command

from benchmark.commands import listing, profile, reproduce
from benchmark.commands import run as run_command
from benchmark.core import clock
from benchmark.core.errors import UserError
from benchmark.core.runs import profile_table
from benchmark.core.runs.profile_table import WHOLE, Row
from benchmark.experiments import agenda
from benchmark.profiling import inference, start, timing, train
from reports.groups import collect

CPU = torch.device("cpu")
PARTS = {"patches", "forward", "backward", "optimizer", "harness"}


def test_subjects_take_turns_forth_and_back() -> None:
    called: list[str] = []
    clockwork = itertools.count(1.0)

    def timer(name: str) -> Callable[[], float]:
        return lambda: (called.append(name), next(clockwork))[1]

    times = timing.by_turns([timer("a"), timer("b"), timer("c")], 3)
    assert "".join(called) == "abccbaabc"
    np.testing.assert_array_equal(times, [[1, 2, 3], [6, 5, 4], [7, 8, 9]])
    assert timing.ratio(times[:, 2], times[:, 0]) == pytest.approx(9 / 7)


def test_what_no_part_took_is_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 3.0, 10.0])
    monkeypatch.setattr(clock, "now", lambda: next(now))
    monkeypatch.setattr(clock, "since", lambda start: next(now) - start)
    watch = timing.Stopwatch(CPU)
    with watch.part(WHOLE), watch.part("inner"):
        pass
    assert watch.split(2, "rest") == {WHOLE: 5000.0, "inner": 1000.0, "rest": 4000.0}
    assert not watch.parts


def test_medians_and_ratios_leave_the_first_time_out() -> None:
    given = {"one": iter([100.0, 2.0, 4.0, 6.0]), "two": iter([900.0, 4.0, 4.0, 9.0])}
    subjects = {name: lambda name=name: {"half": 1.0, WHOLE: next(given[name])} for name in given}
    rows = timing.compare("train", subjects, 3, CPU, "tiny")
    found = {(row.subject, row.part): row for row in rows}
    assert found["one", WHOLE].milliseconds == 4.0
    assert found["two", WHOLE].milliseconds == 4.0
    assert found["two", WHOLE].ratio == 1.5
    assert np.isnan(found["two", "half"].ratio)


@pytest.fixture(scope="module")
def steps() -> dict[tuple[str, str], Row]:
    return {(row.subject, row.part): row for row in train.measure("smoke", updates=2, repeats=1)}


def test_a_step_is_split_into_its_parts(steps: dict[tuple[str, str], Row]) -> None:
    subjects = list(dict.fromkeys(subject for subject, _ in steps))
    assert subjects[:3] == ["a loop by hand", "Avalanche's Naive", "finetune"]
    assert sum(subject.startswith("cmc") for subject in subjects) == 4
    for subject in subjects:
        parts = {part: row.milliseconds for (of, part), row in steps.items() if of == subject}
        assert set(parts) - {WHOLE, "strategy"} == PARTS
        assert sum(value for part, value in parts.items() if part != WHOLE) == pytest.approx(parts[WHOLE])
        assert all(parts[part] > 0 for part in PARTS - {"harness"})
    assert steps["a loop by hand", WHOLE].ratio == 1.0


@pytest.mark.parametrize("asked", ["bf16", "auto"])
def test_all_compute_in_the_precision_that_is_told(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    """Those that are compared with, too; ``auto`` is settled before."""
    found: list[torch.dtype] = []
    convolve = torch.nn.functional.conv2d

    def watched(*given: object, **more: object) -> torch.Tensor:
        output = convolve(*given, **more)
        found.append(output.dtype)
        return output

    monkeypatch.setattr(torch.nn.functional, "conv2d", watched)
    rows = train.measure("smoke", [f"training.precision={asked}"], updates=1, repeats=1)
    told = rows[0].setting.split(",")[0]
    assert told == "bf16" if asked == "bf16" else told in ("fp32", "bf16")
    assert set(found) == {torch.bfloat16 if told == "bf16" else torch.float32}


def test_a_step_is_timed_as_runs_do_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device and with the algorithms that are asked for; what only runs have is refused."""
    chosen: list[bool] = []
    monkeypatch.setattr("benchmark.engine.setup.choose_algorithms", lambda device, wanted: chosen.append(wanted))
    train.measure("smoke", ["training.deterministic=false"], updates=1, repeats=1)
    assert chosen == [False]
    for where in ("device", "auto"):
        with pytest.raises(UserError, match=rf"patches_on = {where}: profile train draws patches on the CPU"):
            train.measure("smoke", [f"training.patches_on={where}"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"training\.device = cuda, but torch finds no GPU here"):
        train.measure("smoke", ["training.device=cuda"])


def test_an_image_is_restored_in_every_way() -> None:
    rows = inference.measure("smoke", size=8, repeats=1)
    assert [row.subject for row in rows] == [
        "plain network", "CMC-5, folded", "CMC-5", "CMC-20", "CMC-5, task in training"
    ]  # fmt: skip
    assert {row.part for row in rows} == {WHOLE}


def test_imports_are_those_that_a_command_puts_off() -> None:
    lines = start.imports(run_command.run).splitlines()
    assert lines[0] == "import benchmark.__main__"
    assert "from benchmark.engine.executors.execute import execute" in lines
    assert "from strategies.guide import guide as written" not in start.imports(listing.list_)  # only with --guide
    gathered = start.imports(reproduce.reproduce, agenda.gather)
    assert "from benchmark.experiments import agenda, schedule" in gathered  # in a function that it calls
    assert "from benchmark.experiments.cost import measure" in gathered
    told = "import time: self [us] | cumulative | imported package\nimport time:      1500 |       2000 |   torch.nn\n"
    told += "import time:       500 |        500 | torch\nimport time:      2000 |       9000 | numpy\nother words\n"
    assert start.self_times(told) == {"torch": 2.0, "numpy": 2.0}


def test_small_packages_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {f"package{i}": float(i) for i in range(1, 13)}
    monkeypatch.setattr(start, "_starter", lambda lines: lambda: sizes | {WHOLE: 78.0})
    rows = [
        row
        for row in start.measure({"list": [listing.list_], "run": [run_command.run]}, repeats=1)
        if row.subject == "run"
    ]
    named = {row.part: row.milliseconds for row in rows}
    assert len(named) == start.NAMED + 2
    assert named[start.OTHERS] == 1 + 2 + 3 + 4
    assert named[WHOLE] == 78.0 == sum(value for part, value in named.items() if part != WHOLE)


def test_the_file_holds_every_digit_and_damage_is_told(steps: dict[tuple[str, str], Row], tmp_path: Path) -> None:
    path = tmp_path / "train-profile.csv"
    rows = [replace(row, ratio=1 / 3) for row in steps.values()]
    profile_table.write(rows, path)
    assert profile_table.read(path) == rows
    pd.read_csv(path).drop(columns="part").to_csv(path, index=False)
    with pytest.raises(UserError, match=r"part.*profile train --out"):
        profile_table.read(path)


@pytest.mark.parametrize(
    ("out", "there"),
    [
        ("mine.csv", "mine.svg"),
        ("mine.tar.csv", "mine.tar.svg"),
        ("mine.svg", None),
        ("mine.txt", None),
        ("mine", None),
        ("mine.csv", "mine.csv"),
    ],
)
def test_nothing_is_measured_where_somebody_elses_file_would_be_replaced(
    out: str, there: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "measure", lambda *_: pytest.fail("it was measured"))
    if there:
        (tmp_path / there).write_text("<svg>mine</svg>\n")
    with pytest.raises(UserError, match=there or "ends in .csv"):
        profile.profile_start(1, tmp_path / out)
    assert [path.read_text() for path in tmp_path.iterdir()] == (["<svg>mine</svg>\n"] if there else [])


def test_a_profile_replaces_its_own_files(
    steps: dict[tuple[str, str], Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [replace(row, ratio=1 / 3) for row in steps.values()]
    monkeypatch.setattr(start, "measure", lambda *_: rows)
    for _ in range(2):
        profile.profile_start(1, tmp_path / "mine.csv")
    assert profile_table.read(tmp_path / "mine.csv") == rows
    assert ElementTree.parse(tmp_path / "mine.svg").getroot().tag.endswith("svg")
    (tmp_path / "mine.svg").write_text("<svg>by hand</svg>")
    with pytest.raises(UserError, match="another file"):
        profile.profile_start(1, tmp_path / "mine.csv")


@pytest.mark.slow
def test_the_commands_write_what_a_report_shows(command: Command, smoke_runs: Path, tmp_path: Path) -> None:
    words = {
        "train": ["--preset", "smoke", "--updates", "1", "--repeats", "1"],
        "inference": ["--preset", "smoke", "--size", "8", "--repeats", "1"],
        "start": ["--repeats", "1"],
    }
    shutil.copytree(smoke_runs, tmp_path / "runs")
    for kind, more in words.items():
        done = command("profile", kind, *more, "--out", str(tmp_path / f"{kind}-profile.csv"))
        assert done.returncode == 0, done.stderr
        assert (tmp_path / f"{kind}-profile.svg").read_text().count("<svg") == 1
    told = pd.read_csv(tmp_path / "start-profile.csv")
    training = {"run", "tune", "reproduce", "check"}
    assert set(told["subject"][told["part"] == "torch"]) == training
    assert [rows[0].profile for rows in collect([tmp_path]).profiles] == list(words)
    done = command("report", str(tmp_path), "--out", str(tmp_path / "page"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page" / "index.html").read_text()
    for kind in words:
        assert f'id="profile-{kind}"' in page
        assert (tmp_path / "page" / "figures" / f"profile-{kind}.svg").exists()


def test_a_report_needs_no_run_beside_a_profile(steps: dict[tuple[str, str], Row], tmp_path: Path) -> None:
    from reports.report import make

    path = tmp_path / "train-profile.csv"
    profile_table.write(list(steps.values()), path)
    for given in (path, tmp_path):
        made = make([given], tmp_path / "page")
        assert "What a training step costs" in made.index.read_text()

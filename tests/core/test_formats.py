"""Run directories of earlier formats are read; those of later ones are refused with what is needed."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Command
from made_runs import made_run
from rich.console import Console

import reports
from benchmark.commands.output import Reporter
from benchmark.config import SECTIONS, checked
from benchmark.core.errors import UserError
from benchmark.core.runs import formats, schemas, seals
from benchmark.core.runs.directory import Run, find_runs
from benchmark.core.runs.schemas import LEDGER
from benchmark.core.tables import TEXT, Column, Schema
from benchmark.engine.local import execute
from benchmark.engine.setup import resolve
from benchmark.planning import plan
from reports.groups import collect
from reports.results import read

OLD = ROOT / "tests" / "fixtures" / "run-format-1"
"""A run of finetune at smoke on five test images, two of which shared their files; made before formats had a number."""


@pytest.fixture
def old(tmp_path: Path) -> Run:
    """A copy of it, to be written to."""
    shutil.copytree(OLD, tmp_path / "old")
    (run,) = find_runs([tmp_path / "old"])
    return run


def test_an_old_run_is_read_as_it_was(old: Run) -> None:
    assert old.format == 1
    result = read(old)
    assert result.finished
    assert result.psnr.shape == (2, 2)
    assert result.changed == (5, 5)
    assert set(old.outputs["image"]) == {"007", "NA", "Rose (1)", "Tulip 3", "Tulip-3"}
    assert len(old.curves) == 6
    assert old.costs.set_index("quantity")["value"]["stored_parameters"].iloc[-1] == 519


@pytest.mark.slow
def test_pictures_of_an_old_run_are_found_unless_it_is_unclear_whose_they_are(old: Run, tmp_path: Path) -> None:
    for name, spelled in (("007", "007"), ("NA", "NA"), ("Rose (1)", "Rose-1")):
        assert old.image("grain", name, "final") == old.path / "images" / f"grain--{spelled}--final.png"
        assert old.image("grain", name, "final").is_file()
    assert not any(old.image("grain", name, "clean").is_file() for name in ("Tulip 3", "Tulip-3"))
    page = reports.build([tmp_path / "old"], tmp_path / "page").index.read_text(encoding="utf-8")
    strips = [f'class="strip" data-task="grain" data-image="{name}"' for name in sorted(set(old.outputs["image"]))]
    assert [page.count(strip) for strip in strips] == [1, 1, 1, 0, 0]


def test_old_and_new_runs_make_one_report(old: Run, tmp_path: Path) -> None:
    new = tmp_path / "new" / "run"
    shutil.copytree(old.path, new)
    told = json.loads((new / "environment.json").read_text())
    (new / "environment.json").write_text(json.dumps({"format": formats.FORMAT, **told}))
    (new / "config.yaml").write_text((new / "config.yaml").read_text().replace("seed: 0", "seed: 1"))
    collection = collect([tmp_path / "old", tmp_path / "new"])
    assert not collection.unreadable
    assert [len(group.entries[0].results) for group in collection.groups] == [2]


def test_the_commands_work_on_an_old_run(old: Run, command: Command, tmp_path: Path) -> None:
    shown = command("show", str(old.path))
    assert shown.returncode == 0, shown.stderr
    assert "2 of 2 tasks measured" in shown.stdout
    done = command("report", str(old.path), "--out", str(tmp_path / "page"))
    assert done.returncode == 0, done.stderr


def test_what_a_new_run_says_of_its_format(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    assert json.loads((run.path / "environment.json").read_text())["format"] == formats.FORMAT
    assert Run(run.path).format == formats.FORMAT


@pytest.mark.parametrize("given", [formats.FORMAT + 1, 99])
def test_a_newer_run_is_refused_with_what_is_needed(given: int, command: Command, tmp_path: Path) -> None:
    made_run(tmp_path / "runs")
    run = made_run(tmp_path / "runs", seed=1)
    claim(run, given, suite="7.1.0")
    (bad,) = collect([tmp_path / "runs"]).unreadable
    assert f"format {given}" in bad.reason
    assert f"up to {formats.FORMAT}" in bad.reason
    assert "version 7.1.0" in bad.reason
    for part in ("config", "status", "metrics", "outputs"):
        with pytest.raises(UserError, match=f"reads format {given}"):
            getattr(Run(run.path), part)
    shown = command("show", str(run.path))
    assert shown.returncode == 2
    assert "Traceback" not in shown.stderr


def test_a_report_tells_on_the_terminal_what_it_leaves_out(command: Command, tmp_path: Path) -> None:
    made_run(tmp_path / "runs")
    newer = made_run(tmp_path / "runs", seed=1)
    claim(newer, formats.FORMAT + 1)
    told = command("report", str(tmp_path / "runs"), "--out", str(tmp_path / "page"))
    assert told.returncode == 0, told.stderr
    assert f"{newer.name} is left out" in told.stdout
    assert f"reads format {formats.FORMAT + 1}" in told.stdout


def test_a_report_on_nothing_that_can_be_read_is_refused(tmp_path: Path) -> None:
    claim(made_run(tmp_path / "runs"), formats.FORMAT + 1)
    with pytest.raises(UserError, match=f"no run can be read.\n.*reads format {formats.FORMAT + 1}"):
        reports.build([tmp_path / "runs"], tmp_path / "page")
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("given", ["2", 1.5, True, 0, None])
def test_a_format_that_is_no_number_is_told(given: object, tmp_path: Path) -> None:
    run = made_run(tmp_path)
    claim(run, given)
    with pytest.raises(UserError, match="a whole number from 1 to"):
        read(Run(run.path))


def test_a_column_that_came_later_is_filled_for_older_runs(
    old: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A next format with one more column in the ledger and one more entry in the configuration."""

    def ledger(cells: dict[str, list[str]]) -> dict[str, list[str]]:
        return {**cells, "counted_by": ["hand"] * len(cells["value"])}

    upgrades: dict[int, dict[str, Callable]] = {
        **{format: {} for format in formats.UPGRADES},
        1: {"ledger.csv": ledger},
        formats.FORMAT: {"config.yaml": lambda config: {"origin": "unknown", **config}},
    }
    schema = Schema((*LEDGER.columns, Column("counted_by", TEXT, "who counted")), LEDGER.key)
    recent = made_run(tmp_path / "recent")
    monkeypatch.setattr(formats, "FORMAT", formats.FORMAT + 1)
    monkeypatch.setattr(formats, "UPGRADES", upgrades)
    monkeypatch.setitem(schemas.TABLES, "ledger.csv", schema)
    assert set(old.ledger["counted_by"]) == {"hand"}
    assert old.config["origin"] == "unknown"
    assert read(old).finished
    assert recent.config["origin"] == "unknown"
    with pytest.raises(UserError, match="lacks the columns counted_by"):
        _ = recent.ledger


@pytest.mark.slow
def test_an_unfinished_run_of_an_earlier_format_begins_again_and_is_told(tmp_path: Path) -> None:
    whole, _ = smoke(tmp_path)
    kept = {name: (whole.path / name).read_bytes() for name in ("metrics.csv", "outputs.csv", "ledger.csv")}
    seals.open_again(whole.path)
    claim(whole, formats.FORMAT - 1)
    (whole.path / "images" / "derain--IMG-1--clean.png").write_bytes(b"of the earlier rule")
    Run(whole.path).update_status(state="interrupted", tasks_done=1)
    again, said = smoke(tmp_path)
    assert again.path == whole.path
    assert "begins again" in said
    assert "goes on" not in said
    assert {name: (again.path / name).read_bytes() for name in kept} == kept
    assert Run(again.path).format == formats.FORMAT
    assert not (again.path / "images" / "derain--IMG-1--clean.png").exists()


@pytest.mark.slow
def test_a_newer_run_is_never_written_to(tmp_path: Path) -> None:
    run, _ = smoke(tmp_path)
    claim(run, formats.FORMAT + 1)
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    for force in (False, True):
        with pytest.raises(UserError, match="Use a version of the suite that reads format"):
            smoke(tmp_path, force)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def smoke(folder: Path, force: bool = False) -> tuple[Run, str]:
    """A smoke run of finetune on two tasks below the folder, and what was said of it."""
    said = io.StringIO()
    planned = plan("finetune", "four_tasks", "smoke", "0", "derain,deblock", None, None, [])
    with Reporter(Console(file=said, width=200)) as reporter:
        (run,) = execute([resolve(config) for config in planned], folder, reporter, force=force)
    return run, said.getvalue()


def claim(run: Run, given: object, **more: object) -> None:
    """Have a run say that it is of some format, and more."""
    path = run.path / "environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": given, **more}))


DECIDING: dict[str, dict[str, Any]] = {
    "training": {
        **{"epochs": 7, "updates_per_epoch": 7, "batch_size": 3, "patch_size": 40, "learning_rate": 0.5},
        **{"schedule": "cosine", "halve_every": 3, "device": "cpu", "deterministic": False},
        **{"precision": "bf16", "patches_on": "device"},
    },
    "data": {
        **{"source": "datasets", "photographs": "all", "dead_leaves": 3, "validation_size": 64, "test_size": 64},
        **{"tile": 512},
    },
    "backbone": {"name": "rdn", "width": 8, "blocks": 2, "image_skip": True},
    "evaluation": {"identify": True, "mixtures": True, "stability_gap": True},
}
"""Of every setting that a result may depend on a value that it does not have by default."""
IDLE: dict[str, dict[str, Any]] = {
    "training": {"save_seconds": 9},
    "data": {"root": "elsewhere", "fallback": "embedded", "cache": "elsewhere", "workers": 2},
}
"""The same of those on which none does, beside what they lead to."""


def test_the_settings_that_decide_a_result_are_part_of_an_identity_and_no_others_are() -> None:
    def identity(**fields: Any) -> str:
        task = {"name": "one", "degradation": "noise", "test": {"std": 20}}
        parts: dict[str, Any] = {"strategy": "finetune", "stream": "mine", "order": ["one"], "tasks": [task]}
        return checked(**parts | {"training": {}, "data": {}, "backbone": {}} | fields).identity

    for section, kind in SECTIONS.items():
        assert {*DECIDING[section], *IDLE.get(section, {})} == set(kind.model_fields)
    changed = [{section: {name: value}} for section, given in DECIDING.items() for name, value in given.items()]
    changed += [{"seed": 1}, {"strategy": "cmc"}, {"stream": "other"}, {"settings": {"weight": 1}}, {"plugin": "a#1"}]
    assert len({identity(), *(identity(**one) for one in changed)}) == 1 + len(changed)
    same = [{section: {name: value}} for section, given in IDLE.items() for name, value in given.items()]
    same += [{"preset": "smoke"}, {"imports": ["elsewhere.py"]}]
    assert {identity(**one) for one in same} == {identity()}

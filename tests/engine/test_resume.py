"""Runs that are stopped, killed or disturbed at any moment go on, and end as if nothing had happened."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import TINY as TINY_RUN
from tiny_runs import results

from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.process.endings import Stopped
from benchmark.core.runs.directory import Run
from benchmark.core.runs.locks import RunBusy, writing
from benchmark.core.runs.schemas import TABLES
from benchmark.core.runs.wholeness import examine
from benchmark.engine import checkpoints, events, job
from benchmark.engine.setup import resolve
from benchmark.engine.template import RestorationTemplate
from benchmark.planning import _differences, others_begun, plan
from benchmark.reference.comparing import mixed

TINY = [*TINY_RUN, "training.updates_per_epoch=4"]
KILLS = int(os.environ.get("KILLS", "5"))
"""How often each run is killed; with KILLS=20 every strategy is, and not the four alone."""
STRATEGIES = [
    "agem",
    "cmc",
    "cumulative",
    "deform",
    "ewc",
    "finetune",
    "independent",
    "lwf",
    "mas",
    "packnet",
    "replay",
    "si",
    "together",
    "together_task_id",
]

Moment = tuple[str, float]


def tiny(strategy: str, order: str = "denoise,deblur", *more: str) -> RunConfig:
    return resolve(plan(strategy, "four_tasks", "smoke", "0", order, None, None, [*TINY, *more])[0])


def do(folder: Path, runs: dict[str, tuple[RunConfig, Sequence[Moment]]]) -> dict[str, list[dict[str, Any]]]:
    """Do runs, each as often as there are moments, and tell how each attempt ended."""
    told = {name: (config.model_dump(mode="json"), moments) for name, (config, moments) in runs.items()}
    plan_file = folder / "plan.json"
    plan_file.write_text(json.dumps({"folder": str(folder), "runs": told}))
    command = [sys.executable, str(Path(__file__).with_name("killing.py")), str(plan_file)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
    for line in done.stdout.splitlines():
        one = json.loads(line)
        found[one["run"]].append(one)
    return found


@pytest.mark.slow
def test_a_run_of_any_strategy_that_is_stopped_within_a_task_resumes_and_ends_the_same(tmp_path: Path) -> None:
    configs = {strategy: tiny(strategy) for strategy in STRATEGIES}
    runs: dict[str, tuple[RunConfig, Sequence[Moment]]] = {}
    for strategy, config in configs.items():
        runs[f"{strategy}-whole"] = config, [("free", 0)]
        runs[f"{strategy}-cut"] = config, [("update", 3), ("update", 6), ("update", 3), ("free", 0)]
    ends = do(tmp_path, runs)
    for strategy in STRATEGIES:
        assert [one["ended"] for one in ends[f"{strategy}-cut"]] == ["stopped"] * 3 + ["finished"], strategy
        assert results(tmp_path / f"{strategy}-cut" / "run") == results(tmp_path / f"{strategy}-whole" / "run"), (
            strategy
        )


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_moments_resumes_and_ends_the_same(tmp_path: Path) -> None:
    draw = random.Random(5)
    names = STRATEGIES if KILLS >= 20 else ["cmc", "packnet", "replay", "ewc"]
    configs = {strategy: tiny(strategy) for strategy in names}
    whole = do(tmp_path, {f"{name}-whole": (config, [("free", 0)]) for name, config in configs.items()})
    runs: dict[str, tuple[RunConfig, Sequence[Moment]]] = {}
    for name, config in configs.items():
        ticks = whole[f"{name}-whole"][0]["ticks"]
        moments = [("kill", draw.randrange(1, ticks)) for _ in range(KILLS)]
        runs[f"{name}-killed"] = config, [*moments, ("free", 0)]
    ends = do(tmp_path, runs)
    for name in names:
        assert ends[f"{name}-killed"][-1]["ended"] == "finished"
        assert any(one["ended"] == "killed" for one in ends[f"{name}-killed"])
        assert results(tmp_path / f"{name}-killed" / "run") == results(tmp_path / f"{name}-whole" / "run"), name
        assert examine(Run(tmp_path / f"{name}-killed" / "run")).state == "whole"


@pytest.mark.slow
def test_a_fault_of_any_file_operation_is_told_or_harmless(tmp_path: Path) -> None:
    """Every opening, renaming, listing and removing of a file of the run fails once, one after another."""
    config = tiny("cmc", "denoise", "training.epochs=1", "training.updates_per_epoch=2")
    (whole,) = do(tmp_path, {"whole": (config, [("free", 0)])})["whole"]
    runs: dict[str, tuple[RunConfig, Sequence[Moment]]] = {
        f"fault-{tick}": (config, [("fail", tick), ("free", 0)]) for tick in whole["files"]
    }
    ends = do(tmp_path, runs)
    refused = 0
    for name, (disturbed, *again) in ends.items():
        if disturbed["ended"] != "finished":
            assert disturbed["ended"].startswith("refused: "), disturbed
            assert [one["ended"] for one in again] == ["finished"], (name, disturbed, again)
            refused += 1
        assert results(tmp_path / name / "run") == results(tmp_path / "whole" / "run"), (name, disturbed)
    assert refused > len(ends) / 2


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run directory."""
    path = tmp_path_factory.mktemp("finished") / "run"
    job.run(tiny("cmc", "denoise,deblur", "training.epochs=1", "training.updates_per_epoch=2"), path)
    return path


def copied(path: Path, to: Path) -> Path:
    shutil.copytree(path, to / "run")
    return to / "run"


def flip(file: Path, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    file.write_bytes(bytes(content))


@pytest.mark.slow
def test_one_flipped_bit_in_any_file_of_a_finished_run_is_seen(finished: Path, tmp_path: Path) -> None:
    draw = random.Random(3)
    path = copied(finished, tmp_path)
    names = [file.relative_to(path) for file in path.rglob("*") if file.is_file()]
    assert len(names) > 20
    for name in names:
        whole = (path / name).read_bytes()
        for _ in range(5):
            bit = draw.randrange(8 * len(whole))
            flip(path / name, bit)
            assert examine(Run(path)).state == "damaged", (name, bit)
            if name.name in TABLES:
                with pytest.raises(UserError, match=name.name):
                    Run(path).rows(name.name)
            (path / name).write_bytes(whole)
    assert examine(Run(path)).state == "whole"


@pytest.mark.slow
@pytest.mark.parametrize("state", ["running", "failed", "diverged", "interrupted"])
def test_a_finished_run_whose_status_is_set_back_goes_on_from_there(state: str, finished: Path, tmp_path: Path) -> None:
    path = copied(finished, tmp_path)
    tables = {file: file.read_bytes() for file in path.glob("*.csv")}
    status = json.loads((path / "status.json").read_text())
    (path / "status.json").write_text(json.dumps({**status, "state": state, "tasks_done": 1}))
    assert examine(Run(path)).state == "unfinished"
    job.run(Run(path).config, path)
    assert examine(Run(path)).state == "whole"
    assert {file: file.read_bytes() for file in tables} == tables


@pytest.mark.slow
@pytest.mark.parametrize("kept", [1, 2])
def test_a_run_without_its_status_goes_on_from_its_last_checkpoint_and_says_so(
    kept: int, finished: Path, tmp_path: Path
) -> None:
    path = copied(finished, tmp_path)
    tables = {file: file.read_bytes() for file in path.glob("*.csv")}
    (path / "status.json").unlink()
    if kept == 1:
        (path / "checkpoints/task-2.safetensors").unlink()
        (path / "checksums.json").unlink()
    first = (path / "checkpoints/task-1.safetensors").stat().st_mtime_ns
    assert Run(path).tasks_done == kept
    told: list[events.Event] = []
    job.run(Run(path).config, path, told.append)
    (resumed,) = (event for event in told if isinstance(event, events.RunResumed))
    assert (resumed.finished, resumed.lost) == (kept, "its status.json is missing")
    assert (path / "checkpoints/task-1.safetensors").stat().st_mtime_ns == first
    assert examine(Run(path)).state == "whole"
    assert {file: file.read_bytes() for file in tables} == tables
    assert Run(path).status["seconds"] is None, "rather than the time of a part"


@pytest.mark.slow
def test_of_a_run_without_its_status_what_is_kept_nowhere_else_is_refused(finished: Path, tmp_path: Path) -> None:
    path = copied(finished, tmp_path)
    config = Run(path).config
    (path / "status.json").unlink()
    assert "The same command mends it." in examine(Run(path)).details
    flip(next(path.glob("images/*")), 1000)
    assert "The same command mends it." not in examine(Run(path)).details
    with pytest.raises(UserError, match=r"images.*has changed.*--force"):
        job.run(config, path)


@pytest.mark.slow
@pytest.mark.parametrize("force", [False, True])
def test_files_that_others_laid_into_a_run_are_left_when_it_is_done_again(
    force: bool, finished: Path, tmp_path: Path
) -> None:
    path = copied(finished, tmp_path)
    (path / "status.json").unlink()
    names = (".notes", "images/.gitkeep", "checkpoints/.keep.md", ".env.1", "images/mine.png")
    theirs = [path / name for name in names]
    ours = [path / name for name in (".metrics.csv.123", "checkpoints/.task-2.safetensors.77", "images/.a--b.png.5")]
    for file in (*theirs, *ours):
        file.write_text("words")
    job.run(Run(path).config, path, force=force)
    assert all(file.read_text() == "words" for file in theirs)
    assert not any(file.exists() for file in ours)


@pytest.mark.slow
@pytest.mark.parametrize("lose", [lambda file: flip(file, 1000), Path.unlink], ids=["flipped", "gone"])
@pytest.mark.parametrize(
    "name", ["metrics.csv", "curves.csv", "checkpoints/task-1.safetensors", "checkpoints/task-2.safetensors"]
)
def test_the_same_command_mends_a_finished_run(
    name: str, lose: Callable[[Path], None], finished: Path, tmp_path: Path
) -> None:
    path = copied(finished, tmp_path)
    before = {file: file.read_bytes() for file in path.rglob("*.csv")} | {path / name: (path / name).read_bytes()}
    lose(path / name)
    told: list[events.Event] = []
    job.run(Run(path).config, path, told.append)
    assert any(isinstance(event, events.RunDamaged) and name in event.files for event in told)
    assert {file: file.read_bytes() for file in before} == before
    assert examine(Run(path)).state == "whole"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["metrics.csv", "checkpoints/task-2.safetensors"])
@pytest.mark.parametrize("laid", [Path.mkdir, lambda path: path.symlink_to(__file__)], ids=["folder", "link"])
def test_what_is_advised_where_a_file_cannot_be_read_mends_the_run(
    name: str, laid: Callable[[Path], None], finished: Path, tmp_path: Path
) -> None:
    path = copied(finished, tmp_path)
    whole = (path / name).read_bytes()
    (path / name).unlink()
    laid(path / name)
    assert examine(Run(path)).details[-1].startswith(f"Make {name} readable, or take away what is there; the same")
    shutil.move(path / name, tmp_path / "taken away")
    job.run(Run(path).config, path)
    assert (examine(Run(path)).state, (path / name).read_bytes()) == ("whole", whole)


@pytest.mark.slow
def test_what_is_kept_nowhere_else_is_refused_and_named(finished: Path, tmp_path: Path) -> None:
    path = copied(finished, tmp_path)
    config = Run(path).config
    flip(next(path.glob("images/*")), 1000)
    with pytest.raises(UserError, match=r"images.*has changed.*--force"):
        job.run(config, path)


@pytest.mark.slow
def test_a_run_whose_seal_is_damaged_is_repeated_with_force_as_it_is_advised(finished: Path, tmp_path: Path) -> None:
    path = copied(finished, tmp_path)
    config = Run(path).config
    (path / "checksums.json").write_bytes(b"\xff{{")
    assert examine(Run(path)).details[0].endswith("Restore it, or repeat the run with --force.")
    with pytest.raises(UserError, match=r"checksums\.json' cannot be read.*--force"):
        job.run(config, path)
    job.run(config, path, force=True)
    assert examine(Run(path)).state == "whole"


@pytest.mark.slow
def test_a_run_goes_back_over_damaged_checkpoints_to_the_last_good_one(finished: Path, tmp_path: Path) -> None:
    config = tiny("cmc")
    job.run(config, tmp_path / "whole")
    folder = tmp_path / "cut"
    folder.mkdir()
    do(folder, {"cut": (config, [("update", 14)])})
    path = folder / "cut" / "run"
    later, earlier = [file for _, _, file in Run(path).checkpoints_within()]
    for damaged, goes_on in [([], (1, 6)), ([later], (1, 4)), ([later, earlier], (1, 0))]:
        again = copied(path, tmp_path / str(len(damaged)))
        for file in damaged:
            flip(again / file.relative_to(path), 4000)
        found = checkpoints.find(Run(again))
        assert (found.after, found.within.note["updates"] if found.within else 0) == goes_on
        assert {file.name for file in found.damaged} == {file.name for file in damaged}
        job.run(config, again)
        for table in TABLES:
            assert (again / table).read_bytes() == (tmp_path / "whole" / table).read_bytes()


@pytest.mark.slow
def test_what_was_measured_before_a_run_was_stopped_is_not_measured_again_when_it_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped whenever one of two test sets is measured after one of two tasks; then nothing is left to stop."""
    config = tiny("cmc")
    monkeypatch.setattr(
        RestorationTemplate, "save_is_due", lambda template: template.clock.train_exp_epochs == template.train_epochs
    )
    job.run(config, tmp_path / "whole" / "run")
    save = checkpoints.save_measured

    def stop(*place: Any) -> None:
        save(*place)
        raise Stopped("SIGTERM")

    monkeypatch.setattr(checkpoints, "save_measured", stop)
    for done in (0, 0, 1, 1):
        with pytest.raises(Stopped):
            job.run(config, tmp_path / "cut" / "run")
        assert Run(tmp_path / "cut" / "run").status["tasks_done"] == done
        assert set(Run(tmp_path / "cut" / "run").outputs["after"]) <= {done}, "no table has half of a measurement"
    job.run(config, tmp_path / "cut" / "run")
    assert results(tmp_path / "cut" / "run") == results(tmp_path / "whole" / "run")


@pytest.mark.slow
def test_a_run_that_goes_on_with_another_machine_tells_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, path, told = tiny("finetune"), tmp_path / "run", []

    def stop(event: events.Event) -> None:
        if isinstance(event, events.Updated) and event.update > config.training.updates + 2:
            raise Stopped("SIGTERM")

    def listen(event: events.Event) -> None:
        if isinstance(event, events.RunResumed):
            told.append(event.differs)

    with pytest.raises(Stopped):
        job.run(config, path, stop)
    with pytest.raises(Stopped):
        job.run(config, path, stop)
    assert "earlier" not in Run(path).environment, "the same machine went on"
    there = job.environment
    monkeypatch.setattr(job, "environment", lambda *given: {**there(*given), "processor": "another one"})
    before = Run(path).environment
    assert job.run(config, path, listen).finished
    found = Run(path).environment
    (earlier,) = found["earlier"]
    assert (earlier["tasks"], earlier["processor"], found["processor"]) == (1, before["processor"], "another one")
    assert told == [f"processor {before['processor']} before, another one now"]
    assert mixed(found)
    assert not mixed(before)


@pytest.mark.slow
def test_two_processes_never_write_one_run_and_the_holder_is_named(finished: Path, tmp_path: Path) -> None:
    path = copied(finished, tmp_path)
    config = Run(path).config
    with writing(path), pytest.raises(RunBusy, match=f"process {os.getpid()} on"):
        job.run(config, path, force=True)
    assert job.run(config, path, force=True).finished, "and the lock was given back"


@pytest.mark.slow
@pytest.mark.parametrize("moment", [events.RunDescribed, events.TaskBegun, events.Updated, events.EpochEnded])
def test_a_run_whose_directory_is_taken_away_ends_with_an_error(moment: type[events.Event], tmp_path: Path) -> None:
    def take_away(event: events.Event) -> None:
        if isinstance(event, moment):
            shutil.rmtree(tmp_path / "run", ignore_errors=True)

    with pytest.raises(UserError, match="moved or deleted"):
        job.run(tiny("finetune", "denoise"), tmp_path / "run", take_away)
    assert not (tmp_path / "run").exists(), "a part of it would be in the way of the same command"


def test_how_often_training_is_saved_is_no_part_of_a_runs_identity() -> None:
    assert tiny("finetune").identity == tiny("finetune", "denoise,deblur", "training.save_seconds=7").identity


def test_only_the_suites_own_settings_are_no_part_of_a_runs_identity() -> None:
    usual = tiny("finetune")
    workers, others = usual.model_copy(update={"settings": {"workers": 1}}), {"settings": {"workers": 2}}
    assert usual.model_copy(update=others).identity != workers.identity
    assert _differences(workers.model_dump(), usual.model_copy(update=others).model_dump()) == [
        ("settings.workers", 1, 2)
    ]


@pytest.mark.slow
def test_an_unfinished_run_with_other_settings_is_told_with_the_difference(tmp_path: Path) -> None:
    begun = tiny("finetune")
    path = tmp_path / begun.run_name
    do(tmp_path, {begun.run_name: (begun, [("update", 3)])})
    (path / "run").rename(tmp_path / "moved")
    shutil.rmtree(path)
    (tmp_path / "moved").rename(path)
    (note,) = others_begun(
        [tiny("finetune", "denoise,deblur", "training.epochs=3", "training.save_seconds=9")], tmp_path
    )
    assert path.name in note
    assert "training.epochs is 2 there and 3 here" in note
    assert "save_seconds" not in note
    assert not others_begun([begun], tmp_path)
    assert not others_begun([tiny("cmc")], tmp_path)


def test_a_setting_of_the_strategy_in_which_an_unfinished_run_differs_is_named_as_it_is_set(tmp_path: Path) -> None:
    begun, other = tiny("mas", "derain,denoise", "mas.weight=2"), tiny("mas", "derain,denoise", "mas.weight=3")
    Run.create(tmp_path / begun.run_name, begun.model_dump(mode="json"), {})
    (note,) = others_begun([other], tmp_path)
    assert note.endswith(": mas.weight is 2.0 there and 3.0 here.")


@pytest.mark.parametrize("name", ["status.json", "environment.json", "config.yaml"])
def test_another_run_that_is_damaged_is_in_nobodys_way(name: str, tmp_path: Path) -> None:
    begun, other = tiny("mas", "derain,denoise", "mas.weight=2"), tiny("mas", "derain,denoise", "mas.weight=3")
    run = Run.create(tmp_path / begun.run_name, begun.model_dump(mode="json"), {})
    run.update_status(state="running", tasks_done=0)
    (run.path / name).write_text('{"format": 999')
    assert not others_begun([other], tmp_path)

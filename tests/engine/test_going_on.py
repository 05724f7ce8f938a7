"""Runs that go on where less is as it should be: odd strategies and networks, files that are lost, untimely signals."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import TINY as TINY_RUN
from tiny_runs import results

from benchmark import backbones
from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.process import endings
from benchmark.core.process.endings import Stopped
from benchmark.core.runs.directory import Run, locate
from benchmark.core.runs.schemas import TABLES
from benchmark.core.runs.wholeness import examine
from benchmark.engine import checkpoints, events, job
from benchmark.engine.setup import resolve
from benchmark.engine.state import State
from benchmark.planning import others_begun, plan
from strategies import registry
from strategies.base import Strategy

TINY = [*TINY_RUN, "training.updates_per_epoch=3"]
BACKBONE = """import torch
from torch import nn
from benchmark.backbones import register

@register("odd")
class Odd(nn.Module):
    'A convolution, less the mean of what it gave in training.'
    def __init__(self, width, blocks, image_skip):
        super().__init__()
        self.only = nn.Conv2d(3, 3, 3, padding=1)
        self.register_buffer("mean", None)
    def forward(self, x):
        y = self.only(x)
        if self.training:
            mean = y.detach().mean()
            self.mean = mean if self.mean is None else (self.mean + mean) / 2
        return y if self.mean is None else y - self.mean
"""
EXTRA = """
    def get_extra_state(self):
        return {"passes": 0}
    def set_extra_state(self, state):
        pass
"""


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "_received", [])
    monkeypatch.setattr(backbones.CATALOGUE, "plugins", {})
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})


def tiny(strategy: str = "finetune", *more: str, order: str = "denoise,deblur") -> RunConfig:
    return resolve(plan(strategy, "four_tasks", "smoke", "0", order, None, None, [*TINY, *more])[0])


def signal_at(number: int, kind: type = events.Updated) -> Callable[[events.Event], None]:
    """A listener with which a signal comes at the first, second, ... event of a kind."""
    heard: list[events.Event] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, kind):
            heard.append(event)
            if len(heard) == number:
                endings.stop_for("SIGTERM")

    return listen


def stopped(config: RunConfig, path: Path, *moment: Any) -> Path:
    """Do a run until a signal stops it, and leave its directory."""
    with pytest.raises(Stopped):
        job.run(config, path, signal_at(*moment) if moment else events.ignore)
    endings._received.clear()
    return path


class Early(Strategy):
    """Ends the training of each task after some updates."""

    name = "early"
    least = 3

    def after_training_iteration(self, trainer: Any) -> None:
        if trainer.clock.train_exp_iterations + 1 == self.least:
            trainer.stop_training()


class Short(Early):
    least = 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Early, Short])
@pytest.mark.parametrize("moment", [(1, events.EpochEnded), (2, events.EpochEnded), (2,), (3, events.EpochEnded)])
def test_a_training_that_was_ended_early_is_not_taken_up_again(
    kind: type[Strategy], moment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "load", lambda name: kind)
    config = tiny()
    job.run(config, tmp_path / "whole")
    job.run(config, stopped(config, tmp_path / "cut", *moment))
    assert set(Run(tmp_path / "cut").curves["epoch"]) == {0, 1}
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


class Counting(Strategy):
    """Weighs the loss by how many trainings there were, as Avalanche's plugins know the first from the others."""

    name = "counting"

    def before_backward(self, trainer: Any) -> None:
        trainer.loss = trainer.loss * (1 + trainer.clock.train_exp_counter)


@pytest.mark.slow
def test_the_clock_counts_the_trainings_before_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load", lambda name: Counting)
    config = tiny()
    job.run(config, tmp_path / "whole")
    job.run(config, stopped(config, tmp_path / "cut", 8))
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("update", [2, 8])
def test_a_buffer_that_is_none_until_the_first_images_is_taken_up(update: int, tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(BACKBONE)
    registry.add_plugin(str(tmp_path / "odd.py"))
    config = tiny("finetune", "backbone.name=odd")
    job.run(config, tmp_path / "whole")
    job.run(config, stopped(config, tmp_path / "cut", update))
    assert "model.mean" in checkpoints.read(Run(tmp_path / "cut").checkpoint(2)).tensors
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


def test_a_network_whose_state_is_not_of_tensors_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(BACKBONE + EXTRA)
    registry.add_plugin(str(tmp_path / "odd.py"))
    with pytest.raises(UserError, match=r"state_dict\(\) of Odd gave .* for '_extra_state'; tensors under names"):
        tiny("finetune", "backbone.name=odd")


class Late(Strategy):
    """A signal comes after the last update of the first task, while the strategy looks back at it."""

    name = "late"

    def after_training_exp(self, trainer: Any) -> None:
        if trainer.experience.current_experience == 0:
            endings.stop_for("SIGTERM")


@pytest.mark.slow
def test_a_signal_after_the_last_update_of_a_task_is_heeded_before_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny()
    job.run(config, tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(registry, "load", lambda name: Late)
        stopped(config, tmp_path / "cut")
    run = Run(tmp_path / "cut")
    assert (run.tasks_done, run.updates_done) == (0, config.training.updates)
    assert not run.rows("outputs.csv")
    job.run(config, tmp_path / "cut")
    assert results(tmp_path / "cut") == results(tmp_path / "whole")


class InTwos(Strategy):
    """Learns the second and the third task together."""

    name = "in_twos"

    def rounds(self, tasks: int) -> list[list[int]]:
        return [[0], [1, 2], [3]][: min(tasks, 3)]


@pytest.mark.slow
def test_a_run_that_goes_back_a_round_has_the_seconds_of_each_round_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "load", lambda name: InTwos)
    config = tiny(order="denoise,deblur,derain,deblock")
    run = job.run(config, tmp_path / "run")
    run.checkpoint(4).unlink()
    assert len(job.run(config, tmp_path / "run").status["seconds_per_task"]) == 3
    assert run.status["seconds"] == pytest.approx(sum(run.status["seconds_per_task"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    path = tmp_path_factory.mktemp("whole") / "run"
    job.run(tiny(), path)
    return path


@pytest.fixture
def begun(whole: Path, tmp_path: Path) -> Path:
    """The same with its first task learned, and stopped within the second."""
    return stopped(tiny(), tmp_path / "run", 8)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [("environment.json",), ("environment.json", "status.json")])
def test_checkpoints_without_a_word_of_their_format_are_left(lost: tuple[str, ...], begun: Path, whole: Path) -> None:
    config = Run(begun).config
    kept = {file: file.read_bytes() for file in (begun / "checkpoints").iterdir()}
    for name in lost:
        (begun / name).rename(begun / f"{name}.away")
    with pytest.raises(UserError, match=r"environment\.json"):
        job.run(config, begun)
    assert {file: file.read_bytes() for file in (begun / "checkpoints").iterdir()} == kept
    for name in lost:
        (begun / f"{name}.away").rename(begun / name)
    job.run(config, begun)
    assert results(begun) == results(whole)


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_what_is_said_of_a_status_that_cannot_be_read_loses_nothing(text: str, begun: Path, whole: Path) -> None:
    config = Run(begun).config
    (begun / "status.json").write_text(text)
    with pytest.raises(UserError, match=r"delete this file alone: the run then goes on from its last checkpoint"):
        job.run(config, begun)
    (begun / "status.json").unlink()
    told: list[events.Event] = []
    job.run(config, begun, told.append)
    assert any(isinstance(event, events.RunResumed) and event.finished == 1 for event in told)
    assert results(begun) == results(whole)


@pytest.mark.slow
@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(24, "Too many open files")])
def test_a_checkpoint_that_cannot_be_read_now_is_not_taken_for_a_damaged_one(
    error: OSError, begun: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Run(begun).config
    with monkeypatch.context() as patched:
        usual = Path.open

        def refused(path: Path, *given: Any, **more: Any) -> Any:
            if path.name == "task-1.safetensors":
                raise OSError(error.errno, error.strerror, str(path))
            return usual(path, *given, **more)

        patched.setattr(Path, "open", refused)
        with pytest.raises(UserError, match=rf"task-1\.safetensors' cannot be used: {error.strerror}"):
            job.run(config, begun)
    assert Run(begun).tasks_done == 1
    job.run(config, begun)
    assert results(begun) == results(whole)


@pytest.mark.slow
def test_rows_that_are_too_many_for_the_header_are_kept_all_the_same(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Run(whole).config
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "MOST_NOTE", 100)
        stopped(tiny(), tmp_path / "run", 8)
    job.run(config, tmp_path / "run")
    assert all((tmp_path / "run" / table).read_bytes() == (whole / table).read_bytes() for table in TABLES)


@pytest.mark.slow
def test_a_note_of_more_than_a_header_holds_is_written_and_read(tmp_path: Path) -> None:
    note = {"rows": "a" * (101 * 2**20)}
    checkpoints.write(tmp_path / "state.safetensors", State({"model.a": torch.arange(3.0)}, note))
    found = checkpoints.read(tmp_path / "state.safetensors")
    assert found.note == note
    assert list(found.tensors) == ["model.a"]


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sizes = tmp_path / "state.safetensors", []

    def sync(descriptor: int) -> None:
        assert not path.exists()
        sizes.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", sync)
    checkpoints.write(path, State({"model.a": torch.arange(3.0)}, {}))
    assert sizes == [path.stat().st_size]


@pytest.mark.slow
def test_a_run_that_was_to_be_done_again_and_was_stopped_at_once_goes_on_with_the_same_command(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    config = Run(path).config

    def stop(*given: Any) -> None:
        raise Stopped("SIGTERM")

    with monkeypatch.context() as patched:
        patched.setattr(job, "environment", stop)
        with pytest.raises(Stopped):
            job.run(config, path, force=True)
    job.run(config, path)
    assert examine(Run(path)).state == "whole"
    assert results(path) == results(whole)


@pytest.mark.slow
@pytest.mark.parametrize("unlinked", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("force", [True, False], ids=["to be done again", "a checkpoint lost"])
def test_a_finished_run_that_was_killed_as_it_was_cleared_lacks_nothing_in_the_end(
    force: bool, unlinked: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    config, unlink, files = Run(path).config, Path.unlink, list[Path]()
    if not force:
        Run(path).checkpoint(1).unlink()

    def cut_short(file: Path, **more: Any) -> None:
        if path in file.parents:
            files.append(file)
            if len(files) > unlinked:
                raise Stopped("SIGTERM")
        unlink(file, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", cut_short)
        with pytest.raises(Stopped):
            job.run(config, path, force=force)
    job.run(config, path)
    assert results(path) == results(whole)


@pytest.mark.slow
def test_of_copies_of_a_run_the_one_that_has_come_farthest_goes_on(begun: Path, whole: Path, tmp_path: Path) -> None:
    identity = tiny().identity
    out = tmp_path / "runs"
    shutil.copytree(begun, out / "a" / f"run-{identity}")
    shutil.copytree(begun, out / "b" / f"run-{identity}")
    first, second = out / "a" / f"run-{identity}", out / "b" / f"run-{identity}"
    assert locate(out)[identity] == first
    for _, _, file in Run(first).checkpoints_within():
        file.unlink()
    assert locate(out)[identity] == second
    Run(second).update_status(tasks_done=0)
    assert locate(out)[identity] == first
    (first / "status.json").write_text("{")
    assert locate(out)[identity] == second, "a damaged one ends no command that has another"
    shutil.copytree(whole, out / "a" / f"done-{identity}")
    assert locate(out)[identity] == out / "a" / f"done-{identity}"


@pytest.mark.slow
def test_pictures_that_are_gone_from_an_unfinished_run_are_drawn_again_or_told(tmp_path: Path) -> None:
    config = tiny()
    whole = results(job.run(config, tmp_path / "whole").path)
    run = stopped(config, tmp_path / "run", 2, events.TaskBegun)
    for kind in ("clean", "degraded", "learned"):
        for picture in run.glob(f"images/denoise--*--{kind}.png"):
            picture.unlink()
    told: list[events.Event] = []
    job.run(config, run, told.append)
    (resumed,) = (event for event in told if isinstance(event, events.RunResumed))
    gone = {name for name in whole if name.startswith("images/denoise--") and name.endswith("--learned.png")}
    assert resumed.pictures == len(gone) > 0
    assert whole.keys() - results(run).keys() == gone
    assert {name: whole[name] for name in results(run)} == results(run)


def test_what_one_of_two_runs_does_not_have_is_named_in_the_note_about_an_unfinished_one(tmp_path: Path) -> None:
    begun = tiny().model_copy(update={"backbone_plugin": "mine.py#12"})
    Run.create(tmp_path / begun.run_name, begun.model_dump(mode="json"), {})
    (note,) = others_begun([tiny("finetune", "data.test_size=null")], tmp_path)
    assert note.endswith(
        ": backbone_plugin is mine.py#12 there and empty here; data.test_size is 32 there and null here."
    )

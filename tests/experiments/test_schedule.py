"""What is left of an experiment, and how long it is expected to take."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console

from baselines.finetune import Finetune
from benchmark.config import RunConfig, Training
from benchmark.core import clock
from benchmark.core.runs.directory import Run
from benchmark.engine.local import execute
from benchmark.engine.setup import resolve
from benchmark.experiments import cost, schedule
from benchmark.experiments.matrix import Choices, expand, load
from benchmark.experiments.schedule import Parts
from benchmark.planning import plan
from benchmark.streams.build import build

Write = Callable[[str], Path]
TINY = "strategies: [finetune, independent]\norders: [[derain, deblur]]\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an experiment file."""

    def experiment(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return experiment


def test_a_run_takes_its_start_and_for_each_task_its_updates_validations_and_tests() -> None:
    """Counted by hand: 6 updates; validation before epoch 1, after 1 and 2, and of all 4 tasks; tests of all 4."""
    training = Training(epochs=2, updates_per_epoch=3)
    parts = Parts(start=1000.0, update=1.0, validation=10.0, test=100.0)
    assert parts.task(training, tasks=4) == 6 * 1 + (3 + 4) * 10 + 4 * 100
    assert parts.task(training, tasks=4, follows=True) == 6 * 1 + (3 * 2.5 + 4) * 10 + 4 * 100
    assert parts.task(training, tasks=4, relative_cost=2.5) == 15 * 1 + (3 + 4) * 10 + 4 * 100


@pytest.mark.slow
def test_what_is_left_and_how_long_it_takes(write: Write, tmp_path: Path) -> None:
    """One run is finished, one of two tasks of the other: what is left is half of it, in the time the finished took."""
    configs = [resolve(config) for config in expand(load(write(TINY)), Choices("smoke"))]
    out = tmp_path / "runs"
    asked = []

    def measure(config: RunConfig) -> Parts:
        asked.append(config)
        return Parts(start=7.0, update=0.5, validation=0.0, test=0.0)

    before = schedule.schedule(configs, out, measure)
    assert [one.state for one in before] == ["missing", "missing"]
    assert before[0].seconds_left == pytest.approx(7 + 2 * 0.5 * configs[0].training.updates)
    assert len(asked) == 1, "what has the same parts is measured once"

    done = execute(configs, out)
    done[0].update_status(seconds_to_start=3.0, seconds=40.0)
    done[1].update_status(state="interrupted", tasks_done=1)
    after = schedule.schedule([*configs, *configs], out, measure)
    assert [one.state for one in after] == ["finished", "1 of 2 tasks"]
    assert [one.seconds_left for one in after] == [0.0, 23.0]
    assert "2 runs, 1 finished; the rest takes about 23 s" in schedule.summary(after)
    assert len(asked) == 1, "what was done tells how long the rest takes"


def on_disk(config: RunConfig, out: Path, state: str, tasks: int, **status: object) -> Run:
    """A run directory in a certain state, without the training."""
    run = Run.create(out / config.run_name, config.model_dump(mode="json"), {})
    run.update_status(state=state, tasks_done=tasks, **status)
    run.checkpoint(tasks).parent.mkdir()
    run.checkpoint(tasks).touch()
    return run


@pytest.mark.parametrize("seconds", [0.0, 0, None])
def test_what_is_done_is_counted_whatever_time_it_took(write: Write, tmp_path: Path, seconds: float | None) -> None:
    """Runs that took no time as far as the clock tells: finished, interrupted, ended without a record of it."""
    text = "strategies: [finetune, independent, ewc]\norders: [[derain, deblur]]\n"
    configs = [resolve(config) for config in expand(load(write(text)), Choices("smoke"))]
    states = [("finished", 2), ("interrupted", 1), ("running", 2)]
    for config, (state, tasks) in zip(configs, states, strict=True):
        on_disk(config, tmp_path, state, tasks, seconds=seconds, seconds_to_start=0.0, seconds_per_task=[0.0] * tasks)
    planned = schedule.schedule(configs, tmp_path, lambda _: Parts(0.0, 0.0, 0.0, 0.0))
    assert [one.state for one in planned] == ["finished", "1 of 2 tasks", "2 of 2 tasks"]
    assert "3 runs, 1 finished; the rest takes about 0 s" in schedule.summary(planned)
    printed = io.StringIO()
    schedule.render(planned, {}, Console(file=printed, width=200))
    assert [" 0 s " in row for row in printed.getvalue().splitlines()[1:4]] == [False, True, True]


def test_a_task_without_its_checkpoint_is_not_done(write: Write, tmp_path: Path) -> None:
    """The run cannot go on from there, and so begins anew: that is what is foretold."""
    config = resolve(expand(load(write(TINY)), Choices("smoke"))[0])
    run = on_disk(config, tmp_path, "interrupted", 1)
    assert schedule.schedule([config], tmp_path, lambda _: Parts(1.0, 0.0, 0.0, 0.0))[0].state == "1 of 2 tasks"
    run.checkpoint(1).unlink()
    assert schedule.schedule([config], tmp_path, lambda _: Parts(1.0, 0.0, 0.0, 0.0))[0].state == "missing"


def test_what_other_images_took_tells_nothing(write: Write, tmp_path: Path) -> None:
    """A finished run on small test images does not foretell one on larger ones."""
    small, large = (
        resolve(expand(load(write(TINY)), Choices("smoke", assignments=(f"data.test_size={size}",)))[0])
        for size in (32, 64)
    )
    on_disk(small, tmp_path, "finished", 2, seconds=1.0)
    (planned,) = schedule.schedule([large], tmp_path, lambda _: Parts(5000.0, 0.0, 0.0, 0.0))
    assert planned.seconds_left == 5000


def test_what_other_tasks_took_tells_nothing(tmp_path: Path) -> None:
    """Each task is followed by the test images of all: six tasks take longer than four of as many updates."""
    four, turned, six = (
        resolve(plan("finetune", stream, "smoke", "0", order, None, None, [])[0])
        for stream, order in (("four_tasks", None), ("four_tasks", "deblur,derain,denoise,deblock"), ("blended", None))
    )
    on_disk(four, tmp_path, "finished", 4, seconds=4.0)
    planned = schedule.schedule([turned, six], tmp_path, lambda _: Parts(5000.0, 0.0, 0.0, 0.0))
    assert [one.seconds_left for one in planned] == [4, 5000]


def test_what_runs_took_before_there_were_some_settings_tells_how_long_others_take(
    write: Write, tmp_path: Path
) -> None:
    old, new = (resolve(expand(load(write(TINY)), Choices("smoke", seeds=(seed,)))[0]) for seed in (0, 1))
    run = on_disk(old, tmp_path, "running", 2, seconds=40.0, seconds_to_start=3.0)
    config = run.config
    del config["evaluation"], config["data"]["photographs"], config["training"]["precision"]
    (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    run.update_status(state="finished")
    (planned,) = schedule.schedule([new], tmp_path, lambda _: Parts(5000.0, 0.0, 0.0, 0.0))
    assert planned.seconds_left == 3 + 40


@pytest.mark.parametrize(
    "sizes", [(), ("training.batch_size=4", "data.test_size=96"), ("data.photographs=all", "data.validation_size=256")]
)
def test_the_parts_of_a_run_are_measured_as_they_occur(sizes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock that counts the pixels that pass the network, each part is told by their number."""
    (planned,) = plan("cmc", "four_tasks", "smoke", "0", None, None, None, list(sizes))
    config = resolve(planned)
    seen = 0

    class Counting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 3, 1)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            nonlocal seen
            seen += images.numel() // 3
            return self.conv(images)

    monkeypatch.setattr(cost, "prepare", lambda _: (Finetune(Finetune.Settings()), Counting()))
    monkeypatch.setattr(clock, "now", lambda: float(seen))
    parts = cost.measure(config)
    benchmark = build(config)
    assert parts.update == config.training.batch_size * config.training.patch_size**2
    for part, side in ((parts.test, "test"), (parts.validation, "valid")):
        images = benchmark.scenario.streams[side][0].dataset
        assert part == pytest.approx(sum(image.numel() // 3 for image, *_ in images))
    assert parts.start < 0.001, "no image passes the network before the first task"


def test_runs_are_named_by_what_differs_from_the_preset(write: Write) -> None:
    text = "strategies: [cmc]\norders: [[derain, deblur], [deblur, derain]]\nvary: {cmc.fraction: [0.05]}\n"
    configs = [resolve(config) for config in expand(load(write(text)), Choices("smoke"))]
    assert schedule.names(configs) == ["cmc cmc.fraction=0.05", "cmc cmc.fraction=0.05 deblur → derain"]

"""One run as a function of plain data: what it tells, and that any process can do it."""

import json
import multiprocessing
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from conftest import ROOT

from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.process.endings import Stopped
from benchmark.core.runs.directory import Run
from benchmark.core.runs.writing import write_text
from benchmark.engine import checkpoints, events, job
from benchmark.engine.events import Event, Listener
from benchmark.engine.setup import resolve
from benchmark.planning import plan
from strategies import registry

ANCHOR = ROOT / "docs" / "examples" / "anchor.py"
RESULTS = ("metrics.csv", "outputs.csv", "curves.csv", "ledger.csv")


def planned(strategy: str, *assignments: str, order: str = "denoise,deblock") -> RunConfig:
    (config,) = plan(strategy, "four_tasks", "smoke", "0", order, None, None, list(assignments))
    return resolve(config)


@pytest.fixture
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})


@pytest.mark.slow
def test_a_run_tells_what_it_does_and_its_events_can_be_sent(tmp_path: Path) -> None:
    config = planned("finetune")
    told: list[Event] = []
    listener: Listener = told.append
    run = job.run(config, tmp_path / "run", listener)
    kinds = [type(event) for event in told]
    updates = config.training.updates
    assert kinds[0] is events.RunBegun
    assert kinds[-1] is events.RunFinished
    assert [event.task for event in told if isinstance(event, events.TaskBegun)] == ["denoise", "deblock"]
    assert kinds.count(events.Updated) == 2 * updates
    assert kinds.count(events.EpochEnded) == 2 * (config.training.epochs + 1)
    assert {event.run for event in told} == {"run"}
    assert pickle.loads(pickle.dumps(told)) == told
    assert run.finished

    told.clear()
    assert job.run(config, tmp_path / "run", listener) == run
    assert told == [events.RunKept("run")]

    run.update_status(state="interrupted", tasks_done=1)
    told.clear()
    job.run(config, tmp_path / "run", listener)
    assert events.RunResumed("run", 1, 2, updates) in told
    assert sum(isinstance(event, events.Updated) for event in told) == updates


@pytest.mark.slow
@pytest.mark.parametrize("stop", [6, 14])
def test_a_task_takes_the_time_of_all_its_updates_also_of_those_before_an_interruption(
    stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that an update moves on by 10 s, and nothing else; what was not saved is done, and timed, again."""
    training = ("training.epochs=2", "training.updates_per_epoch=4", "training.batch_size=2", "training.patch_size=16")
    data = ("data.dead_leaves=0", "data.validation_size=32", "data.test_size=32")
    config = planned("finetune", *training, *data, "backbone.width=4", "backbone.blocks=1")
    clock = SimpleNamespace(seconds=0.0, stops=[stop])
    monkeypatch.setattr(job, "time", SimpleNamespace(monotonic=lambda: clock.seconds))

    def pass_by(event: Event) -> None:
        if isinstance(event, events.Updated):
            clock.seconds += 10
            if event.update in clock.stops:
                clock.stops.clear()
                raise Stopped("SIGTERM")

    with pytest.raises(Stopped):
        job.run(config, tmp_path / "run", pass_by)
    clock.seconds += 5000
    run = job.run(config, tmp_path / "run", pass_by)
    assert run.status["seconds_per_task"] == [80, 80]
    assert run.status["seconds"] == 160


@pytest.mark.slow
@pytest.mark.usefixtures("_no_plugins")
def test_another_process_does_the_run_of_a_plugin_from_its_plain_configuration(tmp_path: Path) -> None:
    registry.add_plugin(str(ANCHOR))
    config = planned("anchor")
    assert config.imports == [str(ANCHOR)]
    plain = json.loads(json.dumps(config.model_dump(mode="json")))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        run = pool.apply(job.run, (plain, str(tmp_path / "there")))
    here = job.run(config, tmp_path / "here")
    assert isinstance(run, Run)
    assert run.finished
    for name in RESULTS:
        assert (run.path / name).read_bytes() == (here.path / name).read_bytes()
    assert yaml.safe_load((run.path / "config.yaml").read_text()) == plain


@pytest.mark.usefixtures("_no_plugins")
def test_a_plugin_that_has_changed_since_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.py"
    text = "from strategies.base import Strategy\nclass Mine(Strategy):\n    'Mine.'\n    name = 'mine'\n"
    file.write_text(text)
    registry.add_plugin(str(file))
    config = planned("mine")
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    file.write_text(text + "    revision = 2\n")
    with pytest.raises(UserError, match=r"'mine' is not the code that this run was planned with.*mine\.py#"):
        job.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    file.unlink()
    with pytest.raises(UserError, match=r"mine\.py: there is no such file"):
        job.run(config, tmp_path / "run")


@pytest.mark.usefixtures("_no_plugins")
def test_where_a_plugin_lies_is_recorded_and_no_part_of_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for folder in ("one", "two"):
        monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
        (tmp_path / folder).mkdir()
        copy = tmp_path / folder / ANCHOR.name
        copy.write_text(ANCHOR.read_text())
        registry.add_plugin(str(copy))
        found.append(planned("anchor"))
    assert found[0].imports != found[1].imports
    assert found[0].identity == found[1].identity


def test_plain_values_that_are_no_configuration_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="epochs"):
        job.run({**planned("finetune").model_dump(mode="json"), "training": {"epochs": 0}}, tmp_path / "run")


@pytest.mark.skipif(os.name == "nt", reason="files have no such rights there")
@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_whoever_may_read_a_run_may_read_its_checkpoints(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        checkpoints.write(tmp_path / "checkpoints" / "task-1.safetensors", checkpoints.State({"a": torch.ones(2)}, {}))
        write_text(tmp_path / "config.yaml", "a: 1\n")
    finally:
        os.umask(before)
    rights = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert rights == {0o666 & ~mask}

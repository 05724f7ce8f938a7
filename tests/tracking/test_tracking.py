"""What trackers keep of a run, read back by their own libraries; and that they are never in its way."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from benchmark.core import metrics
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import Run
from benchmark.engine import events, job
from benchmark.engine.events import Event
from benchmark.engine.setup import resolve
from benchmark.planning import plan
from benchmark.tracking import trackers
from benchmark.tracking.sink import EVERY, Sink, parameters
from benchmark.tracking.trackers import TRACKERS, Tracker, check, tracked

NAME = "finetune-four_tasks-smoke-seed0-1a2b3c4d"
CONFIG = {
    "strategy": "finetune",
    "stream": "four_tasks",
    "seed": 0,
    "order": ["東京", "a|b"],
    "training": {"epochs": 2},
}
UPDATES = 25


def described(updates: int = 0) -> Event:
    return events.RunDescribed(NAME, f"runs/{NAME}", "1a2b3c4d", CONFIG, updates)


def task(after: int) -> list[Event]:
    """What is told of a task of 25 updates in one epoch."""
    first = (after - 1) * UPDATES
    made = [events.Updated(NAME, 1 / update, 1, update, 0.5**after) for update in range(first + 1, first + UPDATES + 1)]
    last = first + UPDATES
    psnr = {"東京": 20.0 + after, "a|b": 30.0}
    return [
        events.TaskBegun(NAME, "finetune", ["東京", "a|b"][after - 1], after, 2),
        events.EpochEnded(NAME, 0, 1, None, 10.0, first),
        *made,
        events.EpochEnded(NAME, 1, 1, 0.1, 10.0 + after, last),
        events.TaskMeasured(NAME, after, psnr, 0.25 if after > 1 else None, last),
    ]


def whole() -> list[Event]:
    return [described(), *task(1), *task(2), events.RunFinished(NAME, 1.0)]


def send(name: str, out: Path, told: list[Event]) -> list[str]:
    """Tell a tracker; what it says to people."""
    said: list[str] = []
    with tracked([name], out, events.ignore, said.append) as listener:
        for event in told:
            listener(event)
    return said


def read_tensorboard(out: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = (out / "tracking" / "tensorboard").iterdir()
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def scalars(read: Any, name: str) -> dict[int, float]:
    found = read.Scalars(name)
    steps = [one.step for one in found]
    assert len(set(steps)) == len(steps), name
    return {one.step: one.value for one in found}


def client(out: Path) -> Any:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    return mlflow.tracking.MlflowClient(f"sqlite:///{out / 'tracking' / 'mlflow' / 'mlflow.db'}")


def mlflow_runs(out: Path) -> list[Any]:
    found = client(out)
    (experiment,) = [one for one in found.search_experiments() if one.name == "continual-restoration"]
    return list(found.search_runs([experiment.experiment_id], order_by=["start_time"]))


def history(out: Path, run: Any, name: str) -> dict[int, float]:
    return {one.step: one.value for one in client(out).get_metric_history(run.info.run_id, name)}


@pytest.mark.slow
def test_tensorboard_keeps_a_run(tmp_path: Path) -> None:
    (said,) = send("tensorboard", tmp_path, whole())
    assert f"tensorboard --logdir {tmp_path}/tracking/tensorboard" in said
    read = read_tensorboard(tmp_path)
    losses = scalars(read, "train/loss")
    assert list(losses) == [1, *range(EVERY, 2 * UPDATES + 1, EVERY)]
    assert losses[20] == pytest.approx(1 / 20)
    assert scalars(read, "train/learning_rate")[30] == 0.25
    first, second = (scalars(read, name) for name in sorted(read.Tags()["scalars"]) if name.startswith("validation/"))
    assert [second, first] == [{0: 10, 25: 11}, {25: 10, 50: 12}]
    assert scalars(read, "forgetting") == {50: 0.25}
    tokyo = next(name for name in read.Tags()["scalars"] if name.startswith("psnr/unnamed"))
    assert scalars(read, tokyo) == {25: 21, 50: 22}
    told = {name: read.Tensors(name)[0].tensor_proto.string_val[0].decode() for name in read.Tags()["tensors"]}
    assert "| training.epochs | 2 |" in told["configuration/text_summary"]
    assert "| identity | 1a2b3c4d |" in told["run/text_summary"]


@pytest.mark.slow
def test_tensorboard_takes_back_what_a_run_repeats(tmp_path: Path) -> None:
    send("tensorboard", tmp_path, [described(), *task(1), *task(2)[:15]])
    send("tensorboard", tmp_path, [described(UPDATES), *task(2), events.RunFinished(NAME, 1.0)])
    read = read_tensorboard(tmp_path)
    assert list(scalars(read, "train/loss")) == [1, 10, 20, 26, 30, 40, 50]
    assert list(scalars(read, "forgetting")) == [50]


@pytest.mark.slow
def test_mlflow_keeps_a_run_in_sqlite(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    (said,) = send("mlflow", tmp_path, whole())
    assert f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/tracking/mlflow/mlflow.db" in said
    (run,) = mlflow_runs(tmp_path)
    assert run.info.run_name == NAME
    assert run.info.status == "FINISHED"
    assert run.data.params == {name: str(value) for name, value in parameters(CONFIG).items()}
    assert run.data.tags["identity"] == "1a2b3c4d"
    assert run.data.tags["directory"] == str(Path(f"runs/{NAME}").absolute())
    losses = history(tmp_path, run, "train/loss")
    assert sorted(losses) == [1, *range(EVERY, 2 * UPDATES + 1, EVERY)]
    assert losses[20] == pytest.approx(1 / 20)
    assert history(tmp_path, run, "forgetting") == {50: 0.25}
    assert sorted(value for name, value in run.data.metrics.items() if name.startswith("validation/")) == [11, 12]
    assert not (ROOT / "mlruns").exists()


@pytest.mark.slow
def test_mlflow_goes_on_with_a_run_and_begins_another_where_it_is_repeated(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    send("mlflow", tmp_path, [described(), *task(1), *task(2)[:15]])
    (run,) = mlflow_runs(tmp_path)
    assert run.info.status == "KILLED"
    send("mlflow", tmp_path, [described(UPDATES), *task(2), events.RunFinished(NAME, 1.0)])
    (run,) = mlflow_runs(tmp_path)
    assert run.info.status == "FINISHED"
    assert sorted(history(tmp_path, run, "train/loss")) == [1, 10, 20, 26, 30, 40, 50]
    send("mlflow", tmp_path, whole())
    assert [one.info.status for one in mlflow_runs(tmp_path)] == ["FINISHED", "FINISHED"]


SCRIPT = """
import json, os, socket, sys
reached = []
connect = socket.socket.connect
def watched(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost", "::1"):
        reached.append(str(address))
    return connect(self, address)
socket.socket.connect = watched
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_tracking import UPDATES, described, send, task, whole
from benchmark.engine import events
out = Path(sys.argv[2])
said = send(sys.argv[3], out, [described(), *task(1), *task(2)[:15]])
said += send(sys.argv[3], out, [described(UPDATES), *task(2), events.RunFinished("", 1.0)])
said += send(sys.argv[3], out, whole())
print(json.dumps([said, reached]))
"""


@pytest.fixture
def post() -> Iterator[socket.socket]:
    """A place that answers nobody, and knows who has come."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(0.2)
        yield listening


@pytest.mark.slow
@pytest.mark.parametrize("name", TRACKERS)
def test_a_tracker_calls_nobody(name: str, tmp_path: Path, post: socket.socket) -> None:
    pytest.importorskip(name)
    address = f"http://127.0.0.1:{post.getsockname()[1]}"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), address)
    places = {
        "WANDB_BASE_URL": address,
        "MLFLOW_TRACKING_URI": address,
        "WANDB_MODE": "online",
        "WANDB_API_KEY": "0" * 40,
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(tmp_path), name],
        cwd=tmp_path,
        env={**os.environ, **proxies, **places, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, reached = json.loads(done.stdout.splitlines()[-1])
    assert len(said) == 3
    assert not [one for one in said if "failed" in one]
    assert reached == []
    with pytest.raises(TimeoutError):
        post.accept()
    assert {path.name for path in tmp_path.iterdir()} == {"tracking"}  # nothing beside where it was told to write
    if name == "wandb":
        kept = sorted(path.name.split("-", 3)[3] for path in (tmp_path / "tracking" / "wandb").glob("offline-run-*"))
        assert set(kept) == {NAME, f"{NAME}.2"}


class Broken(Sink):
    """A tracker that breaks at the first loss."""

    title = "Broken"
    ended = 0

    def open(self, run: events.RunDescribed) -> None:
        pass

    def log(self, run: str, values: Any, update: int) -> None:
        raise OSError("the disk is full\nof something")

    def close(self, run: str, finished: bool) -> None:
        Broken.ended += 1


@pytest.mark.parametrize("place", ["log", "load"])
def test_a_tracker_that_fails_is_left_out_and_said_so_once(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = type(sys)("benchmark.tracking.to_broken")
    module.Broken = Broken  # type: ignore[attr-defined]
    if place == "log":
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(TRACKERS, "broken", Tracker("to_broken", "Broken", ()))
    Broken.ended = 0
    said, heard = list[str](), list[Event]()
    with tracked(["broken"], tmp_path, heard.append, said.append) as listener:
        for event in whole():
            listener(event)
    assert heard == whole()
    assert len(said) == 1
    assert "the runs go on" in said[0]
    if place == "log":
        assert "Broken has failed (OSError: the disk is full);" in said[0]
        assert Broken.ended == 1


def test_mlflow_writes_nothing_elsewhere_where_its_address_cannot_hold_the_path(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    (said,) = send("mlflow", tmp_path / "why?mode=memory", [])
    assert "mlflow has failed" in said
    assert "without '?'" in said
    assert "the runs go on" in said
    assert not list(tmp_path.iterdir())


def test_runs_that_stop_are_closed_and_the_stop_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Whole(Broken):
        def log(self, run: str, values: Any, update: int) -> None:
            pass

        def close(self, run: str, finished: bool) -> None:
            closed.append(finished)

        view = "here"  # type: ignore[assignment]

    module = type(sys)("benchmark.tracking.to_whole")
    module.Whole = Whole  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(TRACKERS, "whole", Tracker("to_whole", "Whole", ()))
    with suppress(KeyboardInterrupt), tracked(["whole"], tmp_path, events.ignore, print) as listener:
        listener(described())
        raise KeyboardInterrupt
    assert closed == [False]


def test_trackers_that_cannot_be_used_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"tensorbord.*tensorboard"):
        check("tensorbord")
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"mlflow: mlflow, sqlalchemy, alembic is not .*pip install '\.\[mlflow\]'"):
        check("mlflow")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["finetune", "together"])
def test_events_tell_what_the_run_directory_keeps(strategy: str, tmp_path: Path) -> None:
    (config,) = plan(strategy, "four_tasks", "smoke", "0", "denoise,deblock", None, None, [])
    config = resolve(config)
    told: list[Event] = []
    run = job.run(config, tmp_path / "run", told.append)
    (description,) = [event for event in told if isinstance(event, events.RunDescribed)]
    assert description.config == run.config
    assert (description.path, description.updates) == (str(run.path), 0)
    updates = config.training.updates
    made = [event for event in told if isinstance(event, events.Updated)]
    assert [event.update for event in made] == list(range(1, 2 * updates + 1))
    curves = run.curves.drop_duplicates(["after", "epoch"])
    epochs = [event for event in told if isinstance(event, events.EpochEnded)]
    assert len(epochs) == len(curves)
    offsets = (curves["after"] - 1) * updates if strategy == "finetune" else 0
    assert [event.update for event in epochs] == list(curves["update"] + offsets)
    last = {event.update: event.learning_rate for event in made}
    for event, rate in zip(epochs, curves["learning_rate"], strict=True):
        assert event.epoch == 0 or last[event.update] == rate
    psnr = run.metrics.query("subject == 'output' and metric == 'psnr'")
    matrix = psnr.pivot(index="after", columns="place", values="value").to_numpy()
    measured = [event for event in told if isinstance(event, events.TaskMeasured)]
    assert [event.update for event in measured] == [event.after * updates for event in measured]
    assert [list(event.psnr.values()) for event in measured] == matrix.tolist()
    expected = float(np.mean(metrics.forgetting(matrix)[:-1])) if len(matrix) == 2 else None
    assert [event.forgetting for event in measured][-1] == expected
    assert isinstance(run, Run)

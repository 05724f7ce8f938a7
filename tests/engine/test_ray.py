"""Runs on Ray, and on machines that share no disk."""

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_jobs import PLUGIN, RESULTS, planned, same

from benchmark.core.errors import UserError
from benchmark.core.process import endings
from benchmark.core.runs.directory import Run
from benchmark.engine import events
from benchmark.engine.events import Event
from benchmark.engine.executors import cluster, remote
from benchmark.engine.executors.cluster import _ray
from benchmark.engine.executors.execute import execute
from benchmark.engine.executors.remote import Code, Files, Letter, Parcel, Token
from benchmark.engine.executors.workers import Workers
from strategies import registry

os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  (15 is minutes without a turn beside other tests)

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_ray_gives_what_one_process_gives_though_a_worker_is_killed_midway(
    shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    if not shared:  # then the machines of the cluster find no token, as if they did not see the folder
        monkeypatch.setattr(Token, "put", lambda token: token.path.write_text("of another"))
        connect = cluster.Cluster._connect
        monkeypatch.setattr(
            cluster.Cluster,
            "_connect",
            lambda self, *words, **more: (connect(self, *words, **more), setattr(self, "elsewhere", True)),
        )
    (tmp_path / "odd.py").write_text(PLUGIN)
    registry.add_plugin(str(tmp_path / "odd.py"))
    configs = planned("killed,cmc")
    alone = execute(configs, tmp_path / "alone", workers=Workers(jobs=1, threads=1))
    (tmp_path / "kill-1").touch()
    told: list[Event] = []
    on_ray = execute(configs, tmp_path / "ray", told.append, Workers(jobs=2, threads=1, engine="ray"))
    on_ray.check()
    same(alone, on_ray)
    lost = [event for event in told if isinstance(event, events.RunLost)]
    assert [event.run.partition("-")[0] for event in lost] == ["killed"]
    assert any(isinstance(event, events.RunResumed) and event.finished == 1 for event in told)
    updates = sum(event.count for event in told if isinstance(event, events.Updated) and event.run.startswith("cmc"))
    assert updates == 2 * configs[1].training.updates
    for one, other in zip(alone.runs, on_ray.runs, strict=True):
        assert names(one.path) == names(other.path)
        assert one.environment == other.environment


@needs_ray
@pytest.mark.slow
def test_a_node_of_a_ray_cluster_is_lost_midway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _ray(own=True)
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    (tmp_path / "odd.py").write_text(PLUGIN)
    registry.add_plugin(str(tmp_path / "odd.py"))
    configs = planned("held")
    alone = execute(configs, tmp_path / "alone", workers=Workers(jobs=1, threads=1))
    (tmp_path / "hold").touch()
    small = {"object_store_memory": 10**8, "include_dashboard": False}
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    nodes = [machines.add_node(num_cpus=1, **small)]
    told: list[Event] = []

    def listener(event: Event) -> None:
        told.append(event)
        if isinstance(event, events.TaskBegun) and event.place == 2 and len(nodes) == 1:
            machines.remove_node(nodes[0], allow_graceful=False)
            (tmp_path / "hold").unlink()
            nodes.append(machines.add_node(num_cpus=1, **small))

    try:
        on_ray = execute(
            configs, tmp_path / "ray", listener, Workers(threads=1, engine="ray", address=machines.address)
        )
    finally:
        machines.shutdown()
    on_ray.check()
    assert len(nodes) == 2
    same(alone, on_ray)
    assert any(isinstance(event, events.RunLost) for event in told)


def names(path: Path) -> list[str]:
    return [*remote.read(path)]


def parcel(config: object, path: Path, **more: object) -> Parcel:
    given = {"files": {}, "codes": [], "threads": 1, "token": Token(path.parent / "token", "x")}
    return Parcel(config=config.model_dump(mode="json"), path=path, **{**given, **more})  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_run_on_another_disk_comes_back_after_each_task_and_goes_on_elsewhere(tmp_path: Path) -> None:
    """As on a machine of Ray's that is lost in the second task, and on another one after it."""
    config = planned("cmc")[0]
    whole = execute([config], tmp_path / "alone", workers=Workers(jobs=1, threads=1)).runs[0]
    home = tmp_path / "home" / config.run_name
    letters: list[Letter] = []

    class Lost(Exception):
        pass

    def post(fails: bool) -> Callable[[Letter], str]:
        def send(letter: Letter) -> str:
            if fails and any(isinstance(one, events.TaskBegun) and one.place == 2 for one in letters):
                raise Lost
            letters.append(letter)
            if isinstance(letter, Files):
                letter.write(home)
            return ""

        return send

    with pytest.raises(Lost):
        remote.work(parcel(config, home), post(fails=True))
    back = Run(home)
    assert back.tasks_done == 1
    assert back.checkpoint(1).exists()
    letters.clear()
    ended = remote.work(parcel(config, home, files=remote.read(home)), post(fails=False))
    assert ended.state == "finished"
    assert events.RunResumed(home.name, 1, 2, config.training.updates) in letters
    for name in RESULTS:
        assert (whole.path / name).read_bytes() == (home / name).read_bytes(), name
    sent = [name for letter in letters if isinstance(letter, Files) for name in letter.written]
    assert "checkpoints/task-1.safetensors" not in sent, "only what has changed is sent"
    assert next(letter for letter in letters if isinstance(letter, Files)).written
    assert [*home.parent.iterdir()] == [home]


def test_a_run_that_is_to_stop_on_ray_says_what_stopped_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "_received", [])
    config = planned("finetune")[0]
    home = tmp_path / config.run_name

    def send(letter: Letter) -> str:
        if isinstance(letter, Files):
            letter.write(home)
        return "SIGHUP" if isinstance(letter, events.TaskBegun) else ""

    ended = remote.work(parcel(config, home), send)
    assert ended.state == "lost"
    assert Run(home).status["state"] == "interrupted"
    assert "SIGHUP" in Run(home).status["error"]


def test_an_error_on_ray_names_the_directory_that_the_user_knows(tmp_path: Path) -> None:
    config = planned("finetune")[0]
    broken = config.model_copy(update={"sources": [{**one, "train": {"name": "gone"}} for one in config.sources]})
    ended = remote.work(parcel(broken, tmp_path / "here" / "run"), lambda _: "")
    assert ended.state == "failed"
    assert "continual-restoration-" not in " ".join([ended.message, *ended.notes])


def test_a_plugin_is_shipped_to_ray_with_what_it_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    here = tmp_path / "here"
    (here / "my_parts").mkdir(parents=True)
    (here / "my_parts" / "__init__.py").write_text("")
    (here / "my_parts" / "names.py").write_text("NAME = 'mine'\n")
    (here / "mine.py").write_text(
        "from my_parts.names import NAME\nfrom strategies.base import Strategy\n\n\n"
        "class Mine(Strategy):\n    'Mine.'\n\n    name = NAME\n"
    )
    monkeypatch.syspath_prepend(here)
    registry.add_plugin(str(here / "mine.py"))
    config = planned("mine")[0]
    codes = remote.pack(config)
    assert {name for code in codes for name in code.files} == {"mine.py", "my_parts/__init__.py", "my_parts/names.py"}

    here.rename(tmp_path / "away")
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(here)])
    for name in [name for name in sys.modules if name.startswith("my_parts")]:
        monkeypatch.delitem(sys.modules, name)
    assert not registry.known(config)
    remote._learn(parcel(config, tmp_path / "run", codes=codes))
    assert registry.known(config), "the content is the same, wherever it lies"


@pytest.mark.parametrize("name", ["/etc/passwd", "../run/status.json", "a/../../b", ""])
def test_nothing_from_ray_is_written_outside_of_the_run(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leads out"):
        Files({name: b"x"}).write(tmp_path / "run")
    with pytest.raises(ValueError, match="leads out"):
        Code("mine.py", {name: b"x"}).unpack(tmp_path / "code")


def test_ray_that_is_not_installed_is_told_with_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install '\.\[ray\]'"):
        execute(planned("finetune"), tmp_path, workers=Workers(engine="ray"))


def test_a_ray_of_ones_own_that_cannot_be_started_is_told_without_a_word_of_clusters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: object) -> None:
        raise OSError("AF_UNIX path length cannot exceed 107 bytes")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    with pytest.raises(UserError, match=r"--engine ray: Ray cannot be started.* 107 bytes\n.*RAY_TMPDIR") as told:
        execute(planned("finetune"), tmp_path, workers=Workers(engine="ray"))
    assert "--address" not in str(told.value)

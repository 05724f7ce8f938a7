"""Many runs at once: equal to one after another, whatever fails, is killed or is busy meanwhile."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PATIENCE, ROOT, wait_until

from benchmark.commands import app
from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.process import endings
from benchmark.core.process.endings import Stopped
from benchmark.core.runs.directory import Run
from benchmark.core.runs.formats import FORMAT
from benchmark.core.runs.locks import RunBusy
from benchmark.engine import events, job
from benchmark.engine.events import Event
from benchmark.engine.executors import execute as executing
from benchmark.engine.executors.attempt import Ended, Throttled, attempt
from benchmark.engine.executors.execute import Results, RunsFailed, execute
from benchmark.engine.executors.places import Processes, Work
from benchmark.engine.executors.workers import Machine, Workers, choose_jobs, choose_threads, devices
from benchmark.engine.setup import resolve
from benchmark.planning import plan
from strategies import registry

RESULTS = ("metrics.csv", "outputs.csv", "curves.csv", "ledger.csv", "owned.csv")
PLUGIN = '''
import os, signal, time
from pathlib import Path
from benchmark.core.process import endings
from strategies.base import Strategy

HERE = Path(__file__).parent


class Killed(Strategy):
    """Its process is killed in its second task, as long as there are files that say so."""

    name = "killed"

    def before_training_iteration(self, template, **kwargs):
        left = [*HERE.glob("kill-*")]
        if left and template.experience.current_experience == 1:
            left[0].unlink()
            os.kill(os.getpid(), signal.SIGKILL)


class Held(Strategy):
    """Waits in its second task for as long as there is a file that says so."""

    name = "held"

    def before_training_iteration(self, template, **kwargs):
        second = template.experience.current_experience == 1
        while second and (HERE / "hold").exists() and not endings.pending():
            time.sleep(0.05)


class Broken(Strategy):
    """Fails in its second task, as long as there is a file that says so."""

    name = "broken"

    def before_training_iteration(self, template, **kwargs):
        if template.experience.current_experience == 1 and (HERE / "break").exists():
            raise ZeroDivisionError("odd")
'''


def planned(strategies: str, order: str = "denoise,deblock", seed: str = "0", *assignments: str) -> list[RunConfig]:
    return [resolve(one) for one in plan(strategies, "four_tasks", "smoke", seed, order, None, None, list(assignments))]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a plugin file with the strategies above."""
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    folder = tmp_path / "plugin"
    folder.mkdir()
    (folder / "odd.py").write_text(PLUGIN)
    registry.add_plugin(str(folder / "odd.py"))
    return folder


def same(one: Results, other: Results) -> None:
    """Assert that runs have equal tables."""
    for first, second in zip(one.runs, other.runs, strict=True):
        assert first.path != second.path
        assert first.environment["threads"] == second.environment["threads"]
        for name in RESULTS:
            assert (first.path / name).read_bytes() == (second.path / name).read_bytes(), (first.name, name)


@pytest.mark.slow
def test_jobs_beside_each_other_equal_one_after_another_though_one_is_killed_and_one_fails(
    tmp_path: Path, plugin: Path
) -> None:
    configs = planned("killed,broken,cmc,packnet")
    alone = execute(configs, tmp_path / "alone", workers=Workers(jobs=1, threads=1))
    alone.check()
    (plugin / "kill-1").touch()
    (plugin / "break").touch()
    told: list[Event] = []
    beside = execute(configs, tmp_path / "beside", told.append, Workers(jobs=2, threads=1))
    (failure,) = beside.failures
    assert failure.run.name.startswith("broken")
    assert not failure.bug
    assert failure.run.status["state"] == "failed"
    assert "ZeroDivisionError: odd" in (failure.run.path / "error.txt").read_text()
    assert [type(event) for event in told].count(events.RunLost) == 1
    assert any(isinstance(event, events.RunResumed) and event.run.startswith("killed") for event in told)
    with pytest.raises(RunsFailed, match="1 of 4 runs failed") as caught:
        beside.check()
    assert caught.value.exit_code == 2
    assert f"\n  {failure.run.name}: " in str(caught.value)

    (plugin / "break").unlink()
    told.clear()
    again = execute(configs, tmp_path / "beside", told.append, Workers(jobs=1, threads=1))
    again.check()
    assert [type(event) for event in told].count(events.RunKept) == 3
    assert any(isinstance(event, events.RunResumed) and event.run.startswith("broken") for event in told)
    same(alone, again)


@pytest.mark.slow
def test_a_signal_stops_all_jobs_and_each_says_so(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(
        "import time\nfrom pathlib import Path\nfrom benchmark.core.process import endings\n"
        "from strategies.base import Strategy\n\n\n"
        "class Waits(Strategy):\n    'Has a long step in its second task.'\n\n    name = 'waits'\n\n"
        "    def before_training_iteration(self, template, **kwargs):\n"
        "        if template.experience.current_experience == 1:\n"
        "            Path(f'waiting-{self.seed}').touch()\n"
        "            while not endings.pending():\n"
        "                time.sleep(0.05)\n"
    )
    words = ["run", "--strategy", "waits", "--preset", "smoke", "--order", "denoise,deblock", "--plugin", "waits.py"]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", *words, "--seed", "0,1", "--jobs", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGHUP)],
    )
    wait_until(lambda: len([*tmp_path.glob("waiting-*")]) == 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all processes
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.count("Interrupted") == 1
    assert said.count("1 of 2 tasks are finished and kept") == 2
    for path in (tmp_path / "runs").glob("waits-*"):
        status = Run(path).status
        assert (status["state"], status["tasks_done"]) == ("interrupted", 1)
        assert "Ctrl-C" in status["error"]


@pytest.mark.slow
def test_a_sweep_of_which_a_run_fails_reports_the_others_and_says_so(
    tmp_path: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (plugin / "break").touch()
    Path("mine.yaml").write_text("strategies: [broken, finetune]\n")
    words = ["sweep", "mine.yaml", "--preset", "smoke", "--plugin", str(plugin / "odd.py"), "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", ["benchmark", *words])
    with pytest.raises(SystemExit) as caught:
        app.main()
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert "one run at a time" in said.out
    assert "Report: " in said.out
    assert "1 of 2 runs failed; the others are finished.\n  broken-" in said.err
    assert "error.txt" in said.err
    assert "Traceback" not in said.err
    page = Path("report/index.html").read_text(encoding="utf-8")
    assert "Runs that did not finish" in page
    assert "ZeroDivisionError: odd" in page


def test_an_address_goes_with_ray_alone() -> None:
    with pytest.raises(UserError, match="--engine ray"):
        app.app(["run", "--strategy", "finetune", "--address", "auto"], standalone_mode=False)


class Made:
    """Places at which runs end as they are told to, one after another."""

    def __init__(self, jobs: int, ends: dict[str, list[Ended]]) -> None:
        self.jobs, self.ends, self.running, self.order = jobs, ends, [], []
        self.stopped = ""

    def begin(self, work: Work) -> None:
        assert len(self.running) < self.jobs
        self.running.append(work)
        self.order.append(work.path.name)

    def wait(self, on_event: object) -> list[tuple[Work, Ended]]:
        one = self.running.pop(0)
        return [(one, self.ends.get(one.path.name, [Ended("finished")]).pop(0))]

    def stop(self, signal: str) -> None:
        self.stopped = signal

    def close(self) -> None:
        pass


def drive(places: Made, names: str, folder: Path = Path("nowhere")) -> tuple[list[Event], list[executing.Failure]]:
    told: list[Event] = []
    failures: list[executing.Failure] = []
    config = planned("finetune")[0]
    executing._drive([Work(config, folder / name) for name in names], places, told.append, failures)
    return told, failures


def test_a_busy_run_is_come_back_to_after_all_other_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executing, "PAUSE", 0.01)
    places = Made(2, {"a": [Ended("busy", "held."), Ended("busy", "held."), Ended("finished")]})
    told, failures = drive(places, "abcd")
    assert [*dict.fromkeys(places.order)] == ["a", "b", "c", "d"]
    assert places.order[-1] == "a"
    assert told == [events.RunWaits("a", "held.")], "told once"
    assert not failures


def test_jobs_that_are_lost_or_fail_do_not_end_the_others(tmp_path: Path) -> None:
    Run.create(tmp_path / "a", {}, {"format": FORMAT}).update_status(state="running", tasks=2, tasks_done=1)
    lost = [Ended("lost", "gone")] * (executing.RETRIES + 1)
    places = Made(2, {"a": lost, "c": [Ended("failed", "odd", ("a note",), bug=True)]})
    told, failures = drive(places, "abcd", tmp_path)
    status = Run(tmp_path / "a").status
    assert (status["state"], status["error"], status["tasks_done"]) == ("failed", "gone, 3 times", 1)
    assert places.order.count("a") == executing.RETRIES + 1
    assert {"b", "d"} <= set(places.order)
    assert {failure.run.name: failure.bug for failure in failures} == {"a": False, "c": True}
    assert "gone, 3 times" in str(failures[-1].error if failures[-1].run.name == "a" else failures[0].error)
    assert sum(isinstance(event, events.RunFailed) for event in told) == 2
    error = RunsFailed(failures, 4)
    assert error.exit_code == 1, "the suite is to blame for one"
    assert len(str(error).splitlines()) == 3


@pytest.mark.parametrize("ended", [0, 1, 2])
def test_what_goes_on_after_runs_were_done_again_repeats_none_of_them_and_names_what_is_left(
    ended: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stops(Made):
        def wait(self, on_event: object) -> list[tuple[Work, Ended]]:
            if len(self.order) > ended:
                raise Stopped("SIGTERM")
            return super().wait(on_event)

    monkeypatch.setattr(endings, "_done", set())
    config = planned("finetune")[0]
    for name in "abc":
        Run.create(tmp_path / name, {}, {"format": FORMAT}).update_status(state="finished", tasks=1, tasks_done=1)
    with pytest.raises(Stopped) as caught:
        executing._drive([Work(config, tmp_path / name, True) for name in "abc"], Stops(1, {}), events.ignore, [])
    notes = getattr(caught.value, "__notes__", [])
    assert ("--force" in endings.command(["run", "--force"])) == (not ended)
    if not ended:
        assert not notes, "the same command does it all"
    else:
        left = "b, c" if ended == 1 else "c"
        assert notes[-1] == f"Still as before, to be repeated with --force: {left}."


def test_what_stops_the_command_stops_the_jobs() -> None:
    class Stops(Made):
        def wait(self, on_event: object) -> list[tuple[Work, Ended]]:
            raise Stopped("SIGHUP")

    places = Stops(2, {})
    with pytest.raises(Stopped):
        drive(places, "ab")
    assert places.stopped == "SIGHUP"


def test_an_attempt_tells_busy_from_failed_and_keeps_the_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = planned("finetune")[0]
    run = Run.create(tmp_path / "run", config.model_dump(mode="json"), {})

    def raises(error: Exception) -> Ended:
        def fails(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(job, "run", fails)
        return attempt(config, run.path, events.ignore)

    assert raises(RunBusy("process 7 writes it")).state == "busy"
    mendable = raises(UserError("too large"))
    assert (mendable.state, mendable.bug, mendable.message) == ("failed", False, "too large")
    assert not (run.path / "error.txt").exists()
    bug = raises(KeyError("x"))
    assert (bug.state, bug.bug) == ("failed", True)
    assert "KeyError: 'x'" in (run.path / "error.txt").read_text()
    assert run.status["state"] == "failed"
    sent = bug.sent()
    assert sent.error is None
    assert str(sent.exception()) == bug.message


def test_updates_that_are_held_back_are_counted() -> None:
    told: list[Event] = []
    clock = [0.0]
    throttled = Throttled(told.append, seconds=1.0, now=lambda: clock[0])
    for update in range(95):
        clock[0] = update * 0.1
        throttled(events.Updated("run", loss=float(update)))
    throttled(events.RunFinished("run", 9.5))
    updates = [event for event in told if isinstance(event, events.Updated)]
    assert sum(event.count for event in updates) == 95
    assert len(updates) <= 11
    assert updates[-1].loss == 94
    assert isinstance(told[-1], events.RunFinished), "in order"


@pytest.mark.parametrize("several", [False, True])
def test_threads_do_not_depend_on_the_number_of_jobs_or_of_what_is_missing(several: bool) -> None:
    small = planned("finetune,cmc" if several else "finetune")
    wide = planned("finetune,cmc", "denoise", "0", "backbone.width=64")
    machine = Machine(cores=8, threads=8)
    assert choose_threads(small, None, machine) == (1 if several else 8)
    assert choose_threads(small, 3, machine) == 3
    assert choose_threads(small, None, Machine(8, 2, asked=2)) == 2
    assert choose_threads(wide, None, machine) == 8
    assert choose_threads(wide, None, Machine(8, 8, gpus=("0", "1"))) == 4


@pytest.mark.parametrize(
    ("said", "asked"),
    [("3", 3), ("4,2", 4), ("0", None), ("-1", None), ("many", None), ("", None), ("1e999", None), ("9" * 12, None)],
)
def test_a_number_of_threads_that_no_run_could_have_counts_as_not_set(
    said: str, asked: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert Machine.here().asked == asked


def test_jobs_are_as_many_as_have_cores_and_no_more_than_are_missing() -> None:
    many = planned("finetune", "denoise", "0,1,2,3", "training.updates_per_epoch=1000")
    machine = Machine(cores=8, threads=8)
    assert choose_jobs(many, 1, Workers(), machine) == 4
    assert choose_jobs(many, 1, Workers(), Machine(2, 2)) == 2
    assert choose_jobs(many, 8, Workers(), machine) == 1
    assert choose_jobs(many, 8, Workers(jobs=3), machine) == 3
    assert choose_jobs(many[:1], 1, Workers(jobs=3), machine) == 1
    assert choose_jobs(planned("finetune,cmc"), 1, Workers(), machine) == 1, "a process takes longer to start"
    assert choose_jobs(many, 1, Workers(), Machine(8, 8, gpus=("0", "1"))) == 2
    assert choose_jobs([], 1, Workers(), machine) == 1


def test_jobs_on_gpus_see_one_device_each() -> None:
    assert devices(2, ["0", "1"]) == ["0", "1"]
    assert devices(5, ["3", "GPU-b"]) == ["3", "GPU-b", "3", "GPU-b", "3"], "several where there are more runs"
    assert devices(2, []) == [None, None]


@pytest.mark.slow
def test_a_process_for_jobs_has_its_threads_and_its_device_and_ends_with_its_pipe(tmp_path: Path) -> None:
    places = Processes(1, devices(1, ["7"]))
    (tmp_path / "run").write_text("no run")
    places.begin(Work(planned("finetune")[0], tmp_path / "run"))
    process = places.busy[0][0].process
    ended: list[tuple[Work, Ended]] = []
    until = time.monotonic() + PATIENCE
    while not ended:
        assert time.monotonic() < until
        ended = places.wait(events.ignore)
    surroundings = Path(f"/proc/{process.pid}/environ")  # of a process that surely is one of its own by now
    if surroundings.exists():
        assert b"CUDA_VISIBLE_DEVICES=7" in surroundings.read_bytes().split(b"\0")
        assert b"OMP_NUM_THREADS=1" in surroundings.read_bytes().split(b"\0")
    assert ended[0][1].state == "failed"
    assert "is no run of this suite" in ended[0][1].message
    places.close()
    assert process.exitcode == 0


def test_a_process_that_is_stopped_while_it_starts_says_nothing() -> None:
    """The signal is held back until the process can hear it."""
    started = (
        "import os, signal; from multiprocessing import Pipe, Value; from benchmark.engine.executors import child\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); os.kill(os.getpid(), signal.SIGTERM)\n"
        "child.main(Pipe()[0], Value('i', 1), 1)"
    )
    done = subprocess.run([sys.executable, "-c", started], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

"""Whatever ends a command is said once, and stands in the run's record as what it is."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pytest
from conftest import PATIENCE, ROOT, wait_until
from made_runs import made_run

from benchmark.core.errors import UserError
from benchmark.core.runs import processes
from benchmark.core.runs.directory import GONE, Run

WAITS = '''
import os, time
from pathlib import Path
from benchmark.core.process import endings
from strategies.base import Strategy


class Waits(Strategy):
    """Waits in the training of its second task for as long as a file is there."""

    name = "waits"

    def before_training_iteration(self, template, **kwargs):
        if template.experience.current_experience == 1 and Path("hold").exists():
            Path("waiting").touch()
            time.sleep(0.05)
            {then}
'''
LONG = "while Path('hold').exists() and not endings.pending(): time.sleep(0.05)"
WORDS = ["run", "--strategy", "waits", "--preset", "smoke", "--order", "denoise,deblock", "--plugin", "waits.py"]


def write_plugin(folder: Path, then: str) -> None:
    (folder / "waits.py").write_text(WAITS.format(then=then))
    (folder / "hold").touch()


def begin(folder: Path, *words: str, then: str = "", **pipes: Any) -> subprocess.Popen[str]:
    """The real command with a plugin that waits in training; signals are heard, whatever this process ignores."""
    write_plugin(folder, then or LONG)
    return subprocess.Popen(
        [sys.executable, "-m", "benchmark", *(words or WORDS)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        text=True,
        preexec_fn=lambda: [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGHUP)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes},
    )


def the_run(folder: Path) -> Run:
    return Run(next((folder / "runs").glob("waits-*")))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGHUP", 129)])
def test_a_signal_in_training_is_recorded_and_told(name: str, code: int, tmp_path: Path) -> None:
    write_plugin(tmp_path, LONG)
    process = forked.begin(*WORDS, cwd=tmp_path)
    wait_until((tmp_path / "waiting").exists, process)
    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, said
    status = json.loads((the_run(tmp_path).path / "status.json").read_text())
    assert (status["state"], status["tasks_done"]) == ("interrupted", 1)
    told = "Ctrl-C" if name == "SIGINT" else name
    assert told in status["error"]
    assert said.count("Interrupted") == 1
    assert told in said
    assert "1 of 2 tasks" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_what_is_said_of_sigterm_can_be_pasted_and_goes_on(tmp_path: Path) -> None:
    words = [word.replace("waits", "finetune,waits") if word == "waits" else word for word in WORDS]
    process = begin(tmp_path, *words, "--force")
    wait_until((tmp_path / "waiting").exists, process)
    process.terminate()
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, said
    assert the_run(tmp_path).status["state"] == "interrupted"
    finished = Run(next((tmp_path / "runs").glob("finetune-*")))
    assert finished.finished
    assert f"Finished before it, and kept: {finished.name}" in said
    pasted = shlex.split(said.rpartition("Go on with: ")[2])
    assert pasted[1:] == ["-m", "benchmark", *words], "--force would begin again"
    (tmp_path / "hold").unlink()
    again = forked.run(*pasted[3:], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "goes on after 1 of 2" in again.stdout
    assert the_run(tmp_path).status["error"] is None


@pytest.mark.slow
def test_a_closed_pipe_ends_a_run_as_interrupted(tmp_path: Path) -> None:
    process = begin(tmp_path, then="time.sleep(0.05); Path('hold').unlink(missing_ok=True)")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(timeout=PATIENCE) == 141, said
    assert the_run(tmp_path).status["state"] == "interrupted"
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert "closed pipe" in said
    assert "Go on with" in said


def test_a_run_whose_process_was_killed_counts_as_interrupted(tmp_path: Path) -> None:
    ask = "import json; from benchmark.core.runs import processes; print(json.dumps(processes.identity()))"
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    run = Run.create(tmp_path / "run", {}, {})
    run.update_status(state="running", process=json.loads(done.stdout), tasks_done=1)
    assert (run.status["state"], run.status["error"]) == ("interrupted", GONE)
    run.update_status(state="running", process=processes.identity(), error=None)
    assert run.status["state"] == "running"


def test_a_process_is_known_by_more_than_its_number() -> None:
    here = processes.identity()
    assert not processes.gone(here)
    assert not processes.gone({**here, "host": "elsewhere", "pid": 2**22 + 5}), "cannot be told from here"
    assert not processes.gone(None), "a run from before processes were recorded"
    if here["began"]:
        assert processes.gone({**here, "began": "an earlier one with the same number"})


def test_ctrl_c_while_the_suite_is_being_imported(tmp_path: Path) -> None:
    slow = tmp_path / "typer.py"
    slow.write_text("import time\nopen('importing', 'w').close()\ntime.sleep(600)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark", "list", "presets"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until((tmp_path / "importing").exists, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.count("Interrupted") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("then", "told"),
    [
        ("raise ZeroDivisionError('odd')", ["'waits'", "waits.py, line", "ZeroDivisionError: odd"]),
        ("raise SystemExit(0)", ["'waits'", "SystemExit"]),
        ("raise MemoryError", ["memory is full", "training.batch_size"]),
        ("raise OSError(28, 'No space left on device')", ["No space left on device", "--out"]),
    ],
)
def test_an_error_in_training_is_recorded_and_told(
    then: str, told: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.engine.local import execute
    from benchmark.engine.setup import resolve
    from benchmark.planning import plan
    from strategies import registry

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    Path("hold").touch()
    Path("waits.py").write_text(WAITS.format(then=then))
    registry.add_plugin("waits.py")
    configs = [resolve(one) for one in plan("waits", "four_tasks", "smoke", "0", "denoise,deblock", None, None, [])]
    with pytest.raises(UserError) as caught:
        execute(configs, Path("runs"))
    said = "\n".join([str(caught.value), *caught.value.__notes__])
    run = the_run(tmp_path)
    assert run.status["state"] == "failed"
    for text in told:
        assert text in said
    assert "1 of 2 tasks are finished" in said
    assert then.partition("(")[0].split()[1] in (run.path / "error.txt").read_text()


def semaphores() -> None:
    """Fail as multiprocessing does where /dev/shm has no room for a semaphore."""
    exec(compile("raise OSError(28, 'No space left on device')", "/usr/lib/multiprocessing/synchronize.py", "exec"))


def raised(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("fail", "part"),
    [
        (semaphores, "data.workers=0"),
        (raised(RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: (28)")), "data.workers=0"),
        (raised(RuntimeError("killed by signal: Bus error. The workers are out of shared memory.")), "data.workers=0"),
        (raised(RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")), "batch_size"),
        (raised(RuntimeError("Too many open files. Communication with the workers is over.")), "ulimit -n"),
        (raised(OSError(24, "Too many open files", "/etc/hosts")), "ulimit -n"),
        (raised(OSError(12, "Cannot allocate memory")), "batch_size"),
        (raised(MemoryError()), "batch_size"),
        (raised(OSError(28, "No space left on device")), "--out"),
    ],
)
def test_a_run_that_has_too_little_of_something_says_of_what(fail: Callable[[], None], part: str) -> None:
    from benchmark.engine.endings import reachable

    with pytest.raises(UserError, match=part), reachable(Path("runs/one")):
        fail()
    with pytest.raises(RuntimeError, match="odd"), reachable(Path("runs/one")):
        raise RuntimeError("odd")


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (MemoryError(), ["memory is full", "(MemoryError)"]),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), ["memory is full", "libtorch_cpu"]),
        (OSError(24, "Too many open files", "/etc/hosts"), ["ulimit -n", "/etc/hosts"]),
        (OSError(28, "No space left on device"), ["TMPDIR", "No space left on device"]),
    ],
)
def test_a_command_that_has_too_little_of_something_says_of_what(
    error: Exception, parts: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmark.commands import app

    monkeypatch.setattr(app, "app", raised(error))
    with pytest.raises(SystemExit) as caught:
        app.main()
    assert caught.value.code == 2
    said = capsys.readouterr().err
    for part in parts:
        assert part in said
    monkeypatch.setattr(app, "app", raised(ImportError("odd")))
    with pytest.raises(ImportError, match="odd"):
        app.main()


def test_a_record_that_is_one_file_too_many_is_not_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.core.runs import directory

    run = made_run(tmp_path)
    monkeypatch.setattr(directory, "content", lambda path, largest: raised(OSError(24, "Too many open files"))())
    with pytest.raises(OSError, match="Too many open files"):
        _ = run.status


def test_a_plugin_that_ends_the_process_on_import_is_told(tmp_path: Path) -> None:
    from strategies import registry

    (tmp_path / "leaves.py").write_text("raise SystemExit(0)\n")
    with pytest.raises(UserError, match=r"leaves\.py cannot be imported: SystemExit"):
        registry.add_plugin(str(tmp_path / "leaves.py"))


def test_a_list_into_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "list", "settings", "--names"],
        cwd=ROOT,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""


def test_a_plugin_that_interrupts_on_import_is_told(tmp_path: Path) -> None:
    from benchmark.commands.app import app
    from benchmark.core.process.endings import Stopped

    (tmp_path / "interrupts.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(Stopped, match="Ctrl-C"):
        app(["list", "presets", "--plugin", str(tmp_path / "interrupts.py")])


@pytest.mark.slow
def test_a_check_that_fails_names_no_folder_that_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmark.commands import app
    from strategies import registry

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    monkeypatch.setattr(sys, "argv", ["benchmark", "check", "--strategy", "waits", "--plugin", "waits.py"])
    Path("hold").touch()
    Path("waits.py").write_text(WAITS.format(then="raise ValueError('odd')"))
    with pytest.raises(SystemExit) as caught:
        app.main()
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert "ValueError: odd" in said
    assert "kept" not in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_onto_a_full_disk_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "benchmark", "list", "presets"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [["show", "nothing"], ["show", "--nothing"], ["list", "presets"]])
def test_an_error_that_cannot_be_told_has_its_exit_code(words: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "benchmark", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=full,
        )
    assert done.returncode == 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["data", "--help"], ["run", "-h"], ["list", "strategies", "--guide"]])
def test_help_and_pages_onto_a_full_disk_are_told(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.commands.app import app

    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(UserError, match="cannot be written: No space left on device"):
            app(words)
        monkeypatch.undo()


def test_a_page_into_a_closed_pipe_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.core import printing
    from benchmark.core.process.endings import Stopped

    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as closed:  # noqa: PTH123 (a descriptor)
        monkeypatch.setattr(sys, "stdout", closed)
        with pytest.raises(Stopped, match="closed pipe"):
            printing.page("a page\n")
        monkeypatch.undo()


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    code = """
import sys
from benchmark.core.process import surroundings
surroundings.prepare()
with open("written", "w") as file:
    sys.stdout.reconfigure(line_buffering=True)
    print("said")
    print("told", file=sys.stderr)
    file.write(str(file.fileno()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: [os.close(stream) for stream in range(3)],
    )
    assert done.returncode == 0
    assert int((tmp_path / "written").read_text()) > 2

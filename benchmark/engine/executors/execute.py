"""Doing runs: which are missing, where they are made, and what becomes of those that fail, are lost or are busy.

Where runs are made (:mod:`benchmark.engine.executors.places`, :mod:`benchmark.engine.executors.cluster`) is all that
differs between engines. For all of them:

* A run that fails is recorded in its directory, and the others go on.
* A run whose process is lost (killed, out of memory, with its machine) is tried again, :data:`RETRIES` times; it goes
  on from what is kept of it. Then it is recorded as failed.
* A run that another process writes is come back to after all others; when that process has finished it, it is kept.
* A signal ends all runs after their current step; each says so in its directory.
"""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from avalanche.core import SupervisedPlugin

from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.process import endings
from benchmark.core.process.endings import Stopped
from benchmark.core.runs.directory import Run, locate
from benchmark.engine import events, job
from benchmark.engine.distributed import group
from benchmark.engine.events import Listener
from benchmark.engine.executors import workers as sharing
from benchmark.engine.executors.attempt import Ended
from benchmark.engine.executors.places import Here, Places, Processes, Work
from benchmark.engine.executors.workers import Machine, Workers

RETRIES = 2
"""How often a run is tried again whose process was lost."""
PAUSE = 5.0
"""Seconds until a run that another process writes is tried again."""


@dataclass(frozen=True)
class Failure:
    """A run that failed.

    Args:
        run: its directory, there or not.
        error: why.
        bug: whether the suite, and not what the user gave, is to blame.
    """

    run: Run
    error: Exception
    bug: bool


class RunsFailed(UserError):
    """Some of several runs failed; ``exit_code`` is 1 if the suite is to blame for one of them."""

    def __init__(self, failures: Sequence[Failure], runs: int, force: bool = False) -> None:
        lines = [f"{one.run.name}: {_line(one)}" for one in failures]
        super().__init__("\n  ".join([f"{len(failures)} of {runs} runs failed; the others are finished.", *lines]))
        self.exit_code = 1 if any(one.bug for one in failures) else 2
        self.add_note(f"The same command{_without(force)} tries them again, and goes on from what is kept of them.")


@dataclass(frozen=True)
class Results:
    """What has become of some runs.

    Args:
        runs: their directories, in the order of the configurations.
        failures: those that failed, in the order in which they did.
        force: whether finished runs were done again.
    """

    runs: list[Run]
    failures: list[Failure]
    force: bool = False

    @property
    def begun(self) -> list[Run]:
        """The runs of which there is something on disk."""
        return [run for run in self.runs if (run.path / "config.yaml").is_file()]

    def check(self) -> None:
        """Raise the error of the only run, or an error that names those of several that failed.

        Raises:
            RunsFailed: some of several runs failed.
            Exception: the only run failed, as it did.
        """
        if self.failures and len(self.runs) == 1:
            raise self.failures[0].error
        if self.failures:
            raise RunsFailed(self.failures, len({run.path for run in self.runs}), self.force)


def execute(
    configs: Sequence[RunConfig],
    out: Path,
    on_event: Listener = events.ignore,
    workers: Workers = Workers(),
    *,
    force: bool = False,
    plugins: Sequence[SupervisedPlugin] = (),
    weights: Sequence[float] | None = None,
) -> Results:
    """Do the runs that are not done yet, below ``out``.

    A finished run of the same content, wherever below ``out`` it lies, is kept; an interrupted one goes on, see
    :func:`benchmark.engine.job.run`. Results do not depend on where and how many at once runs are made, but on the
    number of threads.

    Args:
        configs: what to run, resolved; equal ones are done once.
        out: folder for the run directories.
        on_event: told of every step, in this thread.
        workers: how many at once, where, and with how many threads.
        force: do finished runs again.
        plugins: further Avalanche plugins for every run, called after the strategy.
        weights: for each run how long an update takes, in any unit, for the time that is foretold; equal if not given.

    Raises:
        UserError: nothing can be started: something else stands in a run's place, or there is no Ray.
        Stopped: a signal came.
    """
    if group.size() > 1:
        workers = _together(workers)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to '{out}': {error.strerror}. Choose another folder with --out.") from error
    known = locate(out)
    places = [known.get(config.identity, out / config.run_name) for config in configs]
    for path in places:
        job.refuse_foreign(path)
    shares = {
        path.name: events.Share(config.training.updates * len(config.order), weight)
        for path, config, weight in zip(places, configs, weights or [1.0] * len(configs), strict=True)
    }
    all_work = {path: Work(config, path, force, plugins) for path, config in zip(places, configs, strict=True)}
    missing = [one for one in all_work.values() if force or not _finished(one.path)]
    kept = [one for one in all_work.values() if one not in missing]
    machine = Machine.here()
    threads = sharing.choose_threads(configs, workers.threads, machine)
    failures: list[Failure] = []
    with sharing.using(threads):
        made = _places(missing, threads, workers, machine, out)
        try:
            on_event(events.Planned("", shares, made.jobs, threads))
            _drive(kept, Here(), on_event, failures)
            _drive(missing, made, on_event, failures)
            endings.had_effect("--force")
        finally:
            made.close()
    return Results([Run(path) for path in places], failures, force)


def _together(workers: Workers) -> Workers:
    """What is asked for, where all processes that torchrun has started train one run at a time.

    Raises:
        UserError: more is asked for.
    """
    if workers.engine == "ray" or (workers.jobs or 1) > 1:
        asked = "--engine ray" if workers.engine == "ray" else f"--jobs {workers.jobs}"
        raise UserError(
            f"{asked}: the {group.size()} processes of torchrun train one run at a time. Leave one of both out."
        )
    return replace(workers, jobs=1)


def _places(missing: Sequence[Work], threads: int, workers: Workers, machine: Machine, out: Path) -> Places:
    """Where the missing runs are made."""
    configs = [one.config for one in missing]
    if workers.engine == "ray" and missing:
        from benchmark.engine.executors.cluster import Cluster

        return Cluster(configs, threads, workers, machine, out)
    jobs = sharing.choose_jobs(configs, threads, workers, machine)
    gpus = () if sharing.on_cpu(configs) else machine.gpus
    return Here() if jobs == 1 else Processes(threads, sharing.devices(jobs, gpus))


def _drive(work: Iterable[Work], places: Places, on_event: Listener, failures: list[Failure]) -> None:
    """Do runs at some places until all have ended.

    Raises:
        Stopped: a signal came; its notes say what is kept.
    """
    waiting, running = deque(work), list[Work]()
    force = any(one.force for one in waiting)
    finished: list[Run] = []
    told: set[Path] = set()
    try:
        while waiting or running:
            endings.check()
            for one in [one for one in waiting if one.not_before <= time.monotonic()][: places.jobs - len(running)]:
                waiting.remove(one)
                running.append(one)
                places.begin(one)
            if not running:
                time.sleep(min(PAUSE, 0.2))  # until those that another process writes may be tried again
                continue
            for one, ended in places.wait(on_event):
                running.remove(one)
                run = Run(one.path)
                if ended.state == "finished":
                    finished.append(run)
                elif ended.state == "busy":
                    if one.path not in told:
                        on_event(events.RunWaits(run.name, ended.message))
                    told.add(one.path)
                    one.not_before = time.monotonic() + PAUSE
                    waiting.append(one)
                elif ended.state == "lost" and one.lost < RETRIES:
                    on_event(events.RunLost(run.name, ended.message))
                    one.lost += 1
                    one.force = one.force and _finished(one.path)  # what it had begun anew, it goes on with
                    waiting.appendleft(one)
                else:
                    failures.append(_failed(run, ended, one.lost, force))
                    on_event(events.RunFailed(run.name, _line(failures[-1])))
    except BaseException as stop:
        usual = "SIGINT" if isinstance(stop, KeyboardInterrupt) else "SIGTERM"
        places.stop(stop.signal if isinstance(stop, Stopped) else usual)
        as_before = [one for one in (*running, *waiting) if one.force and _finished(one.path)]
        begun = [Run(one.path) for one in running if one not in as_before]
        _note(stop, begun, finished, force)
        if finished or failures or any(run.path.exists() for run in begun):
            endings.had_effect("--force")
            if as_before:
                names = ", ".join(one.path.name for one in as_before)
                stop.add_note(f"Still as before, to be repeated with --force: {names}.")
        raise


def _failed(run: Run, ended: Ended, lost: int, force: bool) -> Failure:
    """A run that is not tried again."""
    if ended.state == "lost":
        message = f"{ended.message}, {lost + 1} times"
        with suppress(OSError, UserError):
            if (run.path / "config.yaml").is_file():
                run.update_status(state="failed", error=message)
        ended = Ended("failed", f"{run.name}: {message}. Free memory, or do fewer runs at once with --jobs.")
    error = ended.exception()
    _note(error, [run], [], force)
    return Failure(run, error, ended.bug)


def _note(error: BaseException, unfinished: Sequence[Run], finished: Sequence[Run], force: bool) -> None:
    """Let an error tell what is kept of runs that it has ended, and which runs before it are finished."""
    for run in unfinished:
        with suppress(UserError):
            status = run.status if run.path.is_dir() else {}
            if "tasks" in status:
                kept = f"{run.tasks_done} of {status['tasks']} tasks are finished and kept"
                if run.updates_done:
                    kept += f", and {run.updates_done:,} updates of the next one,"
                same = f"the same command{_without(force)}"
                error.add_note(f"{run.name}: {kept} in '{run.path}'; {same} goes on from there.")
    if finished:
        error.add_note(f"Finished before it, and kept: {', '.join(one.name for one in finished)}.")


def _without(force: bool) -> str:
    """What the same command has to leave out if it is to go on."""
    return " without --force" if force else ""


def _finished(path: Path) -> bool:
    with suppress(UserError):
        return Run(path).finished
    return False


def _line(failure: Failure) -> str:
    """Why a run failed, in one line."""
    kept = [note for note in getattr(failure.error, "__notes__", []) if note.startswith("The traceback is kept")]
    kind = f"{type(failure.error).__name__}: " if failure.bug and type(failure.error) is not RuntimeError else ""
    return " ".join([kind + str(failure.error).replace("\n", " "), *kept])

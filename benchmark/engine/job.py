"""One run, from a resolved configuration to a finished directory.

:func:`run` takes plain data and can be pickled, so that it can be called here, in another process or on another
machine; :mod:`benchmark.engine.executors` has it called for many runs.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from avalanche.core import SupervisedPlugin

from benchmark.config import RunConfig, checked
from benchmark.core.addresses import torch_seed
from benchmark.core.clock import moment
from benchmark.core.errors import UserError
from benchmark.core.runs import processes, seals
from benchmark.core.runs.directory import LOST, Run
from benchmark.core.runs.formats import FORMAT
from benchmark.core.runs.locks import writing
from benchmark.core.runs.writing import is_temporary
from benchmark.engine import checkpoints, events, ledger, setup
from benchmark.engine.checkpoints import NOTHING, Found, State, tasks_after
from benchmark.engine.distributed import group
from benchmark.engine.distributed.meeting import Meeting
from benchmark.engine.endings import blamed, reachable, recorded
from benchmark.engine.events import Listener
from benchmark.engine.recorder import Recorder
from benchmark.engine.setup import NO_RESULT, environment, make_ready, prepare, training_rounds
from benchmark.engine.template import RestorationTemplate
from benchmark.engine.trial import try_sizes
from benchmark.planning import settings_from
from benchmark.streams.build import build
from benchmark.streams.sources import refuse_changed
from strategies import registry
from strategies.base import Strategy
from strategies.identifier import PATCHES, Identifier


def run(
    config: RunConfig | Mapping[str, Any],
    path: Path | str,
    on_event: Listener = events.ignore,
    *,
    force: bool = False,
    plugins: Sequence[SupervisedPlugin] = (),
) -> Run:
    """Do one run, unless it is finished; an interrupted one goes on from its last checkpoint, also within a task.

    It ends bit for bit as if it had never stopped (on the CPU, with as many threads). A damaged checkpoint is told and
    never taken up: the run goes back to the one before. A finished run whose tables are damaged is mended from its last
    checkpoint, and one that has lost a checkpoint from the one before that. In a group of processes the one that leads
    calls this, and the others train along (:mod:`benchmark.engine.follower`).

    Args:
        config: what to run, resolved (:func:`benchmark.engine.setup.resolve`); or the same as plain values, as they
            stand in ``config.yaml``.
        path: the run directory.
        on_event: told of every step.
        force: begin again, also if it is finished.
        plugins: further Avalanche plugins, called after the strategy.

    Returns:
        The finished run.

    Raises:
        RunBusy: another process does this run.
        UserError: it cannot be run with what is here, something else stands at the path, what is damaged of it is kept
            nowhere else, or training has failed; what was finished of it is kept, and the directory's status says what
            ended it.
    """
    if not isinstance(config, RunConfig):
        config = checked(**config)
    path = Path(path)
    refuse_foreign(path)
    with reachable(path):
        if _kept(path, force, on_event):
            return Run(path)
        registry.recall(config)
        on_event(events.RunBegun(path.name))
        arrived = time.monotonic()
        device = make_ready(config.training)
        group.require(config.training, device, plugins)
        strategy, model = prepare(config)
        benchmark = build(config)
        if config.sources:
            refuse_changed(benchmark.tasks, config.data, config.sources)
        identifier = Identifier(config.training.patch_size) if config.evaluation.identify else None
        recorder = Recorder(Run(path), benchmark, on_event, config.evaluation, identifier)
        meeting = [Meeting(strategy)] if group.size() > 1 else []
        template = setup.template(config, strategy, model, device, (recorder, *meeting, *plugins))
        with writing(path):
            if _kept(path, force, events.ignore):  # finished by another process meanwhile
                on_event(events.RunKept(path.name))
            else:
                found = NOTHING if force else checkpoints.find(Run(path))
                _go_on(config, template, recorder, found, arrived)
    return Run(path)


def _go_on(config: RunConfig, template: RestorationTemplate, recorder: Recorder, found: Found, arrived: float) -> None:
    """Do what is left of a run, as the only one who writes its directory; ``arrived`` is when it was begun."""
    strategy, on_event = template.strategy, recorder.on_event
    record, differs = _opened(config, template, recorder, found)
    lost = "" if found.nothing or (record.path / "status.json").exists() else LOST
    with blamed(config):
        rounds = training_rounds(strategy, recorder.benchmark)
    done = sum(tasks_after(experience) <= found.after for experience, _ in rounds)
    spent = _spent(record.status, done, found.after)
    with recorded(record, config), group.together():
        tasks = len(recorder.benchmark.tasks)
        _announce(config, record, found, strategy, tasks, spent)
        if found.task is not None:
            learned = [experience for experience, _ in rounds[:done]]
            checkpoints.resume(template, strategy, learned, found.task, record.checkpoint(found.after))
            if recorder.identifier is not None:
                recorder.identifier.load_state(found.task.part("identifier"))
        last = found.within or found.task
        updates = config.training.updates * found.after + (last.note.get("updates", 0) if last else 0)
        resolved = config.model_dump(mode="json")
        on_event(events.RunDescribed(record.name, str(record.path), config.identity, resolved, updates))
        if last is not None:
            gone = recorder.restore(last.note)
            on_event(events.RunResumed(record.name, found.after, tasks, updates, differs, lost, gone))
        else:
            try_sizes(config, recorder.benchmark, template.device)
            recorder.measure_inputs()
        record.update_status(seconds_to_start=round(time.monotonic() - arrived, 3))
        within = found.within
        for experience, budget in rounds[done:]:
            _learn(config, template, recorder, experience, budget, within, spent)
            within = None
        seconds = spent["seconds_per_task"]
        known = len(seconds) == len(rounds)
        record.update_status(state="finished", seconds=round(sum(seconds), 3) if known else None)
    on_event(events.RunFinished(record.name, sum(seconds)))


def _opened(config: RunConfig, template: RestorationTemplate, recorder: Recorder, found: Found) -> tuple[Run, str]:
    """The run directory, ready to be written on, and in what the machine differs from that before, in words."""
    path, on_event = recorder.run.path, recorder.on_event
    if found.damaged:
        on_event(events.RunDamaged(path.name, {file.name: problem for file, problem in found.damaged.items()}))
    if found.nothing:
        seals.discard_unreadable(path)
        _tell_older(Run(path), on_event)
    if found is not NOTHING and (path / seals.STATUS).exists():  # first: else what is lost would count as never made
        Run(path).update_status(state="running", process=processes.identity(), tasks_done=found.after, error=None)
    _tidy(path, found)
    made, differs = environment(template.device, config), ""
    if not found.nothing:
        made, differs = _with_earlier(made, Run(path), found.after)
    return Run.create(path, config.model_dump(mode="json"), made), differs


def _spent(status: Mapping[str, Any], rounds: int, tasks: int) -> dict[str, Any]:
    """What the status tells of the time and memory that learned rounds and tasks took; it grows with every round."""
    peaks = {after: peak for after, peak in status.get("peak_memory", {}).items() if int(after) <= tasks}
    return {"seconds_per_task": status.get("seconds_per_task", [])[:rounds], "peak_memory": peaks}


def _announce(
    config: RunConfig, record: Run, found: Found, strategy: Strategy, tasks: int, spent: Mapping[str, Any]
) -> None:
    """Tell the directory's readers, and the other processes of a group, that the run goes on, and from where."""
    record.update_status(
        state="running",
        process=processes.identity(),
        started=moment(),
        tasks=tasks,
        tasks_done=found.after,
        **spent,
        traits=asdict(strategy.traits),
        settings_from=settings_from(config),
        backbone_parameters=ledger.plain_parameters(config.backbone),
        error=None,
    )
    group.announce(
        {
            "config": config.model_dump(mode="json"),
            "path": str(record.path),
            "finished": found.after,
            "within": found.within.note["updates"] if found.within else None,
        }
    )


def _learn(
    config: RunConfig,
    template: RestorationTemplate,
    recorder: Recorder,
    experience: Any,
    budget: int,
    within: State | None,
    spent: dict[str, Any],
) -> None:
    """Learn and measure one round, and keep the state after it.

    Args:
        config: the run's.
        template: trains.
        recorder: measures.
        experience: the round's.
        budget: how many tasks it adds to those that are learned.
        within: a state within it, from which it goes on.
        spent: what earlier rounds took (:func:`_spent`), to which this one's is added.
    """
    record, identifier = recorder.run, recorder.identifier
    benchmark, strategy, after = recorder.benchmark, template.strategy, tasks_after(experience)
    began = time.monotonic() - (within.note["seconds"] if within else 0)
    ledger.reset_peak_memory(template.device)
    names = "+".join(benchmark.tasks[label].name for label in experience.task_labels)
    recorder.on_event(events.TaskBegun(record.name, config.strategy, names, after, len(benchmark.tasks)))
    torch.manual_seed(torch_seed("task", config.seed, after))

    def note() -> dict[str, Any]:
        return {**recorder.note(), "seconds": round(time.monotonic() - began, 3)}

    place = (record, after - budget, template, note)
    template.learn(experience, budget, within, partial(checkpoints.save_within, *place))
    if identifier is not None:
        for label in set(experience.task_labels).difference(identifier.known):
            identifier.learn(label, benchmark.train[label].degraded("identify", PATCHES))
    recorder.measure_outputs(template, after, partial(checkpoints.save_measured, *place))
    state = checkpoints.strategy_state(strategy)
    recorder.measure_cost(template, strategy, state, after)
    spent["seconds_per_task"].append(round(time.monotonic() - began, 3))
    spent["peak_memory"][str(after)] = ledger.peak_memory(template.device)
    record.update_status(tasks_done=after, **spent)
    note_after = {"after": after, **recorder.note()}
    checkpoints.save_checkpoint(record.checkpoint(after), template.model, strategy, note_after, identifier, state)
    checkpoints.forget_within(record)


def _kept(path: Path, force: bool, on_event: Listener) -> bool:
    """Whether a run is finished and whole, which is told; so is what is wrong with one that is finished and damaged.

    Raises:
        UserError: what is damaged is kept nowhere else.
    """
    if force or not path.exists():
        return False
    sealed_alone = (path / seals.SEAL).exists() and not (path / seals.STATUS).exists()
    if not sealed_alone and not Run(path).finished:
        return False
    damaged = seals.damage(path)
    lost = seals.kept_nowhere_else(damaged)
    if lost:
        more = f", and {len(damaged) - 1} more of its files are damaged" if len(damaged) > 1 else ""
        raise UserError(
            f"'{path / lost[0]}' {damaged[lost[0]]}{more}. Restore the run's files, or repeat it with --force."
        )
    on_event(events.RunDamaged(path.name, damaged) if damaged else events.RunKept(path.name))
    return not damaged


def _with_earlier(here: dict[str, Any], run: Run, tasks: int) -> tuple[dict[str, Any], str]:
    """An environment with those under ``earlier`` with which the run was made so far, where they are others.

    Args:
        here: what it goes on with.
        run: the run.
        tasks: how many it has learned.

    Returns:
        The environment, each earlier one with the tasks that were done when another took over; and in what the last of
        them differs, in words.
    """
    last = {name: value for name, value in run.environment.items() if name != "format"}
    earlier = list(last.pop("earlier", []))
    other = [name for name in here if name not in NO_RESULT and last.get(name) != here[name]]
    if other:
        earlier.append({"tasks": tasks, **last})
    differs = "; ".join(f"{name} {last.get(name)} before, {here[name]} now" for name in other)
    return here | ({"earlier": earlier} if earlier else {}), differs


def _tidy(path: Path, found: Found) -> None:
    """Take away what an earlier process left unfinished, and what comes after the state from which the run goes on.

    The seal goes first: without what is taken away here, it would tell of damage. Of a run that begins anew the last
    states go next, and pictures after all of them, so that what is left goes on as a whole if this is cut short.
    """
    seals.open_again(path)
    for hidden in [file for file in path.rglob(".*") if is_temporary(file)]:
        hidden.unlink()
    if found.nothing:
        states = sorted(path.glob(seals.STATES), key=lambda file: (len(file.name), file.name), reverse=True)
        for ours in (*states, *path.glob(seals.PICTURES)):
            ours.unlink()
    for file in found.damaged:
        file.unlink(missing_ok=True)
    for after, _, file in Run(path).checkpoints_within():
        if after != found.after:
            file.unlink()


def refuse_foreign(path: Path) -> None:
    """Raise an error if what is to become a run directory exists and is something else, or may not be looked into."""
    with reachable(path):
        if not path.exists() and not path.is_symlink():
            return
        begun = path.is_dir() and ((path / "config.yaml").is_file() or _names(path) <= {"environment.json"})
    if not begun:
        raise UserError(
            f"'{path}' is no run of this suite, and a run of that name is to be written there. "
            "Move it away, or choose another folder with --out."
        )


def _names(folder: Path) -> set[str]:
    """What a folder holds, but for hidden files."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def _tell_older(run: Run, on_event: Listener) -> None:
    """Tell that an unfinished run of an earlier format begins again."""
    if (run.path / "environment.json").exists() and run.format < FORMAT:
        on_event(events.RunRestarted(run.name, run.format))

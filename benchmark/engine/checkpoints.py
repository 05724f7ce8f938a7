"""Checkpoints: all that is needed to go on after a task, or within one, in one safetensors file each.

==================================  ==========================================================================
file                                what it holds
==================================  ==========================================================================
``task-2.safetensors``              after two tasks: the network, the strategy's state, all rows of the tables; what the
                                    task identifier has learned, if there is one
``task-2-update-1600.safetensors``  1,600 updates later: also the optimizer, random numbers, the place in the epoch
==================================  ==========================================================================

Rows and place lie as JSON in the file's header, or in a tensor if they are very many, with a checksum of everything, so
that a state is written whole or not at all, and a damaged one is never taken up: the run goes back to the one before.
Of the states within a task the last two are kept, and none once the task is learned.

While a learned task is measured, its last state within has the rows of what is measured of it so far.

Going on within a task begins the task again from the state before it, which calls the same hooks of the strategy, and
then takes up what has changed since: so that what a strategy makes at a task's beginning need not be stored.
"""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from avalanche.models.dynamic_modules import avalanche_model_adaptation
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchmark.core.errors import UserError
from benchmark.core.runs import seals
from benchmark.core.runs.directory import Run
from benchmark.core.runs.formats import FORMAT
from benchmark.core.runs.writing import temporary_name
from benchmark.engine.state import State, tensor_digests
from benchmark.engine.template import RestorationTemplate
from strategies.base import Strategy, TaskNetwork
from strategies.identifier import Identifier
from strategies.state import load_network, named_tensors, to_state

KEPT = 2
"""States within a task that are kept: the second is for where the first is damaged."""

HEADER = "restoration"
"""Where in the header the note and its checksum stand: one entry, as safetensors writes several in any order."""


NOTE = "note"
"""The tensor that holds a note which is too long for the header: safetensors takes 100 MB there, with escapes."""

MOST_NOTE = 2**25
"""Characters of a note in the header, at most."""


class Damaged(Exception):
    """A checkpoint is not what was written."""


@dataclass(frozen=True)
class Found:
    """From where a run can go on.

    Args:
        after: tasks that are learned.
        task: the state after them; None before the first.
        within: a later state within the next task, if there is one.
        damaged: files that had to be passed over, with what is wrong.
    """

    after: int
    task: State | None
    within: State | None
    damaged: dict[Path, str]

    @property
    def nothing(self) -> bool:
        """Whether the run has to begin at the beginning."""
        return self.task is None and self.within is None


NOTHING = Found(0, None, None, {})
"""A run begins at the beginning."""


def strategy_state(strategy: Strategy) -> dict[str, Tensor]:
    """What a strategy gives for the state after a task.

    Raises:
        UserError: it is something else than named tensors.
    """
    return named_tensors(strategy.state(), f"{strategy.name}.state()")


def checkpoint_tensors(
    model: torch.nn.Module,
    strategy: Strategy,
    identifier: Identifier | None = None,
    state: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """All that is needed to go on after a task: the states of the network, the strategy and, if there is one, the task
    identifier, under distinct prefixes; ``state`` is the strategy's, if it was asked for already."""
    tensors = to_state("model", model.state_dict())
    tensors |= to_state("strategy", strategy_state(strategy) if state is None else state)
    if identifier is not None:
        tensors |= to_state("identifier", identifier.state())
    return tensors


def save_checkpoint(
    path: Path,
    model: torch.nn.Module,
    strategy: Strategy,
    note: Mapping[str, Any] | None = None,
    identifier: Identifier | None = None,
    state: dict[str, Tensor] | None = None,
) -> None:
    """Write the state after a task, whole or not at all; for the arguments see :func:`checkpoint_tensors`."""
    write(path, State(checkpoint_tensors(model, strategy, identifier, state), dict(note or {})))


def load_checkpoint(path: Path, model: torch.nn.Module, strategy: Strategy) -> None:
    """Load the state after a task into a network that already has the shape it had then.

    Raises:
        Damaged: the file is not what was written.
    """
    _load(read(path), model, strategy)


def forget_within(run: Run) -> None:
    """Take away the states within a task, which is learned now."""
    for _, _, path in run.checkpoints_within():
        path.unlink()


def save_within(run: Run, after: int, template: RestorationTemplate, note: Callable[[], dict[str, Any]]) -> None:
    """Keep a state within the task that follows ``after`` learned ones, and the one before."""
    run.refuse_gone()
    moving, place = template.progress()
    strategy = template.strategy
    tensors = to_state("model", template.model.state_dict())
    tensors |= to_state("progress", named_tensors(strategy.progress(), f"{strategy.name}.progress()"))
    path = run.checkpoint(after, template.clock.train_exp_iterations)
    write(path, State(tensors | moving, note() | place))
    for _, _, older in run.checkpoints_within()[KEPT:]:
        older.unlink()


def save_measured(run: Run, after: int, template: RestorationTemplate, note: Callable[[], dict[str, Any]]) -> None:
    """Keep what was measured so far of the task that followed ``after`` ones, with the state at its end.

    If that state is damaged by now, or cannot be read, nothing is kept: the task would be measured anew.
    """
    path = run.checkpoint(after, template.clock.train_exp_iterations)
    try:
        state = read(path)
    except (Damaged, OSError):
        return
    write(path, State(state.tensors, state.note | note()))


def write(path: Path, state: State) -> None:
    """Write a checkpoint whole or not at all."""
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state.tensors.items()}
    digest, note = _digest(tensors, state.note), json.dumps(state.note)
    if len(note) > MOST_NOTE:
        tensors[NOTE] = torch.frombuffer(bytearray(note, "ascii"), dtype=torch.uint8)
        note = "null"
    head = f'{{"note": {note}, "sha256": "{digest}"}}'
    path.parent.mkdir(exist_ok=True)
    temporary = temporary_name(path)
    try:
        temporary.touch()
        mode = temporary.stat().st_mode | 0o600
        save_file(tensors, temporary, metadata={HEADER: head})
        temporary.chmod(mode)  # as of any other file of the run; safetensors lets nobody else read its own
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())  # states before this one are taken away next, and the power may fail
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def read(path: Path) -> State:
    """A checkpoint, once it is known to be what was written.

    Raises:
        Damaged: it is not, or the disk has lost it.
        OSError: it cannot be read here and now, as without permission, which says nothing of what it holds.
    """
    try:
        path.open("rb").close()  # safetensors would not tell why it cannot
    except FileNotFoundError as error:
        raise Damaged("it is missing") from error
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise Damaged(f"it cannot be read ({error.strerror})") from error
    try:
        with safe_open(path, "pt") as file:
            head = json.loads((file.metadata() or {})[HEADER])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (it is no mapping)
        note, expected = head["note"], head["sha256"]
        if note is None:
            note = json.loads(tensors.pop(NOTE).numpy().tobytes())
        found = _digest(tensors, note)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise Damaged(f"it cannot be read ({type(error).__name__}: {error})") from error
    if found != expected:
        raise Damaged("it does not have its checksum")
    return State(tensors, note)


def find(run: Run) -> Found:
    """The last good state of an unfinished run, going back over damaged ones; of an earlier format there is none.

    Of a finished run that has lost some, it is the one before the first of these, so that all are made again.

    Raises:
        UserError: there are checkpoints, and no word of their format; or the seal of a finished run is damaged.
        OSError: one cannot be read here and now.
    """
    damaged: dict[Path, str] = {}
    begun = all((run.path / name).exists() for name in ("config.yaml", "environment.json"))
    if not begun and any(run.path.glob(seals.STATES)):
        raise UserError(
            f"'{run.path}' has checkpoints, and its environment.json, which tells their format, is missing. Restore "
            "the file, or repeat the run with --force."
        )
    if not begun or run.format != FORMAT:
        return NOTHING
    done, sealed = int(run.status.get("tasks_done", 0)), seals.damage(run.path)
    places = [run.checkpoint(after) for after in range(1, done + 1)]
    lost = next((n for n, path in enumerate(places, 1) if path.relative_to(run.path).as_posix() in sealed), done)
    after, task = 0, None
    for path in filter(Path.exists, reversed(places[:lost])):
        task = _attempt(path, damaged)
        if task is not None:
            after = task.note["after"]
            break
    within = (_attempt(path, damaged) for learned, _, path in run.checkpoints_within() if learned == after)
    return Found(after, task, next((state for state in within if state is not None), None), damaged)


def resume(template: RestorationTemplate, strategy: Strategy, learned: Sequence[Any], state: State, path: Path) -> None:
    """Bring a fresh network to the state it had after the experiences ``learned``.

    Args:
        path: where the state was read from, for errors.

    Raises:
        UserError: the state does not fit.
    """
    network = template.model
    network.train()
    if isinstance(network, TaskNetwork):
        tasks = [task for experience in learned for task in sorted(experience.task_labels)]
        network.rebuild(dict.fromkeys(tasks))
    else:
        for experience in learned:
            avalanche_model_adaptation(network, experience)
    try:
        _load(state, network, strategy)
    except Exception as error:
        raise UserError(f"Cannot go on from '{path}': {error}. Repeat the run with --force.") from error
    template.clock.train_exp_counter = len(learned)  # by which Avalanche's plugins know the first from the others


def tasks_after(experience: Any) -> int:
    """How many tasks have been learned once an experience has."""
    return max(experience.task_labels) + 1


def _load(state: State, model: torch.nn.Module, strategy: Strategy) -> None:
    load_network(model, state.part("model"))
    strategy.load_state(state.part("strategy"))


def _digest(tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> str:
    content = json.dumps([tensor_digests(tensors), note], sort_keys=True)
    return hashlib.sha256(content.encode("utf-8", errors="surrogatepass")).hexdigest()


def _attempt(path: Path, damaged: dict[Path, str]) -> State | None:
    try:
        return read(path)
    except Damaged as damage:
        damaged[path] = str(damage)
        return None

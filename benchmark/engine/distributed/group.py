"""The processes that train one run together, as torchrun starts them: how they join, are given work, and end.

Process 0 leads: it is the command as it is without torchrun, and alone reads what the user gave, measures, writes and
prints. The others follow (:mod:`benchmark.engine.follower`): they wait for runs and train them along. A process that
fails says so in torchrun's store before it ends; the others find it there instead of waiting for it, and the leader
tells it. Alone, which is the rule, a process leads a group of one, and nothing here does anything.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from benchmark.config import Training
from benchmark.core.errors import UserError
from benchmark.core.process import endings
from benchmark.core.process.torchrun import STARTED

PATIENCE = timedelta(hours=12)
"""How long a process waits for another one that is alive; the leader measures while the others wait."""
FAREWELL = 20.0
"""Seconds that a follower which has failed waits for the leader to tell it; torchrun stops all once one has ended."""
NAP = 5e-5
"""Seconds between two looks at whether the others have come; after a second of waiting, a hundred times as long."""


@dataclass
class Group:
    """The processes of a run.

    Args:
        store: where they leave words for each other; torchrun keeps it, so that it outlives them.
        rank: which of them this is, from 0.
        size: how many there are.
        here: how many of them are on this machine.
        on_gpus: whether each has a GPU of its own.
        works, exchanges: how many runs were announced, and texts exchanged.
        broken: whether a run has failed.
        stopping: whether they have agreed to stop after the present update.
    """

    store: dist.Store
    rank: int
    size: int
    here: int
    on_gpus: bool
    works: int = 0
    exchanges: int = 0
    broken: bool = False
    stopping: bool = False


_group: Group | None = None


def join() -> None:
    """Join the other processes that torchrun has started; its environment says which of them this is."""
    global _group
    store, rank, size = next(iter(dist.rendezvous("env://")))
    here, local = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
    os.environ.pop(STARTED, None)  # what this process starts is no part of the group
    on_gpus = torch.cuda.is_available() and dist.is_nccl_available() and here <= torch.cuda.device_count()
    if on_gpus:
        torch.cuda.set_device(local)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpus else "gloo",
        store=dist.PrefixStore("group", store),
        rank=rank,
        world_size=size,
        timeout=PATIENCE,
    )
    _group = Group(store, rank, size, here, on_gpus)


def leave(error: BaseException | None = None) -> None:
    """End this process's part, with the error that ends it; a follower that fails lets the leader tell it first."""
    global _group
    group, _group = _group, None
    if group is None:
        return
    with suppress(RuntimeError):  # the store is gone with torchrun
        if error is not None:
            group.store.compare_set("failure", "", json.dumps(_told(error, group.rank)))
        if group.rank == 0:
            group.store.set(f"work {group.works}", "null")
            group.store.set("ended", "yes")
    if error is None or not group.on_gpus:  # outstanding work on a GPU would be waited for
        dist.destroy_process_group()  # by which others on CPUs find out
    until = time.monotonic() + FAREWELL
    with suppress(RuntimeError):
        while error is not None and not group.store.check(["ended"]) and time.monotonic() < until:
            time.sleep(0.1)


def size() -> int:
    """How many processes train together; 1 for one that is alone."""
    return _group.size if _group else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return _group.rank if _group else 0


def leads() -> bool:
    """Whether this process measures and writes."""
    return rank() == 0


def require(training: Training, device: torch.device, plugins: Sequence[Any] = ()) -> None:
    """Refuse settings that several processes cannot train with.

    Raises:
        UserError: a batch cannot be shared equally, there are fewer GPUs than processes, or the other processes would
            not have the plugins.
    """
    if _group is None:
        return
    if _group.broken:
        raise UserError(f"The {_group.size} processes ended with the run before. The same command goes on from here.")
    if training.batch_size % _group.size:
        raise UserError(
            f"training.batch_size = {training.batch_size} patches cannot be shared equally by {_group.size} processes. "
            "Start as many processes as divide it, or use another training.batch_size."
        )
    if device.type == "cuda" and not _group.on_gpus:
        raise UserError(
            f"{_group.here} processes on this machine cannot each have one of its {torch.cuda.device_count()} GPUs. "
            "Start fewer processes, or use training.device=cpu."
        )
    if plugins:
        names = ", ".join(type(plugin).__name__ for plugin in plugins)
        raise UserError(f"Avalanche plugins cannot be given to {_group.size} processes: {names}. Train in one process.")


def announce(work: Mapping[str, Any]) -> None:
    """Give the followers their next run: the arguments of :func:`benchmark.engine.follower.follow`."""
    if _group is not None:
        _group.store.set(f"work {_group.works}", json.dumps(work))
        _group.works += 1


def works() -> Iterator[dict[str, Any]]:
    """The runs that the leader announces, as they come; ends with the leader's command."""
    assert _group is not None
    while True:
        key = f"work {_group.works}"
        while not _group.store.check([key]):
            time.sleep(0.1)
        work = json.loads(_group.store.get(key))
        if work is None:
            return
        _group.works += 1
        yield work


def wait(work: dist.Work) -> None:
    """Wait for what all processes do together, and no longer than all of them live.

    Raises:
        UserError: another process has ended.
        Stopped: another process was stopped by a signal.
    """
    assert _group is not None
    began = asked = time.monotonic()
    try:
        while not work.is_completed():
            now = time.monotonic()
            time.sleep(NAP if now - began < 1 else 100 * NAP)
            if now - asked > 1:
                asked = now
                _raise_failure()
        work.wait()
    except RuntimeError as error:
        endings.check()
        time.sleep(1)  # a connection may end before the word about it has come
        _raise_failure()
        raise UserError(
            "Another process of this run has ended without a word: it was killed, or its machine went down. The same "
            "command goes on from what is finished."
        ) from error


@contextmanager
def together() -> Iterator[None]:
    """A run: what ends it here ends it in all processes; what another process has failed of is told as its failure.

    Processes whose run has failed do no further one, as they no longer wait for each other at the same place.

    Raises:
        UserError: another process has failed.
        Stopped: another process was stopped by a signal.
    """
    try:
        yield
    except BaseException as error:
        if _group is not None:
            _group.broken = True
            with suppress(RuntimeError):
                _group.store.compare_set("failure", "", json.dumps(_told(error, _group.rank)))
        if not isinstance(error, UserError):
            _raise_failure()
        raise


def stops() -> bool:
    """Whether to stop after the present update: a signal came, to one of several processes before :func:`agree`."""
    return _group.stopping if _group else endings.pending()


def agree(some: bool) -> None:
    """Note that some process was asked to stop; all do so after the same update, and the leader saves first."""
    if _group is not None and some:
        _group.stopping = True
        if not endings.pending():
            endings.stop_for("SIGTERM")


def exchange(text: str) -> list[str]:
    """A text from each process, in their order; all call this together."""
    assert _group is not None
    _group.exchanges += 1
    keys = [f"text {_group.exchanges} {rank}" for rank in range(_group.size)]
    _group.store.set(keys[_group.rank], text)
    return [_group.store.get(key).decode() for key in keys]


def _told(error: BaseException, rank: int) -> dict[str, Any]:
    """What ends a process, for the others."""
    stop = error.signal if isinstance(error, endings.Stopped) else None
    said = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return {"rank": rank, "signal": stop, "said": said}


def _raise_failure() -> None:
    """Raise what another process has ended with, if one has."""
    if _group is None:
        return
    try:
        failure = json.loads(_group.store.get("failure")) if _group.store.check(["failure"]) else None
    except RuntimeError:
        return
    if failure is None or failure["rank"] == _group.rank:
        return
    if failure["signal"]:
        raise endings.Stopped(failure["signal"])
    if failure["rank"] == 0:
        raise UserError(failure["said"])
    raise UserError(f"Process {failure['rank']} of {_group.size}, counted from 0, has failed: {failure['said']}")

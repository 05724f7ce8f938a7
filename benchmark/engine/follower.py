"""What the processes of a group do that do not lead: they train each run along, and leave nothing on disk.

A follower makes the same network from the same configuration, draws the same batches by address and takes its share of
each (:mod:`benchmark.engine.distributed.sharing`). While the leader measures, it waits.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmark.config import checked
from benchmark.core.addresses import torch_seed
from benchmark.core.errors import UserError
from benchmark.core.process import endings
from benchmark.core.runs.directory import Run
from benchmark.engine import checkpoints, setup
from benchmark.engine.checkpoints import tasks_after
from benchmark.engine.distributed import group
from benchmark.engine.distributed.meeting import Meeting
from benchmark.engine.setup import make_ready, prepare, training_rounds
from benchmark.streams.build import build
from strategies import registry


def share_command(lead: Callable[[], None]) -> None:
    """The whole life of a process that torchrun has started: lead the command, or follow the process that does.

    Args:
        lead: the command as it is in one process; it may raise what it does there.

    Raises:
        SystemExit: in a follower, if the run has failed or was stopped; the leader tells why.
    """
    group.join()
    endings.launched_by("torchrun", "--nproc-per-node", str(group.size()), "-m", "benchmark")
    try:
        if group.leads():
            lead()
        else:
            for work in group.works():
                with group.together():
                    follow(**work)
    except BaseException as error:
        follows = not group.leads()
        group.leave(None if isinstance(error, SystemExit) else error)
        if follows and isinstance(error, UserError | endings.Stopped):
            sys.exit(error.code if isinstance(error, endings.Stopped) else 2)
        raise
    group.leave()


def follow(config: Mapping[str, Any], path: str, finished: int, within: int | None) -> None:
    """Train a run along.

    Args:
        config: of the run, resolved, as plain values.
        path: its directory, from which an interrupted run is taken up.
        finished: tasks that are learned already.
        within: updates of the next one that are made already, if it goes on within that.

    Raises:
        UserError: it cannot be run in this process, or another process has ended.
    """
    settings = checked(**config)
    registry.recall(settings)
    device = make_ready(settings.training)
    group.require(settings.training, device)
    strategy, model = prepare(settings)
    benchmark = build(settings)
    template = setup.template(settings, strategy, model, device, (Meeting(strategy),))
    rounds = training_rounds(strategy, benchmark)
    if finished:
        learned = [experience for experience, _ in rounds if tasks_after(experience) <= finished]
        file = Run(Path(path)).checkpoint(finished)
        checkpoints.resume(template, strategy, learned, checkpoints.read(file), file)
    saved = None if within is None else checkpoints.read(Run(Path(path)).checkpoint(finished, within))
    for experience, budget in rounds:
        after = tasks_after(experience)
        if after > finished:
            torch.manual_seed(torch_seed("task", settings.seed, after))
            template.learn(experience, budget, saved)
            saved = None

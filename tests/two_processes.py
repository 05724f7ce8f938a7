"""What a strategy has learned of a made stream; started by torchrun, in processes that share each batch.

Usage: ``two_processes.py FOLDER STRATEGY...``; the first process writes STRATEGY.safetensors for each, and each process
STRATEGY.RANK.txt if it ends in an error.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from avalanche.benchmarks import benchmark_from_datasets
from avalanche.benchmarks.utils import AvalancheDataset, DataAttribute
from avalanche.core import SupervisedPlugin
from made_stream import BATCH, UPDATES, learner, pairs
from safetensors.torch import save_file
from torch import Tensor

from baselines.finetune import Finetune
from benchmark.backbones import build
from benchmark.core.errors import UserError
from benchmark.engine.checkpoints import checkpoint_tensors
from benchmark.engine.distributed import group
from benchmark.engine.distributed.meeting import Meeting
from strategies import registry
from strategies.base import Strategy

TASKS = 3
SETTINGS: dict[str, dict[str, Any]] = {
    "ewc": {"weight": 10.0, "samples": 4},
    "mas": {"samples": 4},
    "replay": {"patches": 7},
    "agem": {"patches": 7},
    "gem": {"patches": 7},
    "der": {"patches": 7},
    "derpp": {"patches": 7},
    "kr": {"patches": 7, "autoencoder_updates": 5},
}
"""Penalties of a size that neither vanishes nor throws the tiny network about."""


class Draws(Finetune):
    """Draws numbers without an address."""

    def before_training_iteration(self, trainer: Any) -> None:
        trainer.mbatch[0] = trainer.mbatch[0] + torch.rand((), generator=unaddressed)


class Drifts(Finetune):
    """Changes a weight past the gradient."""

    def after_update(self, trainer: Any) -> None:
        with torch.no_grad():
            next(trainer.model.parameters())[0, 0, 0, 0] += 1e-9 * group.rank()


class Hides(Finetune):
    """Has a state of its own."""

    def state(self) -> dict[str, Tensor]:
        return {"hidden": torch.tensor(group.rank())}


FAULTS = {"draws": Draws, "drifts": Drifts, "hides": Hides}
"""Strategies whose processes come to differ."""

unaddressed = torch.Generator()


class Losses(SupervisedPlugin):
    """Keeps the loss of every update."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[Tensor] = []

    def after_training_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        self.losses.append(template.loss.detach().reshape(()))


def experience(labels: list[int]) -> Any:
    """A round of one task, or of several that are mixed in every batch."""
    tasks = [pairs(label, side=8) for label in labels]
    count = UPDATES * BATCH
    mixed = [tasks[k % len(labels)][k // len(labels)] for k in range(count)]
    attribute = DataAttribute(
        [labels[k % len(labels)] for k in range(count)], name="targets_task_labels", use_in_getitem=True
    )
    made = benchmark_from_datasets(train=[AvalancheDataset([mixed], data_attributes=[attribute])]).train_stream[0]
    made.current_experience, made.task_labels = max(labels), labels
    return made


def learned(name: str) -> dict[str, Tensor]:
    """Network, state and losses of a strategy after the whole stream, in float64."""
    torch.set_default_dtype(torch.float64)
    try:
        return _learned(name)
    finally:
        torch.set_default_dtype(torch.float32)


def _learned(name: str) -> dict[str, Tensor]:
    kind = FAULTS.get(name) or registry.load(name)
    strategy: Strategy = kind(registry.settings(kind, SETTINGS.get(name, {})), seed=3)
    torch.manual_seed(0)
    model = strategy.adapt(build("resnet", 8, 1, False), TASKS)
    losses = Losses()
    meeting = [Meeting(strategy)] if group.size() > 1 else []
    template = learner(strategy, model, losses, *meeting)
    for labels in strategy.rounds(TASKS):
        template.learn(experience(labels))
    return {**checkpoint_tensors(template.model, strategy), "losses": torch.stack(losses.losses)}


if __name__ == "__main__":
    group.join()
    unaddressed.manual_seed(group.rank())
    for chosen in sys.argv[2:]:
        file = Path(sys.argv[1]) / f"{chosen}.safetensors"
        try:
            found = learned(chosen)
        except UserError as error:
            file.with_suffix(f".{group.rank()}.txt").write_text(str(error))
            continue
        if group.leads():
            save_file(found, file)
    group.leave()

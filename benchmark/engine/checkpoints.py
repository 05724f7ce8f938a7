"""Checkpoints: all that is needed to go on after a task, as safetensors, written and taken up again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from avalanche.models.dynamic_modules import avalanche_model_adaptation
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmark.core.errors import UserError
from benchmark.core.runs.directory import Run
from benchmark.engine.template import RestorationTemplate
from strategies.base import Strategy, TaskNetwork


def checkpoint_tensors(model: torch.nn.Module, strategy: Strategy) -> dict[str, Tensor]:
    """All that is needed to go on after a task: the network's state and the strategy's, under distinct prefixes."""
    tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
    tensors |= {f"strategy.{key}": value for key, value in strategy.state().items()}
    return {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}


def save_checkpoint(path: Path, model: torch.nn.Module, strategy: Strategy) -> None:
    """Write a checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    try:
        save_file(checkpoint_tensors(model, strategy), temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_checkpoint(path: Path, model: torch.nn.Module, strategy: Strategy) -> None:
    """Load a checkpoint into a network that already has the shape it had then."""
    tensors = load_file(path)
    state = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
    model.load_state_dict(state)
    strategy.load_state(
        {key.removeprefix("strategy."): value for key, value in tensors.items() if key.startswith("strategy.")}
    )


def resume(template: RestorationTemplate, strategy: Strategy, learned: Sequence[Any], run: Run) -> None:
    """Bring a fresh network to the state it had after the experiences ``learned``.

    Raises:
        UserError: the checkpoint cannot be read.
    """
    network = template.model.train()
    if isinstance(network, TaskNetwork):
        tasks = [task for experience in learned for task in sorted(experience.task_labels)]
        network.rebuild(dict.fromkeys(tasks))
    else:
        for experience in learned:
            avalanche_model_adaptation(network, experience)
    path = run.checkpoint(tasks_after(learned[-1]))
    try:
        load_checkpoint(path, template.model, strategy)
    except Exception as error:
        raise UserError(f"Cannot go on from '{path}': {error}. Repeat the run with --force.") from error


def tasks_after(experience: Any) -> int:
    """How many tasks have been learned once an experience has."""
    return max(experience.task_labels) + 1

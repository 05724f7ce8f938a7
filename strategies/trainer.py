"""What a strategy may use of that which trains its network."""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from benchmark.config import Training


class Experience(Protocol):
    """A task at its place in the stream, or several that are learned together.

    Attributes:
        current_experience: the place, counted from 0.
        task_labels: which tasks these are, counted from 0.
        dataset: training patches (degraded, clean, ...), each (3, H, W), epoch after epoch; every access draws anew.
    """

    current_experience: int
    task_labels: list[int]
    dataset: Sequence[tuple[Tensor, ...]]


class Clock(Protocol):
    """How far the training is.

    Attributes:
        train_exp_iterations: updates of this experience that are done.
        train_exp_epochs: its epochs that are done.
    """

    train_exp_iterations: int
    train_exp_epochs: int


class Trainer(Protocol):
    """What the hooks of a strategy are given: the part of Avalanche's template that strategies need, and no more.

    The suite's is :class:`benchmark.engine.template.RestorationTemplate`.

    Attributes:
        experience: what is being learned.
        model: the network in training.
        optimizer: over what was trainable when the experience began.
        loss_function: what is minimised, of (restored, clean).
        training_settings: the run's settings of the training; ``updates`` says how many a task has.
        device: where the network is; patches of a dataset are on the CPU.
        clock: how far the training is.
        train_mb_size: new patches in a batch.
        mbatch: the batch: a list of degraded and clean patches (N, 3, H, W) and task labels (N,), which may be replaced
            in ``before_training_iteration``. Where several processes train together each has the whole batch until
            ``before_forward``, and its share of it from then on.
        loss: the batch's loss, to which ``before_backward`` may add.
    """

    experience: Experience
    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss_function: Callable[[Tensor, Tensor], Tensor]
    training_settings: Training
    device: torch.device
    clock: Clock
    train_mb_size: int
    mbatch: list[Tensor]
    loss: Tensor

    @property
    def mb_x(self) -> Tensor:
        """The batch's degraded patches (N, 3, H, W)."""

    @property
    def mb_y(self) -> Tensor:
        """Its clean patches (N, 3, H, W)."""

    @property
    def mb_task_id(self) -> Tensor:
        """Its task labels (N,)."""

    @property
    def mb_output(self) -> Tensor:
        """What the network made of ``mb_x`` (N, 3, H, W), from ``after_forward`` on."""

    def make_optimizer(self) -> None:
        """Begin with a fresh optimizer over what is trainable now."""


def cosine(update: int, updates: int) -> float:
    """The share of a learning rate in one of so many updates, counted from 0, that falls from 1 to 0 as a cosine."""
    return 0.5 * (1 + math.cos(math.pi * update / updates))


def psnr(restored: Tensor, clean: Tensor) -> float:
    """PSNR in dB of a restored image, clamped to [0, 1], against the clean one; of equal ones 100."""
    return -10 * float((restored.clamp(0, 1) - clean).square().mean().clamp(min=1e-10).log10())

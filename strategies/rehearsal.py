"""Stored training patches of earlier tasks, and the base of strategies that keep some."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from strategies.base import EXEMPLARS, Settings, Strategy, Traits
from strategies.trainer import Trainer


class StoredPatches:
    """Training patches of earlier tasks, kept to the bit on the CPU, equally many of every task.

    A task's first patches are kept; each was drawn at random by its address, so they are a random sample, and so are
    the first of those, to which a task is cut when another needs room. Clean patches have 8 bits; degraded ones may
    have fractions or lie outside [0, 1], and stay float32.

    Args:
        capacity: patches in all.
        targets: whether clean patches are kept beside the degraded ones; without, :meth:`draw` has nothing to give.
    """

    def __init__(self, capacity: int, targets: bool = True) -> None:
        self.capacity, self.targets = capacity, targets
        self.degraded = torch.empty(0)
        self.clean = torch.empty(0, dtype=torch.uint8)
        self.labels = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def check(self, tasks: int, setting: str) -> None:
        """Refuse a capacity that is too small for a stream.

        Raises:
            UserError: some task would have no patch.
        """
        if self.capacity < tasks:
            raise UserError(
                f"{setting} = {self.capacity} leaves some of {tasks} tasks without a patch. Use {tasks} at least."
            )

    def add(self, label: int, dataset: Sequence[tuple[Tensor, ...]]) -> list[int]:
        """Keep patches of a new task, and fewer of the others.

        Args:
            label: the task's label.
            dataset: its training patches: (degraded, clean, ...).

        Returns:
            Which of the patches that were stored before are still; they come first now, and those of the task last.
        """
        known = self.labels.unique().tolist()
        share = self.capacity // (len(known) + 1)
        kept = [index for task in known for index in (self.labels == task).nonzero()[:share, 0].tolist()]
        pairs = [dataset[index][:2] for index in range(min(share, len(dataset)))]
        degraded = torch.stack([degraded for degraded, _ in pairs])
        labels = torch.full((len(pairs),), label)
        self.degraded = torch.cat([self.degraded[kept], degraded]) if kept else degraded
        if self.targets:
            clean = torch.stack([(clean * 255).round().to(torch.uint8) for _, clean in pairs])
            self.clean = torch.cat([self.clean[kept], clean]) if kept else clean
        self.labels = torch.cat([self.labels[kept], labels])
        return kept

    def choose(self, count: int, rng: np.random.Generator, label: int | None = None) -> Tensor:
        """Places (count,) of stored patches, of all or of one task; each patch is as likely as any other."""
        pool = torch.arange(len(self)) if label is None else (self.labels == label).nonzero().flatten()
        return pool[torch.from_numpy(rng.integers(len(pool), size=count))]

    def draw(self, count: int, rng: np.random.Generator, label: int | None = None) -> list[Tensor]:
        """A mini-batch [degraded, clean, task labels] on the CPU, as :meth:`choose` chooses."""
        chosen = self.choose(count, rng, label)
        return [self.degraded[chosen], self.clean[chosen].float() / 255, self.labels[chosen]]

    def state(self) -> dict[str, Tensor]:
        """All patches with their labels."""
        clean = {f"{EXEMPLARS}clean": self.clean} if self.targets else {}
        return {f"{EXEMPLARS}degraded": self.degraded, **clean, f"{EXEMPLARS}labels": self.labels}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up what :meth:`state` gave."""
        self.degraded, self.labels = state[f"{EXEMPLARS}degraded"], state[f"{EXEMPLARS}labels"]
        if self.targets:
            self.clean = state[f"{EXEMPLARS}clean"]


class RehearsalSettings(Settings):
    """Settings of a strategy that stores patches."""

    patches: int = Field(200, ge=1, le=1_000_000, description="patches stored in all, shared equally by the tasks seen")


class Rehearsal(Strategy):
    """Base of strategies that keep patches of every task once it is learned; what to do with them is left open."""

    Settings: ClassVar[type[RehearsalSettings]] = RehearsalSettings
    traits = Traits(stores_data=True)
    settings: RehearsalSettings

    def __init__(self, settings: RehearsalSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.stored = StoredPatches(settings.patches)

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """The backbone itself, once there is room for every task."""
        self.stored.check(tasks, f"{self.name}.patches")
        return backbone

    def after_training_exp(self, trainer: Trainer) -> None:
        """Store patches of the task."""
        self.stored.add(trainer.experience.current_experience, trainer.experience.dataset)

    def rng(self, trainer: Trainer, *purpose: str | int) -> np.random.Generator:
        """What an update draws stored patches with for a purpose, which is part of the address."""
        update = trainer.experience.current_experience, trainer.clock.train_exp_iterations
        return generator(*purpose, self.seed, *update)

    def state(self) -> dict[str, Tensor]:
        """The stored patches."""
        return self.stored.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up the stored patches."""
        self.stored.load_state(state)


def placed(images: Tensor, device: torch.device) -> Tensor:
    """Stored images (N, 3, H, W) where and how a network takes them."""
    return images.to(device).contiguous(memory_format=torch.channels_last)


def gradient(model: nn.Module) -> Tensor:
    """The gradients of all trainable parameters, one after another (p,), as a copy; zeros where a pass did not come."""
    return torch.cat([_real(_found(value)).flatten() for value in _trainable(model)])


def set_gradient(model: nn.Module, given: Tensor) -> None:
    """Let parameters have the gradients that :func:`gradient` gives as (p,)."""
    parts = [_found(value) for value in _trainable(model)]
    sizes = [_real(part).numel() for part in parts]
    for value, part, numbers in zip(_trainable(model), parts, given.split(sizes), strict=True):
        _real(part).copy_(numbers.view_as(_real(part)))
        if value.grad is None and part.any():
            value.grad = part


def gradient_on(batch: list[Tensor], trainer: Trainer) -> Tensor:
    """The gradient (p,) of the loss on a batch of stored patches; it is left in the parameters, too."""
    degraded, clean = (images.to(trainer.device) for images in batch[:2])
    trainer.optimizer.zero_grad()
    trainer.loss_function(trainer.model(degraded), clean).backward()
    return gradient(trainer.model)


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [value for value in model.parameters() if value.requires_grad]


def _found(value: nn.Parameter) -> Tensor:
    """The gradient of a parameter, which a pass may have left out, as where layers are skipped at random."""
    return torch.zeros_like(value, requires_grad=False) if value.grad is None else value.grad


def _real(part: Tensor) -> Tensor:
    """A tensor as it lies in memory; of complex numbers the real and imaginary parts."""
    return torch.view_as_real(part) if part.is_complex() else part

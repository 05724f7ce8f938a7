"""PIGWM, weights modified as their importance allows (Zhou et al., "Image De-raining via Continual Learning", 2021)."""

import torch
from pydantic import Field
from torch import Tensor, nn

from strategies.base import Settings
from strategies.penalties import Anchored, Tensors, held, mean_over_tasks, sensitivity
from strategies.trainer import Trainer


class PIGWMSettings(Settings):
    """Settings of PIGWM."""

    weight: float = Field(100.0, ge=0, le=1e6, description="weight λ of the penalty")
    samples: int = Field(200, ge=1, le=100_000, description="patches of a task on which importance is measured")


class PIGWM(Anchored):
    """PIGWM: every change of a weight costs as much as it may, to first order, raise the loss on earlier tasks.

    The loss gains ``λ (s + s²)`` with ``s = Σ_k I_k |θ_k − θ*_k|``, where θ* are the weights at the start of the task.
    I_k is the mean of ``|∂MSE / ∂θ_k|`` over the old set, so s is what a Taylor series to first order bounds the change
    of the old loss by. As |·| has no derivative at zero, torch's is used, which is 0 there: a task's first update is
    free, and later ones are drawn back by ``λ (1 + 2s) I_k``, however little a weight has moved.

    Published for one data set of rain after another, with networks as those here, so nothing had to be changed for
    images. Ours is what follows. I is measured after a task on its first ``samples`` training patches, each by itself,
    since signs cancel within a batch. Of several earlier tasks the old set is all of them, each counting the same: I is
    the mean of theirs, each measured at the weights that the task ended with.
    """

    name = "pigwm"
    Settings = PIGWMSettings
    settings: PIGWMSettings

    def before_backward(self, trainer: Trainer) -> None:
        """Add the penalty to the loss."""
        change = weighted_change(trainer.model, self.importance, self.anchor)
        trainer.loss += self.settings.weight * (change + change.square())

    def after_training_exp(self, trainer: Trainer) -> None:
        """Measure importance and average it with that of the earlier tasks."""
        measured = sensitivity(trainer, self.settings.samples, trainer.loss_function)
        self.importance = mean_over_tasks(self.importance, measured, trainer.experience.current_experience)


def weighted_change(model: nn.Module, importance: Tensors, anchor: Tensors) -> Tensor:
    """``s = Σ_k I_k |θ_k − θ*_k|``, a scalar, over the weights θ of a model that have an importance I."""
    terms = ((each * (weight - start).abs()).sum() for each, weight, start in held(model, importance, anchor))
    return sum(terms, torch.zeros(()))

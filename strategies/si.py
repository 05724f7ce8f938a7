"""Synaptic Intelligence (Zenke et al., ICML 2017)."""

import torch
from pydantic import Field
from torch import Tensor

from strategies.base import Settings
from strategies.penalties import Anchored, Tensors, quadratic, squared, weights
from strategies.state import from_state, to_state
from strategies.trainer import Trainer


class SISettings(Settings):
    """Settings of SI."""

    weight: float = Field(10.0, ge=0, le=1e6, description="weight c of the penalty")
    damping: float = Field(1e-3, gt=0, le=10, description="ξ: keeps importances finite where a weight hardly moved")


class SI(Anchored):
    """Synaptic Intelligence: weights whose path lowered the loss of earlier tasks are pulled back to their old values.

    The loss gains ``c Σ_k Ω_k (θ_k − θ*_k)²`` (Eq. 4), where θ* are the weights at the start of the task. Along the
    training, ``ω_k = −Σ g_k Δθ_k`` with the gradient g of the task's own loss; after it, Ω_k grows by
    ``ω_k / (Δ_k² + ξ)`` (Eq. 5), where Δ_k is how far the weight went in all. A negative Ω_k is set to zero, as the
    authors do in their code.

    Not Avalanche's plugin, which takes g with the penalty's gradient in it and clips importance at a constant
    0.001 that was chosen for classifiers. Here the penalty is differentiated after the task's loss, so that both
    gradients are known without a further pass through the network.
    """

    name = "si"
    Settings = SISettings
    settings: SISettings

    def __init__(self, settings: SISettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.path: Tensors = {}
        self.gradient: Tensors = {}
        self.step_start: Tensors = {}

    def before_training_exp(self, trainer: Trainer) -> None:
        """Anchor the weights where they are and begin a path."""
        super().before_training_exp(trainer)
        self.path = {name: torch.zeros_like(value.real) for name, value in self.anchor.items()}

    def after_backward(self, trainer: Trainer) -> None:
        """Note the gradient of the task's loss, then add the penalty and its gradient."""
        found = {name: value.grad for name, value in trainer.model.named_parameters() if name in self.path}
        self.gradient = {name: gradient.clone() for name, gradient in found.items() if gradient is not None}
        penalty = self.settings.weight * quadratic(trainer.model, [(self.importance, self.anchor)])
        if penalty.requires_grad:  # not in the first task
            penalty.backward()
        trainer.loss = trainer.loss + penalty.detach()

    def before_update(self, trainer: Trainer) -> None:
        """Note where the step begins."""
        self.step_start = weights(trainer.model)

    def after_update(self, trainer: Trainer) -> None:
        """Add the step to the path integral."""
        step_end = weights(trainer.model)
        for name, gradient in self.gradient.items():
            self.path[name] = self.path[name] - (gradient.conj() * (step_end[name] - self.step_start[name])).real

    def after_training_exp(self, trainer: Trainer) -> None:
        """Turn the path into importance."""
        ends = dict(trainer.model.named_parameters())
        for name, start in self.anchor.items():
            distance = squared(ends[name].detach() - start)
            grown = self.importance.get(name, 0) + self.path[name] / (distance + self.settings.damping)
            self.importance[name] = grown.clamp(min=0)

    def progress(self) -> dict[str, Tensor]:
        """The path so far."""
        return to_state("path", self.path)

    def load_progress(self, progress: dict[str, Tensor]) -> None:
        """Go on along the path."""
        self.path |= {name: value.to(self.path[name]) for name, value in from_state("path", progress).items()}

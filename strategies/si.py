"""Synaptic Intelligence (Zenke et al., ICML 2017)."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from strategies.base import Settings, Strategy

Tensors = dict[str, Tensor]
"""Parameter's name → a tensor of its shape."""


class SISettings(Settings):
    """Settings of SI."""

    weight: float = Field(10.0, ge=0, le=1e6, description="weight c of the penalty")
    damping: float = Field(1e-3, gt=0, le=10, description="ξ: keeps importances finite where a weight hardly moved")


class SI(Strategy):
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
        self.importance: Tensors = {}
        self.anchor: Tensors = {}
        self.path: Tensors = {}
        self.gradient: Tensors = {}
        self.step_start: Tensors = {}

    def before_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Anchor the weights where they are and begin a path."""
        self.anchor = _copy(template.model)
        self.path = {name: torch.zeros_like(value) for name, value in self.anchor.items()}
        known = self.importance or self.path
        self.importance = {name: known[name].to(template.device, copy=True) for name in self.anchor}

    def after_backward(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Note the gradient of the task's loss, then add the penalty and its gradient."""
        parameters = dict(template.model.named_parameters())
        self.gradient = {name: parameters[name].grad.detach().clone() for name in self.anchor}
        penalty = torch.stack(
            [(self.importance[name] * (parameters[name] - self.anchor[name]).square()).sum() for name in self.anchor]
        ).sum()
        weighted = self.settings.weight * penalty
        weighted.backward()
        template.loss = template.loss + weighted.detach()

    def before_update(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Note where the step begins."""
        self.step_start = _copy(template.model)

    def after_update(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Add the step to the path integral."""
        for name, after in _copy(template.model).items():
            self.path[name] -= self.gradient[name] * (after - self.step_start[name])

    def after_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Turn the path into importance."""
        for name, end in _copy(template.model).items():
            moved = (end - self.anchor[name]).square()
            self.importance[name] += self.path[name] / (moved + self.settings.damping)
            self.importance[name].clamp_(min=0)

    def state(self) -> dict[str, Tensor]:
        """The importances; the anchor of the next task is the network itself."""
        return {f"importance.{name}": value for name, value in self.importance.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up the importances."""
        self.importance = {key.removeprefix("importance."): value for key, value in state.items()}


def _copy(model: torch.nn.Module) -> Tensors:
    """The trainable weights as they are now."""
    return {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}

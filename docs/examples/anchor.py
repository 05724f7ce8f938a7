"""A whole strategy in one file: hold the weights near where the last task left them."""

import torch
from pydantic import Field

from strategies.base import Settings, Strategy, Trainer


class AnchorSettings(Settings):
    """Settings of Anchor."""

    weight: float = Field(1.0, ge=0, le=1e6, description="strength of the pull towards the weights after the last task")


class Anchor(Strategy):
    """Pull every weight towards its value after the last task."""

    name = "anchor"
    Settings = AnchorSettings

    def before_training_exp(self, trainer: Trainer) -> None:
        """Remember where the last task left the weights; the first task has nothing to remember."""
        first = trainer.experience.current_experience == 0
        self.anchors = [] if first else [weight.detach().clone() for weight in trainer.model.parameters()]

    def before_backward(self, trainer: Trainer) -> None:
        """Add the pull to the loss."""
        for weight, anchor in zip(trainer.model.parameters(), self.anchors, strict=False):
            trainer.loss = trainer.loss + self.settings.weight * torch.sum((weight - anchor) ** 2)

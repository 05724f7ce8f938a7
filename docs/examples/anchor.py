"""A whole strategy in one file: hold the weights near where the last task left them."""

from typing import Any

import torch
from pydantic import Field

from strategies.base import Settings, Strategy


class AnchorSettings(Settings):
    """Settings of Anchor."""

    weight: float = Field(1.0, ge=0, le=1e6, description="strength of the pull towards the weights after the last task")


class Anchor(Strategy):
    """Pull every weight towards its value after the last task."""

    name = "anchor"
    Settings = AnchorSettings

    def before_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Remember where the last task left the weights; the first task has nothing to remember."""
        first = template.experience.current_experience == 0
        self.anchors = [] if first else [weight.detach().clone() for weight in template.model.parameters()]

    def before_backward(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Add the pull to the loss."""
        for weight, anchor in zip(template.model.parameters(), self.anchors, strict=False):
            template.loss = template.loss + self.settings.weight * torch.sum((weight - anchor) ** 2)

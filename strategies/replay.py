"""Experience replay: stored patches of earlier tasks in every batch."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from benchmark.addresses import generator
from strategies.base import Settings, Strategy, Traits
from strategies.memory import PatchMemory


class ReplaySettings(Settings):
    """Settings of replay."""

    patches: int = Field(200, ge=1, le=1_000_000, description="patches stored in all, shared equally by the tasks seen")


class Replay(Strategy):
    """Experience replay: every batch of new patches is joined by as many stored patches of earlier tasks.

    After Rolnick et al. (NeurIPS 2019) and Chaudhry et al. (2019, "On tiny episodic memories"). The number of updates
    and of new patches is that of every other strategy; from the second task on a batch is twice as large, so an
    update costs twice as much. The loss is the mean over the whole batch: old and new count the same.

    Not Avalanche's plugin, which replaces the loader by a pass over the whole data set (here: every patch of every
    epoch, in each epoch), draws from torch's global generator, and keeps indices where an honest count needs pixels.
    """

    name = "replay"
    Settings = ReplaySettings
    traits = Traits(stores_data=True)
    settings: ReplaySettings

    def __init__(self, settings: ReplaySettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.memory = PatchMemory(settings.patches)

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """The backbone itself, once there is room for every task."""
        self.memory.check(tasks, "replay.patches")
        return backbone

    def before_training_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Join stored patches to the batch."""
        if len(self.memory):
            address = (template.experience.current_experience, template.clock.train_exp_iterations)
            old = self.memory.draw(len(template.mb_x), generator("replay", self.seed, *address))
            template.mbatch = [
                torch.cat([new, stored.to(template.device)]) for new, stored in zip(template.mbatch, old, strict=True)
            ]

    def after_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Store patches of the task."""
        self.memory.add(template.experience.current_experience, template.experience.dataset)

    def state(self) -> dict[str, Tensor]:
        """The stored patches."""
        return self.memory.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up the stored patches."""
        self.memory.load_state(state)

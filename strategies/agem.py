"""Averaged Gradient Episodic Memory (Chaudhry et al., ICLR 2019)."""

from collections.abc import Iterator
from typing import Any

from avalanche.training.plugins import AGEMPlugin
from pydantic import Field
from torch import Tensor, nn

from benchmark.addresses import generator
from strategies.base import Settings, Strategy, Traits
from strategies.memory import PatchMemory


class AGEMSettings(Settings):
    """Settings of A-GEM."""

    patches: int = Field(200, ge=1, le=1_000_000, description="patches stored in all, shared equally by the tasks seen")


class AGEM(Strategy):
    """A-GEM: no update may raise the loss on stored patches of earlier tasks, to first order.

    Over Avalanche's plugin. From the second task on, every update also takes the gradient g_ref of the loss on a batch
    drawn from the memory, as large as the batch of new patches, at the cost of one more forward and backward pass.
    Where the gradient g of the new batch has ``g·g_ref < 0``, it is replaced by ``g − (g·g_ref / g_ref·g_ref) g_ref``
    (Eq. 11). Adam then scales the projected gradient, as it does any other.

    Avalanche's own memory, which holds indices drawn from Python's global generator, is replaced by ours.
    """

    name = "agem"
    Settings = AGEMSettings
    traits = Traits(stores_data=True)
    settings: AGEMSettings

    def __init__(self, settings: AGEMSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.memory = PatchMemory(settings.patches)
        self.plugin = AGEMPlugin(patterns_per_experience=settings.patches, sample_size=0)

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """The backbone itself, once there is room for every task."""
        self.memory.check(tasks, "agem.patches")
        return backbone

    def before_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Let Avalanche's plugin draw from the memory, if it holds anything."""
        self.plugin.buffers = [self.memory] if len(self.memory) else []
        self.plugin.buffer_dliter = self._batches(template)

    def before_training_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Take the reference gradient."""
        self.plugin.before_training_iteration(template)

    def after_backward(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Project the gradient."""
        self.plugin.after_backward(template)

    def after_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Store patches of the task."""
        self.memory.add(template.experience.current_experience, template.experience.dataset)

    def state(self) -> dict[str, Tensor]:
        """The stored patches."""
        return self.memory.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up the stored patches."""
        self.memory.load_state(state)

    def _batches(self, template: Any) -> Iterator[list[Tensor]]:
        """A batch for every update, decided by the update's address."""
        while True:
            address = (template.experience.current_experience, template.clock.train_exp_iterations)
            yield self.memory.draw(template.train_mb_size, generator("agem", self.seed, *address))

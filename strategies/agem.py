"""Averaged Gradient Episodic Memory (Chaudhry et al., ICLR 2019)."""

from collections.abc import Iterator
from typing import Any

from avalanche.training.plugins import AGEMPlugin
from torch import Tensor

from benchmark.addresses import generator
from strategies.memory import Rehearsal, RehearsalSettings


class AGEM(Rehearsal):
    """A-GEM: no update may raise the loss on stored patches of earlier tasks, to first order.

    Over Avalanche's plugin. From the second task on, every update also takes the gradient g_ref of the loss on a batch
    drawn from the memory, as large as the batch of new patches, at the cost of one more forward and backward pass.
    Where the gradient g of the new batch has ``g·g_ref < 0``, it is replaced by ``g − (g·g_ref / g_ref·g_ref) g_ref``
    (Eq. 11). Adam then scales the projected gradient, as it does any other.

    Avalanche's own memory, which holds indices drawn from Python's global generator, is replaced by ours.
    """

    name = "agem"

    def __init__(self, settings: RehearsalSettings, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.plugin = AGEMPlugin(patterns_per_experience=settings.patches, sample_size=0)

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

    def _batches(self, template: Any) -> Iterator[list[Tensor]]:
        """A batch for every update, decided by the update's address."""
        while True:
            address = (template.experience.current_experience, template.clock.train_exp_iterations)
            yield self.memory.draw(template.train_mb_size, generator("agem", self.seed, *address))

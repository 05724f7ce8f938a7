"""Deep generative replay (Shin et al., "Continual Learning with Deep Generative Replay", NIPS 2017)."""

import torch
from torch import Tensor, nn

from strategies.copies import refuse_functions_that_stay, settled_copy
from strategies.generator import GeneratedRehearsal
from strategies.trainer import Trainer


class GenerativeReplay(GeneratedRehearsal):
    """Deep generative replay: a generator dreams patches of earlier tasks, and the network of before restores them.

    From the second task on, every batch of new patches x with targets y is joined by as many generated patches x', and
    the loss is ``r · MSE(f(x), y) + (1 − r) · MSE(f(x'), f_old(x'))`` (Eq. 1), where f_old is a frozen copy of the
    network from before the task. By default r = 1/t in task t, so that all tasks count the same. The generator learns
    from the same patches with the same r. Only it is kept between tasks: no image, and nothing made of a single one.

    Changed for images: the targets are images and the loss is the mean-squared error. Ours: the generator is a small
    variational autoencoder (:class:`strategies.generator.PatchVAE`) where the authors train an adversarial network; it
    learns along with the network and not before it, as neither depends on the other; and both go on with the weights
    that they had.
    """

    name = "generative_replay"
    relative_cost = 3.0
    teacher: nn.Module | None = None

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """The backbone itself.

        Raises:
            UserError: it holds a function that would know parts of it in a copy, too.
        """
        refuse_functions_that_stay(backbone)
        return backbone

    def before_training_exp(self, trainer: Trainer) -> None:
        """Freeze a copy of the network and of the generator, if they have learned anything."""
        super().before_training_exp(trainer)
        if self.earlier is not None:
            self.teacher = settled_copy(trainer.model)

    @torch.no_grad()
    def restored_before(self, trainer: Trainer, patches: Tensor) -> Tensor:
        """What the copy makes of patches (N, 3, H, W)."""
        assert self.teacher is not None
        return self.teacher(patches.contiguous(memory_format=torch.channels_last))

"""Learning without Forgetting (Li and Hoiem, ECCV 2016), with images as outputs."""

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from strategies.base import Settings, Strategy
from strategies.copies import refuse_functions_that_stay, settled_copy
from strategies.trainer import Trainer


class LwFSettings(Settings):
    """Settings of LwF."""

    weight: float = Field(30.0, ge=0, le=1e6, description="weight λ_o of the distillation loss")


class LwF(Strategy):
    """Learning without Forgetting: on new images, the network keeps to the outputs that it had before the task.

    The loss gains ``λ_o · MSE(f(x), f_old(x))`` on the new task's degraded patches x, where f_old is a frozen copy of
    the network from before the task. The network has no heads of its own for each task, so the old outputs are those
    of the whole old network. Each update costs one more forward pass. Nothing is stored between tasks: the copy is
    made of the network as the task begins.

    Not Avalanche's plugin, which distils class probabilities and does not take images as targets.
    """

    name = "lwf"
    relative_cost = 1.3
    Settings = LwFSettings
    settings: LwFSettings
    teacher: nn.Module | None = None

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """The backbone itself.

        Raises:
            UserError: it holds a function that would know parts of it in a copy, too.
        """
        refuse_functions_that_stay(backbone)
        return backbone

    def before_training_exp(self, trainer: Trainer) -> None:
        """Freeze a copy of the network, if it has learned anything."""
        if trainer.experience.current_experience > 0:
            self.teacher = settled_copy(trainer.model)

    def before_backward(self, trainer: Trainer) -> None:
        """Add the distillation loss."""
        if self.teacher is not None:
            images = trainer.mb_x.contiguous(memory_format=torch.channels_last)
            trainer.loss += self.settings.weight * F.mse_loss(trainer.mb_output, self.teacher(images))

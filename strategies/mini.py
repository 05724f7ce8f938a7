"""MINI: weights of each task in every convolution, held near the mean of those before."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from strategies.base import Settings, Strategy, Traits
from strategies.kernels import KernelConv2d, KernelNetwork, kernel_network
from strategies.penalties import squared
from strategies.trainer import Trainer


class MINISettings(Settings):
    """Settings of MINI."""

    weight: float = Field(1e-4, ge=0, le=1e6, description="weight λ of the pull towards the mean of earlier kernels")


class MINI(Strategy):
    """MINI: every convolution holds one kernel for each task, and a new one is pulled towards the mean of the others.

    A task's kernels W_n start from the mean of the earlier tasks' and the loss gains ``λ Σ ‖W_n − mean_{i<n} W_i‖²``,
    summed over the layers. Biases, and all that is outside of convolutions, belong to the task and start from the task
    before. The first task is trained as any network.

    Only an outline of the method (openreview.net/forum?id=MBQZwQ6vFd) is known to us: embeddings of weights in the
    convolutions, one for each task, chosen by a network that identifies an image's task from patches, and this pull.
    Its abstract calls embeddings lightweight, and says that kernels are generated from them; how it does not say, and
    here an embedding is a whole kernel, so that a task takes as much room as with ``independent``. The squared norm,
    its weight and the start are our choice; beside squared errors of about 1e-3, a weight of 1 would let nothing but
    biases learn. Here the task is told, as it is to all strategies that need to know it; without the pull, and with
    another start, this is ``independent``.
    """

    name = "mini"
    Settings = MINISettings
    traits = Traits(needs_task_id=True, grows=True, protects_exactly=True)
    settings: MINISettings

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """Convert every convolution."""
        return kernel_network(backbone, EmbeddedConv2d, self.seed)

    def before_backward(self, trainer: Trainer) -> None:
        """Add the pull to the loss."""
        if trainer.experience.current_experience > 0:
            assert isinstance(trainer.model, KernelNetwork)
            pulls = [squared(layer.own - layer.mean_before).sum() for layer in trainer.model.layers]
            trainer.loss += self.settings.weight * torch.stack(pulls).sum()


class EmbeddedConv2d(KernelConv2d):
    """A convolution with a kernel of its own for every task; see :class:`strategies.kernels.KernelConv2d`."""

    strategy = "mini"
    own: Tensor
    mean_before: Tensor

    def parts(self, task: int) -> dict[str, Tensor]:
        """The kernel, which starts from the mean of those before."""
        if task == 0:
            return {"own": self.first_kernel}
        self._keep_mean(task)
        return {"own": self.mean_before}

    def kernel_of(self, task: int) -> Tensor:
        """The task's kernel itself."""
        return self.part("own", task)

    def _keep_mean(self, task: int) -> None:
        mean = torch.stack([self.part("own", earlier) for earlier in range(task)]).mean(0)
        self.register_buffer("mean_before", mean, persistent=False)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load, and make the mean anew that the task in training is pulled towards."""
        super()._load_from_state_dict(state_dict, prefix, *args)
        if self.learning:
            self._keep_mean(self.learning)

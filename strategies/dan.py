"""Deep Adaptation Networks (Rosenfeld and Tsotsos, PAMI 2018): kernels as linear combinations of the first task's."""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from strategies.base import Settings, Strategy, Traits
from strategies.kernels import KernelConv2d, KernelNetwork, kernel_network
from strategies.surgery import exactly
from strategies.trainer import Trainer

Start = Literal["identity", "random", "least_squares"]


class DANSettings(Settings):
    """Settings of DAN."""

    start: Start = Field(
        "identity",
        description="where the combination starts: the first task's kernels; random ones; or the nearest to a network "
        "that is finetuned first",
    )
    finetune: float = Field(
        0.25, gt=0, lt=1, description="share of a task's updates for that finetuning, with start=least_squares"
    )


class DAN(Strategy):
    """DAN: a task's filters are linear combinations of those that the first task has learned.

    ``W_n = L_n W_1`` in every layer, with W_1 as a matrix of one row for each of its k_out filters, and L_n (k_out ×
    k_out), which is what the task learns; biases, and all that is outside of convolutions, belong to the task, too. L_n
    starts as the identity, or at random, or as the least squares solution of ``L W_1 = W_f`` for a network W_f that was
    finetuned from the base: the paper's three ways.

    The paper's controller that mixes the tasks' filters by a code is not here: its stream says which task it is.
    """

    name = "dan"
    relative_cost = 1.05
    Settings = DANSettings
    traits = Traits(needs_task_id=True, grows=True, protects_exactly=True)
    settings: DANSettings

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """Convert every convolution; the first task trains its kernel."""
        return kernel_network(backbone, DANConv2d, self.seed, start=self.settings.start)

    def after_training_iteration(self, trainer: Trainer) -> None:
        """With start=least_squares, end the finetuning when it had its share; never after the last update but one."""
        if self.settings.start != "least_squares" or trainer.experience.current_experience == 0:
            return
        updates = trainer.training_settings.updates
        share = min(max(1, round(self.settings.finetune * updates)), updates - 1)
        if trainer.clock.train_exp_iterations + 1 == share:  # the clock counts after all plugins
            assert isinstance(trainer.model, KernelNetwork)
            for layer in trainer.model.layers:
                layer.combine()
            trainer.make_optimizer()


class DANConv2d(KernelConv2d):
    """A convolution with the first task's kernel, and for every other task a matrix that combines its filters.

    Args:
        conv, name, seed: see :class:`strategies.kernels.KernelConv2d`.
        start: of the matrix.
    """

    strategy = "dan"
    free: Tensor
    mix: Tensor

    def __init__(self, conv: nn.Conv2d, name: str = "convolution", seed: int = 0, start: Start = "identity") -> None:
        super().__init__(conv, name, seed)
        self.start = start

    def parts(self, task: int) -> dict[str, Tensor]:
        """The first task's kernel; else L (k_out, k_out), or a kernel to finetune."""
        if task == 0:
            return {"base": self.first_kernel}
        if self.start == "least_squares":
            return {"free": self.part("base", 0)}
        if self.start == "random":
            scale = self.out_channels**-0.5
            return {"mix": torch.from_numpy(self.draw(task).normal(0, scale, (self.out_channels,) * 2))}
        return {"mix": torch.eye(self.out_channels)}

    def kernel_of(self, task: int) -> Tensor:
        """``L_n W_1``; before a finetuned kernel is combined from the base's, that kernel."""
        base = self.part("base", 0)
        if task == 0:
            return base
        if task == self.learning and "free" in self.in_training:
            return self.free
        return (self.part("mix", task) @ base.flatten(1)).view(self.kernel_shape)

    def combine(self) -> None:
        """From the finetuned kernel W_f to the L of least norm that minimises ``‖L W_1 − W_f‖²``."""
        with exactly(self.free.device):
            base = self.part("base", 0).flatten(1)
            precise = torch.promote_types(base.dtype, torch.float32)  # torch inverts nothing in half precision
            inverse = torch.linalg.pinv(base.to(precise))
            mix = (self.free.flatten(1).to(inverse) @ inverse).to(base)
        del self.free
        self.in_training[self.in_training.index("free")] = "mix"
        self.mix = nn.Parameter(mix)

    def end(self) -> None:
        """Freeze the task's matrix."""
        if "free" in self.in_training:
            self.combine()
        super().end()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load, also after the finetuning of a task."""
        if "free" in self.in_training and f"{prefix}mix" in state_dict:
            self.combine()
        super()._load_from_state_dict(state_dict, prefix, *args)

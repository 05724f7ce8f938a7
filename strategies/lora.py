"""Low-rank adaptation of convolutions (Hu et al., ICLR 2022), a matrix product for every task after the first."""

import torch
from pydantic import Field
from torch import Tensor, nn

from strategies.base import Settings, Strategy, Traits
from strategies.kernels import KernelConv2d, kernel_network


class LoRASettings(Settings):
    """Settings of LoRA."""

    rank: int = Field(8, ge=1, le=4096, description="rank r of what a task adds to the kernel of every layer")


class LoRA(Strategy):
    """LoRA: a task adds a product of two narrow matrices to the kernels that the first task has learned.

    ``W_n = W_1 + B_n A_n``, with A_n (r × k_in·n·n), drawn as the weights of a default convolution, and B_n (k_out ×
    r), zero at the start: a task starts with the first one's kernels. Biases, and all that is outside of convolutions,
    belong to the task and start from the task before.

    The original adapts linear layers of transformers that were trained on large corpora, trains no biases, and scales
    the product by α / r. Here the first task takes that part, kernels count as matrices of k_out rows, and α is r: Adam
    makes up for a constant factor. The default rank of 8 is low only in a wide network: of the numbers of a 3×3 kernel
    a task trains 14 % with 64 channels, and 56 % with the 16 of the preset ``quick``.
    """

    name = "lora"
    relative_cost = 1.05
    Settings = LoRASettings
    traits = Traits(needs_task_id=True, grows=True, protects_exactly=True)
    settings: LoRASettings

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """Convert every convolution; the first task trains its kernel."""
        return kernel_network(backbone, LoRAConv2d, self.seed, rank=self.settings.rank)


class LoRAConv2d(KernelConv2d):
    """A convolution with the first task's kernel, and a product of rank r for every other task.

    Args:
        conv, name, seed: see :class:`strategies.kernels.KernelConv2d`.
        rank: r; never more than the kernel's own greatest rank.
    """

    strategy = "lora"
    base: Tensor
    up: Tensor
    down: Tensor

    def __init__(self, conv: nn.Conv2d, name: str = "convolution", seed: int = 0, rank: int = 1) -> None:
        super().__init__(conv, name, seed)
        self.rank = min(rank, self.out_channels, self.m // self.out_channels)

    def parts(self, task: int) -> dict[str, Tensor]:
        """The first task's kernel, or B (k_out, r) and A (r, k_in / groups · n · n)."""
        if task == 0:
            return {"base": self.first_kernel}
        inputs = self.m // self.out_channels
        down = self.draw(task).uniform(-(inputs**-0.5), inputs**-0.5, (self.rank, inputs))
        return {"up": torch.zeros(self.out_channels, self.rank), "down": torch.from_numpy(down)}

    def kernel_of(self, task: int) -> Tensor:
        """``W_1 + B_n A_n``."""
        base = self.part("base", 0)
        return base + (self.part("up", task) @ self.part("down", task)).view(self.kernel_shape) if task else base

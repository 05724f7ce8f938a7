"""Piggyback (Mallya, Davis and Lazebnik, ECCV 2018): a mask over the first task's weights for every other task."""

import torch
from pydantic import Field
from torch import Tensor, nn

from strategies.base import Settings, Strategy, Traits
from strategies.kernels import KernelConv2d, kernel_network
from strategies.masks import from_bits, straight_through, to_bits
from strategies.surgery import refuse_complex


class PiggybackSettings(Settings):
    """Settings of Piggyback."""

    start: float = Field(
        0.4, gt=0, le=1000, description="what the real-valued masks start from; a weight is used above half of it"
    )


class Piggyback(Strategy):
    """Piggyback: each task after the first chooses which of that task's weights it uses, and trains none of them.

    The kernel is ``W_1 ⊙ b(m_n)``, where ``b(m) = 1`` above a threshold and else 0, and m_n real numbers, one for each
    weight, trained with the gradient of b taken as one (section 3.1). Once learned, a mask takes one bit a weight.
    Biases, and all that is outside of convolutions, belong to the task, too, and start from the task before.

    The original starts from weights learned on ImageNet; here the first task has that part. It trains no biases, which
    stay those of the first network. Its masks start at 1e-2 with the threshold at half of that, and Adam at a rate of
    1e-4 takes 50 steps from one to the other. ``start`` is as many steps at the rate of the preset ``quick``;
    ``standard`` and ``paper`` have their own.
    """

    name = "piggyback"
    relative_cost = 1.05
    Settings = PiggybackSettings
    traits = Traits(needs_task_id=True, grows=True, protects_exactly=True)
    settings: PiggybackSettings

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """Convert every convolution; the first task trains its kernel."""
        return kernel_network(backbone, MaskedConv2d, self.seed, start=self.settings.start)


class MaskedConv2d(KernelConv2d):
    """A convolution with the first task's kernel, and for every other task a mask over it.

    Args:
        conv, name, seed: see :class:`strategies.kernels.KernelConv2d`.
        start: of the real-valued masks.

    Raises:
        UserError: its weight is of complex numbers.
    """

    strategy = "piggyback"
    mask: Tensor

    def __init__(self, conv: nn.Conv2d, name: str = "convolution", seed: int = 0, start: float = 1.0) -> None:
        super().__init__(conv, name, seed)
        refuse_complex(name, conv, self.strategy)
        self.start = start

    def parts(self, task: int) -> dict[str, Tensor]:
        """The first task's kernel, or a real-valued mask over it."""
        return {"mask": torch.full(self.kernel_shape, self.start)} if task else {"base": self.first_kernel}

    def settled(self, name: str, part: Tensor) -> Tensor:
        """Of a mask, the bits."""
        return to_bits(part > self.start / 2) if name == "mask" else part

    def kernel_of(self, task: int) -> Tensor:
        """``W_1 ⊙ b(m_n)``."""
        base = self.part("base", 0)
        if task == 0:
            return base
        if task != self.learning:
            return base * from_bits(self.part("mask", task), self.kernel_shape)
        return base * straight_through(self.mask, self.mask > self.start / 2)

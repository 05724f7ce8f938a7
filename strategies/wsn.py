"""Winning SubNetworks (Kang et al., ICML 2022): a task trains the weights and the choice among them together."""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from strategies.base import Settings, Strategy, Traits
from strategies.kernels import KernelConv2d, kernel_network
from strategies.masks import from_bits, straight_through, to_bits


class WSNSettings(Settings):
    """Settings of WSN."""

    share: float = Field(0.5, gt=0, le=1, description="share c of every layer's weights that each task uses")


class WSN(Strategy):
    """WSN: every task uses the share c of the weights that score highest, and trains those that no task used before.

    Each weight has a score for the task in training. The kernel is ``θ ⊙ m_n``, where m_n is 1 at the weights whose
    score is among the greatest c of the layer by magnitude (Eq. 3); scores and weights are trained together, and the
    derivative of the choice by a score's magnitude is taken as one, so that a weight that helps gains in magnitude
    whatever the score's sign. Weights that an earlier task chose are used, too, and never
    trained again (Eq. 4): here they are no parameters, which holds also under momentum and weight decay. A mask takes
    one bit a weight and task; the original also compresses them by Huffman's code.

    Free weights go on from what the task before left in them. Scores do not: they are drawn anew for every task, so
    that a choice begins at random. The authors' code can do so, too, but in most of its scripts a task goes on from the
    scores of the one before, and so begins with the choice that they ended with. Biases, and all that is outside of
    convolutions, belong to the task, as do the heads in the original.
    """

    name = "wsn"
    relative_cost = 1.2
    revision = 2
    Settings = WSNSettings
    traits = Traits(needs_task_id=True, grows=True, protects_exactly=True)
    settings: WSNSettings

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """Convert every convolution."""
        return kernel_network(backbone, WinningConv2d, self.seed, share=self.settings.share)


class WinningConv2d(KernelConv2d):
    """A convolution of which every task chooses a share of the weights, and trains those that are free.

    Args:
        conv, name, seed: see :class:`strategies.kernels.KernelConv2d`.
        share: c.

    State:
        beside the masks, ``shared`` (k_out, k_in / groups, n, n), all weights as the last task left them.
    """

    strategy = "wsn"
    shared: Tensor
    values: Tensor
    scores: Tensor
    index: Tensor

    def __init__(self, conv: nn.Conv2d, name: str = "convolution", seed: int = 0, share: float = 1.0) -> None:
        super().__init__(conv, name, seed)
        self.chosen = max(1, int(share * self.m + 1e-6))
        self.register_buffer("shared", conv.weight.detach().clone())
        self.register_buffer("index", torch.arange(self.m), persistent=False)

    @property
    def used(self) -> Tensor:
        """Which weights tasks that are learned have chosen, bool like the kernel."""
        used = torch.zeros(self.kernel_shape, dtype=torch.bool, device=self.shared.device)
        for task in range(self.begun - bool(self.in_training)):
            used |= self._mask(task)
        return used

    def parts(self, task: int) -> dict[str, Tensor]:
        """The free weights, (f,), and a score for each weight, drawn as the weights of a default convolution."""
        self.index = torch.nonzero(~self.used.flatten()).flatten()
        bound = (self.m // self.out_channels) ** -0.5
        scores = torch.from_numpy(self.draw(task).uniform(-bound, bound, self.kernel_shape))
        return {"values": self.shared.flatten()[self.index], "scores": scores}

    def kernel_of(self, task: int) -> Tensor:
        """``θ ⊙ m_n``."""
        if task != self.learning:
            return self.shared.masked_fill(~self._mask(task), 0)
        weights = self.shared.flatten().scatter(0, self.index, self.values).view(self.kernel_shape)
        return weights * straight_through(self.scores.abs(), self._winning())

    def end(self) -> None:
        """Keep the weights, and the task's choice as bits."""
        self.shared = self.shared.flatten().scatter(0, self.index, self.values.detach()).view(self.kernel_shape)
        self.in_training.remove("values")
        del self.values
        super().end()

    def settled(self, name: str, part: Tensor) -> Tensor:
        """Of the scores, the choice as bits."""
        return to_bits(self._winning()) if name == "scores" else part

    def _winning(self) -> Tensor:
        """Where the scores are the greatest by magnitude."""
        sizes = self.scores.detach().abs()
        return sizes >= sizes.flatten().kthvalue(self.m - self.chosen + 1).values

    def _mask(self, task: int) -> Tensor:
        return from_bits(self.part("scores", task), self.kernel_shape)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load, also where other weights are free than in an untrained network."""
        if "values" in self.in_training and f"{prefix}values" in state_dict:
            self.values = nn.Parameter(self.values.new_empty(len(state_dict[f"{prefix}values"])))
        super()._load_from_state_dict(state_dict, prefix, *args)
        if self.in_training:
            self.index = torch.nonzero(~self.used.flatten()).flatten()

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

    Scores are drawn once, before the first task (Algorithm 1), and go on from task to task as free weights do, so that
    a task begins with the choice that the one before ended with. They are kept for that, in 4 bytes a weight however
    many tasks there are. Biases, and all that is outside of convolutions, belong to the task, as do the heads in the
    original.
    """

    name = "wsn"
    relative_cost = 1.2
    revision = 3
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
        beside the masks, ``shared`` and ``last_scores`` (k_out, k_in / groups, n, n), all weights and all scores as the
        last task left them.
    """

    strategy = "wsn"
    shared: Tensor
    last_scores: Tensor
    values: Tensor
    scores: Tensor
    index: Tensor

    def __init__(self, conv: nn.Conv2d, name: str = "convolution", seed: int = 0, share: float = 1.0) -> None:
        super().__init__(conv, name, seed)
        self.chosen = max(1, int(share * self.m + 1e-6))
        self.register_buffer("shared", conv.weight.detach().clone())
        bound = (self.m // self.out_channels) ** -0.5
        drawn = torch.from_numpy(self.draw(0).uniform(-bound, bound, self.kernel_shape))
        self.register_buffer("last_scores", drawn.to(self.shared))
        self.register_buffer("index", torch.arange(self.m), persistent=False)

    @property
    def used(self) -> Tensor:
        """Which weights tasks that are learned have chosen, bool like the kernel."""
        used = torch.zeros(self.kernel_shape, dtype=torch.bool, device=self.shared.device)
        for task in range(self.begun - bool(self.in_training)):
            used |= self._mask(task)
        return used

    def parts(self, task: int) -> dict[str, Tensor]:
        """The free weights, (f,), and a score for each weight, drawn as default weights are at first."""
        self.index = torch.nonzero(~self.used.flatten()).flatten()
        return {"values": self.shared.flatten()[self.index], "scores": self.last_scores}

    def kernel_of(self, task: int) -> Tensor:
        """``θ ⊙ m_n``."""
        if task != self.learning:
            return self.shared.masked_fill(~self._mask(task), 0)
        weights = self.shared.flatten().scatter(0, self.index, self.values).view(self.kernel_shape)
        return weights * straight_through(self.scores.abs(), self._winning())

    def end(self) -> None:
        """Keep the weights and scores, and the task's choice as bits."""
        self.shared = self.shared.flatten().scatter(0, self.index, self.values.detach()).view(self.kernel_shape)
        self.last_scores = self.scores.detach().clone()
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

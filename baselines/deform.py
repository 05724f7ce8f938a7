"""A smaller network for every task, with deformable convolutions (the paper's 'Deform' baseline, section 4.3).

The paper says that smaller, separate models are used for the tasks, that they are built of deformable convolutions, and
that the baseline has around 13 % more parameters than the plain network, which is read here as that of all tasks'
networks together. The rest is chosen here: each network is the backbone at a smaller width, and the first 3×3
convolution of every block is deformable (Dai et al., "Deformable Convolutional Networks", ICCV 2017) with offsets from
a 3×3 convolution that starts at zero. Deforming every layer would leave little of a small network's parameters for
anything but offsets; as it is, they take 23 % of a network's at 64 channels, and 62 % at 16. A width is a whole number,
so the size asked for is met as nearly as that allows; the ledger counts what was built.

The layer is written with ``F.grid_sample`` and equals ``torchvision.ops.DeformConv2d``, which trains 13 times slower on
the CPU (104 ms against 8 ms, forward and backward, for 8 patches of 48×48 with 5 channels on one core).
"""

from functools import partial
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import flop_registry, register_flop_formula

from benchmark.backbones.base import Backbone
from benchmark.backbones.dense import DenseBlock
from benchmark.backbones.resnet import ResidualBlock
from benchmark.core.addresses import torch_seed
from benchmark.core.errors import UserError
from strategies.base import Settings, Strategy, Traits
from strategies.separate import SeparateNetworks
from strategies.surgery import convolutions, exchange, geometry, refuse_clash

TAPS = 9
PLAIN: dict[str, tuple[Any, ...]] = {
    "kernel_size": ((3, 3),),
    "stride": ((1, 1),),
    "padding": ((1, 1), "same"),
    "dilation": ((1, 1),),
    "groups": (1,),
    "padding_mode": ("zeros",),
}
"""The options of a convolution that can be made deformable."""


class DeformSettings(Settings):
    """Settings of the deform baseline."""

    size: float = Field(
        1.13,
        gt=0,
        le=100,
        description="parameters of all tasks' networks together, in plain backbones, as nearly as a whole width allows "
        "(four tasks: 1.15 at 64 channels, 1.11 at 16)",
    )


class Deform(Strategy):
    """A smaller network of its own for every task, with deformable convolutions (section 4.3)."""

    name = "deform"
    relative_cost = 2.5
    Settings = DeformSettings
    traits = Traits(needs_task_id=True, grows=True, protects_exactly=True)
    settings: DeformSettings

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """A network that gets a small deformable copy of the backbone with every task.

        Raises:
            UserError: the backbone cannot be built at another width, or has no block to deform.
        """
        if not isinstance(backbone, Backbone):
            raise UserError(
                f"deform builds the backbone again at a smaller width and cannot do so with {type(backbone).__name__}. "
                "Use one of those that this command shows: python -m benchmark list backbones."
            )
        if not deformed(backbone):
            raise UserError(
                f"deform makes the first convolution of every block deformable, and this {type(backbone).__name__} has "
                "no ResidualBlock or DenseBlock. Set backbone.blocks to 1 or more, or use one of those that this "
                "command shows: python -m benchmark list backbones."
            )
        width = fitting_width(backbone, self.settings.size / tasks)
        return SeparateNetworks(partial(drawn, backbone, width, self.seed), backbone)


class DeformableConv2d(nn.Module):
    """A 3×3 convolution whose nine taps are moved, pixel by pixel, by offsets that a second convolution predicts.

    Args:
        conv: a 3×3 convolution of stride 1 and padding 1 whose weight and bias are taken over.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.offset = nn.Conv2d(conv.in_channels, 2 * TAPS, 3, padding=1)
        nn.init.zeros_(self.offset.weight)
        assert self.offset.bias is not None
        nn.init.zeros_(self.offset.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, k_in, H, W) to (N, k_out, H, W)."""
        return deformable_convolution(input, self.offset(input), self.weight, self.bias)


def deformable_convolution(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``sum over taps k of w_k · x(p + p_k + Δp_k)``, sampled bilinearly, zero outside the image (Dai et al., Eq. 2).

    Args:
        x: (N, k_in, H, W).
        offset: (N, 18, H, W), the pairs (Δy, Δx) of the nine taps in pixels, tap after tap in rows of the kernel.
        weight: (k_out, k_in, 3, 3).
        bias: (k_out,) or None.

    Places and samples are computed in float32 at least: bf16 tells no places apart that are less than a quarter of a
    pixel from each other, from the 32nd row or column on.
    """
    n, channels, height, width = x.shape
    precise = torch.promote_types(x.dtype, torch.float32)
    dy, dx = offset.to(precise).view(n, TAPS, 2, height, width).unbind(2)
    shift = torch.arange(-1, 2, dtype=precise, device=x.device)
    rows = torch.arange(height, dtype=precise, device=x.device)
    columns = torch.arange(width, dtype=precise, device=x.device)
    y = dy + shift.repeat_interleave(3).view(TAPS, 1, 1) + rows.view(height, 1)
    x_ = dx + shift.repeat(3).view(TAPS, 1, 1) + columns
    # grid_sample without align_corners: pixel i of n has its centre at (2 · i + 1) / n - 1.
    grid = torch.stack([(2 * x_ + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    sampled = F.grid_sample(x.to(precise), grid.view(n, TAPS * height, width, 2), align_corners=False)
    taken = sampled.view(n, channels * TAPS, height, width).to(x.dtype)
    return F.conv2d(taken, weight.view(len(weight), -1, 1, 1), bias)


def small_network(backbone: Backbone, width: int) -> Backbone:
    """The backbone at another width, with the first 3×3 convolution of every block deformable.

    Raises:
        UserError: that is not a plain 3×3 convolution, or not trained; or there is no such width.
    """
    network = backbone.at_width(width)
    for block in deformed(network):
        name, conv = next(iter(convolutions(block).items()), ("", None))
        options = {} if conv is None else geometry(conv)
        if conv is None or any(options[key] not in PLAIN[key] for key in PLAIN):
            raise UserError(
                f"deform makes the first convolution of every {type(block).__name__} deformable, and takes 3×3 ones "
                f"that are trained, of stride, padding, dilation and groups 1 and filled with zeros; this is {conv}."
            )
        made = DeformableConv2d(conv)
        refuse_clash(name, conv, made)
        exchange(conv, made)
    return network


def deformed(network: Backbone) -> list[nn.Module]:
    """The blocks of which the first convolution is made deformable."""
    return [block for block in network.body.modules() if isinstance(block, ResidualBlock | DenseBlock)]


def drawn(backbone: Backbone, width: int, seed: int, task: int) -> Backbone:
    """A task's small network, with weights drawn for that task."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed("deform", seed, task))
        return small_network(backbone, width).to(next(backbone.parameters()))


def fitting_width(backbone: Backbone, share: float) -> int:
    """The width, at least 1, at which the small network's size is nearest to a share of the backbone's.

    Raises:
        UserError: the backbone stops growing with its width before it has that size.
    """

    def size(width: int) -> int:
        with torch.device("meta"):
            return count(small_network(backbone, width))

    target = share * count(backbone)
    width = 1
    while (reached := size(width)) < target:
        if width > backbone.width and reached == size(width // 2):
            raise UserError(
                f"deform looks for the width at which {type(backbone).__name__} has {target:,.0f} parameters, and it "
                f"has {reached:,} at {width} as at {width // 2} channels. Lower deform.size, let the backbone's layers "
                "follow its width, or use one of those that this command shows: python -m benchmark list backbones."
            )
        width += 1
    return min(max(1, width - 1), width, key=lambda candidate: abs(size(candidate) - target))


def count(network: nn.Module) -> int:
    """Parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


if torch.ops.aten.grid_sampler_2d not in flop_registry:

    @register_flop_formula(torch.ops.aten.grid_sampler_2d)
    def grid_sample_flops(*shapes: Any, out_shape: Any, **_: Any) -> int:
        """Two for each of the four pixels that bilinear sampling weighs; torch's counter leaves sampling out."""
        return 8 * int(torch.Size(out_shape).numel())

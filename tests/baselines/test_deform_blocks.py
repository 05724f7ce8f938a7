"""Blocks that the deform baseline cannot make deformable."""

from typing import Any

import pytest
from torch import nn

from baselines.deform import Deform, DeformSettings
from benchmark.backbones.base import Backbone
from benchmark.backbones.resnet import ResidualBlock
from benchmark.core.errors import UserError


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 1},
        {"kernel_size": 3, "padding": 1, "stride": 2},
        {"kernel_size": 3, "padding": 2, "dilation": 2},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": 1, "groups": 2},
        None,
    ],
)
def test_deform_refuses_blocks_whose_first_convolution_it_would_change(options: dict[str, Any] | None) -> None:
    class Block(ResidualBlock):
        def __init__(self, width: int) -> None:
            super().__init__(width)
            if options is None:
                self.requires_grad_(False)
            else:
                self.conv1 = nn.Conv2d(2 * width, 2 * width, **options)

    class Network(Backbone):
        def make_body(self) -> nn.Module:
            return nn.Sequential(*[Block(self.width) for _ in range(self.blocks)])

    with pytest.raises(UserError, match="first convolution of every Block deformable, and takes 3×3 ones that are"):
        Deform(DeformSettings()).adapt(Network(width=4, blocks=1), 2)

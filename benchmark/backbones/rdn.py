"""The residual dense network (RDN; Zhang et al., TPAMI 2021), for section 4.4.6 of the paper.

The paper gives the number of blocks only. Growth (a quarter of the width) and layers in a block (4) are chosen here so
that the parameters are those of the residual network within 3 % at 64 channels and 6 blocks.
"""

import torch
from torch import Tensor, nn

from benchmark.backbones.base import Backbone
from benchmark.backbones.dense import DenseBlock
from benchmark.core.errors import UserError


class ResidualDenseBlock(DenseBlock):
    """A dense block with *local residual learning*: its input is added to its output."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        return x + super().forward(x)


class ResidualDenseBody(nn.Module):
    """Residual dense blocks whose outputs are all fused, and added to what the input convolution gave.

    In the words of the RDN paper: the second shallow feature extraction, the blocks, global feature fusion (1×1, then
    3×3) and global residual learning.
    """

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.shallow = nn.Conv2d(width, width, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualDenseBlock(width, layers=4) for _ in range(blocks))
        self.fuse = nn.Sequential(nn.Conv2d(blocks * width, width, 1), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        outputs = [self.shallow(x)]
        for block in self.blocks:
            outputs.append(block(outputs[-1]))
        return x + self.fuse(torch.cat(outputs[1:], 1))


class RDN(Backbone):
    """A body of residual dense blocks with global feature fusion, at full resolution and without normalisation."""

    def make_body(self) -> nn.Module:
        """Residual dense blocks of 4 layers, fused.

        Raises:
            UserError: there is no block whose output could be fused.
        """
        if self.blocks < 1:
            raise UserError("backbone.blocks = 0: rdn fuses the outputs of its blocks and needs at least one.")
        return ResidualDenseBody(self.width, self.blocks)

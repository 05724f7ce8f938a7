"""Dense blocks (Huang et al., CVPR 2017; in restoration Tong et al., ICCV 2017), for section 4.4.6 of the paper.

The paper gives the number of blocks only. Growth (a quarter of the width) and layers in a block (5) are chosen here so
that the parameters are those of the residual network within 7 % at 64 channels and 6 blocks, which keeps costs and
shares of memory comparable between backbones.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbones.base import Backbone


class DenseBlock(nn.Module):
    """3×3 convolutions that each see the block's input and all layers before; a 1×1 convolution joins them.

    Args:
        width: channels of the block's input and output.
        layers: 3×3 convolutions in the block, each of which adds ``width // 4`` channels (at least one).
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        growth = max(1, width // 4)
        self.layers = nn.ModuleList(nn.Conv2d(width + i * growth, growth, 3, padding=1) for i in range(layers))
        self.join = nn.Conv2d(width + layers * growth, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        for layer in self.layers:
            x = torch.cat([x, F.relu(layer(x))], 1)
        return self.join(x)


class DenseNet(Backbone):
    """A body of dense blocks, one after another, at full resolution and without normalisation."""

    def make_body(self) -> nn.Module:
        """Dense blocks of 5 layers in sequence."""
        return nn.Sequential(*[DenseBlock(self.width, layers=5) for _ in range(self.blocks)])

"""The plain residual network of the paper's experiments (section 4.1.3)."""

from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbones.base import Backbone


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))`` with 3×3 convolutions, after He et al. (2016), without normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        return x + self.conv2(F.relu(self.conv1(x)))


class ResNet(Backbone):
    """A body of residual blocks, one after another."""

    def make_body(self) -> nn.Module:
        """Residual blocks in sequence."""
        return nn.Sequential(*[ResidualBlock(self.width) for _ in range(self.blocks)])

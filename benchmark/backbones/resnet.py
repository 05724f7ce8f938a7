"""The plain residual network of the paper's experiments (section 4.1.3)."""

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(x)))`` with 3×3 convolutions, after He et al. (2016), without normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        return x + self.conv2(F.relu(self.conv1(x)))


class ResNet(nn.Module):
    """An input convolution, residual blocks, and an output convolution, all at full resolution.

    Args:
        width: channels inside the network (64 in the paper).
        blocks: residual blocks between the input and the output convolution (6 in the paper).
        image_skip: add the input image to the output, so that the network predicts a correction. The paper does
            not; with it, every task starts from the degraded image and the gain of sharing is hidden.
    """

    def __init__(self, width: int = 64, blocks: int = 6, image_skip: bool = False) -> None:
        super().__init__()
        self.image_skip = image_skip
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(*[ResidualBlock(width) for _ in range(blocks)])
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Restore images (N, 3, H, W) with values around [0, 1]; the output has the same shape and is not clamped."""
        restored = self.tail(self.body(self.head(x)))
        return x + restored if self.image_skip else restored

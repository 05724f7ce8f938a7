"""A backbone from outside of the suite: the worked example of docs/backbones.md."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.backbones import register


@register("unet")
class UNet(nn.Module):
    """One level of a U-Net: the body works at half resolution, and details pass beside it."""

    def __init__(self, width: int = 64, blocks: int = 6, image_skip: bool = False) -> None:
        super().__init__()
        self.image_skip = image_skip
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.halve = nn.AvgPool2d(2, ceil_mode=True)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(blocks))
        self.tail = nn.Conv2d(2 * width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Restore images (N, 3, H, W)."""
        details = F.relu(self.head(x))
        features = self.halve(details)
        for layer in self.body:
            features = features + F.relu(layer(features))
        features = F.interpolate(features, size=x.shape[-2:])
        restored = self.tail(torch.cat([details, features], 1))
        return x + restored if self.image_skip else restored

"""What restoring an image costs: CMC's networks, as they are and folded, against the plain one."""

from collections.abc import Callable

import torch
from rich.console import Console
from torch import nn

from benchmark.backbones import build
from benchmark.config import sizes
from benchmark.core.runs.profile_table import WHOLE, Row
from benchmark.profiling.timing import Parts, compare, milliseconds, place
from strategies.cmc.network import CMCNetwork, convert, fold

FRACTION = 0.1
"""Share of the memory that each task of CMC owns."""


def measure(preset: str = "quick", size: int = 256, repeats: int = 15, console: Console | None = None) -> list[Row]:
    """Measure an image of size × size pixels, in evaluation mode and float32.

    Args:
        preset: size of the network.
        size: height and width of the image in pixels.
        repeats: how often each is timed.
        console: where to show progress.
    """
    backbone = sizes(preset)[1]
    device = place()
    plain = build(backbone.name, backbone.width, backbone.blocks, backbone.image_skip).to(device)
    image = torch.rand(1, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)

    def cmc(t: int) -> CMCNetwork:
        network = CMCNetwork(convert(plain, t), lambda layer: layer.begin(FRACTION))
        network.rebuild(range(2))
        return network

    def restore(network: nn.Module, *task: int) -> Callable[[], Parts]:
        network.eval()

        def once() -> Parts:
            with torch.inference_mode():
                return {WHOLE: milliseconds(lambda: network(image, *task), device)}

        return once

    five, twenty, training = cmc(5), cmc(20), cmc(5)
    training.begin(2)
    subjects = {
        "plain network": restore(plain),
        "CMC-5, folded": restore(fold(five, 1)),
        "CMC-5": restore(five, 1),
        "CMC-20": restore(twenty, 1),
        "CMC-5, task in training": restore(training, 2),
    }
    setting = f"{backbone.width} channels, an image of {size}×{size}"
    return compare("inference", subjects, repeats, device, setting, console)

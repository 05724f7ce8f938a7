"""What a strategy costs: parameters, bytes and computation, counted on the network itself."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from strategies.base import TaskNetwork

SIDE = 32
"""Side in pixels of the image on which multiply-accumulates are counted; every layer works at full resolution."""


def trainable_parameters(model: nn.Module) -> int:
    """Numbers that the optimizer may change at present."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def stored_bytes(tensors: dict[str, Tensor]) -> int:
    """Bytes that the tensors take on disk."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


@torch.no_grad()
def macs_per_pixel(model: nn.Module) -> float:
    """Multiply-accumulates per pixel of one forward pass, by torch's own counter (one is two floating operations)."""
    image = torch.zeros(1, 3, SIDE, SIDE, device=next(model.buffers(), next(model.parameters(), torch.empty(0))).device)
    arguments: list[Any] = [image, model.known[-1]] if isinstance(model, TaskNetwork) else [image]
    was_training = model.training
    model.eval()
    with FlopCounterMode(display=False) as counter:
        model(*arguments)
    model.train(was_training)
    return counter.get_total_flops() / 2 / SIDE**2

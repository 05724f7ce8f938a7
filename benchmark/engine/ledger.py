"""What a strategy costs: parameters, bytes and computation, counted on the network itself."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmark.backbones import build
from benchmark.config import Backbone
from benchmark.core.process import memory
from strategies.base import EXEMPLARS, Strategy, TaskNetwork

SIDE = 32
"""Side in pixels of the image on which multiply-accumulates are counted; every layer works at full resolution."""


def trainable_parameters(model: nn.Module) -> int:
    """Numbers that the optimizer may change at present."""
    if isinstance(model, TaskNetwork):
        return model.trainable()
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def plain_parameters(backbone: Backbone) -> int:
    """Parameters of the backbone itself, without any strategy."""
    with torch.device("meta"):
        network = build(backbone.name, backbone.width, backbone.blocks, backbone.image_skip)
    return sum(parameter.numel() for parameter in network.parameters())


@dataclass(frozen=True)
class Storage:
    """What a checkpoint holds, by kind.

    Args:
        parameters: numbers that are neither masks nor exemplars: weights, vectors, importances.
        bytes: all of it on disk.
        mask_bytes: of that, whole numbers and truth values: who owns a weight, what is reused, which task is which.
        exemplar_bytes: of that, stored images of earlier tasks.
    """

    parameters: int
    bytes: int
    mask_bytes: int
    exemplar_bytes: int


def storage(model: dict[str, Tensor], strategy: dict[str, Tensor]) -> Storage:
    """What the state of a network and that of its strategy take."""
    exemplars = [tensor for key, tensor in strategy.items() if key.startswith(EXEMPLARS)]
    others = [*model.values(), *(tensor for key, tensor in strategy.items() if not key.startswith(EXEMPLARS))]
    masks = [tensor for tensor in others if not (tensor.is_floating_point() or tensor.is_complex())]
    return Storage(
        parameters=sum(tensor.numel() for tensor in others) - sum(tensor.numel() for tensor in masks),
        bytes=_bytes([*others, *exemplars]),
        mask_bytes=_bytes(masks),
        exemplar_bytes=_bytes(exemplars),
    )


def needed_again(strategy: Strategy, learned: int, tasks: int) -> set[int]:
    """Which learned tasks the strategy trains on again, so that their images have to be kept for it to go on.

    Later rounds tell, those of the stream and those of a stream with a task more: what is learned is to go on.

    Args:
        strategy: says so by its rounds.
        learned: tasks learned so far.
        tasks: tasks of the stream.
    """
    rounds = [*strategy.rounds(tasks), *strategy.rounds(learned + 1)]
    return {task for labels in rounds if max(labels) >= learned for task in labels if task < learned}


def reset_peak_memory(device: torch.device) -> None:
    """Begin a new measurement of :func:`peak_memory`; what was freed before it does not count."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    memory.give_back()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def peak_memory(device: torch.device) -> int | None:
    """Most bytes held at once since :func:`reset_peak_memory`.

    On a GPU those of its tensors; on the CPU those of the whole process, libraries included, where Linux tells them,
    and None elsewhere.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with suppress(OSError, StopIteration):
        status = Path("/proc/self/status").read_text("ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return None


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


def _bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

"""What more parameters cost in one layer: the paper's Table 6 (section 4.4.5), measured.

The layer is a 3×3 convolution on large features. Its parameters grow in three ways: larger kernels (Type-1), more
layers (Type-2), and more rows of a continual memory (CMC-5, CMC-10, CMC-20). As in the paper the kernel of a CMC layer
is estimated in every pass, as while a task is learned; once a task is learned our layer keeps its kernel, which the
last row shows.
"""

import math
import multiprocessing
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmark.core.clock import duration
from benchmark.core.files import refuse_long_place
from benchmark.core.runs.layer_table import COLUMNS, Row, write
from benchmark.core.runs.writing import refuse_other
from benchmark.engine import ledger
from benchmark.profiling import timing
from strategies.cmc.layer import CMCConv2d
from strategies.surgery import geometry

FRACTION = 0.2
"""Share of the memory that each task of a CMC layer owns, which is what its estimate costs."""


@dataclass(frozen=True)
class Variant:
    """One way to build the layer.

    Args:
        method: as in :class:`benchmark.core.runs.layer_table.Row`.
        name: the variant.
        make: builds it for a number of channels.
    """

    method: str
    name: str
    make: Callable[[int], nn.Module]


def convolution(channels: int, kernel: int = 3) -> nn.Module:
    """A plain convolution; every kernel has one pixel of padding, as the printed GMac of Table 6 tell."""
    return nn.Conv2d(channels, channels, kernel, padding=1)


def stack(channels: int, layers: int) -> nn.Module:
    """Plain 3×3 convolutions one after another."""
    return nn.Sequential(*(convolution(channels) for _ in range(layers)))


def memory(channels: int, t: int, learned: bool = False) -> nn.Module:
    """A CMC-t layer in its second task, so that earlier knowledge takes part; or with that task learned."""
    layer = CMCConv2d(nn.Conv2d(channels, channels, 3, padding=1), t)
    layer.begin(FRACTION)
    layer.end()
    layer.begin(FRACTION)
    if learned:
        layer.end()
    return layer


VARIANTS = (
    Variant("base", "3×3 kernel", convolution),
    Variant("Type-1", "3×3 kernel", convolution),
    Variant("Type-1", "4×4 kernel", lambda channels: convolution(channels, 4)),
    Variant("Type-1", "6×6 kernel", lambda channels: convolution(channels, 6)),
    Variant("Type-2", "1 layer", lambda channels: stack(channels, 1)),
    Variant("Type-2", "2 layers", lambda channels: stack(channels, 2)),
    Variant("Type-2", "4 layers", lambda channels: stack(channels, 4)),
    Variant("CMC-n", "CMC-5", lambda channels: memory(channels, 5)),
    Variant("CMC-n", "CMC-10", lambda channels: memory(channels, 10)),
    Variant("CMC-n", "CMC-20", lambda channels: memory(channels, 20)),
    Variant("CMC-n", "CMC-20, task learned", lambda channels: memory(channels, 20, learned=True)),
)
"""Every way that is measured; the first is what times are relative to."""


def measure(
    channels: int = 64, size: int = 1000, repeats: int = 7, device: str = "auto", console: Console | None = None
) -> list[Row]:
    """Measure every variant on features of (1, channels, size, size), in float32.

    Times are medians over repeats in which all variants take turns, forth and back, so that a machine that grows slower
    treats all alike.

    Args:
        channels: into and out of the layer.
        size: height and width of the features in pixels.
        repeats: how often each is timed, at least once.
        device: ``cpu``, ``cuda``, or ``auto`` for a GPU if there is one.
        console: where to show progress.

    Raises:
        UserError: on the CPU, memory is measured in processes of its own, and they could not be started.
    """
    place = timing.place(device)
    if place.type == "cpu":
        refuse_long_place()
    layers = [_ready(variant, channels, place) for variant in VARIANTS]
    features = torch.rand(1, channels, size, size, device=place)
    if console is not None:
        _milliseconds(layers[0], features)  # the first pass also allocates
        seconds = expected_seconds(_milliseconds(layers[0], features), channels, size, repeats)
        console.print(f"{len(layers)} layers, each timed {repeats} times: about {duration(seconds)}.", highlight=False)
    for layer in layers:
        _milliseconds(layer, features)
    times = timing.by_turns([partial(_milliseconds, layer, features) for layer in layers], repeats, console)
    firsts = [next(i for i, other in enumerate(VARIANTS) if other.method == variant.method) for variant in VARIANTS]
    peaks = [
        _peak_memory(index, channels, size, place)
        for index in track(range(len(layers)), "Memory", console=console, disable=console is None)
    ]
    return [
        Row(
            method=variant.method,
            variant=variant.name,
            trainable_parameters=trainable_parameters(layer),
            kernel_parameters=kernel_parameters(layer),
            peak_memory=peaks[index],
            gmac=gmac(layer, channels, size),
            milliseconds=float(np.median(times[:, index])),
            ratio=timing.ratio(times[:, index], times[:, 0]),
            base_ratio=timing.ratio(times[:, index], times[:, firsts[index]]),
            channels=channels,
            size=size,
            repeats=repeats,
            device=timing.called(place),
            threads=torch.get_num_threads(),
        )
        for index, (variant, layer) in enumerate(zip(VARIANTS, layers, strict=True))
    ]


def profile(
    path: Path, channels: int = 64, size: int = 1000, repeats: int = 7, console: Console | None = None
) -> list[Row]:
    """Measure every variant and write the rows to a CSV file.

    Raises:
        UserError: something else stands at the path; or see :func:`measure`.
    """
    refuse_other(path, COLUMNS.names, "--out")
    rows = measure(channels, size, repeats, console=console)
    write(rows, path)
    return rows


def expected_seconds(plain: float, channels: int, size: int, repeats: int) -> float:
    """How long :func:`measure` will take: passes of every variant, each as long as it multiplies and accumulates.

    Args:
        plain: milliseconds of a forward pass of the first variant.
        channels: into and out of the layer.
        size: height and width of the features in pixels.
        repeats: how often each is timed; one more pass comes before, and one for its memory.
    """
    macs = [gmac(variant.make(channels), channels, size) for variant in VARIANTS]
    return plain / 1000 * sum(macs) / macs[0] * (repeats + 2)


def render(rows: list[Row], console: Console) -> None:
    """Print the rows as a table; the parameters of the kernels, too, stand in the file alone."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("variant", no_wrap=True)
    for column in ("trainable", "peak MiB", "GMac", "ms", "× plain", "× first"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        peak = f"{row.peak_memory / 2**20:,.0f}" if math.isfinite(row.peak_memory) else "–"
        numbers = [f"{row.gmac:.3f}", f"{row.milliseconds:.1f}", f"{row.ratio:.3f}", f"{row.base_ratio:.3f}"]
        name = row.variant if row.variant.startswith("CMC") else f"{row.method}, {row.variant}"
        table.add_row(name, f"{row.trainable_parameters:,}", peak, *numbers)
    console.print(table)


def trainable_parameters(layer: nn.Module) -> int:
    """Numbers that can be trained over the layer's life: of a CMC layer its whole memory, a vector and a bias."""
    if isinstance(layer, CMCConv2d):
        return layer.memory.numel() + layer.t + layer.out_channels
    return sum(parameter.numel() for parameter in layer.parameters())


def kernel_parameters(layer: nn.Module) -> int:
    """Numbers in the kernels that a forward pass convolves with, with their biases."""
    if isinstance(layer, CMCConv2d):
        return layer.m + layer.out_channels
    return sum(parameter.numel() for parameter in layer.parameters())


def gmac(layer: nn.Module, channels: int, size: int) -> float:
    """Multiply-accumulates of a forward pass in billions, by torch's counter.

    The counter does not see the multiply-accumulates by which a CMC layer estimates its kernel, one for each entry its
    task owns, as they are no matrix product to torch; they are added. Counting takes no time, as nothing is computed.
    """
    estimation = 0
    if isinstance(layer, CMCConv2d):
        estimation = layer.values.numel() if layer.learning is not None else 0
        layer = nn.Conv2d(**geometry(layer), device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer.to("meta")(torch.empty(1, channels, size, size, device="meta"))
    return (counter.get_total_flops() / 2 + estimation) / 1e9


def _ready(variant: Variant, channels: int, device: torch.device) -> nn.Module:
    """The layer, of which no pass needs gradients.

    It says so itself. Were they turned off around a pass, as in evaluation, a CMC layer would keep its kernel.
    """
    return variant.make(channels).to(device).eval().requires_grad_(False)


def _milliseconds(layer: nn.Module, features: torch.Tensor) -> float:
    return timing.milliseconds(lambda: layer(features), features.device)


def _peak_memory(index: int, channels: int, size: int, device: torch.device) -> float:
    """Peak bytes of a forward pass: on a GPU of its tensors, on the CPU of a process that does nothing else."""
    if device.type == "cuda":
        return _peak_here(index, channels, size, device)
    server = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if server else "spawn")
    if server:
        context.set_forkserver_preload([__name__])  # so that torch is imported once, not for every variant
    with context.Pool(1, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:  # Ctrl-C is told by this process
        return pool.apply(_peak_here, (index, channels, size, device))


def _peak_here(index: int, channels: int, size: int, device: torch.device) -> float:
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    layer = _ready(VARIANTS[index], channels, device)
    features = torch.rand(1, channels, size, size, device=device)
    ledger.reset_peak_memory(device)
    _milliseconds(layer, features)
    peak = ledger.peak_memory(device)
    return math.nan if peak is None else float(peak - before)

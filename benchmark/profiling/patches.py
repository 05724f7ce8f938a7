"""What a training patch costs: from the cache, decoded from a PNG, computed on the device, and against a step."""

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmark import config
from benchmark.backbones import build
from benchmark.core import clock
from benchmark.core.addresses import generator
from benchmark.data import cache, datasets
from benchmark.data.dead_leaves import dead_leaves
from benchmark.data.degradations import Degradation, make
from benchmark.data.opening import open_rgb
from benchmark.data.patches import DegradedPatches
from benchmark.profiling.timing import synchronise
from benchmark.streams.build import TrainingPatches
from benchmark.streams.device import DeviceLoader

_SIDE = 1414
"""Side in pixels of the pictures, 2 megapixels as in DIV2K."""
_PICTURES = 3
_DECODED, _CACHED = 4, 40
"""Patches drawn in one repeat."""
_BATCHES = 4
"""Batches computed on the device in one repeat."""
_PATIENCE = 1.0
"""Seconds after which no further training step is begun; two are measured in any case."""
_TRAINING: dict[str, dict[str, Any]] = {
    "noise": {"std": 50},
    "jpeg": {"quality": [10, 70]},
    "blur": {"std": [0.2, 3]},
    "rain": {},
}
"""The degradations of the paper's four tasks, as in training."""


class Untouched(Degradation):
    """Returns the image as it is, so that only cutting out a patch takes time."""

    name: ClassVar[str] = "untouched"

    def numbers(self, height: int, width: int, rng: np.random.Generator) -> None:
        """Nothing is random."""

    def apply(self, image: np.ndarray, numbers: None) -> np.ndarray:
        """The image."""
        return image


@dataclass(frozen=True)
class Row:
    """The time of one patch in milliseconds, medians over the repeats.

    Args:
        degradation: what is done to the patch.
        decoded: with the PNG decoded for each patch.
        cached: with a crop from the cache.
        ratio: how many times faster the cache is; the median of the repeats' own ratios.
        drawn: what is left for the CPU where patches are computed on the device.
        computed: what the device takes then; None if it cannot compute this degradation.
        share: of a training step, how much one worker spends on its batch from the cache.
    """

    degradation: str
    decoded: float
    cached: float
    ratio: float
    drawn: float | None
    computed: float | None
    share: float

    @property
    def per_second(self) -> float:
        """Patches a worker draws from the cache in a second."""
        return 1000 / self.cached


@dataclass(frozen=True)
class _Undecoded:
    """Stands for an image of known size, and decodes its file whenever it is sliced."""

    path: Path
    shape: tuple[int, int, int]

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        return open_rgb(self.path)[window]


def profile(training: config.Training, device: torch.device, step_ms: float, repeats: int) -> list[Row]:
    """Draw patches from PNG files, from their cache and on the device, by turns, on generated 2-megapixel pictures.

    Args:
        training: batch and patch size.
        device: where patches are computed, but for those of degradations that only a CPU knows.
        step_ms: milliseconds that a training step takes, to tell the loader's share of it.
        repeats: how often all are measured.
    """
    kinds = [Untouched(), *(make(name, parameters) for name, parameters in _TRAINING.items())]
    with tempfile.TemporaryDirectory() as folder:
        decoding, cached = _pictures(Path(folder))
        return [_measure(kind, decoding, cached, training, device, step_ms, repeats) for kind in kinds]


def step_milliseconds(training: config.Training, backbone: config.Backbone, device: torch.device) -> float:
    """Median time of a training step of the plain network, in milliseconds.

    Args:
        training: batch and patch size.
        backbone: the network.
        device: where it trains.
    """
    network = build(backbone.name, backbone.width, backbone.blocks, backbone.image_skip).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    images = torch.rand(training.batch_size, 3, training.patch_size, training.patch_size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    times: list[float] = []
    began = clock.now()
    while len(times) < 3 or (clock.since(began) < _PATIENCE and len(times) < 100):
        start = clock.now()
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(network(images), images).backward()
        optimizer.step()
        synchronise(device)
        times.append(clock.since(start) * 1000)
    return float(np.median(times[1:]))  # the first step also allocates


def render(rows: list[Row], console: Console) -> None:
    """Print the rows as a table."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in (
        "patch",
        "PNG decoded, ms",
        "cached, ms",
        "times faster",
        "patches/s per worker",
        "share of a step",
        "drawn for the device, ms",
        "computed there, ms",
    ):
        table.add_column(column, justify="left" if column == "patch" else "right")
    for row in rows:
        table.add_row(
            row.degradation,
            f"{row.decoded:.1f}",
            f"{row.cached:.3f}",
            f"{row.ratio:.0f}",
            f"{row.per_second:,.0f}",
            f"{row.share:.1%}",
            *("–" if part is None else f"{part:.3f}" for part in (row.drawn, row.computed)),
        )
    console.print(table)


def _pictures(folder: Path) -> tuple[Sequence[_Undecoded], cache.CachedImages]:
    photographs = folder / "photographs"
    photographs.mkdir()
    for index in range(_PICTURES):
        Image.fromarray(dead_leaves(index, _SIDE)).save(photographs / f"{index}.png")
    dataset = datasets.find(photographs).datasets[0]
    cache.prepare(dataset, folder / "cache")
    shape = (_SIDE, _SIDE, 3)
    return [_Undecoded(item.clean.path, shape) for item in dataset.items], cache.load(dataset, folder / "cache")


def _measure(
    degradation: Degradation,
    decoding: Sequence[_Undecoded],
    cached: cache.CachedImages,
    training: config.Training,
    device: torch.device,
    step_ms: float,
    repeats: int,
) -> Row:
    size, batch = training.patch_size, training.batch_size
    slow = DegradedPatches(decoding, degradation, size)  # type: ignore[arg-type]
    fast = DegradedPatches(cached, degradation, size)
    part = TrainingPatches(fast, 0, "profile", per_epoch=batch, epochs=(repeats + 1) * _BATCHES)
    on_device = _OnDevice(part, device) if part.computable else None
    keys = itertools.count()
    for source in (slow, fast):
        _milliseconds(source, 1, keys)
    if on_device is not None:
        on_device.milliseconds(batch)
    times = np.array(
        [
            [
                _milliseconds(slow, _DECODED, keys),
                _milliseconds(fast, _CACHED, keys),
                *((np.nan, np.nan) if on_device is None else on_device.milliseconds(batch)),
            ]
            for _ in range(repeats)
        ]
    )
    decoded_ms, cached_ms, drawn_ms, computed_ms = np.median(times, axis=0).tolist()
    return Row(
        degradation=degradation.name,
        decoded=decoded_ms,
        cached=cached_ms,
        ratio=float(np.median(times[:, 0] / times[:, 1])),
        drawn=None if on_device is None else drawn_ms,
        computed=None if on_device is None else computed_ms,
        share=batch * cached_ms / step_ms,
    )


class _OnDevice:
    """Draws batches on the CPU, and computes them on the device."""

    def __init__(self, part: TrainingPatches, device: torch.device) -> None:
        self.loader, self.device, self.next = DeviceLoader([part], [0], device), device, 0

    def milliseconds(self, batch: int) -> tuple[float, float]:
        """For a patch: what the CPU takes, and what the device takes."""
        start = clock.now()
        drawn = []
        for _ in range(_BATCHES):
            drawn.append(self.loader.collate_fn([self.loader.dataset[self.next + k] for k in range(batch)]))
            self.next += batch
        on_cpu = clock.since(start)
        start = clock.now()
        for one in drawn:
            self.loader.computed(one)
        synchronise(self.device)
        return on_cpu * 1000 / (batch * _BATCHES), clock.since(start) * 1000 / (batch * _BATCHES)


def _milliseconds(source: DegradedPatches, patches: int, keys: "itertools.count[int]") -> float:
    start = clock.now()
    for _ in range(patches):
        source.draw(generator("profile", next(keys)))
    return clock.since(start) * 1000 / patches

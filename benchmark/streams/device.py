"""Training patches that are computed where the network trains: cut, turned and degraded from pixels that lie there.

Processes on the CPU draw what is random about a patch (:class:`benchmark.data.patches.Plan`), from the same address as
ever, and compute the patches of degradations that only a CPU knows. The device holds the training images of a round,
8 bits a value, and computes the rest, a batch at once.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmark.core.errors import UserError
from benchmark.core.printing import gib
from benchmark.data.degradations import on_device
from benchmark.data.patches import Plan
from benchmark.streams.build import Pair, TrainingPatches, in_turn

Sample = tuple[int, Plan | Pair]
"""The place of a patch's task among those of the round, and the patch: drawn, or computed already."""


class Drawn(NamedTuple):
    """The patches of a batch that one task has and that are to be computed.

    Args:
        task: the task's place among those of the round.
        steps: where pixels stand in :class:`Pixels`: of each square its first, the way to the one below, and the way to
            the one right; int64, N × 3.
        degraded: by how much the squares of the degraded partners stand elsewhere; None if there are none.
        corners: row and column of each patch in its square; int64, N × 2.
        numbers: what is random about their degradation, gathered.
    """

    task: int
    steps: Tensor
    degraded: Tensor | None
    corners: Tensor
    numbers: Any


class Batch(NamedTuple):
    """A batch on the CPU.

    Args:
        drawn: what is to be computed.
        pairs: what is computed already: degraded and clean patches, each N × 3 × size × size; None if there is none.
        order: for each patch of the batch its place among the drawn ones and the pairs, one after another.
        labels: for each patch of the batch its task label.
    """

    drawn: list[Drawn]
    pairs: tuple[Tensor, Tensor] | None
    order: Tensor
    labels: Tensor


class Pixels:
    """All pixels of the images of a round, one after another; images that several tasks share stand there once.

    Args:
        parts: the training patches of the tasks.
    """

    def __init__(self, parts: Sequence[TrainingPatches]) -> None:
        self.images: list[np.ndarray] = []
        self.pixels = 0
        self._known: dict[tuple[int, tuple[int, ...]], int] = {}
        sides = [(part.patches.clean, part.patches.degraded) for part in parts]
        self.clean = [self._placed(clean) for clean, _ in sides]
        self.degraded = [None if degraded is None else self._placed(degraded) for _, degraded in sides]
        self.widths = [np.array([image.shape[1] for image in clean]) for clean, _ in sides]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "images": [], "_known": {}}  # other processes only ask where pixels stand

    def to(self, device: torch.device) -> Tensor:
        """The pixels on a device: uint8, pixels × 3.

        Raises:
            UserError: they do not fit there.
        """
        try:
            pixels = torch.empty(self.pixels, 3, dtype=torch.uint8, device=device)
        except RuntimeError as error:
            if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
                raise
            raise UserError(
                f"training.patches_on = device: the training images take {gib(3 * self.pixels)}, which the memory of "
                f"'{device}' does not have free. Use training.patches_on=cpu."
            ) from error
        start = 0
        for image in self.images:
            flat = torch.from_numpy(np.array(image).reshape(-1, 3))  # a copy, as torch wants what may be written to
            pixels[start : start + len(flat)] = flat.to(device)
            start += len(flat)
        return pixels

    def _placed(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([self._place(image) for image in images], np.int64)

    def _place(self, image: np.ndarray) -> int:
        known = (image.__array_interface__["data"][0], image.shape)
        if known not in self._known:
            self._known[known] = self.pixels
            self.images.append(image)
            self.pixels += image.shape[0] * image.shape[1]
        return self._known[known]


class Plans(Dataset[Sample]):
    """The patches of a round's tasks, :func:`in_turn`, as far as the CPU goes.

    Args:
        parts: the training patches of the tasks.
        labels: their task labels.
        pixels: where their images' pixels stand.
    """

    def __init__(self, parts: Sequence[TrainingPatches], labels: Sequence[int], pixels: Pixels) -> None:
        self.parts, self.labels, self.pixels = parts, labels, pixels

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def __getitem__(self, index: int) -> Sample:
        task, place = in_turn(index, len(self.parts))
        part = self.parts[task]
        return task, part.plan(place) if part.computable else part[place]

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Samples as a batch."""
        found = [[k for k, (task, _) in enumerate(samples) if task == one] for one in range(len(self.parts))]
        drawn, pairs, order, last = [], [], [], []
        for task, members in enumerate(found):
            if members and self.parts[task].computable:
                drawn.append(self._gathered(task, [samples[k][1] for k in members]))
                order += members
            else:
                pairs += [samples[k][1] for k in members]
                last += members
        stacked = [torch.stack(side) for side in zip(*pairs, strict=True)]
        return Batch(
            drawn,
            (stacked[0], stacked[1]) if stacked else None,
            torch.tensor(order + last).argsort(),
            torch.tensor([self.labels[task] for task, _ in samples]),
        )

    def _gathered(self, task: int, plans: Sequence[Any]) -> Drawn:
        patches, images = self.parts[task].patches, [plan.square.image for plan in plans]
        starts, partners, widths = self.pixels.clean[task], self.pixels.degraded[task], self.pixels.widths[task]
        steps = np.stack([plan.square.steps() @ (widths[image], 1) for plan, image in zip(plans, images, strict=True)])
        steps[:, 0] += starts[images]
        numbers = [plan.numbers for plan in plans]
        return Drawn(
            task,
            torch.from_numpy(steps),
            None if partners is None else torch.from_numpy(partners[images] - starts[images]),
            torch.tensor([(plan.top, plan.left) for plan in plans]),
            None if patches.degradation is None else on_device.gather(patches.degradation, numbers),
        )


class DeviceLoader(DataLoader[Sample]):
    """Batches as a network takes them, computed on its device: degraded, clean, task labels.

    Args:
        parts: the training patches of the tasks of the round.
        labels: the tasks' labels.
        device: where to compute.
        options: of the data loader.
    """

    def __init__(
        self, parts: Sequence[TrainingPatches], labels: Sequence[int], device: torch.device, **options: Any
    ) -> None:
        pixels = Pixels(parts)
        plans = Plans(parts, labels, pixels)
        super().__init__(plans, collate_fn=plans.collate, **options)
        self.parts, self.device, self.pixels = parts, device, pixels.to(device)

    def __iter__(self) -> Iterator[list[Tensor]]:  # type: ignore[override]  # torch names a class of its own
        return map(self.computed, super().__iter__())

    def computed(self, batch: Batch) -> list[Tensor]:
        """One batch: degraded and clean patches, float32, N × 3 × size × size, and task labels."""
        drawn, pairs, order, labels = _moved(batch, self.device)
        made = [self._patches(one) for one in drawn] + ([pairs] if pairs is not None else [])
        return [*(torch.cat(side)[order] for side in zip(*made, strict=True)), labels]

    def _patches(self, drawn: Drawn) -> Pair:
        patches = self.parts[drawn.task].patches
        within = torch.arange(patches.size, device=self.device)
        rows, columns = (drawn.corners[:, axis, None] + within for axis in (0, 1))
        clean = self._cut(drawn.steps, rows, columns)
        if drawn.degraded is not None:
            return self._cut(drawn.steps, rows, columns, drawn.degraded), clean
        assert patches.degradation is not None
        whole = torch.arange(patches.region, device=self.device).expand(len(clean), -1)
        degraded = on_device.compute(patches.degradation, self._cut(drawn.steps, whole, whole), drawn.numbers)
        images = torch.arange(len(clean), device=self.device)[:, None, None]
        window = degraded.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]]
        return window.permute(0, 3, 1, 2).contiguous(), clean

    def _cut(self, steps: Tensor, rows: Tensor, columns: Tensor, further: Tensor | None = None) -> Tensor:
        """Rows and columns (each N × size) of squares, as float32, N × 3 × size × size, from 0 to 1."""
        first, down, right = steps[:, :, None, None].unbind(1)
        places = first + down * rows[:, :, None] + right * columns[:, None, :]
        if further is not None:
            places = places + further[:, None, None]
        return on_device.to_float(self.pixels[places]).permute(0, 3, 1, 2).contiguous()


def _moved(value: Any, device: torch.device) -> Any:
    """Tensors, however deep in tuples and lists, on a device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_moved(one, device) for one in value))
    if isinstance(value, list | tuple):
        return type(value)(_moved(one, device) for one in value)
    return value

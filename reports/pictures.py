"""Test pictures of runs: opened with care, the part of them to enlarge, and how far off each is.

Pictures come from run directories, which may come from strangers: only PNG is opened, and its size is looked at
before it is decoded.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from benchmark.core.errors import UserError
from benchmark.core.files import refuse_leaving, regular
from benchmark.core.runs.directory import Run

Pixels = npt.NDArray[np.uint8]

LARGEST = 2048
"""Pixels along the longer side of a picture that is still opened; a picture of a run is a small crop."""

ERROR_RANGE = 0.2
"""The error, as a part of the full scale, at which an error map is brightest; one range for all, so that maps of
different strategies and tasks can be compared."""


@dataclass(frozen=True)
class Scene:
    """One test image that a strip is to be made of.

    Args:
        key: of the part of the page it belongs to.
        task: the task's name.
        image: the image's name.
        runs: from the label of a picture to the run it comes from.
        rank: what is lowest is shown first, if there is not room for all.
        moments: what is shown of it after each task: from the label of a picture to the number of tasks learned, in
            order, and the kind of picture then; empty where only the end is shown.
        order: the tasks of the stream, where there are moments.
    """

    key: str
    task: str
    image: str
    runs: Mapping[str, Run]
    rank: tuple[int, int] = (0, 0)
    moments: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    order: Sequence[str] = ()


def open_picture(path: Path) -> Pixels | None:
    """The pixels of a run's PNG file as uint8 (H, W, 3).

    None when it is absent, damaged, larger than LARGEST, or a link that leads out of the run's directory.
    """
    try:
        refuse_leaving(path, path.parents[1])
        with regular(path) as file, Image.open(file, formats=["PNG"]) as picture:
            if max(picture.size) > LARGEST:
                return None
            return np.asarray(picture.convert("RGB"))
    except (UserError, OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def error_map(restored: Pixels, clean: Pixels) -> Pixels:
    """How far each pixel is off, as colours that grow brighter with the error.

    Args:
        restored: (H, W, 3).
        clean: (H, W, 3).

    Returns:
        (H, W, 3): |restored − clean|, the mean over the channels, black at 0 and brightest from ERROR_RANGE of the full
        scale on.
    """
    error = np.abs(restored.astype(np.int16) - clean).mean(axis=2) / 255
    return _coloured(error / ERROR_RANGE)


def error_scale() -> Pixels:
    """The colours of the error maps from 0 to ERROR_RANGE, left to right, (2, 128, 3)."""
    return _coloured(np.linspace(0, 1, 128)[None].repeat(2, axis=0))


def _coloured(values: npt.NDArray[np.float64]) -> Pixels:
    """Values from 0 to 1 in a colour map whose lightness rises evenly, so that it reads the same in grey."""
    from matplotlib import colormaps

    return np.asarray(colormaps["inferno"](np.clip(values, 0, 1), bytes=True)[..., :3])


def kept_images(runs: Sequence[Run]) -> dict[str, list[str]]:
    """For each task the names of the images of which one of the runs kept pictures."""
    named: dict[tuple[str, str], None] = {}
    for run in runs:
        outputs = run.outputs
        named.update(dict.fromkeys(zip(outputs["task"], outputs["image"], strict=True)))
    images: dict[str, list[str]] = {}
    for task, image in named:
        if any(os.path.isfile(run.image(task, image, "clean")) for run in runs):  # noqa: PTH113 (may be closed)
            images.setdefault(task, []).append(image)
    return images


@dataclass(frozen=True)
class Shown:
    """The pictures of a scene.

    Args:
        clean: (H, W, 3).
        pictures: ``degraded`` and every label with a usable picture, (H, W, 3) each.
        crop: left, top and side of the part to enlarge, in pixels.
        missing: labels without a usable picture.
    """

    clean: Pixels
    pictures: dict[str, Pixels]
    crop: tuple[int, int, int]
    missing: list[str]


def look(scene: Scene) -> Shown | None:
    """Open the pictures of a scene; None without a usable clean one."""
    clean = first_opened(scene, "clean")
    if clean is None:
        return None
    pixels = {"degraded": first_opened(scene, "degraded")}
    pixels |= {label: open_picture(run.image(scene.task, scene.image, "final")) for label, run in scene.runs.items()}
    usable = {label: p for label, p in pixels.items() if p is not None and p.shape == clean.shape}
    crop = _crop(clean, [p for label, p in usable.items() if label != "degraded"])
    return Shown(clean, usable, crop, [label for label in pixels if label not in usable])


def first_opened(scene: Scene, kind: str) -> Pixels | None:
    """The picture of a kind, such as ``clean``, of the first run that has a usable one; None where none has."""
    opened = (open_picture(run.image(scene.task, scene.image, kind)) for run in scene.runs.values())
    return next((pixels for pixels in opened if pixels is not None), None)


def _crop(clean: Pixels, finals: Sequence[Pixels]) -> tuple[int, int, int]:
    """Left, top and side of the square where strategies differ most; with less than two, where detail is highest."""
    height, width = clean.shape[:2]
    if len({final.tobytes() for final in finals}) > 1:
        interest = np.std([_grey(final) for final in finals], axis=0)
    else:
        grey = np.pad(_grey(clean), 1, mode="edge")
        interest = np.hypot(grey[1:-1, 2:] - grey[1:-1, :-2], grey[2:, 1:-1] - grey[:-2, 1:-1])
    side = max(1, min(height, width) // 3)
    sums = np.pad(interest.cumsum(axis=0, dtype=np.float64).cumsum(axis=1), ((1, 0), (1, 0)))
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(np.argmax(boxes)), boxes.shape)
    return int(left), int(top), side


def _grey(pixels: Pixels) -> npt.NDArray[np.float32]:
    return np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float32)

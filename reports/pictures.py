"""Strips of pictures: degraded, every strategy, clean; and the same crop of each, enlarged.

Pictures come from run directories, which may come from strangers: only PNG is opened, and its size is looked at
before it is decoded.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from benchmark.metrics import psnr
from reports.results import Group

Pixels = npt.NDArray[np.uint8]

LARGEST = 4_000_000
"""Pixels of a picture that is still opened; a picture of a run is a small crop."""

BUDGET = 9_000_000
"""Bytes of all pictures of a report together, before they are written as text (a third more)."""

QUALITIES = (90, 80, 65, 45)
"""WebP qualities that are tried in turn until the pictures fit the budget."""


@dataclass(frozen=True)
class Picture:
    """One cell of a strip.

    Args:
        label: a strategy's label, ``degraded`` or ``clean``.
        psnr: dB against the clean picture; infinite for the clean one.
        whole: the picture, as the pixels of uint8 (H, W, 3).
        crop: its enlarged part, (n, n, 3).
    """

    label: str
    psnr: float
    whole: Pixels
    crop: Pixels


@dataclass(frozen=True)
class Strip:
    """One test image of one task.

    Args:
        task: the task's name.
        image: the image's name.
        box: left, top, width and height of the crop, in percent of the picture.
        pictures: degraded, every entry that has one, clean.
        missing: labels without a usable picture.
    """

    task: str
    image: str
    box: tuple[float, float, float, float]
    pictures: list[Picture]
    missing: list[str]


def strips(group: Group) -> list[Strip]:
    """The strips of a group, task by task; of several seeds the first one's pictures are shown."""
    found = []
    for task in dict.fromkeys(group.order):
        for image in _images(group, task):
            strip = _strip(group, task, image)
            if strip is not None:
                found.append(strip)
    return found


def encode(strips: Sequence[Strip], budget: int = BUDGET) -> tuple[list[list[tuple[str, str]]], int]:
    """Every picture and its crop as data URIs, strip by strip, and the WebP quality that was needed to fit.

    Strips that do not fit even at the lowest quality are left out at the end.
    """
    for quality in QUALITIES:
        coded = [[(_webp(p.whole, quality), _webp(p.crop, quality)) for p in strip.pictures] for strip in strips]
        sizes = np.cumsum([sum(len(whole) + len(crop) for whole, crop in strip) for strip in coded])
        if not len(sizes) or sizes[-1] <= budget:
            break
    fitting = coded[: int(np.searchsorted(sizes, budget, side="right"))]
    return [[(_uri(whole), _uri(crop)) for whole, crop in strip] for strip in fitting], quality


def open_picture(path: Path) -> Pixels | None:
    """The pixels of a PNG file as uint8 (H, W, 3); None when it is absent, damaged, or larger than LARGEST."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.width * picture.height > LARGEST:
                return None
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _images(group: Group, task: str) -> list[str]:
    names: dict[str, None] = {}
    for entry in group.entries:
        outputs = entry.results[0].run.outputs
        names.update(dict.fromkeys(outputs.loc[outputs["task"] == task, "image"].dropna().astype(str)))
    return list(names)


def _strip(group: Group, task: str, image: str) -> Strip | None:
    runs = {entry.label: entry.results[0].run for entry in group.entries}
    clean = _first(run.image(task, image, "clean") for run in runs.values())
    if clean is None:
        return None
    pixels = {"degraded": _first(run.image(task, image, "degraded") for run in runs.values())}
    pixels |= {label: open_picture(run.image(task, image, "final")) for label, run in runs.items()}
    usable = {label: p for label, p in pixels.items() if p is not None and p.shape == clean.shape}
    finals = [p for label, p in usable.items() if label != "degraded"]
    left, top, side = _crop(clean, finals)

    def picture(label: str, whole: Pixels) -> Picture:
        return Picture(label, psnr(clean, whole), whole, whole[top : top + side, left : left + side])

    height, width = clean.shape[:2]
    return Strip(
        task,
        image,
        (100 * left / width, 100 * top / height, 100 * side / width, 100 * side / height),
        [*(picture(label, whole) for label, whole in usable.items()), picture("clean", clean)],
        [label for label in pixels if label not in usable],
    )


def _first(paths: Iterable[Path]) -> Pixels | None:
    for path in paths:
        pixels = open_picture(path)
        if pixels is not None:
            return pixels
    return None


def _crop(clean: Pixels, finals: Sequence[Pixels]) -> tuple[int, int, int]:
    """Left, top and side of the square where strategies differ most; with less than two, where detail is highest."""
    grey = [picture.astype(np.float64).mean(axis=2) for picture in finals]
    if len(grey) > 1 and np.any(np.ptp(grey, axis=0)):
        interest = np.std(grey, axis=0)
    else:
        dy, dx = (
            np.gradient(clean.astype(np.float64).mean(axis=2)) if min(clean.shape[:2]) > 1 else (np.zeros((1, 1)),) * 2
        )
        interest = np.hypot(dx, dy)
    height, width = interest.shape
    side = max(1, min(height, width) // 3)
    sums = np.pad(interest.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(np.argmax(boxes)), boxes.shape)
    return int(left), int(top), side


def _webp(pixels: Pixels, quality: int) -> bytes:
    picture, stream = Image.fromarray(pixels), io.BytesIO()
    picture.thumbnail((320, 320), Image.Resampling.LANCZOS)
    picture.save(stream, "WEBP", quality=quality, method=4)
    return stream.getvalue()


def _uri(data: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"

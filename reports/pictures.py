"""Pictures of the page: degraded, every strategy, clean; which part of them to enlarge, and how far off it is.

Pictures come from run directories, which may come from strangers: only PNG is opened, and its size is looked at
before it is decoded. Each picture is stored once, however many strategies, comparisons or views show it.
"""

import base64
import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, UnidentifiedImageError

from benchmark.metrics import psnr
from reports.results import Group

Pixels = npt.NDArray[np.uint8]

LARGEST = 2048
"""Pixels along the longer side of a picture that is still opened; a picture of a run is a small crop."""

QUALITY = 85
"""WebP quality of the stored pictures."""

MARKUP = 700
"""Bytes of the page around each picture of a strip."""

ERROR_RANGE = 0.2
"""The error, as a part of the full scale, at which an error map is brightest; one range for all, so that maps of
different strategies and tasks can be compared."""


@dataclass(frozen=True)
class Stored:
    """A picture as it stands in the page.

    Args:
        uri: the data URI.
        width, height: pixels.
    """

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """One column of a strip.

    Args:
        label: a strategy's label, ``degraded`` or ``clean``.
        psnr: dB against the clean picture; infinite for the clean one.
        whole: the picture's name in the album.
        error: the name of the error map of the enlarged part; empty for the clean picture.
    """

    label: str
    psnr: float
    whole: str
    error: str


@dataclass(frozen=True)
class Strip:
    """One test image of one task.

    Args:
        task: the task's name.
        image: the image's name.
        size: width and height in pixels.
        crop: left, top, width and height of the enlarged part, in pixels.
        pictures: degraded, every entry that has one, clean.
        missing: labels without a usable picture.
    """

    task: str
    image: str
    size: tuple[int, int]
    crop: tuple[int, int, int, int]
    pictures: list[Picture]
    missing: list[str]


@dataclass
class Album:
    """All pictures of a report.

    Args:
        strips: by key of the group and name of the task.
        left_out: by key of the group, how many strips found no room.
        stored: the pictures by name.
    """

    strips: dict[str, dict[str, list[Strip]]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    stored: dict[str, Stored] = field(default_factory=dict)


def album(groups: Sequence[Group], budget: int) -> Album:
    """The strips of every group; of several seeds the first one's pictures are shown.

    Every task gets its first image before any gets its second, and once the budget is spent the rest is left out.

    Args:
        groups: what is compared.
        budget: bytes that the strips may take, with their data URIs.
    """
    found = Album()
    places = [
        (rank, place, group, task, image)
        for group in groups
        for place, (task, images) in enumerate(_images(group).items())
        for rank, image in enumerate(images)
    ]
    places.sort(key=lambda at: at[:2])
    for number, (_, _, group, task, image) in enumerate(places):
        fresh: dict[str, Stored] = {}
        strip = _strip(group, task, image, found.stored, fresh)
        if strip is None:
            continue
        budget -= sum(len(stored.uri) for stored in fresh.values()) + MARKUP * len(strip.pictures)
        if budget < 0:
            found.left_out = Counter(group.key for _, _, group, _, _ in places[number:])
            break
        found.stored |= fresh
        found.strips.setdefault(group.key, {}).setdefault(task, []).append(strip)
    return found


def open_picture(path: Path) -> Pixels | None:
    """The pixels of a PNG file as uint8 (H, W, 3); None when it is absent, damaged, or larger than LARGEST."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if max(picture.size) > LARGEST:
                return None
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
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


def error_scale() -> Stored:
    """The colours of the error maps from 0 to ERROR_RANGE, left to right."""
    return _stored(_coloured(np.linspace(0, 1, 128)[None].repeat(2, axis=0)))


def _coloured(values: npt.NDArray[np.float64]) -> Pixels:
    """Values from 0 to 1 in a colour map whose lightness rises evenly, so that it reads the same in grey."""
    from matplotlib import colormaps

    return np.asarray(colormaps["inferno"](np.clip(values, 0, 1), bytes=True)[..., :3])


def _images(group: Group) -> dict[str, list[str]]:
    """For each task the names of the images of which a picture was kept."""
    runs = [entry.results[0].run for entry in group.entries]
    outputs = pd.concat([run.outputs[["task", "image"]] for run in runs]) if runs else pd.DataFrame()
    named = outputs.dropna().astype(str).drop_duplicates()
    return {
        task: [
            image
            for image in (named.loc[named["task"] == task, "image"] if len(named) else ())
            if any(run.image(task, image, "clean").is_file() for run in runs)
        ]
        for task in dict.fromkeys(group.order)
    }


def _strip(group: Group, task: str, image: str, known: dict[str, Stored], fresh: dict[str, Stored]) -> Strip | None:
    """One strip, or None without a usable clean picture; pictures not known yet are added to the fresh ones."""
    runs = {entry.label: entry.results[0].run for entry in group.entries}
    clean = _first(run.image(task, image, "clean") for run in runs.values())
    if clean is None:
        return None
    pixels = {"degraded": _first(run.image(task, image, "degraded") for run in runs.values())}
    pixels |= {label: open_picture(run.image(task, image, "final")) for label, run in runs.items()}
    usable = {label: p for label, p in pixels.items() if p is not None and p.shape == clean.shape}
    left, top, side = _crop(clean, [p for label, p in usable.items() if label != "degraded"])
    part = np.s_[top : top + side, left : left + side]

    def keep(pixels: Pixels) -> str:
        name = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:16]
        if name not in known and name not in fresh:
            fresh[name] = _stored(pixels)
        return name

    def picture(label: str, whole: Pixels) -> Picture:
        return Picture(label, psnr(clean, whole), keep(whole), keep(error_map(whole[part], clean[part])))

    pictures = [picture(label, whole) for label, whole in usable.items()]
    height, width = clean.shape[:2]
    return Strip(
        task,
        image,
        (width, height),
        (left, top, side, side),
        [*pictures, Picture("clean", math.inf, keep(clean), "")],
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


def _stored(pixels: Pixels) -> Stored:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=QUALITY, method=4)
    uri = f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return Stored(uri, pixels.shape[1], pixels.shape[0])

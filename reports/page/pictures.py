"""Pictures of the page: degraded, every strategy, clean; which part of them to enlarge, and how far off it is.

Pictures come from run directories, which may come from strangers: only PNG is opened, and its size is looked at
before it is decoded. Each picture is stored once, however many strategies, comparisons or views show it.
"""

import base64
import hashlib
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from benchmark.core.metrics import psnr
from benchmark.core.runs.directory import Run
from reports.groups import Group

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


@dataclass(frozen=True)
class Scene:
    """One test image that a strip is to be made of.

    Args:
        key: of the part of the page it belongs to.
        task: the task's name.
        image: the image's name.
        runs: from the label of a picture to the run it comes from.
        rank: what is lowest is shown first, if there is not room for all.
    """

    key: str
    task: str
    image: str
    runs: Mapping[str, Run]
    rank: tuple[int, int] = (0, 0)


@dataclass
class Album:
    """All pictures of a report.

    Args:
        strips: by key of the part of the page and name of the task.
        left_out: by key of the part of the page, how many strips found no room.
        stored: the pictures by name.
    """

    strips: dict[str, dict[str, list[Strip]]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    stored: dict[str, Stored] = field(default_factory=dict)


def album(scenes: Sequence[Scene], budget: int) -> Album:
    """The strips of some scenes; once the budget is spent, those of the highest ranks are left out.

    Args:
        scenes: what to show.
        budget: bytes that the strips may take, with their data URIs.
    """
    found = Album()
    ordered = sorted(scenes, key=lambda scene: scene.rank)
    for number, scene in enumerate(ordered):
        fresh: dict[str, Stored] = {}
        strip = _strip(scene, found.stored, fresh)
        if strip is None:
            continue
        budget -= sum(len(stored.uri) for stored in fresh.values()) + MARKUP * len(strip.pictures)
        if budget < 0:
            found.left_out = Counter(scene.key for scene in ordered[number:])
            break
        found.stored |= fresh
        found.strips.setdefault(scene.key, {}).setdefault(scene.task, []).append(strip)
    return found


def scenes(group: Group) -> list[Scene]:
    """Every test image of a group; every task gets its first image before any gets its second.

    Of several seeds the first one's pictures are shown.
    """
    runs = {entry.label: entry.results[0].run for entry in group.entries}
    images = kept_images(list(runs.values()))
    tasks = [str(task) for task in group.results[0].config["order"]] if group.results else []
    return [
        Scene(group.key, task, image, runs, (rank, place))
        for place, task in enumerate(tasks)
        for rank, image in enumerate(images.get(task, ()))
    ]


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


def kept_images(runs: Sequence[Run]) -> dict[str, list[str]]:
    """For each task the names of the images of which one of the runs kept pictures."""
    named: dict[tuple[str, str], None] = {}
    for run in runs:
        outputs = run.outputs
        named.update(dict.fromkeys(zip(outputs["task"], outputs["image"], strict=True)))
    images: dict[str, list[str]] = {}
    for task, image in named:
        if any(run.image(task, image, "clean").is_file() for run in runs):
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
    runs = list(scene.runs.values())
    clean = _first(run.image(scene.task, scene.image, "clean") for run in runs)
    if clean is None:
        return None
    pixels = {"degraded": _first(run.image(scene.task, scene.image, "degraded") for run in runs)}
    pixels |= {label: open_picture(run.image(scene.task, scene.image, "final")) for label, run in scene.runs.items()}
    usable = {label: p for label, p in pixels.items() if p is not None and p.shape == clean.shape}
    crop = _crop(clean, [p for label, p in usable.items() if label != "degraded"])
    return Shown(clean, usable, crop, [label for label in pixels if label not in usable])


def _strip(scene: Scene, known: dict[str, Stored], fresh: dict[str, Stored]) -> Strip | None:
    """One strip, or None without a usable clean picture; pictures not known yet are added to the fresh ones."""
    shown = look(scene)
    if shown is None:
        return None
    clean, usable, missing = shown.clean, shown.pictures, shown.missing
    left, top, side = shown.crop
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
        scene.task,
        scene.image,
        (width, height),
        (left, top, side, side),
        [*pictures, Picture("clean", math.inf, keep(clean), "")],
        missing,
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

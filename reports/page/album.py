"""The pictures of a page: test images at the end of the stream, and what became of some of them after each task.

Each picture is stored once, however many strategies, comparisons or views show it.
"""

import base64
import hashlib
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from benchmark.core.metrics import psnr
from benchmark.core.runs.directory import after_kind
from benchmark.core.shell import literal
from reports.figures.leading import MOST_LINES, leading
from reports.groups import Group
from reports.pictures import Pixels, Scene, error_map, first_opened, kept_images, look, open_picture
from reports.results import Result

QUALITY = 85
"""WebP quality of the stored pictures."""

MARKUP = 700
"""Bytes of the page around each picture of a strip or a film."""


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
        error: the name of its error map; empty for the clean picture.
    """

    label: str
    psnr: float
    whole: str
    error: str


@dataclass(frozen=True)
class Strip:
    """One test image of one task at the end of the stream.

    Args:
        task, image: their names, what would turn a line written out.
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
class Frame:
    """A picture of a film.

    Args:
        after: the number of tasks learned by then.
        psnr: dB against the clean picture.
        whole: the picture's name in the album.
    """

    after: int
    psnr: float
    whole: str


@dataclass(frozen=True)
class Film:
    """One test image of one task after each task, from when its own was learned to the end of the stream.

    Args:
        task, image: their names, what would turn a line written out.
        size: width and height in pixels.
        moments: when some strategy has a picture, in order: the number of tasks learned, and the name of the last.
        reels: from a strategy's label to its pictures, in order.
    """

    task: str
    image: str
    size: tuple[int, int]
    moments: dict[int, str]
    reels: dict[str, list[Frame]]


@dataclass
class Album:
    """All pictures of a report.

    Args:
        strips: by key of the part of the page and name of the task.
        films: by key of the part of the page and name of the task.
        left_out: by key of the part of the page, how many strips, or else films, found no room.
        stored: the pictures by name.
    """

    strips: dict[str, dict[str, list[Strip]]] = field(default_factory=dict)
    films: dict[str, dict[str, list[Film]]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    stored: dict[str, Stored] = field(default_factory=dict)


def album(scenes: Sequence[Scene], budget: int) -> Album:
    """The strips of some scenes, and then their films; once the budget is spent, the highest ranks are left out.

    Args:
        scenes: what to show.
        budget: bytes that the strips and films may take, with their data URIs.
    """
    filling = _Filling(budget)
    ordered = sorted(scenes, key=lambda scene: scene.rank)
    for number, scene in enumerate(ordered):
        strip = _strip(scene, filling)
        if strip is None:
            continue
        if not filling.take(len(strip.pictures)):
            filling.album.left_out = Counter(scene.key for scene in ordered[number:])
            return filling.album
        filling.album.strips.setdefault(scene.key, {}).setdefault(strip.task, []).append(strip)
    followed = [scene for scene in ordered if any(len(kinds) > 1 for kinds in scene.moments.values())]
    for number, scene in enumerate(followed):
        film = _film(scene, filling)
        if film is None:
            continue
        if not filling.take(sum(map(len, film.reels.values()))):
            filling.album.left_out = Counter(scene.key for scene in followed[number:])
            break
        filling.album.films.setdefault(scene.key, {}).setdefault(film.task, []).append(film)
    return filling.album


def scenes(group: Group) -> list[Scene]:
    """Every test image of a group; every task gets its first image before any gets its second.

    Of several seeds the first one's pictures are shown; after each task, those of the leading MOST_LINES entries.
    Reference runs have no pictures.
    """
    pictured = [entry for entry in group.entries if not entry.reference]
    runs = {entry.label: entry.results[0].run for entry in pictured}
    images = kept_images(list(runs.values()))
    followed = [(entry.label, entry.results[0]) for entry in leading(pictured, MOST_LINES)]
    tasks = [str(task) for task in group.results[0].config["order"]] if group.results else []
    found = []
    for place, task in enumerate(tasks, 1):
        after = {label: moments(result, place) for label, result in followed}
        for rank, image in enumerate(images.get(task, ())):
            found.append(Scene(group.key, task, image, runs, (rank, place), after, tasks))
    return found


def moments(result: Result, place: int) -> dict[int, str]:
    """From the number of tasks learned to the kind of picture that a run has of a task then, from its own to the end.

    Args:
        result: the run.
        place: the task's place in the stream, from 1.
    """
    tasks = len(result.psnr)
    measured = [after for after in range(place, tasks + 1) if np.isfinite(result.psnr[after - 1, place - 1])]
    kinds = {after: after_kind(after) for after in measured} | dict.fromkeys(measured[:1], "learned")
    return kinds | {after: "final" for after in measured if after == tasks}


def stored(pixels: Pixels) -> Stored:
    """A picture as a data URI."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=QUALITY, method=4)
    uri = f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return Stored(uri, pixels.shape[1], pixels.shape[0])


class _Filling:
    """An album as it is filled.

    Args:
        budget: bytes that are left.
    """

    def __init__(self, budget: int) -> None:
        self.album = Album()
        self.budget = budget
        self.fresh: dict[str, Stored] = {}

    def keep(self, pixels: Pixels) -> str:
        """A picture's name; one that is not known yet waits until its strip or film is taken in."""
        name = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:16]
        if name not in self.album.stored and name not in self.fresh:
            self.fresh[name] = stored(pixels)
        return name

    def take(self, pictures: int) -> bool:
        """Take in what was kept last, with the markup around so many pictures, unless there is no room for it."""
        self.budget -= sum(len(picture.uri) for picture in self.fresh.values()) + MARKUP * pictures
        if self.budget < 0:
            return False
        self.album.stored |= self.fresh
        self.fresh = {}
        return True


def _strip(scene: Scene, filling: _Filling) -> Strip | None:
    """One strip, or None without a usable clean picture."""
    shown = look(scene)
    if shown is None:
        return None
    clean = shown.clean
    left, top, side = shown.crop
    pictures = [
        Picture(label, psnr(clean, whole), filling.keep(whole), filling.keep(error_map(whole, clean)))
        for label, whole in shown.pictures.items()
    ]
    height, width = clean.shape[:2]
    return Strip(
        literal(scene.task),
        literal(scene.image),
        (width, height),
        (left, top, side, side),
        [*pictures, Picture("clean", math.inf, filling.keep(clean), "")],
        shown.missing,
    )


def _film(scene: Scene, filling: _Filling) -> Film | None:
    """One film, or None without a usable clean picture, or where no strategy has pictures of two moments."""
    clean = first_opened(scene, "clean")
    if clean is None:
        return None
    reels = {}
    for label, kinds in scene.moments.items():
        run = scene.runs[label]
        opened = {after: open_picture(run.image(scene.task, scene.image, kind)) for after, kind in kinds.items()}
        usable = {after: p for after, p in opened.items() if p is not None and p.shape == clean.shape}
        if len(usable) > 1:
            reels[label] = [Frame(after, psnr(clean, p), filling.keep(p)) for after, p in usable.items()]
    if not reels:
        return None
    shown = {frame.after for reel in reels.values() for frame in reel}
    height, width = clean.shape[:2]
    named = {after: literal(scene.order[after - 1]) for after in sorted(shown)}
    return Film(literal(scene.task), literal(scene.image), (width, height), named, reels)

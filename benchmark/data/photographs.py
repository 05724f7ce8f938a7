"""The embedded photographs: real pictures that ship inside scikit-image, scikit-learn and matplotlib.

Nothing is downloaded, and no photograph is on more than one side. There are two choices of them, ``few`` and ``all``;
what is trained on is the same in both:

==========  ==========================================  =========================================================
side        few                                         all: these, too
==========  ==========================================  =========================================================
train       astronaut, rocket, hubble, ihc, retina,     none
            flower
validation  grace_hopper, coffee                        moon, grass; six crops of the first two
test        chelsea, china, motorcycle                  camera, coins, gravel, page, brick
==========  ==========================================  =========================================================

The photographs that ``all`` adds are grey; as RGB their three channels are equal. The crops are of 160 × 160 pixels,
and show what the middle of their photograph does not: up to a ``data.validation_size`` of 256 the two have no pixel in
common. There are no crops of test photographs: these are measured whole, so crops would bring no new pixels.

Left out of what the packages hold: ``text`` and ``clock_motion``, which are blurred themselves, so that a sharper
output would be measured as a worse one; the right view of the motorcycle, which is the scene of the left one; and what
is very small or no photograph.
"""

import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from benchmark.core.errors import UserError
from benchmark.core.images import centre

Split = Literal["train", "validation", "test"]
Side = Literal["train", "test"]
"""What a task is trained on, with what is held out for validation; and what it is tested on."""
Choice = Literal["few", "all"]
"""How many of the photographs are used to validate and to test."""

_FILES: dict[Split, dict[str, tuple[str, str]]] = {
    "train": {
        "astronaut": ("skimage", "data/astronaut.png"),
        "rocket": ("skimage", "data/rocket.jpg"),
        "hubble": ("skimage", "data/hubble_deep_field.jpg"),
        "ihc": ("skimage", "data/ihc.png"),
        "retina": ("skimage", "data/retina.jpg"),
        "flower": ("sklearn", "datasets/images/flower.jpg"),
    },
    "validation": {
        "grace_hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
        "coffee": ("skimage", "data/coffee.png"),
        "moon": ("skimage", "data/moon.png"),
        "grass": ("skimage", "data/grass.png"),
    },
    "test": {
        "chelsea": ("skimage", "data/chelsea.png"),
        "china": ("sklearn", "datasets/images/china.jpg"),
        "motorcycle": ("skimage", "data/motorcycle_left.png"),
        "camera": ("skimage", "data/camera.png"),
        "coins": ("skimage", "data/coins.png"),
        "gravel": ("skimage", "data/gravel.png"),
        "page": ("skimage", "data/page.png"),
        "brick": ("skimage", "data/brick.png"),
    },
}
_MORE = {"moon", "grass", "camera", "coins", "gravel", "page", "brick"}
"""Those that only ``all`` has."""

_CROPS: dict[str, tuple[str, int, int]] = {
    "grace_hopper_flag": ("grace_hopper", 8, 0),
    "grace_hopper_cap": ("grace_hopper", 8, 178),
    "grace_hopper_ribbons": ("grace_hopper", 434, 316),
    "coffee_saucer": ("coffee", 78, 10),
    "coffee_table": ("coffee", 240, 0),
    "coffee_rim": ("coffee", 200, 436),
}
"""Crops of validation photographs, which ``all`` adds, too: name → photograph, first row and first column."""
_CROP_SIDE = 160

_SPLITS: dict[Side, tuple[Split, ...]] = {"train": ("train", "validation"), "test": ("test",)}
_PROJECTS = {"skimage": "scikit-image", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}
_RETINA_SIDE = 920  # of 1411: the middle of the round picture, which holds none of its black surroundings
_HALVED = {"hubble", "retina"}  # large and smooth: at full size they would fill most of the training side


_KNOWN: dict[tuple[Side, Choice], str] = {
    ("train", "few"): "e796d21cf3d3deda",
    ("train", "all"): "c29b55b4a5a00e1c",
    ("test", "few"): "1ab9e4361a66a839",
    ("test", "all"): "ed573745c2c4f009",
}
"""The digests of the photographs as they have been in all releases of their packages so far."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """A named clean image: uint8, height × width × 3, RGB, read-only. It equals itself alone."""

    name: str
    image: np.ndarray


def embedded(split: Split, choice: Choice = "few") -> list[Photograph]:
    """The embedded photographs of one side, in a fixed order; the few come first.

    Raises:
        UserError: an installed package lacks its picture.
    """
    files = {name: place for name, place in _FILES[split].items() if choice == "all" or name not in _MORE}
    found = [_photograph(name, *place) for name, place in files.items()]
    if choice == "all" and split == "validation":
        whole = {photograph.name: photograph for photograph in found}
        found += [_crop(name, whole[of], top, left) for name, (of, top, left) in _CROPS.items()]
    return found


def digest(side: Side, choice: Choice = "few") -> str:
    """A digest of the photographs' names and pixels, as they were decoded here."""
    return _digest(tuple((split, photograph) for split in _SPLITS[side] for photograph in embedded(split, choice)))


def as_ever(side: Side, choice: Choice = "few") -> bool:
    """Whether the photographs hold the pixels that they had when they were chosen."""
    return digest(side, choice) == _KNOWN[side, choice]


@lru_cache(maxsize=8)
def _digest(photographs: tuple[tuple[Split, Photograph], ...]) -> str:
    told = hashlib.blake2b(digest_size=8)
    for split, photograph in photographs:
        told.update(f"{split} {photograph.name} {photograph.image.shape}".encode())
        told.update(np.ascontiguousarray(photograph.image).data)
    return told.hexdigest()


@lru_cache(maxsize=16)
def _crop(name: str, of: Photograph, top: int, left: int) -> Photograph:
    return Photograph(name, of.image[top : top + _CROP_SIDE, left : left + _CROP_SIDE])


@cache
def _photograph(name: str, package: str, file: str) -> Photograph:
    return Photograph(name, _read(name, package, file))


def _read(name: str, package: str, file: str) -> np.ndarray:
    spec = find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else None
    if path is None or not path.is_file():
        project = _PROJECTS[package]
        raise UserError(
            f"The photograph '{name}' is missing: {project} should hold {package}/{file}. "
            f"Install it again with: pip install --force-reinstall {project}"
        )
    with Image.open(path) as picture:
        image = np.array(picture.convert("RGB"))
    if name == "retina":
        image = centre(image, _RETINA_SIDE)
    if name in _HALVED:
        image = np.array(Image.fromarray(image).reduce(2))
    image.flags.writeable = False
    return image

"""The embedded photographs: real pictures that ship inside scikit-image, scikit-learn and matplotlib.

Nothing is downloaded, and no photograph is on more than one side.

==========  ==============================================================
train       astronaut, rocket, hubble, ihc, retina, flower
validation  grace_hopper, coffee
test        chelsea, china, motorcycle
==========  ==============================================================
"""

import hashlib
from dataclasses import dataclass
from functools import cache
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
    },
    "test": {
        "chelsea": ("skimage", "data/chelsea.png"),
        "china": ("sklearn", "datasets/images/china.jpg"),
        "motorcycle": ("skimage", "data/motorcycle_left.png"),
    },
}
_SPLITS: dict[Side, tuple[Split, ...]] = {"train": ("train", "validation"), "test": ("test",)}
_PROJECTS = {"skimage": "scikit-image", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}
_RETINA_SIDE = 920  # of 1411: the middle of the round picture, which holds none of its black surroundings
_HALVED = {"hubble", "retina"}  # large and smooth: at full size they would fill most of the training side


_KNOWN: dict[Side, str] = {"train": "e796d21cf3d3deda", "test": "1ab9e4361a66a839"}
"""The digests of the photographs as they have been in all releases of their packages so far."""


@dataclass(frozen=True)
class Photograph:
    """A named clean image: uint8, height × width × 3, RGB, read-only."""

    name: str
    image: np.ndarray


@cache
def embedded(split: Split) -> list[Photograph]:
    """The embedded photographs of one side, in a fixed order.

    Raises:
        UserError: an installed package lacks its picture.
    """
    return [Photograph(name, _read(name, *place)) for name, place in _FILES[split].items()]


def digest(side: Side) -> str:
    """A digest of the photographs' names and pixels, as they were decoded here."""
    told = hashlib.blake2b(digest_size=8)
    for split in _SPLITS[side]:
        for photograph in embedded(split):
            told.update(f"{split} {photograph.name} {photograph.image.shape}".encode())
            told.update(np.ascontiguousarray(photograph.image).data)
    return told.hexdigest()


def as_ever(side: Side) -> bool:
    """Whether the photographs hold the pixels that they had when they were chosen."""
    return digest(side) == _KNOWN[side]


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

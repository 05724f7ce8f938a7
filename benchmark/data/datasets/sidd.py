"""SIDD: real noise of five smartphone cameras, each noisy picture with its clean partner.

Abdelhamed, Lin and Brown, "A high-quality denoising dataset for smartphone cameras", CVPR 2018. The paper trains on
it after four levels of Gaussian noise.

Accepted, under any folder::

    SIDD_Medium_Srgb/Data/                              train/                    ValidationNoisyBlocksSrgb.mat
        0001_001_S6_00100_00060_3200_L/                     input_crops/          ValidationGtBlocksSrgb.mat
            0001_NOISY_SRGB_010.PNG                             0001_s001.png …
            0001_GT_SRGB_010.PNG                            target_crops/ (or gt_crops/)
            0001_NOISY_SRGB_011.PNG …                           0001_s001.png …

Small is arranged like Medium, with one pair in each of its 160 scenes instead of two. Scenes are training pictures
unless a folder's name says otherwise; the validation blocks, 40 × 32 pieces of 256 × 256, are for testing.

SIDD shows ten static scenes, each many times (instances) and each instance in several shots. A folder's name gives the
instance, then the scene; crops are named after the instance and the shot (``0200_GT_SRGB_010_s001``), so that of two
crops with different instances nobody can tell whether they show one scene.
"""

import re
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.data.datasets.dataset import Dataset, Item
from benchmark.data.datasets.pairing import paired, rivals
from benchmark.data.datasets.tree import Folder
from benchmark.data.names import stem
from benchmark.data.opening import quoted
from benchmark.data.pictures import Block, Whole, array_shape

_INSTANCE = re.compile(r"\d+(?=_)")
_SCENE = re.compile(r"\d+_(\d{3})_[A-Z]", re.IGNORECASE)
_SRGB = re.compile(r"(?:\d+_)?(NOISY|GT)_SRGB_(\d+)", re.IGNORECASE)
_SIDE = re.compile(r"NOISY|GT", re.IGNORECASE)
_VARIABLES = ("ValidationGtBlocksSrgb", "ValidationNoisyBlocksSrgb")


def find(folder: Folder) -> Dataset | None:
    """The SIDD scenes, crops or validation blocks that stand in this folder."""
    return _scenes(folder) or _crops(folder) or _blocks(folder)


def _scenes(folder: Folder) -> Dataset | None:
    scenes = [child for child in folder.folders if any(_SRGB.fullmatch(path.stem) for path in child.images)]
    scenes.sort(key=lambda child: _scene(child.path.name))
    if not scenes:
        return None
    split = "train" if folder.split == "undivided" else folder.split
    items: list[Item] = []
    problems: list[str] = []
    for scene in scenes:
        srgb = [path for path in scene.images if _SRGB.fullmatch(path.stem)]
        problems += [f"{quoted(path)} is no sRGB picture of SIDD." for path in scene.images if path not in srgb]
        clean, noisy = ([path for path in srgb if _side(path) == side] for side in ("GT", "NOISY"))
        pairs, unpaired = paired(clean, noisy, _shot)
        items += [
            Item(f"{scene.path.name}/{shot}", split, Whole(true), Whole(rough), scene=_scene(scene.path.name))
            for shot, (true, rough) in sorted(pairs.items())
        ]
        problems += unpaired
    return Dataset(
        family="sidd",
        name="SIDD",
        noun="pair",
        edition="Medium" if len(items) > len(scenes) else "Small",
        layout="sRGB scenes",
        root=folder.path,
        items=tuple(items),
        problems=tuple(problems),
        folders=frozenset(scene.path for scene in scenes),
    )


def _crops(folder: Folder) -> Dataset | None:
    sides = folder.fitting("input_crops"), folder.fitting("target_crops", "gt_crops")
    if not all(sides):
        return None
    noisy, clean = sides[0][0], sides[1][0]
    pairs, problems = paired(clean.images, noisy.images, _without_side)
    items = tuple(
        Item(name, folder.split, Whole(clean), Whole(noisy), scene=_scene(name))
        for name, (clean, noisy) in sorted(pairs.items(), key=lambda pair: _scene(pair[0]))
    )
    return Dataset(
        family="sidd",
        name="SIDD",
        noun="pair",
        edition="crops",
        layout=f"{noisy.path.name}/ and {clean.path.name}/",
        root=folder.path,
        items=items,
        problems=(*rivals(*sides), *problems),
        folders=frozenset(child.path for side in sides for child in side),
    )


def _blocks(folder: Folder) -> Dataset | None:
    files = {path.stem.lower(): path for path in folder.arrays}
    present = {variable: files[variable.lower()] for variable in _VARIABLES if variable.lower() in files}
    if not present:
        return None
    items: tuple[Item, ...] = ()
    problems = []
    try:
        shapes = [array_shape(path, variable) for variable, path in present.items()]
        if len(present) < len(_VARIABLES):
            missing = next(variable for variable in _VARIABLES if variable not in present)
            problems.append(f"{quoted(folder.path)} lacks {missing}.mat.")
        elif shapes[0] != shapes[1]:
            problems.append(f"The arrays of {quoted(folder.path)} differ in shape: {shapes[0]} and {shapes[1]}.")
        else:
            items = _items(present, shapes[0])
    except UserError as error:
        problems.append(str(error))
    return Dataset(
        family="sidd",
        name="SIDD",
        noun="pair",
        edition="validation blocks",
        layout=".mat files",
        root=folder.path,
        items=items,
        problems=tuple(problems),
        files=frozenset(present.values()),
    )


def _items(files: dict[str, Path], shape: tuple[int, ...]) -> tuple[Item, ...]:
    places = [(scene, block) for scene in range(shape[0]) for block in range(shape[1])]
    clean, noisy = _VARIABLES
    return tuple(
        Item(
            f"{scene + 1:02}-{block + 1:02}",
            "test",
            Block(files[clean], clean, scene, block),
            Block(files[noisy], noisy, scene, block),
        )
        for scene, block in places
    )


def _side(path: Path) -> str:
    parsed = _SRGB.fullmatch(path.stem)
    return parsed[1].upper() if parsed else ""


def _shot(path: Path) -> str | None:
    parsed = _SRGB.fullmatch(path.stem)
    return parsed[2] if parsed else None


def _scene(name: str) -> str:
    """The scene as far as a name tells: its number, else the instance, else the name without the number of a crop."""
    if parsed := _SCENE.match(name):
        return parsed[1]
    instance = _INSTANCE.match(name)
    return instance[0] if instance else re.sub(r"[_-]?s?\d+$", "", name)


def _without_side(path: Path) -> str:
    """The name of a crop without what tells its side: 0001_NOISY_SRGB_010_s001 and 0001_GT_SRGB_010_s001 agree."""
    return _SIDE.sub("", stem(path)).replace("__", "_")

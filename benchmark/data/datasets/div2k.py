"""DIV2K: 1,000 photographs of about 2 megapixels, of which 800 are for training and 100 for validation.

Agustsson and Timofte, "NTIRE 2017 challenge on single image super-resolution: dataset and study", CVPR Workshops
2017. The paper trains denoising, deblocking and deblurring on the 800, and tests the last two on the 100.

Accepted, under any folder::

    DIV2K_train_HR/            any folder named div2k         any folder of crops
        0001.png … 0800.png        0001.png … 0900.png            0001_s001.png
    DIV2K_valid_HR/                                               0001_s002.png …
        0801.png … 0900.png

One folder with all 900 is also known by its complete numbering, whatever its name. The number decides the side: up to
0800 is training, 0801 to 0900 is test. Low-resolution folders (``DIV2K_train_LR_bicubic`` and the like) are left out.
Named div2k is a folder called so, with a side (``DIV2K_valid_HR``, ``DIV2K/train``) or without; what else stands behind
the name may tell of degraded copies (``DIV2K_valid_JPEG20``), which are no DIV2K.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from benchmark.data.datasets.dataset import Dataset, Item, counted
from benchmark.data.datasets.pairing import keyed
from benchmark.data.datasets.tree import Folder, Split, is_degraded
from benchmark.data.opening import quoted
from benchmark.data.pictures import Whole

TRAINING, ALL = 800, 900
_NUMBER = re.compile(r"(\d{4})")
_CROP = re.compile(r"(\d{4})_s(\d+)")
_SIDE = re.compile(r"((train(ing)?|valid(ation)?|val|test)(_hr)?|hr)(_sub)?")
_BARE = re.compile(rf"div2k([_-]?{_SIDE.pattern})?")
_HR = {"div2k_train_hr": range(1, TRAINING + 1), "div2k_valid_hr": range(TRAINING + 1, ALL + 1)}


def find(folder: Folder) -> Dataset | None:
    """The DIV2K whose folders, or whose pictures, stand in this folder."""
    return _in_folders(folder) or _crops(folder) or _in_one_folder(folder)


def _in_folders(folder: Folder) -> Dataset | None:
    sides = [child for child in folder.folders if child.parts[-1] in _HR and child.images]
    if not sides:
        return None
    low = [child for child in folder.folders if re.match("div2k_(train|valid)_lr", child.parts[-1])]
    problems = []
    for side in sides:
        expected = _HR[side.parts[-1]]
        for path in side.images:
            number = _number(path)
            if number is not None and number not in expected:
                problems.append(
                    f"{quoted(path)} stands in the wrong folder: {expected[0]:04} to {expected[-1]:04} are expected."
                )
    return _dataset(
        folder.path,
        " and ".join(side.path.name for side in sides),
        [path for side in sides for path in side.images],
        problems,
        [f"{quoted(child.path)} holds low-resolution pictures and is left out." for child in low],
        folders=frozenset(child.path for child in sides + low),
    )


def _in_one_folder(folder: Folder) -> Dataset | None:
    numbers = {_number(path) for path in folder.images} - {None}
    if _degraded(folder):
        return None
    above, name = ("", *folder.parts)[-2:]
    named = _BARE.fullmatch(name) or (_BARE.fullmatch(above) and _SIDE.fullmatch(name))
    if not (numbers >= set(range(1, ALL + 1)) or (named and numbers)):
        return None
    return _dataset(folder.path, "one folder, split by number", list(folder.images))


def _crops(folder: Folder) -> Dataset | None:
    if _degraded(folder) or not any(_CROP.fullmatch(path.stem) for path in folder.images):
        return None
    found, problems = keyed(folder.images, _crop)
    items = tuple(
        Item(path.stem, _split(number), Whole(path), scene=str(number)) for (number, _), path in sorted(found.items())
    )
    photographs = counted(len({number for number, _ in found}), "photograph")
    return Dataset(
        family="div2k",
        name="DIV2K crops",
        noun="crop",
        edition=f"sub-images of {photographs}",
        layout="sub-image crops",
        root=folder.path,
        items=items,
        problems=tuple(problems),
        files=frozenset(folder.images),
    )


def _degraded(folder: Folder) -> bool:
    """Whether the folder's name, or that of the one above, speaks of degraded copies; a bare name is enough."""
    return not _BARE.fullmatch(folder.parts[-1]) and any(map(is_degraded, folder.parts[-2:]))


def _dataset(
    root: Path,
    layout: str,
    paths: list[Path],
    problems: Sequence[str] = (),
    notes: Sequence[str] = (),
    folders: frozenset[Path] = frozenset(),
) -> Dataset:
    found, unfit = keyed(paths, _number)
    items = tuple(Item(path.stem, _split(number), Whole(path)) for number, path in sorted(found.items()))
    return Dataset(
        family="div2k",
        name="DIV2K",
        noun="photograph",
        layout=layout,
        root=root,
        items=items,
        problems=(*problems, *unfit),
        notes=(*_incomplete(set(found)), *notes),
        files=frozenset(paths),
        folders=folders,
    )


def _incomplete(numbers: set[int]) -> list[str]:
    """What is missing of a side that is there in part: results with it are not those of the whole dataset."""
    notes = []
    for side, expected in (("training", range(1, TRAINING + 1)), ("validation", range(TRAINING + 1, ALL + 1))):
        missing = [f"{number:04}" for number in expected if number not in numbers]
        if 0 < len(missing) < len(expected):
            named = ", ".join(missing[:10]) + (", …" if len(missing) > 10 else "")
            notes.append(f"{len(missing)} of {len(expected)} {side} photographs are missing: {named}.")
    return notes


def _number(path: Path) -> int | None:
    parsed = _NUMBER.fullmatch(path.stem)
    return int(parsed[1]) if parsed and 1 <= int(parsed[1]) <= ALL else None


def _crop(path: Path) -> tuple[int, int] | None:
    parsed = _CROP.fullmatch(path.stem)
    return (int(parsed[1]), int(parsed[2])) if parsed else None


def _split(number: int) -> Split:
    return "train" if number <= TRAINING else "test"

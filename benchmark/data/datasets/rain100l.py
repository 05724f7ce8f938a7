"""Rain100L: photographs of the Berkeley segmentation dataset under light synthetic rain.

Yang et al., "Deep joint rain detection and removal from a single image", CVPR 2017. It was released twice, with 200 and
later with 1,800 training pairs, and passed on in many arrangements; results with 200 and with 1,800 are not comparable.

Accepted, under any folder, alone or below ``train`` and ``test``::

    Rain100L/                  Rain100L/             Rain100L/              Rain100L/
        norain-001.png …           rain-1.png …          rain/ or rainy/        input/
        rainy/                     norain-1.png …            norain-1.png …         1.png …
            rain-001.png …         rainregion-1.png          (or rain-1.png)    target/
            (norain-001.png …)     rainstreak-1.png      norain/ or gt/             1.png …
                                                             norain-1.png …

and both pictures side by side in one file, the clean one on the left, in a folder whose name holds a word such as
``rain`` (that of the data root does not count for others). Side by side is known by the sizes: every file is 962 × 321
or 642 × 481, two photographs of this dataset, or twice as wide as high.

Pairs are made by the number in the names (``rain-001``, ``norain-1`` and ``norain-1x2`` are all number 1).
``rainregion-*`` and ``rainstreak-*`` are masks and are left out. A set is called Rain100L, or Rain100H for the heavy
rain released beside it, if the nearest folder whose name tells says so; other pairs in this arrangement are named after
their folder.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.data import opening
from benchmark.data.datasets.dataset import Dataset, Item
from benchmark.data.datasets.pairing import paired, rivals
from benchmark.data.datasets.pairs import own_name
from benchmark.data.datasets.tree import Folder, Split
from benchmark.data.names import in_order
from benchmark.data.pictures import Half, Whole

_NUMBER = re.compile(r"(?:(?:no)?rain-?)?(\d+)(?:x2)?", re.IGNORECASE)
_CLEAN = re.compile(r"norain-?\d+", re.IGNORECASE)
_RAINY = re.compile(r"rain-?\d+(?:x2)?", re.IGNORECASE)
_MASK = re.compile(r"rain(?:region|streak)-?\d+", re.IGNORECASE)
_RAIN = re.compile(r"(?<![a-z])(?:de)?rain(?:y|ing|(?:train|test|data)[lh]?)?(?![a-z])")
HEAVY = "Rain100H"
UNNAMED = "rain pairs"
"""The edition of pairs that are named after their folder."""
_NAMES = {
    "Rain100L": re.compile(r"rain100l|trainl\b|rain[a-z_]*light"),
    HEAVY: re.compile(r"rain100h|trainh\b|rain[a-z_]*heavy"),
}
_SIDE_BY_SIDE = {(962, 321), (642, 481)}


def find(folder: Folder) -> Dataset | None:
    """The rain pairs that stand in this folder, or in its subfolders for the two sides."""
    return _two_folders(folder) or _rainy_folder(folder) or _flat(folder) or _side_by_side(folder)


def _two_folders(folder: Folder) -> Dataset | None:
    sides = folder.fitting("rain", "rainy"), folder.fitting("norain", "gt")
    if not all(sides) and any("rain100" in part for part in folder.parts):
        sides = folder.fitting("input"), folder.fitting("target")
    if not all(sides):
        return None
    rainy, clean = sides[0][0], sides[1][0]
    doubled = rainy.folder("x2")
    rain_images = rainy.images or (doubled.images if doubled else ())
    if not any(_NUMBER.fullmatch(path.stem) for path in rain_images + clean.images):
        return None
    layout = f"{rainy.path.name}/ and {clean.path.name}/"
    folders = frozenset(child.path for side in sides for child in side)
    return _dataset(folder, layout, clean.images, rain_images, folders=folders, problems=rivals(*sides))


def _rainy_folder(folder: Folder) -> Dataset | None:
    sides = folder.fitting("rainy", "rain")
    rainy = sides[0] if sides else None
    if rainy is None or not any(_RAINY.fullmatch(path.stem) for path in rainy.images):
        return None
    beside = [path for path in rainy.images if _CLEAN.fullmatch(path.stem)]
    above = [path for path in folder.images if _CLEAN.fullmatch(path.stem)]
    where = "beside" if beside else "above"
    rain_images = [path for path in rainy.images if path not in beside]
    layout = f"{rainy.path.name}/rain-N with norain-N {where} it"
    folders = frozenset(child.path for child in sides)
    return _dataset(folder, layout, beside or above, rain_images, above, folders, rivals(sides))


def _flat(folder: Folder) -> Dataset | None:
    clean = [path for path in folder.images if _CLEAN.fullmatch(path.stem)]
    rainy = [path for path in folder.images if path not in clean]
    if not clean or not any(_RAINY.fullmatch(path.stem) for path in rainy):
        return None
    return _dataset(folder, "rain-N and norain-N in one folder", clean, rainy, files=folder.images)


def _side_by_side(folder: Folder) -> Dataset | None:
    if not folder.images or not any(_RAIN.search(part) for part in folder.parts[1:] or folder.parts):
        return None
    if not all(_is_double(path) for path in folder.images):
        return None
    items = tuple(
        Item(path.stem, _split(folder), Half(path, "left"), Half(path, "right"))
        for path in sorted(folder.images, key=lambda path: (_number(path) or 0, *in_order(path)))
    )
    return _named(folder, "side by side in one file, left clean", items, folder.images)


def _is_double(path: Path) -> bool:
    """Whether the size is that of two pictures side by side; a damaged file is judged by the others."""
    try:
        width, height = opening.size(path)
    except UserError:
        return True
    return (width, height) in _SIDE_BY_SIDE or width == 2 * height


def _dataset(
    folder: Folder,
    layout: str,
    clean: Sequence[Path],
    rainy: Sequence[Path],
    files: Sequence[Path] = (),
    folders: frozenset[Path] = frozenset(),
    problems: Sequence[str] = (),
) -> Dataset:
    masks = [path for path in [*clean, *rainy] if _MASK.fullmatch(path.stem)]
    dry, wet = ([path for path in side if path not in masks] for side in (clean, rainy))
    pairs, unpaired = paired(dry, wet, _number)
    items = tuple(
        Item(f"{number:03}", _split(folder), Whole(clean), Whole(rainy))
        for number, (clean, rainy) in sorted(pairs.items())
    )
    return replace(
        _named(folder, layout, items, files),
        problems=(*problems, *unpaired),
        notes=(f"{len(masks)} masks (rainregion-*, rainstreak-*) are left out.",) if masks else (),
        folders=folders,
    )


def _named(folder: Folder, layout: str, items: tuple[Item, ...], files: Sequence[Path]) -> Dataset:
    name = _known_name(folder)
    return Dataset(
        family="rain100l",
        name=name or own_name(folder),
        noun="pair",
        edition="" if name else UNNAMED,
        layout=layout,
        root=folder.path,
        items=items,
        files=frozenset(files),
    )


def _known_name(folder: Folder) -> str | None:
    """The name that the nearest folder tells; a folder that fits both tells none."""
    for part in reversed(folder.parts):
        fitting = [name for name, pattern in _NAMES.items() if pattern.search(part)]
        if len(fitting) == 1:
            return fitting[0]
    return None


def _number(path: Path) -> int | None:
    parsed = _NUMBER.fullmatch(path.stem)
    return int(parsed[1]) if parsed else None


def _split(folder: Folder) -> Split:
    """As the folders' names say; the folder named Rain100L itself is the test set wherever training is elsewhere."""
    if folder.split == "undivided" and re.fullmatch("rain100[lh]", folder.parts[-1]):
        return "test"
    return folder.split

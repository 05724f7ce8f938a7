"""A folder of one's own with pairs.

Accepted, under any folder, alone or below ``train`` and ``test``::

    my_noise/
        input/        (or lq, noisy, degraded, rain, rainy, blur, blurry, hazy, low)
            a.png …
        target/       (or gt, hq, clean, sharp, norain, clear, high, groundtruth)
            a.png …

Pairs have equal names on both sides; the endings may differ. Two folders for one side are refused. A folder is named
after itself. Without ``train`` or ``test`` in a folder's name its images are undivided: they may be used for either
side, and the user decides.
"""

from pathlib import Path

from benchmark.data.datasets.dataset import Dataset, Item
from benchmark.data.datasets.pairing import paired, rivals
from benchmark.data.datasets.tree import Folder
from benchmark.data.names import stem
from benchmark.data.opening import quoted
from benchmark.data.pictures import Whole

DEGRADED = ("input", "lq", "noisy", "degraded", "rain", "rainy", "blur", "blurry", "hazy", "low")
CLEAN = ("target", "gt", "hq", "clean", "sharp", "norain", "clear", "high", "groundtruth")
SIDES = {"train", "test", "val", "valid", "validation", "eval"}
"""Names of folders that tell a side and nothing else, in lower case."""


def find(folder: Folder) -> Dataset | None:
    """The pairs that stand in two subfolders of this folder."""
    sides = folder.fitting(*DEGRADED), folder.fitting(*CLEAN)
    if not all(sides) or not any(child.images for side in sides for child in side):
        return _unnamed_sides(folder)
    degraded, clean = sides[0][0], sides[1][0]
    pairs, problems = paired(clean.images, degraded.images, stem)
    items = tuple(Item(name, folder.split, Whole(clean), Whole(rough)) for name, (clean, rough) in pairs.items())
    return Dataset(
        family="pairs",
        name=own_name(folder),
        noun="pair",
        layout=f"{degraded.path.name}/ and {clean.path.name}/",
        root=folder.path,
        items=items,
        problems=(*rivals(*sides), *problems),
        folders=frozenset(child.path for side in sides for child in side),
    )


def _unnamed_sides(folder: Folder) -> Dataset | None:
    """Two subfolders with equal names are pairs, but nothing says which side is the clean one."""
    if len(folder.folders) != 2:
        return None
    first, second = folder.folders
    stems = {stem(path) for path in first.images}
    if not stems or stems != {stem(path) for path in second.images} or first.split != second.split:
        return None
    names = " and ".join(quoted(child.path) for child in folder.folders)
    return Dataset(
        family="pairs",
        name=own_name(folder),
        noun="pair",
        layout="two folders with equal names",
        root=folder.path,
        items=(),
        problems=(f"{names} hold equal names, but not which side is clean. Rename them to 'input' and 'target'.",),
        folders=frozenset(child.path for child in folder.folders),
    )


def own_name(folder: Folder) -> str:
    """The name of a folder, where links lead; that of the one above it where it is named after a side."""
    return above_sides(folder.path.resolve())


def above_sides(path: Path) -> str:
    """The last name of a path that is no side's; its very last one if all are."""
    return next((part for part in reversed(path.parts) if part.lower() not in SIDES), path.name)

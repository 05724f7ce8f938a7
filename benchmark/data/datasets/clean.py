"""A folder of one's own with clean images.

Accepted, under any folder, alone or below ``train`` and ``test``::

    holidays/
        IMG 1.jpg
        IMG 2.jpg …

A folder is named after itself. Without ``train`` or ``test`` in its name its images are undivided, as those of pairs
are (:mod:`benchmark.data.datasets.pairs`).
"""

from benchmark.data.datasets.dataset import Dataset, Item
from benchmark.data.datasets.pairs import DEGRADED, own_name
from benchmark.data.datasets.tree import Folder, is_degraded
from benchmark.data.opening import quoted
from benchmark.data.pictures import Whole


def find(folder: Folder) -> Dataset | None:
    """The clean images that stand in this folder."""
    if not folder.images:
        return None
    items = tuple(Item(path.name, folder.split, Whole(path)) for path in folder.images)
    return Dataset(
        family="clean",
        name=own_name(folder),
        noun="image",
        layout="one folder of clean images",
        root=folder.path,
        items=items,
        problems=_without_partner(folder),
        files=frozenset(folder.images),
    )


def _without_partner(folder: Folder) -> tuple[str, ...]:
    if folder.parts[-1] not in DEGRADED and not is_degraded(folder.parts[-1]):
        return ()
    return (
        f"{quoted(folder.path)} is named like the degraded side of pairs, and no folder of clean images, such as "
        "'target', stands beside it. Add that one, or rename this one if its images are clean.",
    )

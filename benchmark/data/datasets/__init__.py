"""Datasets on disk: found under a root by how their files are arranged.

Each module knows one family and draws its folder trees. A family is a function that looks at one folder and returns the
dataset whose files stand there, or None. The folders are visited from the root down; what one family has taken, the
next ones do not see, so the two that accept any folder come last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.data.datasets import bsd68, div2k, folders, rain100l, sidd
from benchmark.data.datasets.dataset import Dataset, Item
from benchmark.data.datasets.tree import Folder, Split, scan
from benchmark.data.opening import quoted
from benchmark.errors import UserError, unknown

FAMILIES: tuple[Callable[[Folder], Dataset | None], ...] = (
    div2k.find,
    bsd68.find,
    sidd.find,
    rain100l.find,
    folders.find_pairs,
    folders.find_clean,
)


@dataclass(frozen=True)
class Survey:
    """What stands under a data root: the datasets, and what could not be listed (``problems``) or was left out."""

    root: Path
    datasets: tuple[Dataset, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def dataset(self, name: str) -> Dataset:
        """The dataset with this name, such as ``CBSD68``, or the only one of this family, such as ``bsd68``.

        Raises:
            UserError: there is none, there are several, or something is wrong with its files.
        """
        wanted = name.lower()
        named = [dataset for dataset in self.datasets if dataset.name.lower() == wanted]
        fitting = named or [dataset for dataset in self.datasets if dataset.family == wanted]
        if not fitting:
            raise unknown(f"dataset under {quoted(self.root)}:", name, {dataset.name for dataset in self.datasets})
        if len(fitting) > 1:
            places = ", ".join(f"{dataset.name} in {quoted(dataset.root)}" for dataset in fitting)
            raise UserError(f"'{name}' is not one dataset but {len(fitting)}: {places}. Give a root that holds one.")
        return fitting[0].usable()


def find(root: Path) -> Survey:
    """Every dataset under a root. Names decide; headers, or three pictures, are read only where names are not enough.

    A training side and a test side of the same name that were found in different folders become one dataset.

    Raises:
        UserError: the root is no folder, or holds far too much to be one of datasets.
    """
    folder, remarks = scan(root)
    found = _visit(folder)
    if not found and not remarks.problems:
        remarks.problems.append(f"{quoted(root)} holds no images.")
    return Survey(root, tuple(_join(found)), tuple(remarks.problems), tuple(remarks.notes))


def _visit(folder: Folder) -> list[Dataset]:
    found = []
    for family in FAMILIES:
        dataset = family(folder)
        if dataset is not None:
            found.append(dataset)
            folder = folder.without(dataset.files, dataset.folders)
    for child in folder.folders:
        found += _visit(child)
    return found


def _join(found: list[Dataset]) -> list[Dataset]:
    groups: dict[tuple[str, str], list[Dataset]] = {}
    for dataset in found:
        groups.setdefault((dataset.family, dataset.name), []).append(dataset)
    joined = []
    for group in groups.values():
        sides = [{item.split for item in dataset.items} for dataset in group]
        if sorted(map(sorted, sides)) == [["test"], ["train"]]:
            training, test = sorted(group, key=lambda dataset: dataset.items[0].split, reverse=True)
            joined.append(training.joined(test))
        else:
            joined += group
    return joined


__all__ = ["FAMILIES", "Dataset", "Folder", "Item", "Split", "Survey", "find", "scan"]

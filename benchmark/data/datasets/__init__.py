"""Datasets on disk: found under a root by how their files are arranged.

Each module knows one family and draws its folder trees. Its function ``find`` looks at one folder and returns the
dataset whose files stand there, or None. The folders are visited from the root down; what one family has taken, the
next ones do not see, so the two that accept any folder come last.
"""

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from benchmark.core.errors import UserError, unknown
from benchmark.data.datasets import rain100l
from benchmark.data.datasets.dataset import Dataset, Item
from benchmark.data.datasets.tree import Folder, Split, scan
from benchmark.data.names import folded
from benchmark.data.opening import quoted

FAMILIES = ("div2k", "bsd68", "sidd", "rain100l", "pairs", "clean")
"""The modules here that each know a family, in the order in which they are asked."""


@dataclass(frozen=True)
class Survey:
    """What stands under a data root: the datasets, and what could not be listed (``problems``) or was left out."""

    root: Path
    datasets: tuple[Dataset, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def fitting(self, name: str) -> list[Dataset]:
        """The datasets with this name, such as ``CBSD68``, else those of this family, such as ``bsd68``.

        Capitals do not matter, nor how letters such as é are composed. Rain100H is found by the same module as Rain100L
        and is another dataset: it has to be named.
        """
        wanted = folded(name)
        named = [dataset for dataset in self.datasets if folded(dataset.name) == wanted]
        of_family = [one for one in self.datasets if one.family == wanted and one.name != rain100l.HEAVY]
        return named or of_family

    def dataset(self, name: str) -> Dataset:
        """The one dataset with this name or of this family.

        Raises:
            UserError: there is none, there are several, or something is wrong with its files.
        """
        fitting = self.fitting(name)
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
    found = [_named_once(dataset) for dataset in _join(_visit(folder))]
    told = [_with_strays(dataset, remarks.strays) for dataset in found]
    problems = remarks.problems + list(remarks.strays.values())
    if not found and not problems:
        problems.append(f"{quoted(root)} holds no images.")
    of_datasets = {problem for dataset in told for problem in dataset.problems}
    return Survey(
        root, tuple(told), tuple(problem for problem in problems if problem not in of_datasets), tuple(remarks.notes)
    )


def _visit(folder: Folder) -> list[Dataset]:
    found = []
    for family in FAMILIES:
        dataset = import_module(f"{__name__}.{family}").find(folder)
        if dataset is not None:
            found.append(replace(dataset, notes=(*dataset.notes, *_below(folder, dataset))))
            folder = folder.without(dataset.files, dataset.folders)
    for child in folder.folders:
        found += _visit(child)
    return found


def _below(folder: Folder, dataset: Dataset) -> list[str]:
    """The note of every folder whose images no family sees, as it stands below a folder of a dataset's pictures."""
    used = {picture.path.parent for item in dataset.items for picture in item.pictures}
    return [
        f"{quoted(one.path)} holds images below {quoted(taken.path)} and is left out."
        for taken in folder.everything()
        if taken.path in dataset.folders & used
        for one in taken.everything()
        if one.images and one.path not in used
    ]


def _with_strays(dataset: Dataset, strays: dict[Path, str]) -> Dataset:
    """A dataset with the problems of files that stand beside its own and could not be listed."""
    folders = {picture.path.parent for item in dataset.items for picture in item.pictures}
    beside = [problem for path, problem in strays.items() if path.parent in folders]
    return replace(dataset, problems=(*dataset.problems, *beside)) if beside else dataset


def _named_once(dataset: Dataset) -> Dataset:
    """A dataset with the problem of every name that two pictures of one side have."""
    first: dict[tuple[str, Split], Path] = {}
    twice = []
    for item in dataset.items:
        path = first.setdefault((item.name, item.split), item.clean.path)
        if path != item.clean.path:
            twice.append(f"{quoted(path)} and {quoted(item.clean.path)} have the same name, '{item.name}'; rename one.")
    return replace(dataset, problems=(*dataset.problems, *twice)) if twice else dataset


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

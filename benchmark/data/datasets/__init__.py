"""Datasets on disk: found under a root by how their files are arranged.

Each module knows one family and draws its folder trees. Its function ``find`` looks at one folder and returns the
dataset whose files stand there, or None. The folders are visited from the root down; what one family has taken, the
next ones do not see, so the two that accept any folder come last.
"""

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from benchmark.core.errors import UserError, unknown
from benchmark.core.yaml_files import command
from benchmark.data.datasets import pairs, rain100l
from benchmark.data.datasets.dataset import Dataset, Item
from benchmark.data.datasets.tree import ASTRAY, LISTED, OTHERS, Folder, Split, is_validation, scan
from benchmark.data.names import composed, folded
from benchmark.data.opening import quoted

PUBLISHED = ("div2k", "bsd68", "sidd", "rain100l")
"""Families of published datasets."""

FAMILIES = (*PUBLISHED, "pairs", "clean")
"""The modules here that each know a family, in the order in which they are asked."""
VALIDATION = "a run holds some of the training images out for validation"
"""Why a validation side is left out where there is a test side, too."""
_TOLD = 3
"""Remarks on a root that a run tells; ``data check`` tells all."""


@dataclass(frozen=True)
class Survey:
    """What stands under a data root: the datasets, and what could not be listed (``problems``) or was left out."""

    root: Path
    datasets: tuple[Dataset, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def unseen(self) -> list[str]:
        """What could not be listed, or only elsewhere, or has another ending, so that images may seem to be missing."""
        remarks = [*self.problems, *(note for note in self.notes if note.endswith((LISTED, ASTRAY)))]
        told = remarks[:_TOLD]
        if more := len(remarks) - len(told):
            told.append(f"… and {more:,} more. See: {command('data', 'check', self.root)}")
        return [*told, *(note for note in self.notes if note.startswith(OTHERS))]

    def fitting(self, name: str) -> list[Dataset]:
        """The datasets with this name, such as ``CBSD68``, else those of this family, such as ``bsd68``.

        Capitals do not matter, nor how letters such as é are composed. Rain100H is found by the same module as Rain100L
        and is another dataset: it has to be named. A folder that a link leads to has its own name, and where that is
        nobody's the link's, too; two that are linked as the sides of one folder are one dataset of that folder's name.
        """
        wanted = folded(name)
        named = [dataset for dataset in self.datasets if folded(dataset.name) == wanted]
        linked = [dataset for dataset in self.datasets if folded(_name_of_link(dataset)) == wanted]
        if len(linked) > 1:
            linked = _join([replace(dataset, name=_name_of_link(dataset)) for dataset in linked])
        of_family = [one for one in self.datasets if one.family == wanted and one.name != rain100l.HEAVY]
        return named or linked or of_family

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
            problems = "".join(f"\n{dataset.refused(dataset.problems)}" for dataset in fitting if dataset.problems)
            raise UserError(
                f"'{name}' is not one dataset but {len(fitting)}: {places}. Give a root that holds one.{problems}"
            )
        return fitting[0].usable()


def find(root: Path) -> Survey:
    """Every dataset under a root. Names decide; headers, or three pictures, are read only where names are not enough.

    A training side and a test side of the same name that were found in different folders become one dataset; of those
    named after their folders, only where nothing but the side tells their paths apart. Beside a test side, a validation
    side is left out, with a note: a run holds images of the training side out.

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


def _name_of_link(dataset: Dataset) -> str:
    """What a dataset that is named after its folder is called on the way that links lead there; its name if by none."""
    named = composed(pairs.above_sides(dataset.root.resolve())) == dataset.name
    return pairs.above_sides(dataset.root.absolute()) if named else dataset.name


def _side_folder(root: Path) -> str:
    """The nearest folder that is named after a side, in lower case; the folder itself if none is."""
    parts = [part.lower() for part in reversed(root.parts)]
    return next((part for part in parts if part in pairs.SIDES), root.name.lower())


def _told_side(root: Path) -> set[Split]:
    side = _side_folder(root)
    return {"train" if side == "train" else "test"} if side in pairs.SIDES else set()


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
    groups: dict[tuple[str, str, Path | None], list[Dataset]] = {}
    for dataset in found:
        groups.setdefault((dataset.family, dataset.name, _place(dataset)), []).append(dataset)
    joined = []
    for group in groups.values():
        training, test, validation = _sides(group)
        if len(training) == 1 and len(test or validation) == 1 and len(training + test + validation) == len(group):
            whole = training[0].joined((test or validation)[0])
            spare = [f"{quoted(one.root)} is left out: {VALIDATION}." for one in validation if test]
            joined.append(replace(whole, notes=(*whole.notes, *spare)))
        else:
            joined += group
    return joined


def _place(dataset: Dataset) -> Path | None:
    """Where a dataset named after its folder stands, less the folders that tell sides; None for one known by name."""
    if dataset.family not in ("pairs", "clean") and dataset.edition != rain100l.UNNAMED:
        return None
    return Path(*(composed(part) for part in dataset.root.parts if part.lower() not in pairs.SIDES))


def _sides(group: list[Dataset]) -> tuple[list[Dataset], list[Dataset], list[Dataset]]:
    """Those that are a training side alone, a test side alone, and a test side in a folder named after validation.

    Of one without any items, because of its problems, the folder tells the side.
    """
    one_sided = [(dataset, {item.split for item in dataset.items} or _told_side(dataset.root)) for dataset in group]
    training = [dataset for dataset, splits in one_sided if splits == {"train"}]
    rest = [dataset for dataset, splits in one_sided if splits == {"test"}]
    validation = [dataset for dataset in rest if is_validation(_side_folder(dataset.root))]
    return training, [dataset for dataset in rest if dataset not in validation], validation


__all__ = ["FAMILIES", "PUBLISHED", "Dataset", "Folder", "Item", "Split", "Survey", "find", "scan"]

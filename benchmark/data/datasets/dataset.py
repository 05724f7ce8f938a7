"""What a dataset is once it was found: named pictures or pairs of pictures, none of them opened yet."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.core.errors import UserError
from benchmark.data.datasets.tree import Split
from benchmark.data.names import composed
from benchmark.data.opening import quoted
from benchmark.data.pictures import Picture


@dataclass(frozen=True)
class Item:
    """A clean picture, with its degraded partner if the dataset has pairs.

    Its name is kept with its letters composed, however the files have them. ``scene`` is what several items show, such
    as the photograph that crops were cut from; items of one scene follow one another, and are never both trained on and
    validated on.
    """

    name: str
    split: Split
    clean: Picture
    degraded: Picture | None = None
    scene: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", composed(self.name))

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The clean picture, then its degraded partner if it has one."""
        return (self.clean,) if self.degraded is None else (self.clean, self.degraded)

    def size(self) -> tuple[int, int]:
        """Width and height in pixels, from the headers.

        Raises:
            UserError: a file cannot be used, or within the pair the sizes differ, or only one picture would be turned
                upright.
        """
        size = self.clean.size()
        if self.degraded is None:
            return size
        if self.clean.turned() != self.degraded.turned():
            first, second = (self.clean, self.degraded) if self.clean.turned() else (self.degraded, self.clean)
            raise UserError(
                f"The pair '{self.name}' may lie crossed: {quoted(first.path)} is turned upright as its EXIF "
                f"orientation says, {quoted(second.path)} is not turned. Save both without EXIF orientation, one lying "
                "as the other."
            )
        if (other := self.degraded.size()) != size:
            raise UserError(
                f"The pair '{self.name}' differs in size: {quoted(self.clean.path)} is {size[0]}×{size[1]}, "
                f"{quoted(self.degraded.path)} is {other[0]}×{other[1]}."
            )
        return size


@dataclass(frozen=True)
class Dataset:
    """A dataset on disk.

    Args:
        family: the module that found it, such as ``rain100l``.
        name: what it is, such as ``Rain100L``; for a folder of the user's own, the folder's name, its letters composed.
        noun: what one of its items is called, such as ``pair``.
        layout: how its files are arranged.
        root: the folder that holds all of it.
        items: its pictures, in a fixed order.
        edition: which of its editions, if there are several, such as ``Medium``.
        problems: what has to be mended before it can be used.
        notes: what was left out, and why.
        files, folders: the files and whole folders that belong to it, so that no other family takes them.
    """

    family: str
    name: str
    noun: str
    layout: str
    root: Path
    items: tuple[Item, ...]
    edition: str = ""
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: frozenset[Path] = frozenset()
    folders: frozenset[Path] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", composed(self.name))

    def split(self, split: Split) -> list[Item]:
        """The pictures of one side, in order."""
        return [item for item in self.items if item.split == split]

    @property
    def release(self) -> str:
        """Edition and numbers, such as ``1,800 training pairs, 100 test pairs``.

        Results with different releases are not comparable, so this belongs in the record of a run.
        """
        sides: dict[Split, str] = {"train": "training ", "test": "test ", "undivided": ""}
        numbers = {side: len(self.split(side)) for side in sides}
        parts = [counted(number, sides[side] + self.noun) for side, number in numbers.items() if number]
        return ", ".join([self.edition] * bool(self.edition) + (parts or [f"no {self.noun}"]))

    @property
    def paired(self) -> bool:
        """Whether its clean pictures have degraded partners."""
        return bool(self.items) and all(item.degraded is not None for item in self.items)

    def usable(self) -> "Dataset":
        """This dataset, if nothing is wrong with its files' names and number.

        Raises:
            UserError: something is; every problem is named.
        """
        if self.problems:
            raise self.refused(self.problems)
        return self

    def refused(self, problems: Sequence[str]) -> UserError:
        """The error that names some problems of this dataset."""
        shown = [*problems[:20], f"… and {len(problems) - 20} more."][: len(problems)]
        return UserError(f"{self.name} in {quoted(self.root)} cannot be used:\n" + "\n".join(shown))

    def joined(self, other: "Dataset") -> "Dataset":
        """One dataset of two that were found in different folders, for example its training and its test side."""
        return replace(
            self,
            edition=_both(self.edition, other.edition),
            layout=_both(self.layout, other.layout),
            root=Path(os.path.commonpath([self.root, other.root])),
            items=self.items + other.items,
            problems=self.problems + other.problems,
            notes=self.notes + other.notes,
            files=self.files | other.files,
            folders=self.folders | other.folders,
        )


def counted(number: int, what: str) -> str:
    """A number with its noun, such as ``1 pair`` or ``1,800 training pairs``.

    >>> counted(1, "pair"), counted(1800, "training pair")
    ('1 pair', '1,800 training pairs')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _both(one: str, other: str) -> str:
    return " + ".join(dict.fromkeys(text for text in (one, other) if text))

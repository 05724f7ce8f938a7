"""BSD68: 68 test photographs of 481 × 321 from the Berkeley segmentation dataset, here in colour (CBSD68).

Roth and Black, "Fields of experts: a framework for learning image priors", CVPR 2005, chose the 68. The paper tests
denoising on them.

Accepted, under any folder::

    CBSD68/                    CBSD68/              CBSD68/
        101085.png                 0000.png             original_png/
        101087.png …               0001.png …               0000.png …
                                                        noisy50/ …        left out

A folder with exactly the 68 original numbers is known whatever its name, unless that tells of degraded copies
(``noisy50``); otherwise the folder must be called BSD68 or CBSD68 (or BSDS68, BSDD68). Many copies of BSD68 are grey
(``test001.png`` …). They are recognised, and refused: every task here is in colour.
"""

import re

from benchmark.core.errors import UserError
from benchmark.data.datasets.dataset import Dataset, Item
from benchmark.data.datasets.tree import Folder, is_degraded
from benchmark.data.opening import is_grey, quoted
from benchmark.data.pictures import Whole

COUNT = 68
NUMBERS = frozenset(
    """
    3096 12084 14037 16077 19021 21077 24077 33039 101085 101087 102061 103070 105025 106024 108005 108070 108082 109053
    119082 123074 126007 130026 134035 143090 145086 147091 148026 148089 157055 159008 160068 163085 167062 167083
    170057 175032 175043 182053 189080 196073 197017 208001 210088 216081 219090 220075 223061 227092 229036 236037
    241004 241048 253027 253055 260058 271035 285079 291000 295087 296007 296059 299086 300091 302008 304034 304074
    306005 351093
    """.split()  # noqa: SIM905
)
"""The photographs' numbers in the Berkeley segmentation dataset."""
_COUNTED = re.compile(r"(?:test)?\d{3,4}")


def find(folder: Folder) -> Dataset | None:
    """The BSD68 whose pictures stand in this folder, or in its subfolder ``original_png``."""
    if is_degraded(folder.parts[-1]):
        return None
    named = re.fullmatch(r"c?bsds?d?68", folder.parts[-1]) is not None
    original = folder.folder("original_png", "original")
    if named and original is not None and original.images:
        noisy = [child for child in folder.folders if child.parts[-1].startswith("noisy")]
        notes = [f"{quoted(child.path)} holds noisy copies and is left out." for child in noisy]
        return _dataset(folder, original, notes, frozenset(child.path for child in [original, *noisy]))
    stems = {path.stem for path in folder.images}
    if stems == NUMBERS or (named and stems):
        return _dataset(folder, folder, [], frozenset())
    return None


def _dataset(folder: Folder, pictures: Folder, notes: list[str], folders: frozenset) -> Dataset:
    by_number = any(path.stem in NUMBERS for path in pictures.images)
    fit = [path for path in pictures.images if (path.stem in NUMBERS if by_number else _COUNTED.fullmatch(path.stem))]
    problems = [f"{quoted(path)} is none of the 68 photographs." for path in pictures.images if path not in fit]
    if len(fit) != COUNT:
        missing = sorted(NUMBERS - {path.stem for path in fit}, key=int) if by_number else []
        named = f" Missing: {', '.join(missing)}." if missing else ""
        problems.append(f"{quoted(pictures.path)} holds {len(fit)} of the 68 photographs.{named}")
    grey = bool(fit) and _grey(pictures)
    if grey:
        problems.append(
            f"{quoted(pictures.path)} is the grey BSD68. Every task here is in colour, and results on grey images are "
            "not comparable with CBSD68's. Get the colour version, CBSD68."
        )
    items = tuple(Item(path.stem, "test", Whole(path, grey="refuse")) for path in fit)
    return Dataset(
        family="bsd68",
        name="BSD68 (grey)" if grey else "CBSD68",
        noun="photograph",
        layout="original numbers" if by_number else "numbered from the first",
        root=folder.path,
        items=items,
        problems=tuple(problems),
        notes=tuple(notes),
        files=frozenset(pictures.images),
        folders=folders,
    )


def _grey(pictures: Folder) -> bool:
    """Whether the first three pictures that can be opened are grey; a damaged one is named when all are checked."""
    seen = []
    for path in pictures.images:
        try:
            seen.append(is_grey(path))
        except UserError:
            continue
        if len(seen) == 3:
            break
    return bool(seen) and all(seen)

"""Folders that could be taken for what they are not: each is told, none is used in silence."""

from collections.abc import Callable
from pathlib import Path

import made_datasets as made
import pytest
from made_datasets import picture, write, write_pair

from benchmark.core.errors import UserError
from benchmark.data.datasets import Dataset, find


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root whose own name says nothing."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def only(root: Path) -> Dataset:
    (dataset,) = find(root).datasets
    return dataset


def test_heavy_rain_does_not_stand_in_for_light_rain(root: Path) -> None:
    made.rain_flat(root, "RainTrainH")
    with pytest.raises(UserError, match=r"'Rain100L'\. .*Rain100H"):
        find(root).dataset("Rain100L")
    assert find(root).dataset("rain100h").name == "Rain100H"
    (root / "RainTrainH").rename(root / "streets")
    assert find(root).dataset("rain100l").name == "streets"


@pytest.mark.parametrize(
    ("sides", "rivals"),
    [
        (("blur", "noisy", "clean"), "blur' and '.*noisy'"),
        (("input", "gt", "target"), "gt' and '.*target'"),
        (("rain", "rainy", "norain"), "rain' and '.*rainy'"),
        (("input_crops", "gt_crops", "target_crops"), "gt_crops' and '.*target_crops'"),
    ],
)
def test_two_folders_for_one_side_are_refused(root: Path, sides: tuple[str, ...], rivals: str) -> None:
    for side in sides:
        write(root / f"mine/train/{side}/1.png", picture(side))
    with pytest.raises(UserError, match=rf"{rivals} each fit one side of pairs"):
        only(root).usable()


def test_an_empty_folder_is_no_rival(root: Path) -> None:
    write_pair(root / "mine/train/noisy/1.png", root / "mine/train/clean/1.png", 1)
    (root / "mine/train/input").mkdir()
    assert only(root).usable().release == "1 training pair"


@pytest.mark.parametrize(
    ("layout", "below"),
    [
        (
            lambda root: write_pair(root / "mine/train/input/1.png", root / "mine/train/target/1.png", 1),
            "mine/train/input",
        ),
        (lambda root: made.rain_two_folders(root, "rain", "norain"), "Rain100L/train/norain"),
        (lambda root: made.sidd_crops(root, "gt_crops"), "train/SIDD/input_crops"),
        (made.div2k_folders, "DIV2K_train_HR"),
        (made.bsd68_counted, "CBSD68/original_png"),
    ],
)
def test_images_below_a_folder_of_pictures_are_told(root: Path, layout: Callable[[Path], None], below: str) -> None:
    layout(root)
    before = only(root)
    write(root / below / "more/2024/1.png", picture("below"))
    after = only(root).usable()
    assert after.items == before.items
    (note,) = set(after.notes) - set(before.notes)
    assert f"more/2024' holds images below '{root / below}' and is left out" in note

"""Folders that could be taken for what they are not: each is told, none is used in silence."""

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

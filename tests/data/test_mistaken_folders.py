"""Folders that could be taken for what they are not: each is told, none is used in silence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_datasets as made
import pytest
from made_datasets import picture, write, write_pair

from benchmark.core.errors import UserError
from benchmark.data.datasets import Dataset, bsd68, find


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


@pytest.mark.parametrize("folder", ["@eaDir", "#recycle", "__MACOSX", "lost+found", "$RECYCLE.BIN"])
def test_thumbnails_and_trash_that_a_disk_keeps_are_no_pictures(root: Path, folder: str) -> None:
    write_pair(root / "mine/train/noisy/1.png", root / "mine/train/clean/1.png", 1)
    for place in ("", "mine", "mine/train/noisy", "mine/train/clean"):
        write(root / place / folder / "1.png/SYNOPHOTO_THUMB_M.jpg", picture("thumbnail"))
        write(root / place / folder / "2.png", picture("deleted"))
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


def test_a_datasets_own_name_does_not_depend_on_how_its_root_is_written(root: Path, monkeypatch: Any) -> None:
    made.rain_two_folders(root, "rain", "norain")
    (root / "Rain100L").rename(root / "streets")
    for folder in (root / "streets", root / "streets/train"):
        monkeypatch.chdir(folder)
        assert {find(written).datasets[0].name for written in (folder, Path(), Path("../") / folder.name)} == {
            "streets"
        }


def test_folders_of_one_name_in_different_places_are_different_datasets(root: Path) -> None:
    write(root / "A/train/photos/1.png", picture(1))
    write(root / "B/test/photos/2.png", picture(2))
    with pytest.raises(UserError, match="'photos' is not one dataset but 2"):
        find(root).dataset("photos")
    (root / "B").rename(root / "A/B")
    (root / "A/B/test").rename(root / "A/test")
    assert find(root).dataset("photos").release == "1 training image, 1 test image"


def test_the_nearest_name_counts(root: Path) -> None:
    both = root / "rain100l_and_h"
    made.rain_flat(both, "RainTrainH")
    made.rain_input_target(both)
    assert sorted(one.name for one in find(both).datasets) == ["Rain100H", "Rain100L"]
    (both / "RainTrainH").rename(both / "streets")
    assert sorted(one.release for one in find(both).datasets) == ["11 pairs", "3 test pairs"]
    both.rename(root / "Rain100L_Rain100H")
    assert "streets" in {one.name for one in find(root).datasets}


@pytest.mark.parametrize("below", ["", "photos/"])
@pytest.mark.parametrize("named", ["val", "valid", "validation", "eval"])
def test_beside_a_test_side_a_validation_side_is_left_out(root: Path, named: str, below: str) -> None:
    for side in ("train", named):
        write(root / f"mine/{side}/{below}1.png", picture(side))
    name = "photos" if below else "mine"
    assert find(root).dataset(name).release == "1 training image, 1 test image"
    write(root / f"mine/test/{below}1.png", picture("test"))
    whole = find(root).dataset(name)
    assert [item.clean.path for item in whole.split("test")] == [root / f"mine/test/{below}1.png"]
    assert f"mine/{named}" in whole.notes[0]
    assert "is left out: a run holds some of the training images out" in whole.notes[0]


def test_wide_photographs_are_not_cut_in_half_by_the_sound_of_a_name(root: Path) -> None:
    write(root / "rainforest/1.png", picture(1, (40, 20)))
    write(root / "streets/rainy_days/1.png", picture(1, (40, 20)))
    assert {one.family for one in find(root).datasets} == {"clean", "rain100l"}
    root.rename(root.parent / "rain")
    (root.parent / "rain/streets/rainy_days").rename(root.parent / "rain/streets/days")
    assert {one.family for one in find(root.parent / "rain").datasets} == {"clean"}


@pytest.mark.parametrize(
    "folder", ["DIV2K_valid_JPEG20", "DIV2K_train_LR_bicubic/X4_sub", "DIV2K/noisy25", "DIV2K_train_blur", "x/LR"]
)
@pytest.mark.parametrize("name", ["{:04}", "{:04}_s001"])
def test_degraded_copies_are_no_originals_of_div2k(root: Path, folder: str, name: str) -> None:
    write(root / folder / f"{name.format(1)}.png", picture(1))
    (found,) = find(root).datasets
    assert found.family == "clean"
    assert folder.endswith("_sub") or "is named like the degraded side of pairs" in found.problems[0]


@pytest.mark.parametrize(
    "folder", ["DIV2K", "DIV2K/train", "DIV2K_HR", "div2k_train_hr_sub", "DIV2K_valid", "DIV2K/HR", "DIV2K-train"]
)
def test_originals_of_div2k_by_the_name_of_their_folder(root: Path, folder: str) -> None:
    write(root / folder / "0001.png", picture(1))
    assert only(root).usable().name == "DIV2K"


@pytest.mark.parametrize(
    ("folder", "names"), [("CBSD68_noisy50", None), ("noisy50", sorted(bsd68.NUMBERS)), ("CBSD68_sigma25", None)]
)
def test_noisy_copies_are_no_bsd68(root: Path, folder: str, names: list[str] | None) -> None:
    for number, name in enumerate(names or (f"{number:04}" for number in range(68))):
        write(root / folder / f"{name}.png", picture(number))
    with pytest.raises(UserError, match="is named like the degraded side of pairs"):
        only(root).usable()


@pytest.mark.parametrize("name", ["CBSD68", "bsds68", "BSD68"])
def test_bsd68_by_the_name_of_its_folder(root: Path, name: str) -> None:
    made.bsd68_counted(root)
    (root / "CBSD68").rename(root / name)
    assert only(root).name == "CBSD68"


@pytest.mark.parametrize("sides", [["test"], ["train"], ["train", "test"]])
def test_sides_whose_names_do_not_fit_are_one_dataset_with_problems(root: Path, sides: list[str]) -> None:
    """Where no name of a side fits, the user reads that, not of two datasets with one name."""
    for side in ("train", "test"):
        for number in range(3):
            ending = "_GT" if side in sides else ""
            write_pair(root / f"snow/{side}/lq/{number}.png", root / f"snow/{side}/gt/{number}{ending}.png", number)
    (dataset,) = find(root).datasets
    assert len(dataset.problems) == 6 * len(sides)
    with pytest.raises(UserError, match=r"gt/0_GT\.png' has no degraded partner"):
        find(root).dataset("snow")


def test_of_several_datasets_of_one_name_the_problems_are_told(root: Path) -> None:
    write_pair(
        root / "SIDD/Data/0001_001_S6/0001_NOISY_SRGB_010.png", root / "SIDD/Data/0001_001_S6/GT_SRGB_010.png", 1
    )
    (root / "blocks").mkdir()
    (root / "blocks/ValidationGtBlocksSrgb.mat").write_bytes(b"nothing")
    with pytest.raises(
        UserError, match=r"(?s)not one dataset but 2.*blocks/ValidationGtBlocksSrgb\.mat' cannot be read"
    ):
        find(root).dataset("sidd")

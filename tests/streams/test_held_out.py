"""Which training images are held out for validation: none whose scene, or whose copy, is trained on unseen."""

from pathlib import Path
from typing import Any

import pytest
from made_datasets import picture, write, write_pair

from benchmark.config import Data, checked
from benchmark.core.errors import UserError
from benchmark.data.checks.check import check
from benchmark.data.datasets import find
from benchmark.planning import about_images
from benchmark.streams import sources
from benchmark.streams.definition import Task


def disk(root: Path) -> Data:
    return Data(source="datasets", root=str(root))


def parts(root: Path, dataset: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the images that are trained on, and of those held out."""
    sources._survey.cache_clear()
    (source,) = sources.find([Task(name="one", degradation="noise", dataset={"train": dataset})], embedded_test(root))
    learned, held = sources.training_images(source, embedded_test(root))
    return learned.names, held.names


def embedded_test(root: Path) -> Data:
    return disk(root).model_copy(update={"fallback": "embedded"})


def told(root: Path, dataset: str) -> Any:
    sources._survey.cache_clear()
    tasks = [Task(name="one", degradation="noise", dataset={"train": dataset})]
    return tasks, sources.prepare(tasks, embedded_test(root))


def photographs(folder: Path, count: int) -> None:
    for number in range(count):
        write(folder / f"{number:03}.png", picture(f"photograph {number}"))


@pytest.mark.parametrize(("count", "held"), [(2, 1), (19, 1), (20, 2), (99, 9), (100, 10), (130, 10)])
def test_a_tenth_is_held_out_and_ten_at_most(tmp_path: Path, count: int, held: int) -> None:
    photographs(tmp_path / "mine/train", count)
    learned, validated = parts(tmp_path, "mine")
    assert (len(learned), len(validated)) == (count - held, held)


def sidd_scene(folder: Path, name: str, shots: tuple[str, ...] = ("010", "011")) -> None:
    for shot in shots:
        instance = name[:4]
        write_pair(
            folder / name / f"{instance}_NOISY_SRGB_{shot}.PNG",
            folder / name / f"{instance}_GT_SRGB_{shot}.PNG",
            name + shot,
        )


def test_all_instances_and_shots_of_a_scene_stand_on_one_side(tmp_path: Path) -> None:
    """Instances 2 and 4 show scene 3, though instance 3, of scene 1, stands between them."""
    for name in ("0001_001_S6_00100", "0002_003_GP_00100", "0003_001_IP_00400", "0004_003_N6_00800"):
        sidd_scene(tmp_path / "SIDD_Medium_Srgb/Data", name)
    learned, held = parts(tmp_path, "sidd")
    assert {name[:8] for name in learned} == {"0001_001", "0003_001"}
    assert held == ("0004_003_N6_00800/011",)


def test_of_crops_both_shots_of_an_instance_stand_on_one_side(tmp_path: Path) -> None:
    for instance in ("0199", "0200"):
        for shot in ("010", "011"):
            for crop in ("s001", "s002"):
                write_pair(
                    tmp_path / f"train/input_crops/{instance}_NOISY_SRGB_{shot}_{crop}.png",
                    tmp_path / f"train/target_crops/{instance}_GT_SRGB_{shot}_{crop}.png",
                    f"{instance} {shot} {crop}",
                )
    learned, held = parts(tmp_path, "sidd")
    assert {name[:4] for name in learned} == {"0199"}
    assert held == ("0200_SRGB_011_s002",)


def test_crops_named_by_scene(tmp_path: Path) -> None:
    """Also where the names go on with the camera, as folders do."""
    for name in ("0001_001_S6_0100", "0002_002_S6_0100", "0003_001_S6_0100"):
        for folder in ("input_crops", "target_crops"):
            write(tmp_path / f"train/{folder}/{name}_s001.png", picture(f"{name} {folder}"))
    (dataset,) = find(tmp_path).datasets
    assert [item.scene for item in dataset.items] == ["001", "001", "002"]


def test_a_scene_that_fills_all_but_the_end_is_trained_on(tmp_path: Path) -> None:
    for crop in range(1, 30):
        write(tmp_path / f"crops/0001_s{crop:03}.png", picture(f"one {crop}"))
    write(tmp_path / "crops/0002_s001.png", picture("two"))
    learned, held = parts(tmp_path, "div2k")
    assert (len(learned), held) == (29, ("0002_s001",))


def test_a_single_scene_is_refused(tmp_path: Path) -> None:
    for crop in range(1, 13):
        write(tmp_path / f"crops/0001_s{crop:03}.png", picture(f"one {crop}"))
    words = "show one scene, '1', and no scene may be both trained on and validated on"
    assert words in check(tmp_path).problems[0]
    with pytest.raises(UserError, match=words):
        parts(tmp_path, "div2k")


def test_copies_on_both_sides_are_told(tmp_path: Path) -> None:
    photographs(tmp_path / "mine/train", 20)
    _, (source,) = told(tmp_path, "mine")
    assert "validation_leaks" not in source
    write(tmp_path / "mine/train/copy.png", picture("photograph 3"))  # sorted last, thus held out
    tasks, found = told(tmp_path, "mine")
    assert found[0]["validation_leaks"] == 1
    config = checked(
        strategy="finetune",
        stream="mine",
        order=["one"],
        tasks=[task.model_dump() for task in tasks],
        training={},
        data=embedded_test(tmp_path).model_dump(),
        backbone={},
        sources=found,
    )
    note = about_images([config])[0]
    assert "1 training images of one (mine) also stand among those held out for validation" in note

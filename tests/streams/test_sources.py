"""Where the images of a run come from: embedded photographs and datasets on disk, task by task."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from made_datasets import brighter, picture, write, write_pair

from benchmark.config import Data, checked
from benchmark.core.errors import UserError
from benchmark.data import cache
from benchmark.data.photographs import embedded
from benchmark.planning import about_images
from benchmark.streams import sources
from benchmark.streams.build import TestImages, build
from benchmark.streams.definition import Task, load

SIZE = (180, 150)


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> None:
    for remembered in (sources._survey, sources._all_training, sources._decoded, sources._fingerprints):
        remembered.cache_clear()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Rain pairs (20 to train on, 2 to test on), DIV2K's first 12 images and the 68 of CBSD68."""
    for side, count in (("train", 20), ("test", 2)):
        for number in range(1, count + 1):
            folder = tmp_path / "data/Rain100L" / side
            clean = picture(f"{side} {number}", SIZE)
            write(folder / f"norain/norain-{number}.png", clean)
            write(folder / f"rain/norain-{number}.png", brighter(clean))
    for number in range(1, 13):
        write(tmp_path / f"data/DIV2K_train_HR/{number:04}.png", picture(number, SIZE))
    for number in range(68):
        write(tmp_path / f"data/CBSD68/{number:04}.png", picture(f"bsd {number}", (40, 30)))
    return tmp_path / "data"


def disk(root: Path, **fields: Any) -> Data:
    return Data(source="datasets", root=str(root), **fields)


def run_config(data: Data, **fields: Any) -> Any:
    stream = load("four_tasks").reordered(["derain", "denoise"])
    return checked(
        strategy="finetune",
        stream=stream.name,
        order=stream.order,
        tasks=[task.model_dump() for task in stream.tasks],
        training={"epochs": 1, "updates_per_epoch": 2, "batch_size": 2, "patch_size": 32},
        data=data.model_dump(),
        backbone={},
        **fields,
    )


@pytest.mark.slow
def test_the_bytes_of_training_images_are_counted_once(root: Path) -> None:
    """Of 20 pairs and of 12 images two and one are held out; 180 × 150 pixels of 3 bytes each."""
    pairs, images = 18 * 2 * 180 * 150 * 3, 11 * 180 * 150 * 3
    write(root / "DIV2K_valid_HR/0801.png", picture("valid", SIZE))
    stream = load("four_tasks")
    config = run_config(disk(root)).model_copy(
        update={"order": stream.order, "tasks": [task.model_dump() for task in stream.tasks]}
    )
    data = build(config).data_bytes
    assert [data(labels) for labels in ([], [0], [1], [0, 1], [1, 2, 3], [0, 1, 2, 3])] == [
        *(0, pairs, images, pairs + images, images, pairs + images)
    ], "denoising, deblocking and deblurring train on the same images"


def test_the_bytes_of_embedded_images_are_counted_once() -> None:
    config = run_config(Data(dead_leaves=2))
    photographs = sum(photograph.image.size for photograph in embedded("train"))
    assert build(config).data_bytes([0, 1]) == photographs + 2 * 512 * 512 * 3


def test_pairs_bring_their_own_inputs_and_clean_images_are_degraded(root: Path) -> None:
    made = build(run_config(disk(root)))
    rain, noise = made.test
    assert (len(rain), len(noise)) == (2, 68)
    assert np.array_equal(rain.clean(0), picture("test 1", SIZE))
    assert np.allclose(255 * (rain.degraded(0) - rain.clean(0) / 255), 20, atol=0.01)
    residual = 255 * (noise.degraded(3) - noise.clean(3) / 255)
    assert residual.std() == pytest.approx(50, rel=0.05)
    degraded, clean = made.train[0][1]
    assert np.allclose(255 * (degraded - clean), 20, atol=0.01)


def test_the_last_tenth_of_the_training_images_is_held_out(root: Path) -> None:
    (rain, noise) = sources.find([Task.model_validate(task) for task in run_config(disk(root)).tasks], disk(root))
    train, held = sources.training_images(rain, disk(root))
    assert (len(train), len(held)) == (18, 2)
    assert not set(train.names) & set(held.names)
    train, held = sources.training_images(noise, disk(root, validation_size=64))
    assert (len(train), len(held)) == (11, 1)
    assert held.clean[0].shape == (64, 64, 3)
    tested = sources.test_images(rain, disk(root, test_size=50))
    assert [image.shape for image in (*tested.clean, *(tested.degraded or ()))] == [(50, 50, 3)] * 4


def test_all_photographs_are_measured_and_the_same_are_trained_on() -> None:
    (source,) = sources.find(load("four_tasks").tasks[:1], Data())
    few, every = Data(dead_leaves=0), Data(dead_leaves=0, photographs="all")
    for before, now, more in (
        (*(sources.training_images(source, data)[0] for data in (few, every)), 0),
        (*(sources.training_images(source, data)[1] for data in (few, every)), 8),
        (*(sources.test_images(source, data) for data in (few, every)), 5),
    ):
        assert now.names[: len(before)] == before.names
        assert len(now) == len(before) + more
        assert all(np.array_equal(*pair) for pair in zip(before.clean, now.clean, strict=False))
    task = load("four_tasks").tasks[0]
    inputs = [TestImages(sources.test_images(source, data), task.degrade("test"), task.inputs) for data in (few, every)]
    assert all(np.array_equal(*(one.degraded(index) for one in inputs)) for index in range(3))
    small = sources.training_images(source, every.model_copy(update={"validation_size": 64}))[1]
    assert {image.shape for image in small.clean} == {(64, 64, 3)}
    assert np.array_equal(small.clean[-1], embedded("validation", "all")[-1].image[48:112, 48:112])


@pytest.mark.slow
def test_where_images_come_from_is_told(root: Path) -> None:
    rain, noise = sources.prepare(load("four_tasks").tasks[:2], disk(root))
    assert (rain["train"]["name"], rain["test"]["name"]) == ("Rain100L", "Rain100L")
    assert "20 training pairs" in rain["train"]["release"]
    assert (noise["train"]["name"], noise["test"]["name"]) == ("DIV2K", "CBSD68")
    assert rain["leaks"] == noise["leaks"] == 0
    (embedded,) = sources.prepare(load("four_tasks").tasks[:1], Data())
    assert embedded["train"]["name"] == embedded["test"]["name"] == "embedded"


@pytest.mark.slow
def test_a_training_image_in_any_test_set_is_counted(root: Path) -> None:
    write_pair(root / "Rain100L/train/rain/norain-1.png", root / "Rain100L/train/norain/norain-1.png", "bsd 7")
    write(root / "CBSD68/0007.png", picture("bsd 7"))
    rain, noise = sources.prepare(load("four_tasks").tasks[:2], disk(root))
    assert (rain["leaks"], noise["leaks"]) == (1, 0)


@pytest.mark.slow
def test_an_embedded_test_image_that_is_trained_on_is_counted(tmp_path: Path) -> None:
    for photograph in embedded("test"):
        write(tmp_path / f"mine/train/{photograph.name}.png", photograph.image)
    write(tmp_path / "mine/train/other.png", picture("other", (300, 300)))
    task = Task(name="grain", degradation="noise", dataset="mine")
    (found,) = sources.prepare([task], disk(tmp_path).model_copy(update={"fallback": "embedded"}))
    assert (found["train"]["name"], found["test"]["name"], found["leaks"]) == ("mine", "embedded", 3)


@pytest.mark.slow
def test_what_is_left_out_and_tasks_that_are_one_are_told_before_runs(root: Path) -> None:
    (root / "Rain100L/train/extra.gif").write_bytes(b"GIF89a")
    tasks = [Task(name=name, degradation="noise", dataset="rain100l") for name in ("one", "other")]
    config = checked(
        strategy="finetune",
        stream="mine",
        order=["one", "other"],
        tasks=[task.model_dump() for task in tasks],
        training={},
        data=disk(root).model_dump(),
        backbone={},
        sources=sources.prepare(tasks, disk(root)),
    )
    same, *others = about_images([config, config])
    assert "one and other are the same task: both take the pairs of Rain100L" in same
    assert any("(.png, .jpg, .jpeg, .bmp) nor .mat are left out: .gif (1)" in note for note in others)
    assert len(set(others)) == len(others)


def test_that_datasets_of_ones_own_are_not_used_without_a_folder_is_told_before_runs() -> None:
    """Such a run would restore photographs degraded otherwise, under the name of one's own task."""

    def notes(dataset: str | dict[str, str]) -> list[str]:
        task = Task(name="light", degradation="blur", train={"std": 2}, test={"std": 2}, dataset=dataset)
        planned = checked(
            strategy="finetune",
            stream="mine",
            order=["light"],
            tasks=[task.model_dump()],
            training={},
            data={},
            backbone={},
            sources=sources.prepare([task], Data()),
        )
        return about_images([planned])

    assert notes({"train": "DIV2K", "test": "bsd68"}) == []
    (note,) = notes({"train": "div2k", "test": "lowlight"})
    assert "datasets that mine names are not used without --data-root: lowlight." in note


@pytest.mark.slow
def test_of_a_photograph_no_crops_are_trained_on_while_others_are_validated_on(tmp_path: Path) -> None:
    for number in (1, 2, 801):
        for crop in range(12):
            write(tmp_path / f"crops/{number:04}_s{crop:03}.png", picture(f"{number} {crop}", (64, 64)))
    (source,) = sources.find([Task(name="grain", degradation="noise", dataset="div2k")], disk(tmp_path))
    learned, held = sources.training_images(source, disk(tmp_path, validation_size=32))
    assert learned.names == tuple(f"0001_s{crop:03}" for crop in range(12))
    assert held.names == ("0002_s010", "0002_s011")


@pytest.mark.slow
@pytest.mark.parametrize("change", ["content", "number"])
def test_other_files_make_another_run(root: Path, change: str) -> None:
    def identity() -> str:
        _forget()
        tasks = load("four_tasks").tasks[:2]
        return run_config(disk(root), sources=sources.prepare(tasks, disk(root))).identity

    before = identity()
    assert before == identity()
    moved = root.rename(root.parent / "moved")
    assert (
        run_config(disk(moved), sources=sources.prepare(load("four_tasks").tasks[:2], disk(moved))).identity == before
    )
    moved.rename(root)
    if change == "content":
        write(root / "CBSD68/0003.png", picture("another", (44, 30)))
    else:
        (root / "DIV2K_train_HR/0012.png").unlink()
    assert identity() != before


@pytest.mark.slow
def test_what_is_missing_is_named_unless_something_may_stand_in(root: Path) -> None:
    for file in (root / "DIV2K_train_HR").iterdir():
        file.unlink()
    tasks = load("four_tasks").tasks
    with pytest.raises(UserError) as raised:
        sources.find(tasks, disk(root))
    message = str(raised.value)
    assert "div2k (train of denoise, train of deblock, test of deblock, train of deblur, test of deblur)" in message
    assert "CBSD68" in message
    assert "--fallback embedded" in message
    found = sources.find(tasks, disk(root, fallback="embedded"))
    assert found[1].train is None
    assert found[1].test is not None
    told = sources.prepare(tasks, disk(root, fallback="embedded"))
    assert (told[1]["train"]["name"], told[1]["test"]["name"]) == ("embedded", "CBSD68")


def unreadable(folder: Path) -> str:
    for file in list(folder.iterdir()):
        file.unlink()
        file.symlink_to(folder / "nowhere")
    return "0.png' cannot be opened: No such file or directory."


def linked_twice(folder: Path) -> str:
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.symlink_to(folder.parent / "test")
    return "which is listed already."


def no_text(folder: Path) -> str:
    folder.rename(os.fsdecode(os.fsencode(folder) + b"\xe9"))
    return "is not valid UTF-8 and cannot be recorded."


def other_format(folder: Path) -> str:
    for file in list(folder.iterdir()):
        file.rename(file.with_suffix(".webp"))
    return "nor .mat are left out: .webp (6)."


@pytest.mark.parametrize("spoil", [unreadable, linked_twice, no_text, other_format])
def test_what_may_hold_the_missing_images_is_told(tmp_path: Path, spoil: Callable[[Path], str]) -> None:
    for number in range(6):
        write(tmp_path / f"mine/train/{number}.png", picture(number))
        write(tmp_path / f"mine/test/{number}.png", picture(f"test {number}"))
    reason = spoil(tmp_path / "mine/train")
    tasks = [Task(name="a", degradation="noise", dataset="mine")]
    with pytest.raises(UserError, match=r"mine \(train of a\)") as raised:
        sources.find(tasks, disk(tmp_path))
    assert reason in str(raised.value)
    stood_in = disk(tmp_path, fallback="embedded")
    assert [note for note in sources.left_out(tasks, stood_in) if reason in note]
    (tmp_path / "mine/test").rename(tmp_path / "mine/.test")
    _forget()
    assert sources.find(tasks, stood_in) == [sources.Source()]
    assert sources.left_out(tasks, stood_in)
    assert sources.left_out(tasks, Data(root=str(tmp_path))) == []


def test_of_many_problems_of_a_root_some_are_told(tmp_path: Path) -> None:
    write(tmp_path / "other/test/a.png", picture(1))
    (tmp_path / "mine").mkdir()
    for number in range(30):
        (tmp_path / f"mine/{number:02}.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError) as raised:
        sources.find([Task(name="a", degradation="noise", dataset="mine")], disk(tmp_path))
    told = str(raised.value)
    assert ("02.png' cannot be" in told, "03.png' cannot be" in told) == (True, False)
    assert "… and 27 more. See: python -m benchmark data check" in told


def test_a_dataset_without_the_side_that_is_needed_is_missing(root: Path) -> None:
    task = Task(name="a", degradation="noise", dataset="bsd68")
    with pytest.raises(UserError, match=r"bsd68 \(train of a\)"):
        sources.find([task], disk(root))


def test_testing_on_the_training_images_is_refused(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"holidays/{number}.png", picture(number, SIZE))
    task = Task(name="a", degradation="noise", dataset="holidays")
    with pytest.raises(UserError, match="tested on the images it is trained on"):
        sources.find([task], disk(tmp_path))


def test_testing_on_the_training_images_of_another_task_is_refused(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"holidays/{number}.png", picture(number, SIZE))
        write(tmp_path / f"mine/{'train' if number else 'test'}/{number}.png", picture(f"mine {number}", SIZE))
    tasks = [
        Task(name="a", degradation="noise", dataset={"train": "holidays", "test": "mine"}),
        Task(name="b", degradation="noise", dataset={"train": "mine", "test": "holidays"}),
    ]
    for one in (tasks, tasks[::-1]):
        with pytest.raises(UserError, match="Task 'b' would be tested on the images task 'a' is trained on"):
            sources.find(one, disk(tmp_path))
    sources.find(tasks[1:], disk(tmp_path))


@pytest.mark.slow
def test_the_same_patches_from_memory_and_from_the_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def patches() -> list[np.ndarray]:
        made = build(run_config(disk(root)))
        return [image.numpy() for task in made.train for index in range(4) for image in task[index]]

    from_memory = patches()
    monkeypatch.setattr(sources, "IN_MEMORY", 0)
    _forget()
    with pytest.raises(UserError, match="data prepare"):
        patches()
    sources.prepare(load("four_tasks").tasks[:2], disk(root))
    assert (root / cache.FOLDER).is_dir()
    for one, other in zip(from_memory, patches(), strict=True):
        assert np.array_equal(one, other)


def test_pairs_take_twice_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [
        SimpleNamespace(split="train", size=lambda: (10, 20)),
        SimpleNamespace(split="test", size=lambda: (99, 99)),
    ]
    for bytes_, fits in ((600, [True, False]), (1200, [True, True]), (599, [False, False])):
        monkeypatch.setattr(sources, "IN_MEMORY", bytes_)
        datasets: list[Any] = [SimpleNamespace(items=items, paired=paired) for paired in (False, True)]
        assert [sources._fits_memory(one) for one in datasets] == fits


def test_the_root_is_needed() -> None:
    with pytest.raises(UserError, match="--data-root"):
        sources.find(load("four_tasks").tasks, Data(source="datasets"))


def test_the_real_command(root: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    words = [
        "run",
        "--strategy",
        "finetune",
        "--preset",
        "smoke",
        "--order",
        "derain,denoise",
        "--data-root",
        str(root),
    ]
    for file in (root / "DIV2K_train_HR").iterdir():
        file.unlink()
    refused = command(*words, "--out", str(tmp_path / "runs"))
    assert refused.returncode == 2
    assert "--fallback embedded" in refused.stderr
    done = command(*words, "--fallback", "embedded", "--out", str(tmp_path / "runs"))
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").glob("[!.]*")
    assert "CBSD68" in (run / "config.yaml").read_text()
    assert len(list((run / "images").glob("denoise--*--clean.png"))) == 8


def _forget() -> None:
    for remembered in (sources._survey, sources._all_training, sources._decoded, sources._fingerprints):
        remembered.cache_clear()

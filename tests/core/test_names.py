"""Names are text: however their letters are composed, they are the same name; bytes that are no text are told."""

import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from made_datasets import brighter, picture, write, write_pair

from benchmark.config import Data
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import Run
from benchmark.data.checks.check import check
from benchmark.data.datasets import Dataset, find
from benchmark.planning import plan
from benchmark.streams import sources
from benchmark.streams.definition import Task
from strategies import registry

COMPOSED, APART = "Zürich ở ñ", unicodedata.normalize("NFD", "Zürich ở ñ")

PLUGIN = '''
from strategies.base import Settings, Strategy


class Own(Strategy):
    """A plugin."""

    name = "own"

    class Settings(Settings):
        """Its settings."""

        text: str = "a"
'''


def only(root: Path) -> Dataset:
    (dataset,) = find(root).datasets
    return dataset


@pytest.mark.parametrize(("clean", "degraded"), [(COMPOSED, APART), (APART, COMPOSED), (APART, APART)])
def test_pairs_of_two_folders(tmp_path: Path, clean: str, degraded: str) -> None:
    write_pair(tmp_path / f"snow/test/lq/{degraded}.png", tmp_path / f"snow/test/gt/{clean}.PNG", 1)
    dataset = only(tmp_path)
    assert dataset.problems == ()
    assert [item.name for item in dataset.items] == [COMPOSED]


def test_crops_of_a_camera(tmp_path: Path) -> None:
    folder = tmp_path / "train/SIDD"
    write_pair(folder / f"input_crops/{APART}_NOISY_1.png", folder / f"gt_crops/{COMPOSED}_GT_1.png", 1)
    dataset = only(tmp_path)
    assert (dataset.family, len(dataset.items), dataset.problems) == ("sidd", 1, ())


def test_halves_of_one_file_and_clean_images(tmp_path: Path) -> None:
    clean = picture(1, (481, 321))
    write(tmp_path / f"rain/test/{APART}.png", np_pair(clean))
    write(tmp_path / f"clean/test/{APART}.png", picture(2))
    names = [item.name for dataset in find(tmp_path).datasets for item in dataset.items]
    assert sorted(names) == sorted([COMPOSED, f"{COMPOSED}.png"])


def np_pair(clean):
    import numpy as np

    return np.concatenate([clean, brighter(clean)], axis=1)


@pytest.mark.parametrize("asked", [COMPOSED, APART, COMPOSED.upper()])
@pytest.mark.parametrize("there", [COMPOSED, APART])
def test_a_dataset_is_found_by_its_name(tmp_path: Path, asked: str, there: str) -> None:
    for number in range(3):
        write(tmp_path / f"{there}/train/{number}.png", picture(number))
        write(tmp_path / f"{APART}/test/{number}.png", picture(-number))
    dataset = find(tmp_path).dataset(asked)
    assert (dataset.name, dataset.release) == (COMPOSED, "3 training images, 3 test images")
    task = Task(name="a", degradation="noise", dataset=asked)
    (origins,) = sources.find([task], Data(source="datasets", root=str(tmp_path)))
    assert origins.train == origins.test == dataset


def test_the_order_does_not_depend_on_how_names_are_composed(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        for number, name in enumerate(["ea", "éa", "eb", "zz"]):
            write(tmp_path / f"{form}/{unicodedata.normalize(form, name)}.png", picture(number))
    one, other = [[item.name for item in only(tmp_path / form).items] for form in ("NFC", "NFD")]
    assert one == other


@pytest.mark.parametrize("kind", ["pairs", "clean"])
def test_two_files_of_one_name_are_told(tmp_path: Path, kind: str) -> None:
    for form in (COMPOSED, APART):
        if kind == "clean":
            write(tmp_path / f"mine/test/{form}.png", picture(form))
        else:
            write_pair(tmp_path / f"mine/test/input/{form}.png", tmp_path / f"mine/test/target/{form}.png", form)
    problems = "\n".join(only(tmp_path).problems)
    assert "have the same" in problems
    with pytest.raises(UserError, match="have the same"):
        find(tmp_path).dataset("mine")


def test_two_formats_of_one_side_by_side_picture_are_told(tmp_path: Path) -> None:
    for ending in ("png", "bmp"):
        write(tmp_path / f"rain/test/7.{ending}", np_pair(picture(ending, (481, 321))))
    assert "have the same name, '7'" in only(tmp_path).problems[0]


def test_capitals_of_endings_do_not_matter_and_those_of_names_do(tmp_path: Path) -> None:
    write_pair(tmp_path / "mine/input/a.PNG", tmp_path / "mine/target/a.png", 1)
    write_pair(tmp_path / "mine/input/B.png", tmp_path / "mine/target/b.png", 2)
    dataset = only(tmp_path)
    assert [item.name for item in dataset.items] == ["a"]
    assert len(dataset.problems) == 2


def test_bytes_that_are_no_text_are_refused_with_their_name(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"mine/train/{number}.png", picture(number))
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/mine/train/caf\xe9.png")
    try:
        Path(strange).write_bytes((tmp_path / "mine/train/0.png").read_bytes())
    except OSError:
        pytest.skip("this file system has no such names")
    report = check(tmp_path)
    assert [problem for problem in report.problems if r"caf\udce9.png' is not valid UTF-8" in problem]
    with pytest.raises(UserError, match="not valid UTF-8"):
        find(tmp_path).dataset("mine")


@pytest.mark.parametrize("letter", ["\x85", "\u2028", "\ufeff", "\n", "\r\n", "\t", "\x7f", "\xa0", " ", "🌹"])
def test_a_record_has_every_name_as_it_was(letter: str, tmp_path: Path) -> None:
    """Also with letters that YAML takes for the end of a line, such as what becomes of … in a name decoded wrongly."""
    names = [letter, f"holidays{letter}", f"{letter}holidays", f"holi{letter}days", f"'a': {letter}#"]
    config = {"order": names, "data": {"root": f"holidays{letter}"}}
    assert Run.create(tmp_path / "run", config, {}).config == config


def test_a_folder_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        strange.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    write(strange / "a.png", picture(1))
    assert "not valid UTF-8" in check(tmp_path).problems[0]
    with pytest.raises(UserError, match="not valid UTF-8"):
        find(strange)


@pytest.mark.parametrize("place", ["stream", "plugin", "cache", "setting"])
def test_nothing_is_trained_that_no_record_could_name(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    (tmp_path / "own.py").write_text(PLUGIN)
    (tmp_path / "mine.yaml").write_text("tasks: [{name: a, degradation: noise}]\n")
    try:
        shutil.copytree(tmp_path, strange)
        Path(strange, "mine.yaml").rename(f"{strange}.yaml")
    except OSError:
        pytest.skip("this file system has no such names")
    registry.add_plugin(f"{strange}/own.py" if place == "plugin" else str(tmp_path / "own.py"))
    stream = f"{strange}.yaml" if place == "stream" else str(tmp_path / "mine.yaml")
    given = {"cache": ["data.root=x", f"data.cache={strange}"], "setting": [f"own.text={strange}"]}.get(place, [])
    with pytest.raises(UserError, match=r"caf\\udce9.*is not valid UTF-8 and cannot be recorded\. Rename"):
        plan("own", stream, "smoke", "0", None, None, None, given)

"""Links in a data root: followed where they lead somewhere, and told where they do not."""

from pathlib import Path

import pytest
from made_datasets import picture, write

from benchmark.core.errors import UserError
from benchmark.data.datasets import find


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_link_that_leads_nowhere_spoils_pictures_only_if_it_is_one_by_its_name(root: Path, tmp_path: Path) -> None:
    for side in ("train", "test"):
        write(root / f"mine/{side}/{side}.png", picture(side))
    (root / "mine/train/README").symlink_to(root / "mine/train/README")
    (root / "mine/train/notes.txt").symlink_to(tmp_path / "nowhere.txt")
    (root / "mine/more").symlink_to(tmp_path / "unmounted")
    survey = find(root)
    assert survey.dataset("mine").release == "1 training image, 1 test image"
    assert survey.problems == ()
    for name in ("README", "notes.txt", "more"):
        assert [note for note in survey.unseen() if f"{name}' is a link and cannot be followed" in note]
    (root / "mine/train/gone.PNG").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match=r"gone\.PNG' cannot be opened: No such file.* It is a link"):
        find(root).dataset("mine")


@pytest.mark.parametrize("sides", [("{}",), ("{}/input", "{}/target")])
def test_sides_that_are_linked_from_one_folder_are_one_dataset(
    root: Path, tmp_path: Path, sides: tuple[str, ...]
) -> None:
    for number, side in enumerate(("train", "test")):
        for kind in sides:
            write(tmp_path / kind.format(f"part{number}") / "a.png", picture(side + kind))
        (root / "mine").mkdir(parents=True, exist_ok=True)
        (root / f"mine/{side}").symlink_to(tmp_path / f"part{number}")
    whole = find(root).dataset("mine")
    assert (whole.name, whole.root) == ("mine", root / "mine")
    assert [len(whole.split(side)) for side in ("train", "test")] == [1, 1]
    assert find(root).dataset("part1").release == f"1 test {whole.noun}"

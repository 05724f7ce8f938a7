"""Folders that could be taken for what they are not: each is told, none is used in silence."""

from pathlib import Path

import made_datasets as made
import pytest

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

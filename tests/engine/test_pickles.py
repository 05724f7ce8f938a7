"""A pickle under another name: no reader opens it, and what it would do is not done."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.data.opening import open_rgb
from benchmark.data.pictures import array_shape
from benchmark.engine.checkpoints import Damaged, load_checkpoint
from strategies.base import Settings, Strategy


class Deed:
    """What a pickle does when it is opened: it makes a folder."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.made),)


READERS: dict[str, Callable[[Path], object]] = {
    "task-1.safetensors": lambda path: load_checkpoint(path, torch.nn.Linear(1, 1), Strategy(Settings())),
    "picture.png": open_rgb,
    "ValidationGtBlocksSrgb.mat": lambda path: array_shape(path, "ValidationGtBlocksSrgb"),
}


@pytest.mark.parametrize("way", ["pickle", "torch"])
@pytest.mark.parametrize("name", READERS)
def test_a_pickle_is_refused(name: str, way: str, tmp_path: Path) -> None:
    file, made = tmp_path / name, tmp_path / "made"
    if way == "pickle":
        file.write_bytes(pickle.dumps(Deed(made)))
    else:
        torch.save({"weight": Deed(made)}, file)
    with pytest.raises((UserError, Damaged)):
        READERS[name](file)
    assert not made.exists()

"""Backbones that cannot take an image of a run, which is told before anything is trained."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import TINY

from benchmark import backbones
from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import Run
from benchmark.engine import events, job
from benchmark.engine.setup import resolve
from benchmark.engine.trial import try_sizes
from benchmark.planning import plan
from strategies import registry

BACKBONES = """import torch
from torch import nn
from torch.nn.functional import interpolate
from benchmark.backbones import register

class Network(nn.Module):
    def __init__(self, width, blocks, image_skip):
        super().__init__()
        self.only = nn.Conv2d(3, 3, 3, padding=1)

@register("whole")
class Whole(Network):
    'A convolution.'
    def forward(self, x):
        return self.only(x)

@register("even")
class Even(Network):
    'Takes even sides alone.'
    def forward(self, x):
        return x + interpolate(self.only(nn.functional.max_pool2d(x, 2)), scale_factor=2)

@register("mean")
class Mean(Network):
    'Looks at the whole image.'
    def forward(self, x):
        return self.only(x) - x.mean((2, 3), keepdim=True)

@register("less")
class Less(Network):
    'Loses the last row.'
    def forward(self, x):
        return self.only(x)[:, :, :-1]

@register("modes")
class Modes(Network):
    'Has a method for its mode that gives nothing back.'
    def train(self, mode=True):
        super().train(mode)
    def forward(self, x):
        return self.only(x)

@register("pair")
class Pair(Network):
    'Gives two tensors.'
    def forward(self, x):
        return self.only(x), x
"""


@pytest.fixture(autouse=True)
def _plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(backbones.CATALOGUE, "plugins", {})
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    (tmp_path / "networks.py").write_text(BACKBONES)
    registry.add_plugin(str(tmp_path / "networks.py"))


def using(name: str, *more: str) -> RunConfig:
    return plan("finetune", "four_tasks", "smoke", "0", "denoise", None, None, [*TINY, f"backbone.name={name}", *more])[
        0
    ]


def tried(config: RunConfig, *sizes: tuple[int, int]) -> None:
    sets = [SimpleNamespace(images=SimpleNamespace(clean=[np.zeros((*size, 3), np.uint8) for size in sizes]))]
    benchmark: Any = SimpleNamespace(valid=[], test=sets)
    try_sizes(config, benchmark, torch.device("cpu"))


def test_a_network_that_takes_every_size_passes_and_no_random_number_is_drawn() -> None:
    before = torch.get_rng_state()
    tried(using("whole", "data.tile=64"), (33, 48), (65, 90))
    tried(using("even"), (32, 48))
    tried(using("mean"), (65, 90))
    tried(using("modes"), (33, 48))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "size", "reason"),
    [
        ("mean", (65, 90), "Mean looks further than the 1 pixels"),
        ("less", (32, 48), r"'less' gives \(1, 3, 31, 48\) for images of \(1, 3, 32, 48\)"),
        ("pair", (32, 48), "'pair' gives tuple for images"),
    ],
)
def test_what_a_network_cannot_restore_is_refused_with_the_size(name: str, size: tuple[int, int], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as refused:
        tried(using(name, "data.tile=64"), size)
    (note,) = refused.value.__notes__
    assert f"{size[1]}×{size[0]} pixels" in note


def test_a_run_whose_backbone_fails_on_an_image_ends_before_it_trains(tmp_path: Path) -> None:
    heard: list[events.Event] = []
    config = resolve(using("even", "data.test_size=33"))
    with pytest.raises(UserError, match=r"Backbone 'even' .* failed: RuntimeError") as refused:
        job.run(config, tmp_path / "run", heard.append)
    assert "33×33 pixels" in refused.value.__notes__[0]
    assert not [event for event in heard if isinstance(event, events.TaskBegun | events.Updated)]
    assert Run(tmp_path / "run").status["state"] == "failed"

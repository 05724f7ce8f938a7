"""Every strategy on every backbone, through the whole of a tiny run."""

from pathlib import Path

import pytest

from benchmark.backbones import BACKBONES
from benchmark.engine.local import execute
from benchmark.engine.setup import resolve
from benchmark.planning import plan
from strategies.built_in import BUILT_IN

TINY = [
    "training.epochs=1",
    "training.updates_per_epoch=1",
    "backbone.blocks=1",
    "data.dead_leaves=0",
    "data.test_size=32",
]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("strategy", BUILT_IN)
def test_every_strategy_runs_on_every_backbone(strategy: str, backbone: str, tmp_path: Path) -> None:
    words = [f"backbone.name={backbone}", *TINY]
    (config,) = plan(strategy, "four_tasks", "smoke", "0", "derain,denoise", None, None, words)
    (run,) = execute([resolve(config)], tmp_path)
    assert run.finished
    assert set(run.metrics["task"]) == {"derain", "denoise"}
    assert run.metrics["value"].notna().all()

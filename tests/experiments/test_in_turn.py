"""The example of joint training whose tasks take turns."""

from pathlib import Path
from typing import Any

import pytest
from avalanche.core import SupervisedPlugin
from conftest import ROOT

from benchmark.core.errors import UserError
from benchmark.engine import job, setup
from benchmark.experiments.matrix import Choices, expand, load
from benchmark.planning import plan
from strategies import registry

TINY = ["training.epochs=3", "training.updates_per_epoch=4", "backbone.width=2", "backbone.blocks=0"]
ORDER = "denoise,deblock,deblur"
SMALL = ["data.dead_leaves=0", "data.test_size=32", "data.validation_size=32"]
PLUGIN = str(ROOT / "docs/examples/in_turn.py")


class Seen(SupervisedPlugin):
    """Which tasks each batch had, and every patch."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: list[list[int]] = []
        self.patches: list[bytes] = []

    def before_forward(self, template: Any, *args: Any, **kwargs: Any) -> None:
        self.tasks.append(template.mb_task_id.tolist())
        self.patches += [patch.numpy().tobytes() for patch in template.mb_x]


def seen(place: Path, strategy: str, *settings: str) -> Seen:
    (config,) = plan(strategy, "four_tasks", "smoke", "0", ORDER, None, None, [*TINY, *SMALL, *settings])
    found = Seen()
    job.run(setup.resolve(config), place, plugins=(found,))
    return found


@pytest.fixture(autouse=True)
def _plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    registry.add_plugin(PLUGIN)


@pytest.mark.parametrize("span", [1, 4, 12])
def test_every_batch_is_of_one_task_and_all_patches_are_those_of_together(span: int, tmp_path: Path) -> None:
    mixed = seen(tmp_path / "mixed", "together")
    turns = seen(tmp_path / "turns", "in_turn", f"in_turn.span={span}")
    assert len(turns.tasks) == 3 * 3 * 4
    assert turns.tasks == [[update // span % 3] * 2 for update in range(3 * 3 * 4)]
    assert sorted(turns.patches) == sorted(mixed.patches)


def test_turns_that_do_not_come_out_even_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"in_turn\.span = 5: the 12 updates of a task"):
        seen(tmp_path / "run", "in_turn", "in_turn.span=5")


def test_the_experiment_can_be_planned() -> None:
    runs = expand(load(ROOT / "docs/examples/in_turn.yaml"), Choices("quick"))
    assert [run.settings.get("span") for run in runs if run.strategy == "in_turn"] == [1, 100, 1600]
    assert {run.strategy for run in runs} == {"in_turn", "together", "finetune"}

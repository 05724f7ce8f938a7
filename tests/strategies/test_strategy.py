"""What every strategy is: a class that says which hooks it uses."""

import re
from typing import Any

import pytest
import torch
from made_stream import learner, network, pairs, stream

from benchmark.core.errors import UserError
from strategies import base
from strategies.base import HOOKS, Settings, Strategy
from strategies.trainer import Trainer


def nothing(self: Strategy, trainer: Trainer) -> None: ...


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("before_training_experience", "before_training_exp"),
        ("after_backwards", "after_backward"),
        ("before_updates", "before_update"),
        ("after_train_iteration", "after_training_iteration"),
    ],
)
def test_a_misspelt_hook_is_refused_as_the_class_is_made(name: str, near: str) -> None:
    with pytest.raises(UserError, match=f"strategy Mine.*'{name}'. Did you mean '{near}'"):
        type("Mine", (Strategy,), {name: nothing})


def test_a_misspelt_hook_is_found_in_a_class_that_is_mixed_in() -> None:
    mixed = type("Mixed", (), {"after_everything": nothing})
    with pytest.raises(UserError, match="after_everything"):
        type("Mine", (mixed, Strategy), {})


def test_every_callback_of_avalanche_is_a_hook() -> None:
    kind = type("Mine", (Strategy,), {**dict.fromkeys(HOOKS, nothing), "after_all": "no method"})
    assert {"before_eval_exp", "before_training_exp", "after_update"} < set(vars(kind))


def test_the_drawing_of_a_run_shows_the_hooks_in_the_order_in_which_they_are_called() -> None:
    drawn = re.findall(r"strategy\.((?:before|after)_\w+)", base.__doc__ or "")
    assert set(drawn) == {name for name in vars(Strategy) if name in HOOKS}
    called: list[str] = []

    def noted(name: str) -> Any:
        return lambda self, trainer: called.append(name)

    kind = type("Noting", (Strategy,), {name: noted(name) for name in drawn})
    (experience,) = stream(pairs(0))
    learner(kind(Settings()), network()).learn(experience)
    assert list(dict.fromkeys(called)) == drawn


def test_the_suites_template_offers_what_strategies_may_use() -> None:
    wanted = [name for name in {**Trainer.__annotations__, **vars(Trainer)} if not name.startswith("_")]
    assert len(wanted) > 12
    missing: list[str] = []

    class Looking(Strategy):
        def after_forward(self, trainer: Trainer) -> None:
            missing.extend(name for name in wanted if not hasattr(trainer, name))
            loss = trainer.loss_function(trainer.mb_output, trainer.mb_y)
            torch.testing.assert_close(loss, (trainer.mb_output - trainer.mb_y).square().mean())

    (experience,) = stream(pairs(0))
    learner(Looking(Settings()), network()).learn(experience)
    assert not missing

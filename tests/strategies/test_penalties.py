"""The quadratic penalty that several strategies share."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from made_stream import learner, network, pairs, stream, weights
from torch import nn

from baselines.finetune import Finetune
from strategies.base import Settings, Strategy
from strategies.ewc import EWC
from strategies.mas import MAS
from strategies.penalties import patch_gradients, quadratic
from strategies.pigwm import PIGWM
from strategies.si import SI
from strategies.trainer import Trainer

KINDS = [MAS, EWC, SI, PIGWM]


def test_the_penalty_is_what_the_formula_says() -> None:
    model = nn.Linear(2, 1)
    nn.init.constant_(model.weight, 3.0)
    nn.init.constant_(model.bias, 1.0)
    one = ({"weight": torch.tensor([[1.0, 10.0]]), "bias": torch.tensor([2.0])}, weights(nn.Linear(2, 1)))
    one[1]["weight"], one[1]["bias"] = torch.tensor([[1.0, 2.0]]), torch.tensor([-1.0])
    other = ({"weight": torch.tensor([[0.5, 0.0]])}, {"weight": torch.tensor([[5.0, 7.0]])})
    penalty = quadratic(model, [one, other])
    assert penalty.shape == ()
    assert penalty.item() == 1 * 2**2 + 10 * 1**2 + 2 * 2**2 + 0.5 * 2**2
    penalty.backward()
    assert model.weight.grad is not None
    assert model.weight.grad.tolist() == [[2 * 1 * 2 + 2 * 0.5 * -2, 2 * 10 * 1]]
    assert quadratic(model, []).item() == 0


def test_the_penalty_is_the_same_to_the_bit_in_whichever_order_a_checkpoint_names_the_weights() -> None:
    model = network().float()
    for seed in range(20):
        torch.manual_seed(seed)
        importance = {name: torch.rand(value.shape) for name, value in model.named_parameters()}
        anchor = {name: torch.rand(value.shape) for name, value in model.named_parameters()}
        named = dict(sorted(importance.items(), reverse=True))
        assert torch.equal(quadratic(model, [(importance, anchor)]), quadratic(model, [(named, anchor)]))


def test_weights_that_a_loss_does_not_reach_have_gradients_of_zero() -> None:
    found = []

    class Measuring(Strategy):
        def after_training_exp(self, trainer: Trainer) -> None:
            found.extend(patch_gradients(trainer, 3, lambda output, clean: (output - clean).abs().sum()))

    model = network()
    model.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
    model.forward = lambda x: nn.Sequential(*list(model)[:4])(x)
    (experience,) = stream(pairs(0))
    learner(Measuring(Settings()), model).learn(experience)
    assert len(found) == 3
    for gradients in found:
        assert set(gradients) == {name for name, _ in model.named_parameters()}
        assert not gradients["unused"].any()
        assert gradients["0.weight"].any()
    assert not torch.equal(found[0]["0.weight"], found[1]["0.weight"])


class Freezing(SupervisedPlugin):
    """Freezes the first layer, or lets it be trained again, as tasks begin or end."""

    def __init__(self, trained: list[bool], hook: str) -> None:
        super().__init__()
        self.trained = iter(trained)
        setattr(self, hook, self.switch)

    def switch(self, template: Any, *args: Any, **kwargs: Any) -> None:
        template.model[0].requires_grad_(next(self.trained))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("hook", "trained"), [("before_training_exp", [True, False, True]), ("after_training_exp", [False, True, True])]
)
def test_a_layer_may_be_frozen_or_thawed_between_tasks(kind: type[Strategy], hook: str, trained: list[bool]) -> None:
    ends = []
    for strategy in (kind(kind.Settings(weight=0)), Finetune(Settings()), kind(kind.Settings())):
        model = network().float()
        template = learner(strategy, model, Freezing(trained, hook))
        for experience in stream(*(pairs(seed, torch.float32) for seed in range(3))):
            template.learn(experience)
        ends.append(weights(model))
    unweighted, plain, protected = ends
    assert all(torch.equal(value, plain[name]) for name, value in unweighted.items())
    assert all(value.isfinite().all() for value in protected.values())
    assert not torch.equal(protected["3.weight"], plain["3.weight"])


@pytest.mark.parametrize("kind", [MAS, SI, PIGWM])
def test_what_a_layer_mattered_for_is_known_after_tasks_that_it_was_frozen_in(kind: Any) -> None:
    strategy, model = kind(kind.Settings()), network()
    template = learner(strategy, model)
    first, second = stream(pairs(0), pairs(1))
    template.learn(first)
    importance = strategy.importance["0.weight"].clone()
    assert importance.any()
    model[0].requires_grad_(False)
    template.learn(second)
    torch.testing.assert_close(strategy.importance["0.weight"], importance if kind is SI else importance / 2)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_kept_or_asked_of_what_is_never_trained(kind: type[Strategy]) -> None:
    strategy, model = kind(kind.Settings()), network()
    model[0].requires_grad_(False)
    template = learner(strategy, model)
    for experience in stream(pairs(0), pairs(1)):
        template.learn(experience)
    names = {name for name, value in model.named_parameters() if value.requires_grad}
    assert {key.removeprefix(key.split(name)[0]) for name in names for key in strategy.state() if name in key} == names
    assert not any(key.endswith(("0.weight", "0.bias")) for key in strategy.state())


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_checkpoint_brought_goes_to_the_device(kind: type[Strategy]) -> None:
    strategy, model = kind(kind.Settings()), network()
    learner(strategy, model).learn(stream(pairs(0))[0])
    resumed, trainer = kind(kind.Settings()), SimpleNamespace(model=model.to("meta"), device=torch.device("meta"))
    resumed.load_state(strategy.state())
    resumed.before_training_exp(trainer)
    assert {value.device.type for value in resumed.state().values()} == {"meta"}

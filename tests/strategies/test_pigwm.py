"""PIGWM against its formula, computed a second time without the strategy's code."""

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from made_stream import UPDATES, Weights, Witness, learner, loss_and_gradient, network, pairs, stream, weights
from torch import Tensor, nn

from baselines.finetune import Finetune
from strategies.base import Settings
from strategies.pigwm import PIGWM, PIGWMSettings, weighted_change

TASKS = [pairs(seed) for seed in range(3)]


def make(**settings: Any) -> PIGWM:
    return PIGWM(PIGWMSettings(**settings))


def measured(model: nn.Module, samples: int, task: list[tuple[Tensor, Tensor]]) -> Weights:
    """The mean of the absolute gradient of the mean-squared error over single patches, in evaluation mode."""
    model = copy.deepcopy(model).eval()
    total = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    for degraded, clean in task[:samples]:
        _, gradient = loss_and_gradient(model, weights(model), [degraded[None], clean[None]])
        for name, value in gradient.items():
            total[name] += value.abs() / samples
    return total


def penalty_by_loops(weight: float, importance: Weights, anchor: Weights) -> Any:
    def penalty(parameters: dict[str, Tensor], _: Tensor) -> Any:
        s: Any = 0
        for name, value in parameters.items():
            flat = zip(importance[name].flatten(), value.flatten(), anchor[name].flatten(), strict=True)
            for i, now, then in flat:
                s = s + i * (now - then if now > then else then - now if now < then else 0 * now)
        return weight * (s + s**2)

    return penalty


def test_penalty_and_gradient_by_hand() -> None:
    model = nn.Linear(3, 1)
    model.weight.data, model.bias.data = torch.tensor([[3.0, 2.0, -1.0]]), torch.tensor([1.0])
    strategy = make(weight=10)
    strategy.importance = {"weight": torch.tensor([[0.5, 4.0, 2.0]]), "bias": torch.tensor([3.0])}
    strategy.anchor = {"weight": torch.tensor([[1.0, 2.0, 1.0]]), "bias": torch.tensor([1.5])}
    s = 0.5 * 2 + 4 * 0 + 2 * 2 + 3 * 0.5
    assert weighted_change(model, strategy.importance, strategy.anchor).item() == s
    trainer: Any = SimpleNamespace(model=model, loss=torch.tensor([7.0]))
    strategy.before_backward(trainer)
    assert trainer.loss.item() == 7 + 10 * (s + s**2)
    trainer.loss.backward()
    assert model.weight.grad is not None
    assert model.bias.grad is not None
    slope = 10 * (1 + 2 * s)
    assert model.weight.grad.tolist() == [[slope * 0.5, 0, -slope * 2]], "no pull on a weight that did not move"
    assert model.bias.grad.tolist() == [-slope * 3]


def test_every_update_follows_the_formula_and_the_penalty_is_positive_after_the_first_of_a_task() -> None:
    strategy, model, witness = make(weight=3, samples=4), network(), Witness()
    template = learner(strategy, model, witness)
    found: list[Weights] = []
    for number, experience in enumerate(stream(*TASKS)):
        anchor = weights(model)
        template.learn(experience)
        if found:
            importance = {name: sum(one[name] for one in found) / len(found) for name in anchor}
            penalty = penalty_by_loops(3, importance, anchor)
            amounts = []
            for step in witness.steps:
                loss, gradient = loss_and_gradient(model, step.before, step.batch, penalty)
                torch.testing.assert_close(step.loss, loss, check_dtype=False)
                largest = max(value.abs().max().item() for value in gradient.values())
                for name, value in gradient.items():
                    torch.testing.assert_close(step.gradient[name], value, rtol=0, atol=1e-9 * largest)
                amounts.append(float(step.loss - loss_and_gradient(model, step.before, step.batch)[0]))
            assert abs(amounts[0]) < 1e-7, "a loss is kept in float32"
            assert len(amounts) == UPDATES
            assert all(amount > 1e-4 for amount in amounts[1:])
        found.append(measured(model, 4, TASKS[number]))
        state = strategy.state()
        for name in anchor:
            mean = sum(one[name] for one in found) / len(found)
            torch.testing.assert_close(state[f"importance.{name}"], mean)


def test_without_weight_it_is_plain_training_to_the_bit_and_with_it_weights_move_less() -> None:
    ends, moved = [], []
    for strategy in (Finetune(Settings()), make(weight=0), make(weight=1), make(weight=100)):
        model = network().float()
        template = learner(strategy, model)
        experiences = stream(*(pairs(seed, torch.float32) for seed in range(2)))
        template.learn(experiences[0])
        importance, anchor = measured(model, 10, pairs(0, torch.float32)), weights(model)
        template.learn(experiences[1])
        ends.append(weights(model))
        moved.append(float(sum((importance[k] * (ends[-1][k] - anchor[k]).abs()).sum() for k in anchor)))
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    assert moved[1] > moved[2] > moved[3] > 0


@pytest.mark.parametrize("weight", [-1, float("nan"), 1e7])
def test_a_weight_outside_its_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        make(weight=weight)

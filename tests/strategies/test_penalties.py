"""The quadratic penalty that several strategies share."""

import torch
from made_stream import learner, network, pairs, stream, weights
from torch import nn

from strategies.base import Settings, Strategy
from strategies.penalties import patch_gradients, quadratic
from strategies.trainer import Trainer


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

"""Convolutions of complex numbers, as in networks that work on spectra: they are learned as two real numbers are."""

import copy
from typing import Any

import pytest
import torch
from made_stream import learner, pairs, stream
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.core.errors import UserError
from strategies import registry
from strategies.base import Strategy
from strategies.mixtures import combined
from strategies.rehearsal import gradient, set_gradient

TASKS = [pairs(seed, torch.float32) for seed in range(3)]


class Mixing(nn.Module):
    """Channels are mixed by complex numbers, which are one parameter, or their real and imaginary parts are."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 4, 3, padding=1)
        self.mix = nn.Conv2d(4, 4, 1, bias=False, dtype=torch.complex64)
        self.leave = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.enter(x))
        return self.leave(self.mix(torch.complex(x, x.flip(1))).real)


class Pairs(Mixing):
    def __init__(self, like: Mixing) -> None:
        super().__init__()
        self.load_state_dict(like.state_dict())
        self.mix = nn.ParameterDict({"weight": nn.Parameter(torch.view_as_real(like.mix.weight.detach()).clone())})

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.enter(x))
        kernel = torch.view_as_complex(self.mix["weight"])
        return self.leave(F.conv2d(torch.complex(x, x.flip(1)), kernel).real)


def both() -> tuple[Mixing, Pairs]:
    torch.manual_seed(0)
    one = Mixing()
    return one, Pairs(copy.deepcopy(one))


def make(name: str, **settings: Any) -> Any:
    kind = registry.load(name)
    return kind(registry.settings(kind, settings))


def learn(strategy: Strategy, plain: nn.Module, tasks: int = len(TASKS)) -> nn.Module:
    model = strategy.adapt(plain, len(TASKS))
    template = learner(strategy, model)
    for experience in stream(*TASKS)[:tasks]:
        template.learn(experience)
    return model


@pytest.mark.parametrize("name", ["agem", "gem"])
def test_with_stored_patches_they_learn_as_both_parts_do(name: str) -> None:
    one, other = both()
    for model in (one, other):
        learn(make(name), model)
    torch.testing.assert_close(torch.view_as_real(one.mix.weight), other.mix["weight"], rtol=1e-3, atol=1e-4)


def test_a_projected_gradient_is_set_in_both_parts() -> None:
    one, _ = both()
    one(TASKS[0][0][0][None]).square().mean().backward()
    g = gradient(one)
    assert not g.is_complex()
    assert len(g) == sum(part.numel() * (1 + part.is_complex()) for part in one.parameters())
    set_gradient(one, -2 * g)
    assert torch.equal(gradient(one), -2 * g)


def test_fisher_information_and_paths_are_the_sums_of_those_of_both_parts() -> None:
    for name, read in (("ewc", lambda strategy: strategy.fisher[0]), ("si", lambda strategy: strategy.path)):
        found = []
        for model in both():
            strategy = make(name)
            learn(strategy, model, tasks=1)
            found.append(read(strategy)["mix.weight"])
        assert not found[0].is_complex()
        torch.testing.assert_close(found[0], found[1].sum(-1))


@pytest.mark.parametrize(("name", "weight"), [("mas", 10), ("ewc", 1e4), ("si", 10), ("pigwm", 10), ("mini", 0.1)])
def test_a_pull_holds_them(name: str, weight: float) -> None:
    moved = []
    for strength in (0, weight):
        plain, _ = both()
        strategy = make(name, weight=strength)
        model = learn(strategy, plain)
        if name == "mini":
            layer = model.get_submodule("backbone.mix")
            moved.append((layer.own_1 - layer.own_0).abs().sum())
        else:
            weights = dict(model.named_parameters())
            anchor = strategy.anchors[0] if name == "ewc" else strategy.anchor
            moved.append((weights["mix.weight"] - anchor["mix.weight"]).abs().sum())
    assert moved[1] < moved[0]


class Spectral(nn.Module):
    """Its last convolution is one of complex numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 3, 3, padding=1)
        self.leave = nn.Conv2d(3, 3, 1, dtype=torch.complex64)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return self.leave(torch.complex(x, x)).real


def test_features_of_complex_numbers_are_refused_before_anything_is_learned() -> None:
    with pytest.raises(UserError, match=r"kr projects .* Spectral has complex ones there\. Use .*der"):
        make("kr").adapt(Spectral(), 2)


def test_a_mixture_takes_their_mean() -> None:
    plain, _ = both()
    model = learn(make("mini"), plain, tasks=2)
    parts = [model.get_submodule("backbone.mix").get_buffer(f"own_{task}") for task in range(2)]
    assert not torch.equal(*parts)
    torch.testing.assert_close(combined(model, [0, 1]).mix.weight, (parts[0] + parts[1]) / 2)


@pytest.mark.parametrize("name", ["piggyback", "pnn", "cpg"])
def test_what_compares_or_rectifies_refuses_them_by_name(name: str) -> None:
    plain, _ = both()
    strategy = make(name, **({"grow": 0} if name == "cpg" else {}))
    with pytest.raises(UserError, match=rf"Layer 'mix' has .* complex numbers \(torch.complex64\), and {name} takes"):
        strategy.adapt(plain, 2)
    assert type(plain.mix) is nn.Conv2d

"""Parts of a network that are computed again as the gradient is taken: under the task of their pass, whoever looks."""

from collections.abc import Callable

import pytest
import torch
from made_networks import images, learn, outputs, same, trainable
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from strategies import registry
from strategies.base import TaskNetwork

STRATEGIES = ["cmc", "packnet", "independent", "dan", "lora", "piggyback", "wsn", "mini", "cpg"]


class Saving(nn.Module):
    """Convolutions and a normalisation, which may save the memory of what lies between them."""

    def __init__(self, saves: bool, reentrant: bool, normalised: bool = False) -> None:
        super().__init__()
        self.enter, self.leave = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.middle = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4) if normalised else nn.ReLU())
        self.saves, self.reentrant = saves, reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        x = checkpoint(self.middle, x, use_reentrant=self.reentrant) if self.saves else self.middle(x)
        return self.leave(x)


def adapted(strategy: str, plain: nn.Module) -> TaskNetwork:
    kind = registry.load(strategy)
    network = kind(registry.settings(kind, {"grow": 0} if strategy == "cpg" else {})).adapt(plain, 2)
    assert isinstance(network, TaskNetwork)
    return network


def alone(network: TaskNetwork, x: Tensor) -> Tensor:
    return network(x, 1).square().sum()


def beside_another(network: TaskNetwork, x: Tensor) -> Tensor:
    return network(x, torch.tensor([0, 1])).square().sum()


def with_a_look_back(network: TaskNetwork, x: Tensor) -> Tensor:
    output = network(x, 1)
    network.select(0)
    return (output - network(x, 0)).square().sum()


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("pass_", [alone, beside_another, with_a_look_back])
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gradients_are_those_of_a_network_that_computes_nothing_again(
    strategy: str, reentrant: bool, pass_: Callable[[TaskNetwork, Tensor], Tensor]
) -> None:
    found = []
    for saves in (False, True):
        torch.manual_seed(0)
        network = adapted(strategy, Saving(saves, reentrant))
        for _ in learn(network, 0):
            pass
        next(learn(network, 1))
        network.zero_grad()
        x = images(3).requires_grad_()
        loss = pass_(network, x)
        selected = network.cursor.selected
        loss.backward()
        assert network.cursor.selected == selected
        assert all(layer.training for layer in network.modules())
        found.append([x.grad, *(parameter.grad for parameter in trainable(network))])
    assert len(found[0]) > 1
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


class Several(Saving):
    """It gives several tensors: what it was asked for, and features, in one of two forms."""

    def __init__(self, saves: bool, form: type) -> None:
        super().__init__(saves, reentrant=False)
        self.form = form

    def forward(self, x: Tensor) -> tuple[Tensor, ...] | dict[str, list[Tensor]]:
        restored = super().forward(x)
        return (x, restored) if self.form is tuple else {"all": [x, restored]}


@pytest.mark.parametrize("form", [tuple, dict])
@pytest.mark.parametrize("strategy", ["cmc", "packnet", "independent", "wsn"])
def test_gradients_are_the_same_where_a_network_gives_several_tensors(strategy: str, form: type) -> None:
    found = []
    for saves in (False, True):
        torch.manual_seed(0)
        network = adapted(strategy, Several(saves, form))
        network.rebuild([0])
        network.begin(1)
        with torch.no_grad():
            for parameter in trainable(network):
                parameter += 0.1
        x = images(3).requires_grad_()
        given = network(x, 0)
        (given[1] if form is tuple else given["all"][1]).square().sum().backward()
        assert network.cursor.selected == 1
        found.append(x.grad)
    torch.testing.assert_close(*found)


def test_what_stands_still_does_so_as_it_is_computed_again() -> None:
    network = adapted("packnet", Saving(saves=True, reentrant=False, normalised=True))
    for _ in learn(network, 0):
        pass
    before = outputs(network, 1)
    for _ in learn(network, 1):
        pass
    assert same(outputs(network, 1), before)
    assert network.train().backbone.middle[1].training


class Failing(torch.autograd.Function):
    """Hands on an image; its gradient fails, as where memory is exhausted."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        raise MemoryError


@pytest.mark.parametrize("strategy", ["cmc", "packnet", "independent", "wsn"])
def test_a_backward_pass_that_fails_leaves_the_task_and_training_as_they_were(strategy: str) -> None:
    network = adapted(strategy, Saving(saves=True, reentrant=False))
    network.rebuild([0])
    network.begin(1)
    network.train()
    with pytest.raises(MemoryError):
        network(Failing.apply(images(0).requires_grad_()), 0).sum().backward()
    assert network.cursor.selected == 1
    assert all(layer.training for layer in network.modules())

"""Networks that ask their parameters for a type or a device, as many do, whether a task is in training or not."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.engine.checkpoints import checkpoint_tensors
from strategies import registry
from strategies.base import Strategy, TaskNetwork
from strategies.surgery import TaskConv2d


class Casting(nn.Module):
    """Convolutions alone; the image is brought to what their parameters are."""

    def __init__(self, asks: Callable[[nn.Module], nn.Module] = lambda network: network) -> None:
        super().__init__()
        self.enter, self.leave = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 3, padding=1)
        self.asks = asks

    def forward(self, x: Tensor) -> Tensor:
        like = next(self.asks(self).parameters())
        return self.leave(self.enter(x.to(like.device, like.dtype)).relu())


def learned(name: str, plain: nn.Module, tasks: int = 2) -> tuple[Strategy, TaskNetwork]:
    torch.manual_seed(0)
    kind = registry.load(name)
    settings = {"grow": 0} if name == "cpg" else {}
    strategy = kind(registry.settings(kind, settings))
    network = strategy.adapt(plain, tasks)
    assert isinstance(network, TaskNetwork)
    network.train()
    for task in range(tasks):
        network.begin(task)
        network(torch.rand(1, 3, 8, 8), task)
        network.end()
    return strategy, network


TOLD = [name for name, entry in registry.entries().items() if entry.traits.needs_task_id and name != "deform"]
KERNELS = ("cmc", "packnet", "lora", "dan", "piggyback", "wsn", "mini", "cpg")


@pytest.mark.parametrize("name", TOLD)
def test_a_network_of_convolutions_has_parameters_to_ask_after_its_tasks(name: str) -> None:
    _, network = learned(name, Casting())
    x = torch.rand(1, 3, 8, 8)
    assert network(x, 0).dtype == network(x, 1).dtype == torch.float32
    assert copy.deepcopy(network).double()(x.double(), 1).dtype == torch.float64


@pytest.mark.parametrize("name", KERNELS)
def test_a_single_convolution_has_parameters_to_ask_after_its_tasks(name: str) -> None:
    _, network = learned(name, Casting(lambda whole: whole.leave))
    assert network(torch.rand(1, 3, 8, 8).half(), 1).dtype == torch.float32


@pytest.mark.parametrize("name", KERNELS)
def test_what_parents_ask_is_no_part_of_what_a_task_learns_or_a_checkpoint_holds(name: str) -> None:
    strategy, network = learned(name, Casting())
    layers = [layer for layer in network.modules() if isinstance(layer, TaskConv2d)]
    assert len(layers) == 2
    assert not any(parameter.requires_grad or parameter.numel() for parameter in network.parameters())
    assert not any("anchor" in key for key in checkpoint_tensors(network, strategy))
    assert not any("anchor" in key for key in network.owned(1))
    _, twin = learned(name, Casting())
    twin.load_state_dict(network.state_dict())
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(twin(x, 1), network(x, 1))


class Standardized(Casting):
    """It computes with its first kernel in another form: as a function of it, or given for one call."""

    def __init__(self, gives: bool) -> None:
        super().__init__()
        self.gives = gives

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.enter.weight - self.enter.weight.mean()
        if self.gives:
            return self.leave(torch.func.functional_call(self.enter, {"weight": kernel}, x).relu())
        return self.leave(nn.functional.conv2d(x, kernel, self.enter.bias, padding=1).relu())


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_may_be_read_but_not_given_for_one_call(name: str) -> None:
    _, network = learned(name, Standardized(gives=False))
    assert network(torch.rand(1, 3, 8, 8), 1).shape == (1, 3, 8, 8)
    with pytest.raises(UserError, match=r"The weight of .*Conv2d\) follows from what a task has learned.*F\.conv2d"):
        learned(name, Standardized(gives=True))
    with pytest.raises(UserError, match="cannot be set"):
        network.backbone.enter.weight = nn.Parameter(torch.zeros(6, 3, 3, 3))

"""Whole networks of CMC convolutions: conversion, mixed batches, folding, and their state."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.backbones.resnet import ResNet
from benchmark.core.errors import UserError
from strategies.cmc.layer import CMCConv2d
from strategies.cmc.network import CMCNetwork, convert, fold

SHARINGS = ["none", "copy", "fixed", "adaptive"]


def smallest_network(tasks: int, plain: nn.Module | None = None, **options: object) -> CMCNetwork:
    """A converted network that has learned some tasks by random steps."""
    network = CMCNetwork(convert(plain or ResNet(width=4, blocks=1), t=3), lambda conv: conv.begin(0.2, **options))
    for task in range(tasks):
        network.train()
        network.begin(task)
        image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(task))
        steps = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.05)
        for _ in range(3):
            steps.zero_grad()
            network(image, task).square().mean().backward()
            steps.step()
        network.end()
    return network.eval()


class Awkward(nn.Module):
    """A network with all that a conversion has to cope with."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, padding_mode="reflect")
        self.act = nn.PReLU()
        self.strided = nn.Sequential(nn.Conv2d(8, 8, (3, 1), stride=2, padding=(1, 0)), nn.Upsample(scale_factor=2))
        self.twice = nn.Conv2d(8, 8, 1)
        self.again = self.twice
        self.last = nn.Conv2d(8, 3, 3, padding="same")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.first(x)))
        x = self.strided(self.depthwise(x))
        return self.last(self.again(F.relu(self.twice(x))))


def test_any_network_converts_and_keeps_its_shapes() -> None:
    plain = Awkward()
    converted = convert(plain, t=5, t_ends=7)
    convs = [module for module in converted.modules() if isinstance(module, CMCConv2d)]
    assert [conv.t for conv in convs] == [7, 5, 5, 5, 7]
    assert converted.twice is converted.again
    assert type(plain.first) is nn.Conv2d, "the network that was given stays as it was"
    for name, old in plain.named_modules():
        new = converted.get_submodule(name)
        if type(old) is nn.Conv2d:
            for option in ("stride", "padding", "dilation", "groups", "padding_mode", "kernel_size"):
                assert getattr(new, option) == getattr(old, option)
            assert new.m == old.weight.numel()
    with pytest.raises(UserError, match=r"no nn\.Conv2d layer"):
        convert(nn.Linear(3, 3))


@pytest.mark.slow
@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("plain", [ResNet(4, 1), Awkward()], ids=["resnet", "awkward"])
def test_folded_network_gives_equal_outputs_without_cmc(plain: nn.Module, sharing: str) -> None:
    network = smallest_network(3, plain, sharing=sharing)
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        outputs = [network(image, task) for task in range(3)]
        assert not torch.equal(outputs[0], outputs[1])
        for task in range(3):
            folded = fold(network, task)
            assert not any(isinstance(module, CMCConv2d) for module in folded.modules())
            assert set(folded.state_dict()) == set(plain.state_dict())
            assert torch.equal(folded(image), outputs[task])
            assert torch.equal(network(image, task), outputs[task]), "folding leaves the network as it was"


def test_what_lies_outside_the_convolutions_belongs_to_the_task() -> None:
    """Batch statistics and PReLU slopes move with later tasks, yet earlier outputs stay bit-identical."""
    network, later = smallest_network(1, Awkward()), smallest_network(3, Awkward())
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        first = network(image, 0)
        mean = network.backbone.norm.running_mean.clone()
        assert torch.equal(later(image, 0), first)
        later.select(2)
        assert not torch.equal(later.backbone.norm.running_mean, mean)


def test_mixed_batches_are_restored_each_under_its_own_task() -> None:
    network = smallest_network(2)
    images = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        mixed = network(images, torch.tensor([1, 0, 1]))
        for i, task in enumerate([1, 0, 1]):
            torch.testing.assert_close(mixed[i : i + 1], network(images[i : i + 1], task))


@pytest.mark.parametrize("sharing", SHARINGS)
def test_state_loads_into_a_fresh_network_bit_for_bit(sharing: str) -> None:
    network = smallest_network(3, Awkward(), sharing=sharing)
    twin = CMCNetwork(convert(Awkward(), t=3), lambda conv: conv.begin(0.2, sharing=sharing))
    for task in range(3):
        twin.begin(task)
        twin.end()
    twin.load_state_dict(copy.deepcopy(network.state_dict()))
    twin.eval()
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        for task in (0, 2, 1):
            assert torch.equal(twin(image, task), network(image, task))


def test_a_task_never_learned_is_a_clear_error() -> None:
    network = smallest_network(tasks=1)
    with pytest.raises(UserError, match="Task 3 was never learned"):
        network(torch.zeros(1, 3, 8, 8), 3)
    with pytest.raises(UserError, match="Task 3 was never learned"):
        fold(network, 3)


def test_a_task_that_finds_too_little_memory_begins_in_no_layer_and_can_begin_later() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 1))
    network = CMCNetwork(convert(plain, t=1), lambda layer: layer.begin(0.9 if layer.name == "1" else 0.3))
    network.begin(0)
    network.end()
    image = torch.rand(1, 3, 8, 8)
    before, state = network(image, 0), copy.deepcopy(network.state_dict())
    with pytest.raises(UserError, match="memory of layer '1' is exhausted"):
        network.begin(1)
    after = network.state_dict()
    assert after.keys() == state.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in state.items())
    assert network.cursor.selected == 0
    network.layers[1].expand(3)
    network.begin(1)
    network.end()
    assert torch.equal(network(image, 0), before)


class Mixed(nn.Module):
    """Computes a part in twice the precision."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.leave(self.enter(x).double()).float()


def test_layers_of_several_precisions_learn_each_in_its_own() -> None:
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    network = CMCNetwork(convert(Mixed(), t=3), lambda layer: layer.begin(0.2))
    network.begin(0)
    learned = network(image, 0)
    learned.square().sum().backward()
    assert [layer.memory.dtype for layer in network.layers] == [torch.float32, torch.float64]
    assert all(value.grad is not None and value.grad.any() for layer in network.layers for value in layer.parameters())
    network.end()
    torch.testing.assert_close(network.eval()(image, 0), learned)


def test_a_network_that_was_not_converted_is_refused() -> None:
    with pytest.raises(UserError, match=r"Sequential has none. Convert it first"):
        CMCNetwork(nn.Sequential(nn.Conv2d(3, 3, 3)), lambda layer: layer.begin(0.2))


def test_gradients_of_complex_kernels_are_those_of_the_dense_formula() -> None:
    torch.manual_seed(0)
    layer = CMCConv2d(nn.Conv2d(2, 3, 3, dtype=torch.cfloat), t=2)
    layer.begin(0.4)
    with torch.no_grad():
        layer.values += 0.3j * torch.randn(layer.values.shape)
        layer.vector += 0.3j * torch.randn(layer.vector.shape)
    image = torch.randn(1, 2, 6, 6, dtype=torch.cfloat)
    layer(image).abs().square().sum().backward()
    found = layer.values.grad, layer.vector.grad
    layer.zero_grad()
    owned = layer.memory.flatten().scatter(0, layer.index, layer.values).view(layer.memory.shape)
    kernel = (layer.vector[:, None] * owned).sum(0).view(layer.kernel_shape)
    nn.functional.conv2d(image, kernel, layer.bias).abs().square().sum().backward()
    torch.testing.assert_close(found, (layer.values.grad, layer.vector.grad), rtol=1e-4, atol=1e-4)

"""Progressive networks: their formula, when they equal independent ones, what is stored and computed, and refusals."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.independent import Independent
from benchmark.backbones import BACKBONES, build
from benchmark.backbones.resnet import ResNet
from benchmark.core.errors import UserError
from benchmark.engine.ledger import macs_per_pixel, storage
from strategies.base import Settings, TaskNetwork
from strategies.columns import ColumnConv2d
from strategies.pnn import PNN, Lateral, PNNSettings, ProgressiveNetwork


def progressive(backbone: nn.Module, tasks: int, adapter: float = 0.5, noise: float = 0.3) -> ProgressiveNetwork:
    """A network that has learned tasks by random steps, after which no lateral is at zero."""
    made = PNN(PNNSettings(adapter=adapter)).adapt(backbone, tasks)
    assert isinstance(made, ProgressiveNetwork)
    made.train()
    for task in range(tasks):
        made.begin(task)
        generator = torch.Generator().manual_seed(task)
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.requires_grad:
                    parameter += noise * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        made.end()
    return made.eval()


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def train(network: TaskNetwork, task: int, updates: int = 3) -> None:
    network.train()
    steps = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.01)
    for update in range(updates):
        x = images(2, 3, 8, 8, seed=10 * task + update).float()
        steps.zero_grad()
        (network(x, task) - x.roll(task + 1, 1)).square().mean().backward()
        steps.step()


def laterals(network: nn.Module) -> list[Lateral]:
    return [layer for layer in network.modules() if isinstance(layer, Lateral)]


def convolution(x: np.ndarray, weight: np.ndarray, stride: int, padding: int, groups: int) -> np.ndarray:
    """A convolution by plain loops, (k_in, H, W) to (k_out, ...)."""
    outs, ins, side, _ = weight.shape
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    rows, columns = ((size - side) // stride + 1 for size in x.shape[1:])
    made = np.zeros((outs, rows, columns))
    for o in range(outs):
        group = o // (outs // groups) * ins
        for i in range(ins):
            for r in range(rows):
                for c in range(columns):
                    patch = x[group + i, r * stride : r * stride + side, c * stride : c * stride + side]
                    made[o, r, c] += (patch * weight[o, i]).sum()
    return made


@pytest.mark.parametrize(("stride", "groups", "channels"), [(1, 1, 2), (2, 2, 2), (1, 4, 4)])
def test_the_second_layer_is_that_of_the_formula_by_plain_loops(stride: int, groups: int, channels: int) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=stride, padding=1, groups=groups)
    ).double()
    network = progressive(plain, 3)
    x = images(1, 3, 5, 6)
    tensors = {name: value.numpy() for name, value in network.backbone.state_dict().items()}
    hidden = []
    for k in range(3):
        own = {name.removeprefix(f"{k}."): value for name, value in tensors.items() if name.startswith(f"{k}.")}
        first = convolution(x[0].numpy(), own["0.weight"], 1, 1, 1) + own["0.bias"][:, None, None]
        hidden.append(np.maximum(first, 0))
        expected = convolution(hidden[k], own["2.weight"], stride, 1, groups) + own["2.bias"][:, None, None]
        if k:
            scale, project = own["2.lateral.scale"], own["2.lateral.project.weight"]
            assert scale.shape == (k,)
            assert project.shape == (channels, 4 * k, 1, 1)
            side_by_side = np.concatenate([scale[j] * hidden[j] for j in range(k)])
            small = np.einsum("oi,irc->orc", project[:, :, 0, 0], side_by_side)
            small = np.maximum(small + own["2.lateral.project.bias"][:, None, None], 0)
            gain = convolution(small, own["2.lateral.combine.weight"], stride, 1, groups)
            assert np.abs(gain).max() > 0.01
            expected += gain
        np.testing.assert_allclose(network(x, k)[0].detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_the_first_convolution_and_the_first_column_have_no_lateral() -> None:
    network = progressive(ResNet(width=4, blocks=1), 2)
    has = {
        name: layer.lateral is not None for name, layer in network.named_modules() if isinstance(layer, ColumnConv2d)
    }
    assert len(has) == 8
    assert {name for name, lateral in has.items() if lateral} == {
        "backbone.1.body.0.conv1",
        "backbone.1.body.0.conv2",
        "backbone.1.tail",
    }


@pytest.mark.parametrize("name", BACKBONES)
def test_one_task_and_laterals_at_zero_equal_independent_networks_to_the_bit(name: str) -> None:
    torch.manual_seed(0)
    backbone = build(name, 4, 1, False)
    networks: list[Any] = [
        PNN(PNNSettings(), seed=3).adapt(copy.deepcopy(backbone), 3),
        Independent(Settings(), seed=3).adapt(copy.deepcopy(backbone), 3),
    ]
    x = images(2, 3, 8, 8, seed=99).float()
    for task in range(3):
        for one in networks:
            one.begin(task)
            for lateral in laterals(one):
                lateral.requires_grad_(False)
        ours, theirs = (one(x, task) for one in networks)
        assert torch.equal(ours, theirs), "so it starts"
        for one in networks:
            train(one, task)
            one.end()
        for seen in range(task + 1):
            ours, theirs = (one.eval()(x, seen) for one in networks)
            assert torch.equal(ours, theirs)
    ours, theirs = (one.state_dict() for one in networks)
    assert all(torch.equal(ours[key], value) for key, value in theirs.items())


def test_a_lateral_that_is_trained_changes_what_a_task_learns_and_every_part_of_it_learns() -> None:
    torch.manual_seed(0)
    network = PNN(PNNSettings()).adapt(ResNet(width=4, blocks=1), 2)
    assert isinstance(network, ProgressiveNetwork)
    network.begin(0)
    train(network, 0)
    network.end()
    network.begin(1)
    before = copy.deepcopy(network.state_dict())
    assert all(not lateral.combine.weight.any() for lateral in laterals(network))
    train(network, 1)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith("backbone.0."), name


@pytest.mark.parametrize("tasks", [1, 2, 4])
def test_what_is_stored_grows_with_the_square_of_the_tasks(tasks: int) -> None:
    width, adapter = 4, 0.5
    network = progressive(ResNet(width=width, blocks=1), tasks, adapter)
    column = (3 * width * 9 + width) + 2 * (width * width * 9 + width) + (width * 3 * 9 + 3)
    small = 2  # half of 4 channels
    fixed = 3 * small + small * width * 9 * 2 + small * 3 * 9  # bias of V, and U, in three layers
    each = 3 * (1 + width * small)  # α and V of one earlier column, in three layers
    pairs = tasks * (tasks - 1) // 2
    counted = storage(network.state_dict(), {})
    assert counted.parameters == tasks * column + (tasks - 1) * fixed + pairs * each
    assert counted.bytes == 4 * counted.parameters
    assert counted.mask_bytes == 0


@pytest.mark.parametrize("tasks", [1, 2, 4])
def test_all_columns_and_laterals_are_computed(tasks: int) -> None:
    width, small = 4, 2
    network = progressive(ResNet(width=width, blocks=1), tasks)
    column = 3 * width * 9 + 2 * width * width * 9 + width * 3 * 9
    fixed = small * (2 * width * 9 + 3 * 9)
    each = 3 * width * small
    pairs = tasks * (tasks - 1) // 2
    assert macs_per_pixel(network) == tasks * column + (tasks - 1) * fixed + pairs * each


def test_the_nth_call_of_a_layer_reads_the_nth_call_of_earlier_columns() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter = nn.Conv2d(3, 4, 1)
            self.inner = nn.Conv2d(4, 4, 3, padding=1)
            self.act = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.enter(x)
            first = self.inner(x)
            x += 1  # what entered is written over
            return self.inner(self.act(first))

    torch.manual_seed(0)
    network = progressive(Twice().double(), 2)
    x = images(2, 3, 6, 6)
    old, new = network.backbone["0"], network.backbone["1"]
    lateral = new.inner.lateral

    def gain(h: Tensor) -> Tensor:
        small = F.relu(F.conv2d(lateral.scale[0] * h, lateral.project.weight, lateral.project.bias))
        return F.conv2d(small, lateral.combine.weight, padding=1)

    def plain(layer: nn.Conv2d, h: Tensor) -> Tensor:
        return F.conv2d(h, layer.weight, layer.bias, padding=layer.padding)

    with torch.no_grad():
        old_first = plain(old.enter, x)
        old_second = F.relu(plain(old.inner, old_first))
        first = plain(new.inner, plain(new.enter, x)) + gain(old_first)
        expected = plain(new.inner, F.relu(first)) + gain(old_second)
        torch.testing.assert_close(network(x, 1), expected)
        assert (gain(old_first) - gain(old_second)).abs().max() > 0.01


def test_earlier_columns_run_in_evaluation_mode_and_get_no_gradient() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout2d(0.5), nn.Conv2d(4, 3, 3, padding=1)
    )
    network = progressive(plain, 2)
    network.train()
    network.begin(2)
    before = copy.deepcopy(network.state_dict())
    state = torch.get_rng_state()
    x = images(2, 3, 8, 8).float()
    network.requires_grad_(True)
    network(x, 2).sum().backward()
    assert all(
        (value.grad is None) == (not name.startswith("backbone.2.")) for name, value in network.named_parameters()
    )
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) or name.startswith("backbone.2.1."), name
    drawn = torch.get_rng_state()
    torch.set_rng_state(state)
    nn.functional.dropout2d(torch.ones(2, 4, 8, 8), 0.5)
    assert torch.equal(torch.get_rng_state(), drawn), "one dropout, that of the column in training"


def test_nothing_of_a_pass_stays_in_the_network_and_copies_restore_alike() -> None:
    network = progressive(ResNet(width=4, blocks=1), 3)
    x = images(1, 3, 8, 8).float()
    with torch.no_grad():
        before = [network(x, task) for task in range(3)]
        assert network.backbone.entered == []
        with pytest.raises(RuntimeError):
            network(x[:, :2], 2)
        assert network.backbone.entered == []
        for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
            other.train()
            other.begin(3)
            assert all(torch.equal(other(x, task), output) for task, output in enumerate(before))
            layers = [layer for layer in other.modules() if isinstance(layer, ColumnConv2d)]
            assert all(layer.entered is other.backbone.entered for layer in layers)
        assert all(torch.equal(network(x, task), output) for task, output in enumerate(before))


def test_what_a_task_computes_depends_on_the_tensors_that_it_is_said_to_own() -> None:
    network = progressive(ResNet(width=4, blocks=1), 3)
    x = images(1, 3, 8, 8).float()
    with torch.no_grad():
        before = [network(x, task) for task in range(3)]
        network.backbone["1"].head.weight += 0.1
        changed = [not torch.equal(network(x, task), output) for task, output in enumerate(before)]
    assert changed == [False, True, True]
    assert ["1.head.weight" in network.owned(task) for task in range(3)] == changed


class Reading(nn.Module):
    """Its parent reads the kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.enter(x), self.leave.weight, self.leave.bias)


class Deciding(Reading):
    """How often a layer is called depends on a weight; it is called less, more, or on a smaller image."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.turn = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        if self.way == "size":
            return self.leave(x[..., 1:] if self.turn else x)
        often = (self.turn == 0) == (self.way == "less")
        return self.leave(x) + self.leave(2 * x) if often else self.leave(x)


def test_a_layer_whose_weight_is_read_by_another_one_is_refused_by_name() -> None:
    network = PNN(PNNSettings()).adapt(Reading(), 2)
    assert isinstance(network, ProgressiveNetwork)
    network.begin(0)
    with pytest.raises(UserError, match=r"'leave' was called 0 times .* reading its weight"):
        network(images(1, 3, 4, 4).float(), 0)


@pytest.mark.parametrize(
    ("way", "told"), [("less", "called 1 times in a pass, 2"), ("more", "more often"), ("size", "another size")]
)
def test_columns_that_are_not_called_alike_are_refused_by_name(way: str, told: str) -> None:
    network = PNN(PNNSettings()).adapt(Deciding(way), 2)
    assert isinstance(network, ProgressiveNetwork)
    x = images(1, 3, 4, 4).float()
    network.begin(0)
    network(x, 0)
    network.end()
    network.begin(1)
    network(x, 1)
    network.backbone["1"].turn.data.fill_(1)
    with pytest.raises(UserError, match=rf"Layer 'leave' .*{told}"):
        network(x, 1)


def test_a_layer_that_is_called_by_itself_and_too_small_a_network_are_refused() -> None:
    network = progressive(Reading(), 1)
    with pytest.raises(UserError, match="'enter' was called outside of a forward pass"):
        network.backbone["0"].enter(images(1, 3, 4, 4).float())
    with pytest.raises(UserError, match="Sequential has fewer than two"):
        PNN(PNNSettings()).adapt(nn.Sequential(nn.Conv2d(3, 3, 1)), 2)

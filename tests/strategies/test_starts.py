"""Where the parts of a task begin: how wide random numbers are spread, and what starts at a known value."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmark.backbones.resnet import ResNet
from strategies.cmc.layer import CMCConv2d
from strategies.dan import DANConv2d
from strategies.kernels import KernelConv2d
from strategies.lira import LIRA
from strategies.lora import LoRAConv2d
from strategies.pnn import PNN, Lateral
from strategies.wsn import WinningConv2d


def begun(kind: type[KernelConv2d], conv: nn.Conv2d, **settings: Any) -> Any:
    """A layer that has learned one task and begins another."""
    layer = kind(conv, **settings)
    layer.begin()
    layer.end()
    layer.begin()
    return layer


def assert_uniform(drawn: Tensor, bound: float) -> None:
    """At least 4,000 numbers that are spread evenly between a bound and its negative."""
    drawn = drawn.detach().double()
    assert drawn.numel() >= 4000
    assert 0.98 * bound < drawn.max() <= bound
    assert -bound <= drawn.min() < -0.98 * bound
    assert float(drawn.square().mean()) == pytest.approx(bound**2 / 3, rel=0.1)
    assert abs(float(drawn.mean())) < 0.05 * bound


def test_the_narrow_matrix_of_lora_begins_as_the_weights_of_a_default_convolution() -> None:
    layer = begun(LoRAConv2d, nn.Conv2d(64, 16, 3), rank=8)
    assert layer.down.shape == (8, 64 * 9)
    assert_uniform(layer.down, (64 * 9) ** -0.5)
    assert not layer.up.any()
    grouped = begun(LoRAConv2d, nn.Conv2d(128, 32, 5, groups=4), rank=8)
    assert_uniform(grouped.down, (32 * 25) ** -0.5)


def test_the_scores_of_wsn_begin_as_the_weights_of_a_default_convolution() -> None:
    assert_uniform(begun(WinningConv2d, nn.Conv2d(16, 64, 3), share=0.5).scores, (16 * 9) ** -0.5)


@torch.no_grad()
def test_the_free_weights_of_wsn_go_on_from_what_the_task_before_left_in_them() -> None:
    layer = WinningConv2d(nn.Conv2d(4, 8, 3), share=0.4)
    layer.begin()
    layer.values += 1
    left = layer.values.detach().clone()
    layer.end()
    free = ~layer.used.flatten()
    layer.begin()
    assert 0 < len(layer.values) == int(free.sum()) < layer.m
    assert torch.equal(layer.values, left[free])


@torch.no_grad()
def test_the_random_matrix_of_dan_keeps_the_variance_of_the_first_tasks_kernels() -> None:
    conv = nn.Conv2d(4, 100, 3)
    conv.weight.copy_(torch.randn(conv.weight.shape, generator=torch.Generator().manual_seed(0)))
    layer = begun(DANConv2d, conv, start="random")
    assert float(layer.mix.mean()) == pytest.approx(0, abs=0.01)
    assert float(layer.mix.square().mean()) == pytest.approx(1 / 100, rel=0.1)
    assert float(layer.mix.abs().max()) > 0.3, "it is Gaussian, and has no bound"
    assert float(layer.kernel().square().mean()) == pytest.approx(1, rel=0.15)


def test_a_bias_of_cmc_that_has_none_to_start_from_begins_as_that_of_a_default_convolution() -> None:
    layer = CMCConv2d(nn.Conv2d(4, 4096, 3, groups=2), t=1)
    drawn = []
    for _ in range(2):
        layer.begin(0.1, sharing="none")
        drawn.append(layer.task_bias.detach().clone())
        assert_uniform(drawn[-1], (2 * 9) ** -0.5)
        layer.end()
    assert not torch.equal(*drawn)


@pytest.mark.parametrize("sharing", ["none", "copy", "fixed", "adaptive"])
@torch.no_grad()
def test_a_task_of_cmc_begins_with_the_bias_and_the_vectors_of_those_before_unless_it_shares_nothing(
    sharing: Any,
) -> None:
    """And with the start that is asked for, but for the first task and for a copy, whose ``T`` is 1."""
    layer = CMCConv2d(nn.Conv2d(4, 6, 3), t=8)
    for task in range(3):
        layer.begin(0.1, sharing=sharing, start=0.25)
        asked = task > 0 and sharing != "copy"
        assert set(layer.vector.tolist()) == {0.25 if asked else 1.0}
        if task:
            assert torch.equal(layer.task_bias, layer.get_buffer(f"bias_{task - 1}")) == (sharing != "none")
        if task and sharing == "adaptive":
            assert torch.equal(layer.reuse, torch.stack([layer.get_buffer(f"vector_{i}") for i in range(task)]))
        for parameter in layer.parameters():
            parameter.add_(torch.rand(parameter.shape))
        layer.end()


def adapted(kind: Any, seed: int = 0) -> Any:
    torch.manual_seed(0)
    return kind(kind.Settings(), seed).adapt(ResNet(width=4, blocks=1), 3)


def rebuilt(kind: Any) -> Iterator[Any]:
    """Networks of three tasks as loading makes them, for the seeds 0, 0 and 1, each in another state of torch's."""
    for place, seed in enumerate((0, 0, 1)):
        network = adapted(kind, seed)
        torch.manual_seed(place)
        network.rebuild(range(3))
        yield network.backbone


def test_laterals_of_progressive_networks_take_earlier_columns_as_they_are_and_add_nothing_at_first() -> None:
    network = adapted(PNN)
    network.rebuild(range(2))
    network.begin(2)
    found = [layer for layer in network.backbone["2"].modules() if isinstance(layer, Lateral)]
    assert len(found) == 3
    for lateral in found:
        assert lateral.scale.tolist() == [1, 1]
        assert not lateral.combine.weight.any()


def test_every_branch_of_lira_begins_with_weights_of_its_own_which_the_seed_decides() -> None:
    drawn = [[branch.expert.head.weight.detach() for branch in made.branches] for made in rebuilt(LIRA)]
    (first, second), again, other = drawn
    assert not torch.equal(first, second)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, other[0])


def test_what_is_drawn_at_the_start_of_a_task_depends_on_seed_layer_and_task() -> None:
    def drawn(kind: Any, part: str, name: str, seed: int) -> list[bytes]:
        layer, found = kind(nn.Conv2d(4, 6, 3), name=name, seed=seed), []
        for _ in range(3):
            layer.begin(*([0.1] if kind is CMCConv2d else []))
            found.append(getattr(layer, part).detach().numpy().tobytes() if hasattr(layer, part) else b"")
            layer.end()
        return [one for one in found if one]

    for kind, part, often in ((CMCConv2d, "index", 3), (LoRAConv2d, "down", 2), (WinningConv2d, "scores", 1)):
        first = drawn(kind, part, "one", 0)
        assert first == drawn(kind, part, "one", 0)
        assert len({*first, *drawn(kind, part, "other", 0), *drawn(kind, part, "one", 1)}) == 3 * often


def test_laterals_of_progressive_networks_are_drawn_for_each_seed_and_task() -> None:
    drawn = []
    for made in rebuilt(PNN):
        columns = [made[str(task)].modules() for task in (1, 2)]
        laterals = [next(one for one in column if isinstance(one, Lateral)) for column in columns]
        drawn.append([lateral.project.bias.detach().numpy().tobytes() for lateral in laterals])
    assert drawn[0] == drawn[1]
    assert len({*drawn[0], *drawn[2]}) == 4

"""What the baselines promise: how tasks are mixed, what is shared, and how large they are."""

import copy
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from baselines.cumulative import Cumulative
from baselines.deform import (
    Deform,
    DeformableConv2d,
    DeformSettings,
    count,
    deformable_convolution,
    fitting_width,
    small_network,
)
from baselines.independent import Independent
from baselines.together import TaskBiasNetwork, Together, TogetherTaskId
from benchmark.backbones import BACKBONES, build
from benchmark.backbones.resnet import ResNet
from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.engine.ledger import macs_per_pixel, trainable_parameters
from benchmark.engine.setup import training_rounds
from benchmark.engine.template import RestorationTemplate
from benchmark.planning import plan
from benchmark.streams.build import Benchmark
from benchmark.streams.build import build as build_stream
from strategies.base import Settings, Strategy, TaskNetwork
from strategies.pnn import PNN

TASKS = 4


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return plan("finetune", "four_tasks", "smoke", "0", None, None, None, ["training.batch_size=8"])[0]


@pytest.fixture(scope="module")
def stream(config: RunConfig) -> Benchmark:
    return build_stream(config)


class Follower(SupervisedPlugin):
    """Notes the tasks of every batch, and the weights as each round begins and ends."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[Counter[int]]] = []
        self.begins: list[dict[str, Tensor]] = []
        self.ends: list[dict[str, Tensor]] = []

    def before_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        self.batches.append([])
        self.begins.append(copy.deepcopy(template.model.state_dict()))

    def before_update(self, template: Any, *args: Any, **kwargs: Any) -> None:
        self.batches[-1].append(Counter(template.mb_task_id.tolist()))

    def after_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        self.ends.append(copy.deepcopy(template.model.state_dict()))


def follow(strategy: Strategy, config: RunConfig, stream: Benchmark) -> tuple[Follower, nn.Module]:
    """Train a strategy on the whole stream."""
    torch.manual_seed(0)
    follower = Follower()
    template = RestorationTemplate(
        model=strategy.adapt(ResNet(width=4, blocks=1), TASKS),
        strategy=strategy,
        training=config.training,
        device=torch.device("cpu"),
        plugins=(follower,),
    )
    for experience, budget in training_rounds(strategy, stream):
        template.learn(experience, budget)
    return follower, template.model.eval()


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Together, TogetherTaskId])
def test_together_mixes_all_tasks_evenly_within_the_budget_of_all(
    kind: type[Strategy], config: RunConfig, stream: Benchmark
) -> None:
    follower, model = follow(kind(Settings()), config, stream)
    assert len(follower.batches) == 1
    assert len(follower.batches[0]) == TASKS * config.training.updates
    assert set(map(tuple, map(sorted, map(Counter.items, follower.batches[0])))) == {((0, 2), (1, 2), (2, 2), (3, 2))}
    assert isinstance(model, TaskNetwork) == kind.traits.needs_task_id


def test_cumulative_adds_a_task_each_round_and_trains_the_same_network_on(config: RunConfig, stream: Benchmark) -> None:
    follower, _ = follow(Cumulative(Settings()), config, stream)
    assert len(follower.batches) == TASKS
    for task, batches in enumerate(follower.batches):
        assert len(batches) == config.training.updates
        seen = sum(batches, Counter())
        assert set(seen) == set(range(task + 1))
        assert max(seen.values()) - min(seen.values()) <= config.training.epochs
    for end, begin in zip(follower.ends, follower.begins[1:], strict=False):
        assert equal(end, begin)
    assert not equal(follower.begins[0], follower.ends[0])


def begun(network: nn.Module, labels: list[int]) -> TaskNetwork:
    assert isinstance(network, TaskNetwork)
    network.train()
    network.adaptation(SimpleNamespace(task_labels=labels))
    return network


def learn(network: TaskNetwork, labels: list[int], updates: int = 3) -> None:
    """One training round on random images, mixed among tasks."""
    begun(network, labels)
    generator = torch.Generator().manual_seed(labels[-1])
    steps = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.01)
    for _ in range(updates):
        images = torch.rand(4, 3, 8, 8, generator=generator)
        steps.zero_grad()
        (network(images, torch.tensor([labels[k % len(labels)] for k in range(4)])) - 1).square().mean().backward()
        steps.step()
    network.end()
    network.eval()


def test_with_task_labels_only_biases_differ_between_tasks() -> None:
    plain = ResNet(width=4, blocks=1)
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        expected = plain(image)
    weights = sum(p.numel() for p in plain.parameters() if p.ndim == 4)
    biases = sum(p.numel() for p in plain.parameters() if p.ndim == 1)
    network = begun(TogetherTaskId(Settings()).adapt(plain, 3), [0, 1, 2])
    assert trainable_parameters(network) == weights + 3 * biases
    with torch.no_grad():
        assert all(torch.equal(network(image, task), expected) for task in range(3))
    learn(network, [0, 1, 2])
    state = network.state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == weights + 3 * biases
    with torch.no_grad():
        outputs = [network(image, task) for task in range(3)]
        assert not torch.equal(outputs[0], outputs[1])
        for name in state:
            if ".biases.1" in name:
                state[name].copy_(state[name.replace(".biases.1", ".biases.0")])
        assert torch.equal(network(image, 1), outputs[0])
        assert torch.equal(network(image, 2), outputs[2])


def test_an_image_reaches_the_biases_of_its_own_task_alone() -> None:
    network = begun(TaskBiasNetwork(ResNet(width=4, blocks=1)), [0, 1, 2])
    network(torch.rand(3, 3, 8, 8), torch.tensor([0, 2, 2])).sum().backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == (".biases.1" in name), name


def test_task_biases_leave_bare_convolutions_alone_and_need_at_least_one_bias() -> None:
    mixed = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1))
    network = TaskBiasNetwork(mixed)
    learn(network, [0, 1])
    assert [name for name in network.state_dict() if ".biases." in name] == [
        "backbone.2.biases.0",
        "backbone.2.biases.1",
    ]
    with pytest.raises(UserError, match=r"no nn\.Conv2d of Sequential has one\. Use the strategy together"):
        TaskBiasNetwork(nn.Sequential(nn.Conv2d(3, 3, 1, bias=False)))


def test_a_bias_that_is_not_trained_stays_the_same_for_all_tasks() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1))
    plain[0].bias.requires_grad_(False)
    network = TaskBiasNetwork(plain)
    learn(network, [0, 1])
    assert [name for name, _ in network.named_parameters() if "bias" in name] == [
        "backbone.0.bias",
        "backbone.1.biases.0",
        "backbone.1.biases.1",
    ]


def test_whoever_reads_a_bias_reads_that_of_the_task() -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.conv2d(x, self.conv.weight, self.conv.bias)

    network = TaskBiasNetwork(Reader())
    learn(network, [0, 1])
    layer, image = network.backbone.conv, torch.rand(1, 3, 8, 8)
    assert not torch.equal(layer.biases["0"], layer.biases["1"])
    for task in range(2):
        expected = nn.functional.conv2d(image, layer.weight, layer.biases[str(task)])
        assert torch.equal(network(image, task), expected)


@pytest.mark.parametrize("kind", [Independent, Deform])
def test_separate_networks_share_nothing_and_keep_earlier_outputs(kind: type[Strategy]) -> None:
    torch.manual_seed(1)
    image = torch.rand(1, 3, 8, 8)
    network = kind(kind.Settings(), seed=5).adapt(ResNet(width=8, blocks=1), TASKS)
    outputs: list[Tensor] = []
    for task in range(3):
        begun(network, [task])
        trainable = {name.split(".")[1] for name, p in network.named_parameters() if p.requires_grad}
        assert trainable == {str(task)}
        learn(network, [task])
        with torch.no_grad():
            assert all(torch.equal(network(image, k), output) for k, output in enumerate(outputs))
            outputs.append(network(image, task))
    assert len({output.numpy().tobytes() for output in outputs}) == 3
    state = network.state_dict()
    one = [value.numel() for name, value in state.items() if name.startswith("backbone.0.")]
    assert sum(value.numel() for value in state.values()) == 3 * sum(one)


@pytest.mark.parametrize("kind", [Independent, Deform])
def test_the_weights_of_a_new_network_depend_on_seed_and_task_alone(kind: type[Strategy]) -> None:
    def start(seed: int, global_seed: int) -> list[dict[str, Tensor]]:
        torch.manual_seed(0)
        network = kind(kind.Settings(), seed).adapt(ResNet(width=8, blocks=1), TASKS)
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        begun(network, [0, 1, 2])
        assert torch.equal(torch.get_rng_state(), before), "what others draw is not disturbed"
        return [network.backbone[str(task)].state_dict() for task in range(3)]

    first, again, other = start(1, 7), start(1, 8), start(2, 7)
    for task in range(3):
        assert equal(first[task], again[task])
    assert not equal(first[1], other[1])
    for one, two in [(0, 1), (0, 2), (1, 2)]:
        assert not torch.equal(first[one]["head.weight"], first[two]["head.weight"])


def test_independent_learns_the_first_task_with_the_plain_backbone_itself() -> None:
    backbone = ResNet(width=4, blocks=1)
    network = begun(Independent(Settings()).adapt(backbone, TASKS), [0])
    assert equal(network.backbone["0"].state_dict(), backbone.state_dict())
    learn(network, [0])
    learn(network, [1])
    fresh = begun(Independent(Settings()).adapt(backbone, TASKS), [0, 1])
    assert not torch.equal(fresh.backbone["1"].head.weight, network.backbone["0"].head.weight)


@pytest.mark.parametrize("kind", [Independent, PNN])
def test_fixed_filters_and_parts_trained_before_are_drawn_anew_for_no_task(kind: type[Strategy]) -> None:
    class Prepared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.edges = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False).requires_grad_(False)
            self.before = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, affine=False)).requires_grad_(False)
            self.enter, self.leave = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
            self.before[1].running_mean.fill_(0.3)

        def forward(self, x: Tensor) -> Tensor:
            return self.leave(self.enter(self.before(self.edges(x))))

    plain = Prepared()
    given = {name: value.clone() for name, value in plain.state_dict().items()}
    network = kind(kind.Settings()).adapt(plain, 3)
    assert isinstance(network, TaskNetwork)
    for task in range(3):
        network.begin(task)
        drawn = network.backbone.get_submodule(str(task)).state_dict()
        for name, value in given.items():
            fixed = task == 0 or name.startswith(("edges", "before"))
            assert torch.equal(drawn[name], value) == fixed, (task, name)
        network.end()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_deformable_convolution_and_its_gradients_are_torchvisions(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    shapes = [(2, 4, 9, 7), (2, 18, 9, 7), (6, 4, 3, 3), (6,)]
    tensors = [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]
    upstream = torch.randn(2, 6, 9, 7, dtype=dtype)
    tolerance = {"rtol": 0, "atol": 1e-10 if dtype is torch.float64 else 1e-4}
    x, offset, weight, bias = tensors
    ours = deformable_convolution(x, 3 * offset, weight, bias)
    theirs = deform_conv2d(x, 3 * offset, weight, bias, padding=1)
    torch.testing.assert_close(ours, theirs, **tolerance)
    for mine, reference in zip(
        torch.autograd.grad(ours, tensors, upstream), torch.autograd.grad(theirs, tensors, upstream), strict=True
    ):
        torch.testing.assert_close(mine, reference, **tolerance)


@pytest.mark.parametrize("size", [48, 128])
def test_a_deformable_layer_samples_where_it_should_in_bf16(size: int) -> None:
    """Sides that bf16 cannot divide exactly: with no offset it errs as little as the plain convolution does."""
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 16, 3, padding=1)
    image = torch.rand(1, 16, size, size)
    exact = conv(image)

    def error(layer: nn.Module) -> float:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return float((layer(image).float() - exact).square().mean().sqrt())

    plain = error(conv)
    assert 0 < error(DeformableConv2d(conv)) < 1.5 * plain
    small = DeformableConv2d(conv)
    with torch.no_grad():
        small.offset.bias.fill_(0.1)
    moved = error(small)
    assert moved > 3 * plain  # a tenth of a pixel is not rounded away


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_deformable_layer_of_another_type_gives_that_type(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer, x = DeformableConv2d(nn.Conv2d(3, 4, 3, padding=1)), torch.rand(2, 3, 5, 7)
    expected = layer(x)
    restored = layer.to(dtype)(x.to(dtype))
    assert restored.dtype is dtype
    torch.testing.assert_close(restored.float(), expected, rtol=0.05, atol=0.02)


def test_a_deformable_layer_starts_as_the_plain_convolution_and_learns_its_offsets() -> None:
    conv = nn.Conv2d(4, 6, 3, padding=1)
    image = torch.rand(2, 4, 10, 12)
    expected = conv(image)
    deformable = DeformableConv2d(conv)
    torch.testing.assert_close(deformable(image), expected, rtol=0, atol=1e-5)
    (deformable(image) - 1).square().sum().backward()
    assert all(parameter.grad is not None for parameter in deformable.parameters())
    assert (deformable.offset.weight.grad.flatten(1).abs().sum(1) > 0).all()
    with torch.no_grad():
        deformable.offset.bias[0] = 1.0  # the first tap, one row down
    assert not torch.allclose(deformable(image), expected, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(("width", "within"), [(64, 0.05), (16, 0.15)])
def test_all_small_networks_together_have_the_papers_size(backbone: str, width: int, within: float) -> None:
    plain = build(backbone, width, 6, False)
    network = begun(Deform(DeformSettings()).adapt(plain, TASKS), list(range(TASKS)))
    assert count(network) / count(plain) == pytest.approx(1.13, rel=within)


@pytest.mark.parametrize("share", [0.1, 0.3, 1.0, 2.0])
def test_no_other_width_comes_nearer(share: float) -> None:
    plain = ResNet(width=16, blocks=2)
    chosen = fitting_width(plain, share)
    off = {width: abs(count(small_network(plain, width)) - share * count(plain)) for width in range(1, 40)}
    assert off[chosen] == min(off.values())


class Capped(ResNet):
    """A backbone whose layers follow its width up to some channels only."""

    most = 8

    def __init__(self, width: int, blocks: int, image_skip: bool) -> None:
        super().__init__(min(width, self.most), blocks, image_skip)
        self.width = width


def test_a_backbone_that_cannot_be_made_at_another_width_is_told_with_that_width() -> None:
    class Grouped(ResNet):
        def make_body(self) -> nn.Module:
            return nn.Sequential(nn.GroupNorm(4, self.width), super().make_body())

    with pytest.raises(UserError, match=r"Grouped cannot be made 1 channels wide: ValueError.*keeps the width"):
        fitting_width(Grouped(8, 1, False), 0.3)
    assert Grouped(8, 1, False).at_width(4).width == 4


def test_a_backbone_that_stops_growing_with_its_width_is_told_and_not_widened_for_ever() -> None:
    with pytest.raises(
        UserError, match=r"Capped has .* parameters, and it has .* at 17 as at 8 channels. Lower deform.size"
    ):
        fitting_width(Capped(16, 2, False), 5.0)
    assert fitting_width(Capped(16, 2, False), 0.3) == fitting_width(ResNet(8, 2, False), 0.3)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_one_convolution_of_every_block_is_deformable(backbone: str) -> None:
    plain = build(backbone, 16, 5, True)
    small = small_network(plain, 6)
    assert sum(isinstance(layer, DeformableConv2d) for layer in small.modules()) == 5
    assert (small.width, small.blocks, small.image_skip) == (6, 5, True)


def test_deform_needs_a_backbone_that_can_be_built_at_another_width() -> None:
    with pytest.raises(UserError, match="cannot do so with Sequential"):
        Deform(DeformSettings()).adapt(nn.Sequential(nn.Conv2d(3, 3, 1)), TASKS)


def test_small_networks_have_the_type_of_the_backbone() -> None:
    network = begun(Deform(DeformSettings()).adapt(ResNet(width=8, blocks=1).double(), TASKS), [0, 1])
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float64}


def test_deform_refuses_a_network_without_blocks() -> None:
    with pytest.raises(UserError, match=r"this ResNet has no ResidualBlock.*backbone\.blocks"):
        Deform(DeformSettings()).adapt(ResNet(width=8, blocks=0), TASKS)


def test_the_ledger_counts_sampling() -> None:
    """Per pixel: the kernel's weights, those of the offsets, and four pixels for each of 9 taps of k_in channels."""
    layer = DeformableConv2d(nn.Conv2d(3, 5, 3, padding=1))
    assert macs_per_pixel(layer) == 5 * 3 * 9 + 18 * 3 * 9 + 4 * 9 * 3


@pytest.mark.parametrize("kind", [TogetherTaskId, Independent, Deform])
def test_state_loads_into_a_fresh_network(kind: type[Strategy]) -> None:
    def fresh(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return kind(kind.Settings(), seed).adapt(ResNet(width=8, blocks=1), TASKS)

    network, twin = fresh(0), fresh(1)
    learn(network, [0, 1])
    begun(twin, [0, 1]).end()
    twin.load_state_dict(copy.deepcopy(network.state_dict()))
    twin.eval()
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        for task in (1, 0):
            assert torch.equal(twin(image, task), network(image, task))

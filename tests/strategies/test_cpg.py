"""CPG: what is picked, pruned and widened, what earlier tasks keep, what sets the goal, and what is stored."""

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from made_stream import BATCH, learner, pairs, stream
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.independent import Independent
from benchmark.backbones import BACKBONES, build
from benchmark.backbones.base import Backbone
from benchmark.backbones.resnet import ResNet
from benchmark.core.errors import UserError
from benchmark.engine.ledger import macs_per_pixel, storage, trainable_parameters
from strategies.base import Settings
from strategies.cpg.layer import GrowingConv2d
from strategies.cpg.network import GrowingNetwork
from strategies.cpg.strategy import CPG, CPGSettings
from strategies.cpg.widening import places
from strategies.masks import from_bits, to_bits
from strategies.tasks import FREE

UPDATES = 36


def images(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def made(backbone: nn.Module | None = None, grow: float = 0.25, start: float = 0.02) -> GrowingNetwork:
    torch.manual_seed(0)
    network = CPG(CPGSettings(grow=grow, start=start)).adapt(backbone or ResNet(width=4, blocks=1), 4)
    assert isinstance(network, GrowingNetwork)
    return network


def step(network: GrowingNetwork, task: int, updates: int = 2, spread: float = 1.0) -> None:
    """Train on images around 0.5 whose values lie so far apart; a wide spread turns every channel on somewhere."""
    network.train()
    steps = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.02, weight_decay=0.1)
    for update in range(updates):
        x = 0.5 + spread * (images(2, 3, 8, 8, seed=10 * task + update) - 0.5)
        steps.zero_grad()
        (network(x, task) - x.roll(task + 1, 1)).square().mean().backward()
        steps.step()


def learn(network: GrowingNetwork, task: int, grows: bool = False) -> None:
    """Train, widen if asked for, and prune three steps of which the last one is taken back."""
    network.begin(task)
    step(network, task)
    if grows:
        network.grow(0.25, seed=0)
        step(network, task)
    for share in (0.8, 0.5, 0.2):
        network.prune(share)
        step(network, task, 1)
    network.take_back()
    step(network, task, 1)
    network.end()
    network.eval()


@torch.no_grad()
def outputs(network: GrowingNetwork) -> list[Tensor]:
    return [network(images(1, 3, 8, 8, seed=99), task) for task in network.known]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize("shape", [(1,), (8,), (3, 3), (4, 3, 3, 3)])
def test_eight_truth_values_lie_in_a_byte(shape: tuple[int, ...]) -> None:
    truth = images(*shape) > 0.5
    bits = to_bits(truth)
    assert bits.numpy().tolist() == np.packbits(truth.numpy().ravel(), bitorder="little").tolist()
    assert torch.equal(from_bits(bits, truth.shape), truth)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize(("narrow", "wide"), [(4, 5), (5, 9)])
def test_a_narrow_network_lies_in_a_wide_one_where_it_is_said_to(name: str, narrow: int, wide: int) -> None:
    """The wide one with zeros in all other places gives the same."""
    small, large = (build(name, width, 2, False).double() for width in (narrow, wide))
    assert isinstance(small, Backbone)
    convs = {key: layer for key, layer in large.named_modules() if isinstance(layer, nn.Conv2d)}
    found = places(small, narrow, wide)
    assert found.keys() == convs.keys()
    with torch.no_grad():
        for key, conv in convs.items():
            outs, ins, place = found[key]
            assert conv.weight.shape[:2] == (outs, ins)
            like = small.get_submodule(key)
            conv.weight.copy_(place.put(like.weight, torch.zeros_like(conv.weight)))
            assert torch.equal(place.take(conv.weight), like.weight)
            conv.bias.zero_()
            conv.bias[: place.outs] = like.bias
        x = images(1, 3, 6, 6, dtype=torch.float64)
        torch.testing.assert_close(large(x), small(x), rtol=1e-12, atol=1e-12)


def test_picked_weights_and_the_gradients_of_scores_and_free_weights_by_hand() -> None:
    network = made(nn.Sequential(nn.Conv2d(2, 3, 2), nn.Conv2d(3, 2, 1)), grow=0)
    layer = network.layers[0]
    network.begin(0)
    network.prune(0.5)
    network.end()
    network.begin(1)
    network.prune(0.5)
    owner, kept = layer.owner.numpy(), layer.kept.numpy().copy()
    assert [(owner == code).sum() for code in (0, FREE, -3)] == [12, 6, 6]
    with torch.no_grad():
        layer.values.copy_(0.1 * torch.randn(layer.values.shape, generator=torch.Generator().manual_seed(1)))
    values = layer.values.detach().numpy()
    expected = np.zeros_like(values)
    for at in np.ndindex(values.shape):
        if owner[at] == 0:
            expected[at] = kept[at] if values[at] > 0 else 0
        elif owner[at] == FREE:
            expected[at] = values[at]
    np.testing.assert_array_equal(layer.weight.detach().numpy(), expected)
    assert 0 < (expected[owner == 0] == 0).sum() < 12
    slope = torch.randn(values.shape, generator=torch.Generator().manual_seed(2))
    (layer.weight * slope).sum().backward()
    gradient = np.where(owner == 0, slope.numpy() * kept, np.where(owner == FREE, slope.numpy(), 0))
    np.testing.assert_array_equal(layer.values.grad.numpy(), gradient)
    used = expected != 0
    network.end()
    np.testing.assert_array_equal(layer.weight.numpy(), expected)
    np.testing.assert_array_equal(layer.owner.numpy(), np.where(owner == FREE, 1, np.where(owner == -3, FREE, owner)))
    assert np.unpackbits(layer.used_1.numpy(), bitorder="little").reshape(used.shape).tolist() == used.tolist()


def test_pruning_drops_the_smallest_weights_and_a_step_that_is_taken_back_was_not_made() -> None:
    network = made()
    network.begin(0)
    step(network, 0)
    before = [layer.weight.detach().clone() for layer in network.layers]
    network.prune(0.7)
    for layer, old in zip(network.layers, before, strict=True):
        sizes = old.abs().flatten().sort(descending=True).values
        keep = -(-7 * old.numel() // 10)
        assert torch.equal(layer.weight != 0, old.abs() >= sizes[keep - 1])
        assert torch.equal(layer.weight[layer.weight != 0], old[layer.weight != 0])
    step(network, 0)
    between = [layer.weight.detach().clone() for layer in network.layers]
    network.prune(0.3)
    assert all((layer.owner == FREE).sum() == -(-3 * layer.owner.numel() // 10) for layer in network.layers)
    kept = [layer.owner == FREE for layer in network.layers]
    step(network, 0)
    network.take_back()
    for layer, old, trained in zip(network.layers, between, kept, strict=True):
        assert torch.equal(layer.weight[~trained], old[~trained])
        assert torch.equal(layer.weight != 0, old != 0)
        assert not torch.equal(layer.weight[trained], old[trained])
    biases = sum(len(layer.bias) for layer in network.layers)
    assert trainable_parameters(network) == biases + sum(-(-7 * layer.owner.numel() // 10) for layer in network.layers)


@pytest.mark.parametrize("name", BACKBONES)
def test_what_a_task_has_learned_stays_to_the_bit_while_the_network_is_widened(name: str) -> None:
    backbone = build(name, 4, 1, False)
    network = made(backbone)
    before: list[Tensor] = []
    costs: list[float] = []
    for task, width in enumerate([4, 5, 5, 6]):
        learn(network, task, grows=task in (1, 3))
        assert same(outputs(network)[:-1], before)
        before = outputs(network)
        assert same([network.train()(images(1, 3, 8, 8, seed=99), task).detach() for task in network.known], before)
        costs.append(macs_per_pixel(network))
        assert costs[-1] == macs_per_pixel(build(name, width, 1, False))
        assert network.widths[-1] == width
    assert costs[0] < costs[1] == costs[2] < costs[3]
    assert len({output.numpy().tobytes() for output in before}) == 4
    shapes = [network.owned(task)["head.weight"].shape[0] for task in range(4)]
    assert shapes == [4, 5, 5, 6]
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert same(outputs(twin), before)
    twin = made(build(name, 4, 1, False))
    twin.rebuild(range(4))
    twin.load_state_dict(network.state_dict())
    assert same(outputs(twin), before)
    network.begin(4)
    twin.begin(4)
    assert same(outputs(twin), outputs(network))


@pytest.mark.parametrize("name", BACKBONES)
def test_widening_changes_nothing_at_first_and_every_new_weight_learns(name: str) -> None:
    network = made(build(name, 8, 1, False))
    learn(network, 0)
    network.begin(1)
    step(network, 1)
    before = outputs(network)
    biases = [layer.bias.detach().clone() for layer in network.layers]
    drawn = torch.get_rng_state()
    network.grow(0.5, seed=0)
    assert torch.equal(torch.get_rng_state(), drawn)
    after = outputs(network)
    assert torch.equal(after[0], before[0])
    torch.testing.assert_close(after[1], before[1])
    starts = [layer.values.detach().clone() for layer in network.layers]
    step(network, 1, 4, spread=10.0)
    found = places(network.backbone, 8, 12)
    for (name, layer), start, bias in zip(network.named.items(), starts, biases, strict=True):
        assert not (layer.bias[: len(bias)] == bias).all()
        place = found[name][-1]
        new = place.put(
            torch.zeros(place.take(start).shape, dtype=torch.bool), torch.ones_like(start, dtype=torch.bool)
        )
        assert new.any()
        assert (layer.values != start)[new].float().mean() > 0.8


def test_new_channels_are_drawn_by_the_seed_and_anew_for_every_widening() -> None:
    def drawn(*seeds: int) -> Tensor:
        """What the last channel of the first layer starts with, after a widening by one channel for each seed."""
        network = made()
        network.begin(0)
        for seed in seeds:
            network.grow(0.25, seed)
        return network.layers[0].values[-1].detach()

    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
    assert not torch.equal(drawn(0, 0), drawn(0))


def test_a_state_within_a_task_that_was_widened_loads_and_goes_on_bit_for_bit() -> None:
    network, twin = made(), made()
    learn(network, 0)
    network.begin(1)
    step(network, 1)
    network.grow(0.25, seed=0)
    network.prune(0.6)
    network.prune(0.4)
    twin.rebuild([0])
    twin.begin(1)
    twin.load_state_dict(copy.deepcopy(network.state_dict()))
    for one in (network, twin):
        step(one, 1)
        one.take_back()
        one.end()
        one.eval()
    assert same(outputs(twin), outputs(network))
    assert same([*twin.state_dict().values()], [*network.state_dict().values()])


def test_what_is_stored_by_hand() -> None:
    network = made()
    learn(network, 0)
    learn(network, 1)
    weights = [3 * 4 * 9, 4 * 4 * 9, 4 * 4 * 9, 4 * 3 * 9]
    biases = 4 + 4 + 4 + 3
    counted = storage(network.state_dict(), {})
    assert counted.parameters == sum(weights) + 2 * biases
    assert counted.mask_bytes == sum(weights) + 2 * sum(-(-n // 8) for n in weights) + 2 * 8
    learn(network, 2, grows=True)
    wide = [3 * 5 * 9, 5 * 5 * 9, 5 * 5 * 9, 5 * 3 * 9]
    counted = storage(network.state_dict(), {})
    assert counted.parameters == sum(wide) + 2 * biases + 5 + 5 + 5 + 3
    bits = 2 * sum(-(-n // 8) for n in weights) + sum(-(-n // 8) for n in wide)
    assert counted.mask_bytes == sum(wide) + bits + 3 * 8
    assert counted.bytes == 4 * counted.parameters + counted.mask_bytes


class Scripted(CPG):
    """Meets the goal as it is told to, and tells at which updates it was asked."""

    name = "scripted"
    answers: list[bool]
    asked: list[int]

    def meets_goal(self, trainer: Any) -> bool:
        self.asked.append(trainer.clock.train_exp_iterations + 1)
        return self.answers[len(self.asked) - 1]


def scripted(answers: list[bool], grow: float = 0.25, updates: int = UPDATES) -> tuple[Scripted, GrowingNetwork, Any]:
    """A strategy with its answers, its network and what trains it, for tasks of so many updates."""
    torch.manual_seed(0)
    strategy = Scripted(CPGSettings(grow=grow))
    strategy.answers, strategy.asked = answers, []
    network = strategy.adapt(ResNet(width=8, blocks=1), 2)
    assert isinstance(network, GrowingNetwork)
    template = learner(strategy, network)
    template.training_settings = template.training_settings.model_copy(update={"updates_per_epoch": updates})
    return strategy, network, template


def tasks(count: int) -> list[Any]:
    """Training experiences with as many patches as all updates take."""
    made = [
        [pair for k in range(UPDATES) for pair in pairs(task + 2 * k, torch.float32)[:BATCH]] for task in range(count)
    ]
    return list(stream(*made))


@pytest.mark.parametrize(
    ("answers", "kept", "width"),
    [
        ([True] * 10, 0.1, 8),
        ([True] * 9 + [False], 0.2, 8),
        ([True, True, False], 0.9, 8),
        ([True, False], 1.0, 8),
        ([False] * 10, 1.0, 10),
        ([False, False, *[True] * 8], 0.2, 10),
    ],
)
def test_ten_checks_prune_step_by_step_take_back_or_widen_once(answers: list[bool], kept: float, width: int) -> None:
    strategy, network, template = scripted(answers)
    template.learn(*tasks(1))
    assert strategy.asked == [9 + 2 * check for check in range(len(answers))]
    assert network.widths.tolist() == [width]
    for layer in network.layers:
        total = layer.owner.numel()
        assert (layer.owner == 0).sum() == int(np.ceil(kept * total - 1e-6))
        assert (layer.owner == FREE).sum() == total - (layer.owner == 0).sum()
        assert not layer.kept[layer.owner == FREE].any()


def test_a_network_that_may_not_grow_trains_on() -> None:
    _, network, template = scripted([False] * 10, grow=0)
    template.learn(*tasks(1))
    assert network.widths.tolist() == [8]
    assert all((layer.owner == 0).all() for layer in network.layers)


def test_the_goal_is_set_by_the_network_that_independent_trains() -> None:
    strategy, network, template = scripted([True] * 20)
    torch.manual_seed(0)
    alone = Independent(Settings()).adapt(ResNet(width=8, blocks=1), 2)
    other = learner(Independent(Settings()), alone)
    other.training_settings = template.training_settings
    for number, experience in enumerate(tasks(2)):
        strategy.asked.clear()
        template.learn(experience)
        other.learn(experience)
        ours, theirs = strategy.goal.state_dict(), alone.backbone[str(number)].state_dict()
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-5, atol=1e-6)
    assert strategy.state() == {}
    assert network.known == [0, 1]


def test_the_goal_is_mean_psnr_on_the_last_patches_minus_the_tolerance() -> None:
    strategy, network, template = scripted([True] * 10)
    (experience,) = tasks(1)
    template.learn(experience)
    trainer: Any = SimpleNamespace(experience=experience, model=network, device=torch.device("cpu"))
    count = len(experience.dataset)
    last = [(experience.dataset[k][0][None], experience.dataset[k][1][None]) for k in range(count - 5, count)]

    def mean(restore: Any) -> float:
        with torch.no_grad():
            errors = [np.mean((restore(x).clamp(0, 1) - y).numpy() ** 2) for x, y in last]
        return float(np.mean([10 * np.log10(1 / error) for error in errors]))

    gap = mean(strategy.goal.eval()) - mean(lambda x: network(x, 0))
    assert gap > 0.01
    for extra, meets in ((1e-3, True), (-1e-3, False)):
        strategy.settings = CPGSettings(tolerance=gap + extra, samples=5)
        assert CPG.meets_goal(strategy, trainer) == meets


class Plain(nn.Module):
    """A convolution used twice, one with a stride and groups, a kernel that the parent reads, no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 4, 3, padding=1)
        self.twice = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.strided = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
        self.leave = nn.Conv2d(8, 12, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.strided(self.twice(F.relu(self.twice(self.enter(x)))))
        return F.pixel_shuffle(F.conv2d(x, self.leave.weight, self.leave.bias), 2)


def test_other_networks_are_picked_from_and_pruned_but_not_widened() -> None:
    with pytest.raises(UserError, match=r"cannot do so with Plain. Use cpg.grow=0"):
        made(Plain())
    plain = Plain()
    network = made(copy.deepcopy(plain), grow=0)
    network.begin(0)
    with torch.no_grad():
        assert torch.equal(network(images(1, 3, 8, 8), 0), plain(images(1, 3, 8, 8)))
    network.end()
    network = made(Plain(), grow=0)
    before: list[Tensor] = []
    for number in range(3):
        learn(network, number)
        assert same(outputs(network)[:-1], before)
        before = outputs(network)
    assert len({output.numpy().tobytes() for output in before}) == 3


class Gated(ResNet):
    """A product lets no marks of the narrow network through."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.head(x)
        return self.tail(self.body(h * (1 - h)))


def test_what_cannot_be_kept_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"Gated cannot be widened.*'body.0.conv1'.*cpg.grow=0"):
        made(Gated(width=4, blocks=1))
    with pytest.raises(UserError, match=r"Sequential has others: 1.weight, 1.bias"):
        made(nn.Sequential(nn.Conv2d(3, 3, 1), nn.GroupNorm(1, 3)), grow=0)
    frozen = nn.Sequential(nn.Conv2d(3, 3, 1))
    frozen[0].bias.requires_grad_(False)
    with pytest.raises(UserError, match=r"Layer '0' has a frozen bias.*cpg makes both anew"):
        made(frozen, grow=0)
    with pytest.raises(UserError, match="none that is trained"):
        made(nn.Sequential(nn.ReLU()), grow=0)
    with pytest.raises(UserError, match="128 tasks"):
        CPG(CPGSettings()).adapt(ResNet(width=4, blocks=1), 128)
    network = made()
    network.begin(0)
    with pytest.raises(UserError, match="end task 0 before task 1 begins"):
        network.begin(1)


def test_layers_are_exchanged_one_for_one() -> None:
    network = made()
    assert [*network.named] == ["head", "body.0.conv1", "body.0.conv2", "tail"]
    assert all(isinstance(layer, GrowingConv2d) and layer.cursor is network.cursor for layer in network.layers)


class Centred(nn.Module):
    """Has a buffer that is None until the first images have passed."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Conv2d(3, 3, 3, padding=1)
        self.register_buffer("mean", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.mean is None:
            self.mean = x.detach().mean((0, 2, 3), keepdim=True)
        return self.only(x - self.mean)


def test_a_goal_is_gone_on_from_where_its_network_has_a_buffer_that_its_first_images_made() -> None:
    first, again = CPG(CPGSettings(grow=0)), CPG(CPGSettings(grow=0))
    (experience,) = stream(pairs(0, torch.float32))
    for strategy in (first, again):
        trainer = learner(strategy, strategy.adapt(Centred(), 2))
        if strategy is first:
            trainer.learn(experience)
        else:
            trainer.experience = experience
            strategy.before_training_exp(trainer)
    again.load_progress(first.progress())
    assert torch.equal(again.goal(images(1, 3, 8, 8)), first.goal(images(1, 3, 8, 8)))

"""Strategies with a kernel for each task: each one's equation and start, what it stores, and that old ones stay."""

import copy
import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from made_networks import Shared, UNet
from made_stream import learner, pairs, stream
from torch import Tensor, nn

from baselines.independent import Independent
from benchmark.backbones import build
from benchmark.core.errors import UserError
from benchmark.engine.ledger import storage, trainable_parameters
from strategies import registry
from strategies.base import Settings
from strategies.dan import DAN
from strategies.kernels import KernelConv2d, KernelNetwork, fold, kernel_network
from strategies.lora import LoRA
from strategies.masks import from_bits, straight_through, to_bits
from strategies.mini import MINI
from strategies.wsn import WinningConv2d

TASKS = 3
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"rank": 2}),
    ("dan", {}),
    ("dan", {"start": "random"}),
    ("dan", {"start": "least_squares"}),
    ("piggyback", {"start": 0.02}),
    ("wsn", {"share": 0.4}),
    ("mini", {}),
]
every_kind = pytest.mark.parametrize(("name", "settings"), KINDS, ids=[f"{n}-{[*s.values()]}" for n, s in KINDS])
IMAGES = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def made(name: str, settings: dict[str, Any], backbone: nn.Module | None = None) -> KernelNetwork:
    kind = registry.load(name)
    torch.manual_seed(0)
    network = kind(kind.Settings(**settings)).adapt(backbone or build("resnet", 6, 1, False), TASKS)
    assert isinstance(network, KernelNetwork)
    return network


def learn(network: KernelNetwork, task: int) -> Iterator[None]:
    """Train a task, and pause in the middle of it."""
    network.train()
    network.begin(task)
    steps = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)
    for update in range(4):
        steps.zero_grad()
        (network(IMAGES, task) - (1 - IMAGES if task % 2 else IMAGES)).square().mean().backward()
        steps.step()
        if update == 1:
            yield
    network.end()


def learned(network: KernelNetwork, tasks: int = TASKS) -> KernelNetwork:
    for task in range(tasks):
        for _ in learn(network, task):
            pass
    return network


@torch.no_grad()
def outputs(network: KernelNetwork, tasks: int) -> list[Tensor]:
    return [network(IMAGES, task) for task in range(tasks)]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


@every_kind
@pytest.mark.parametrize("plain", [Shared, UNet])
def test_outputs_of_learned_tasks_stay_also_when_loaded_folded_and_in_training_mode(
    name: str, settings: dict[str, Any], plain: Any
) -> None:
    torch.manual_seed(0)
    backbone = plain()
    network = made(name, settings, backbone)
    before: list[Tensor] = []
    for task in range(TASKS):
        for _ in learn(network, task):
            assert same(outputs(network, task), before)
            twin = made(name, settings, backbone)
            twin.rebuild(range(task))
            twin.train()
            twin.begin(task)
            if name == "dan" and "least_squares" in settings.values() and task == 1:
                for layer in network.layers:
                    layer.combine()
            twin.load_state_dict({key: value.clone() for key, value in network.state_dict().items()})
            twin.eval()
            network.eval()
            assert same(outputs(twin, task + 1), outputs(network, task + 1))
            network.train()
        assert same(outputs(network, task), before)
        before = outputs(network, task + 1)
    assert len({output.numpy().tobytes() for output in before}) == TASKS
    twin = made(name, settings, backbone)
    twin.rebuild(range(TASKS))
    twin.load_state_dict(network.state_dict())
    assert same(outputs(twin, TASKS), before)
    folded = [fold(network, task) for task in range(TASKS)]
    with torch.no_grad():
        assert same([one(IMAGES) for one in folded], before)
    assert {name for one in folded for name in one.state_dict()} == set(backbone.state_dict())


@pytest.mark.parametrize("name", ["lora", "dan", "piggyback", "mini"])
def test_a_later_task_starts_as_the_network_of_the_first(name: str) -> None:
    network = learned(made(name, {}), 1)
    (first,) = outputs(network, 1)
    network.begin(1)
    torch.testing.assert_close(network(IMAGES, 1), first)


def test_biases_and_what_is_outside_of_convolutions_start_from_the_task_before_whichever_is_selected() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3, padding=1))
    network = learned(made("mini", {}, plain), 2)

    def outside() -> list[Tensor]:
        biases = [layer.bias.detach().clone() for layer in layers(network)]
        return [*biases, *(value.detach().clone() for value in network.backbone[1].state_dict().values())]

    found = []
    for task in range(2):
        network.select(task)
        found.append(outside())
    assert not any(map(torch.equal, *found))
    network.select(0)
    network.begin(2)
    assert same(outside(), found[1])


@pytest.mark.parametrize("name", ["lora", "dan", "piggyback", "wsn", "mini"])
def test_a_task_is_kept_as_it_was_trained(name: str) -> None:
    network = learned(made(name, {"start": 0.03} if name == "piggyback" else {}), 1)
    next(learn(network, 1))
    with torch.no_grad():
        trained = network.eval()(IMAGES, 1)
        network.end()
        torch.testing.assert_close(network(IMAGES, 1), trained)


def layers(network: KernelNetwork) -> list[Any]:
    found = [layer for layer in network.backbone.modules() if isinstance(layer, KernelConv2d)]
    assert found
    return found


def test_lora_adds_a_product_of_low_rank_by_hand() -> None:
    network = learned(made("lora", {"rank": 2}, UNet()))
    for layer in layers(network):
        base = layer.base_0
        for task in range(1, TASKS):
            up, down = layer.get_buffer(f"up_{task}"), layer.get_buffer(f"down_{task}")
            expected = base.clone()
            for rank in range(up.shape[1]):
                expected += torch.einsum("o,i->oi", up[:, rank], down[rank]).view(base.shape)
            network.select(task)
            torch.testing.assert_close(layer.weight, expected)
            assert torch.linalg.matrix_rank((layer.weight - base).flatten(1).double(), rtol=1e-4) <= 2


def test_dan_combines_filters_by_hand_and_folds() -> None:
    network = learned(made("dan", {"start": "random"}))
    for layer in layers(network):
        network.select(2)
        base, mix = layer.base_0, layer.mix_2
        for row, kernel in enumerate(layer.weight):
            torch.testing.assert_close(kernel, sum(mix[row, i] * base[i] for i in range(len(base))))


def test_dan_by_least_squares_is_nearest_to_the_finetuned_kernels() -> None:
    strategy = DAN(DAN.Settings(start="least_squares", finetune=0.4))
    torch.manual_seed(0)
    model = strategy.adapt(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)), 2)
    free: list[Tensor] = []
    after: list[int] = []

    def combine(layer: Any, original: Any = layers(model)[0].combine.__func__) -> None:
        free.append(layer.free.detach().clone())
        after.append(template.clock.train_exp_iterations + 1)  # the clock counts after all plugins
        original(layer)
        found, base = layer.mix.detach(), layer.base_0.flatten(1)
        least = torch.linalg.lstsq(base.T.double(), free[-1].flatten(1).T.double()).solution.T
        torch.testing.assert_close(found @ base, (least @ base.double()).float(), rtol=1e-3, atol=1e-4)

    kind = type(layers(model)[0])
    kept = kind.combine
    kind.combine = combine
    try:
        template = learner(strategy, model)
        for experience in stream(*(pairs(seed, torch.float32) for seed in range(2))):
            template.learn(experience)
    finally:
        kind.combine = kept
    assert after == [2, 2], "each layer once, in the second task alone, after its share of five updates"
    assert all(layer.part("mix", 1).shape == (len(layer.base_0),) * 2 for layer in layers(model))


def test_a_mask_keeps_a_bit_for_each_weight_and_passes_its_gradient_on() -> None:
    chosen = torch.rand(5, 3, 3, 3) > 0.5
    bits = to_bits(chosen)
    assert bits.dtype == torch.uint8
    assert len(bits) == -(-chosen.numel() // 8)
    assert torch.equal(from_bits(bits, chosen.shape), chosen)
    scores, factor = torch.randn(5, 3, 3, 3, requires_grad=True), torch.randn(5, 3, 3, 3)
    mask = straight_through(scores, chosen)
    assert torch.equal(mask, chosen.float())
    (factor * mask).sum().backward()
    assert torch.equal(scores.grad, factor)


def test_piggyback_uses_the_first_tasks_weights_above_the_threshold_and_changes_none() -> None:
    network = made("piggyback", {"start": 0.02})
    learned(network, 1)
    bases = [layer.base_0.clone() for layer in layers(network)]
    for task in (1, 2):
        for _ in learn(network, task):
            pass
    for layer, base in zip(layers(network), bases, strict=True):
        network.select(2)
        assert torch.equal(layer.base_0, base)
        assert bool(((layer.weight == base) | (layer.weight == 0)).all())
    switched = sum(int((layer.weight == 0).sum()) for layer in layers(network))
    assert 0 < switched < sum(layer.m for layer in layers(network))


def test_wsn_uses_the_share_of_the_greatest_scores_and_trains_only_what_is_free() -> None:
    network = made("wsn", {"share": 0.4})
    for task in range(TASKS):
        used = [layer.used for layer in layers(network)]
        shared = [layer.shared.clone() for layer in layers(network)]
        course = learn(network, task)
        next(course)
        for layer, taken in zip(layers(network), used, strict=True):
            assert layer.values.numel() == int((~taken).sum())
            greatest = layer.scores.detach().abs().flatten().sort(descending=True).values[: int(0.4 * layer.m)]
            expected = layer.scores.detach().abs() >= greatest[-1]
            assert int(expected.sum()) == int(0.4 * layer.m)
            assert torch.equal(layer._winning(), expected)
            assert torch.equal(layer.kernel().detach() != 0, expected)
        for _ in course:
            pass
        assert [int(layer._mask(task).sum()) for layer in layers(network)] == [int(0.4 * o.m) for o in layers(network)]
        for layer, taken, before in zip(layers(network), used, shared, strict=True):
            assert torch.equal(layer.shared[taken], before[taken]), "what an earlier task uses is never trained again"
            assert not torch.equal(layer.shared[~taken], before[~taken])
    reused = sum(int((layer._mask(0) & layer._mask(2)).sum()) for layer in layers(network))
    assert reused > 0, "tasks may use the same weights"


def test_wsn_begins_a_task_with_the_choice_of_the_one_before_also_once_loaded() -> None:
    network = learned(made("wsn", {"share": 0.4}), 1)
    loaded = learned(made("wsn", {"share": 0.4}), 1)
    for layer in layers(loaded):
        layer.last_scores += 1
    loaded.load_state_dict(network.state_dict())
    for each in (network, loaded):
        each.begin(1)
        for layer, other in zip(layers(each), layers(network), strict=True):
            assert torch.equal(layer._winning(), layer._mask(0))
            assert torch.equal(layer.scores, other.scores)


def test_wsns_scores_gain_magnitude_where_a_weight_helps_whatever_their_sign() -> None:
    network = kernel_network(nn.Conv2d(3, 3, 3, padding=1), WinningConv2d, 0, share=0.5)
    network.begin(0)
    (layer,) = layers(network)
    (network(IMAGES, 0) - 1).square().mean().backward()
    kernel = layer.kernel().detach().requires_grad_()
    (nn.functional.conv2d(IMAGES, kernel, layer.bias, padding=1) - 1).square().mean().backward()
    scores, weights = layer.scores.detach(), layer.values.detach().view(kernel.shape)
    torch.testing.assert_close(layer.scores.grad, kernel.grad * weights * scores.sign())
    helps = kernel.grad * weights < 0
    assert bool((scores[helps] > 0).any() and (scores[helps] < 0).any())
    assert torch.equal((scores - 1e-4 * layer.scores.grad).abs() > scores.abs(), helps)


def test_wsn_with_all_weights_learns_nothing_more_after_the_first_task_but_biases() -> None:
    network = learned(made("wsn", {"share": 1.0}), 1)
    network.begin(1)
    kernels = {name for name, value in network.named_parameters() if value.requires_grad and value.numel()}
    assert all(name.endswith(("bias", "scores")) for name in kernels)


def test_mini_pulls_to_the_same_mean_where_a_task_is_loaded_in_its_middle() -> None:
    network = made("mini", {})
    for _ in learn(network, 0):
        pass
    next(learn(network, 1))
    again = made("mini", {}).train()
    again.rebuild([0])
    again.begin(1)
    again.load_state_dict(network.state_dict())
    for layer, loaded in zip(network.layers, again.layers, strict=True):
        assert torch.equal(loaded.mean_before, layer.own_0)
        assert torch.equal(layer.mean_before, layer.own_0)


def test_minis_pull_by_hand() -> None:
    strategy = MINI(MINI.Settings(weight=3.0))
    torch.manual_seed(0)
    model = strategy.adapt(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)), 3)
    template = learner(strategy, model)
    for task, experience in enumerate(stream(*(pairs(seed, torch.float32) for seed in range(2))), start=1):
        template.learn(experience)
        network = copy.deepcopy(model)
        network.begin(task)
        expected = 0.0
        for layer in network.layers:
            mean = (layer.own_0 + layer.own_1) / 2 if task == 2 else layer.own_0
            assert torch.equal(layer.own, mean), "it starts there"
            layer.own.data += torch.randn(layer.own.shape)
            own = layer.own.detach().flatten()
            expected += 3.0 * sum((float(a) - float(b)) ** 2 for a, b in zip(own, mean.flatten(), strict=True))
        place = SimpleNamespace(current_experience=task)
        pulled = SimpleNamespace(model=network, loss=torch.zeros(()), experience=place)
        strategy.before_backward(pulled)
        assert pulled.loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "settings", "grown", "masks"),
    [
        ("lora", {"rank": 2}, lambda k_out, m: 4 * 2 * (k_out + m // k_out), lambda m: 0),
        ("dan", {}, lambda k_out, m: 4 * k_out**2, lambda m: 0),
        ("piggyback", {}, lambda k_out, m: 0, lambda m: -(-m // 8)),
        ("wsn", {}, lambda k_out, m: 0, lambda m: -(-m // 8)),
        ("mini", {}, lambda k_out, m: 4 * m, lambda m: 0),
    ],
)
def test_what_a_task_stores_counted_by_hand(name: str, settings: dict[str, Any], grown: Any, masks: Any) -> None:
    network = made(name, settings)
    shapes = [(layer.out_channels, layer.m) for layer in layers(network)]
    biases = 4 * sum(k_out for k_out, _ in shapes)
    kernels = 4 * sum(m for _, m in shapes)
    found = []
    for task in range(TASKS):
        for _ in learn(network, task):
            pass
        found.append(storage(network.state_dict(), {}))
    first = kernels + biases + (kernels + sum(masks(m) for _, m in shapes) if name == "wsn" else 0)  # and its scores
    assert found[0].bytes == first
    for before, after in itertools.pairwise(found):
        assert after.mask_bytes - before.mask_bytes == sum(masks(m) for _, m in shapes)
        assert after.bytes - before.bytes == biases + sum(grown(k_out, m) + masks(m) for k_out, m in shapes)


def test_what_a_task_trains_counted_by_hand() -> None:
    network = learned(made("lora", {"rank": 2}), 1)
    network.begin(1)
    expected = 0
    for layer in layers(network):
        k_out, inputs = layer.out_channels, layer.m // layer.out_channels
        expected += min(2, k_out, inputs) * (k_out + inputs) + k_out
    assert trainable_parameters(network) == expected


@every_kind
def test_the_first_task_is_learned_as_independent_learns_it(name: str, settings: dict[str, Any]) -> None:
    if name == "wsn":
        settings = {"share": 1.0}
    torch.manual_seed(0)
    backbone = build("resnet", 6, 1, False)
    networks = [Independent(Settings()).adapt(backbone, 1), made(name, settings, backbone)]
    for network in networks:
        for _ in learn(network, 0):  # type: ignore[arg-type]
            pass
    with torch.no_grad():
        torch.testing.assert_close(networks[0](IMAGES, 0), networks[1](IMAGES, 0))


def test_what_cannot_be_kept_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"lora replaces convolutions, and Linear has no nn\.Conv2d"):
        LoRA(LoRA.Settings()).adapt(nn.Linear(3, 3), 2)
    frozen = nn.Sequential(nn.Conv2d(3, 3, 3))
    frozen[0].bias.requires_grad_(False)
    with pytest.raises(UserError, match=r"'0' has a frozen bias.*lora"):
        LoRA(LoRA.Settings()).adapt(frozen, 2)
    network = learned(made("lora", {}), 1)
    network.begin(1)
    with pytest.raises(UserError, match="lora learns one task at a time: end task 1"):
        network.begin(2)

"""LIRA: how branches join the base, what stands still, what the gates learn from generated patches, what is stored."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from made_networks import NETWORKS, images, learn, outputs, same
from made_stream import BATCH, UPDATES, learner, pairs, stream, weights
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.finetune import Finetune
from benchmark.backbones import build
from benchmark.core.errors import UserError
from benchmark.engine.ledger import macs_per_pixel, storage
from strategies.base import Settings
from strategies.lira import LIRA, Branch, ForkJoinNetwork, LIRASettings, expert_width

TASKS = [pairs(seed, torch.float32, side=8) for seed in range(3)]
KEEP_THE_SIZE = ["shared", "u-net", "rows", "sharpening"]


def make(**settings: Any) -> LIRA:
    return LIRA(LIRASettings(**{"width": 4, **settings}), seed=1)


def backbone(name: str = "resnet") -> nn.Module:
    torch.manual_seed(0)
    return build(name, 8, 1, False)


def grown(strategy: LIRA, tasks: int, *plugins: SupervisedPlugin) -> ForkJoinNetwork:
    """A network that has learned the first of the tasks."""
    template = learner(strategy, strategy.adapt(backbone(), tasks), *plugins)
    for experience in stream(*TASKS[:tasks]):
        template.learn(experience)
    assert isinstance(template.model, ForkJoinNetwork)
    return template.model.eval()


class Batches(SupervisedPlugin):
    """Keeps the batches of the task learned last, and what the network of before makes of them."""

    def before_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        self.kept: list[list[Tensor]] = []
        self.restored: list[Tensor] = []
        self.losses: list[Tensor] = []
        self.outputs: list[Tensor] = []

    @torch.no_grad()
    def before_update(self, template: Any, *args: Any, **kwargs: Any) -> None:
        self.kept.append([part.clone() for part in template.mbatch])
        self.outputs.append(template.mb_output.clone())
        self.losses.append(template.loss.detach().reshape(()))
        before = max(0, template.experience.current_experience - 1)
        self.restored.append(template.model(template.mb_x, before))


def test_outputs_are_those_of_the_gated_fusion() -> None:
    network = grown(make(), 3).requires_grad_(False)
    x = images(5)
    assert torch.equal(network(x, 0), network.backbone.base(x))
    y = network.backbone.base(x)
    for task, branch in enumerate(network.backbone.branches, start=1):
        own = branch.expert(x)
        first, _, last = branch.gate
        hidden = F.conv2d(torch.cat([x, y, own], 1), first.weight, first.bias, padding=1).clamp(min=0)
        m = 1 / (1 + torch.exp(-F.conv2d(hidden, last.weight, last.bias, padding=1)))
        assert 0 < m.min() < m.max() < 1
        y = (1 - m) * y + m * own
        torch.testing.assert_close(network(x, task), y)
    assert len(network.backbone.branches) == 2


@torch.no_grad()
def test_a_branch_begins_with_both_sides_counting_half() -> None:
    torch.manual_seed(0)
    branch, x, before = Branch(3, False), images(1), images(2)
    torch.testing.assert_close(branch(x, before), (before + branch.expert(x)) / 2)


def test_the_first_task_is_plain_training_to_the_bit() -> None:
    plain = backbone()
    learner(Finetune(Settings()), plain).learn(stream(TASKS[0])[0])
    base = grown(make(), 1).backbone.base
    assert all(torch.equal(value, weights(base)[name]) for name, value in weights(plain).items())


@pytest.mark.parametrize("name", KEEP_THE_SIZE)
def test_a_learned_task_gives_the_same_bits_ever_after_on_any_network(name: str) -> None:
    torch.manual_seed(0)
    network = ForkJoinNetwork(NETWORKS[name](), 2)
    before: list[Tensor] = []
    for task in range(3):
        for _ in learn(network, task):
            assert same(outputs(network, task)[:task], before)
            assert same(outputs(network, task, training=True)[:task], before), "in training mode, too"
            network.train()
        owned = [network.owned(k) for k in range(task + 1)]
        before = outputs(network, task + 1)
        assert all(a.keys() < b.keys() for a, b in pairwise(owned))
        assert not any(parameter.requires_grad for parameter in network.parameters())
    again = ForkJoinNetwork(NETWORKS[name](), 2)
    again.rebuild(range(3))
    again.load_state_dict(network.state_dict())
    assert same(outputs(again, 3), before)


def test_new_and_generated_patches_are_weighed_and_the_targets_are_those_of_the_network_of_before() -> None:
    witness = Batches()
    grown(make(r=0.25), 3, witness)
    assert len(witness.kept) == UPDATES
    for update, (degraded, clean, labels) in enumerate(witness.kept):
        own = TASKS[2][update * BATCH : (update + 1) * BATCH]
        assert torch.equal(degraded[::2], torch.stack([patch for patch, _ in own]))
        assert torch.equal(clean[::2], torch.stack([target for _, target in own]))
        torch.testing.assert_close(clean[1::2], witness.restored[update][1::2])
        assert labels.tolist() == [2] * 2 * BATCH
        errors = (witness.outputs[update] - clean).square().flatten(1).mean(1)
        torch.testing.assert_close(witness.losses[update], 0.25 * errors[::2].mean() + 0.75 * errors[1::2].mean())


def test_the_gate_learns_to_leave_to_the_network_of_before_what_is_not_of_the_new_task() -> None:
    """Of dark patches of before and bright new ones, which have to become their negatives."""
    draws = torch.Generator().manual_seed(0)
    dark, bright = 0.3 * torch.rand(10, 3, 8, 8, generator=draws), 0.7 + 0.3 * torch.rand(10, 3, 8, 8, generator=draws)
    away = []
    for r in (1.0, 0.5):
        strategy = make(r=r, size=1)
        template = learner(strategy, strategy.adapt(backbone(), 2))
        first, second = stream(list(zip(dark, dark, strict=True)), list(zip(bright, 1 - bright, strict=True)))
        template.learn(first)
        strategy.generator.sample = lambda like, rng: dark[: len(like)]
        template.learn(second)
        network: Any = template.model.eval()
        with torch.no_grad():
            away.append(float((network(dark, 1) - network(dark, 0)).square().mean()))
    assert away[1] < 0.5 * away[0]


def test_experts_are_as_wide_as_their_share_allows() -> None:
    def parameters(width: int) -> int:
        return (27 * width + width) + 4 * 2 * (9 * width**2 + width) + (27 * width + 3)

    for name in ("resnet", "dense", "rdn"):
        plain = backbone(name)
        total = sum(value.numel() for value in plain.parameters())
        for size in (0.25, 1.0, 3.0):
            width = expert_width(plain, size)
            assert parameters(width) <= size * total < parameters(width + 1)
    assert expert_width(nn.Conv2d(3, 3, 1), 0.25) == 1, "one channel is the least"


def test_what_is_stored_and_computed_is_the_base_the_branches_and_the_generator() -> None:
    strategy, width = make(), 4
    network = ForkJoinNetwork(backbone(), width)
    base = (27 * 8 + 8) + 2 * (9 * 64 + 8) + (27 * 8 + 3)
    expert = (27 * width + width) + 8 * (9 * width**2 + width) + (27 * width + 3)
    gate = (9 * 9 * 8 + 8) + (9 * 8 * 3 + 3)
    generator = sum(value.numel() for value in strategy.generator.parameters())
    computed = 27 * 8 + 2 * 9 * 64 + 27 * 8
    branch = 2 * 27 * width + 8 * 9 * width**2 + 9 * 9 * 8 + 9 * 8 * 3
    for task in range(3):
        network.begin(task)
        trained = sum(value.numel() for value in network.parameters() if value.requires_grad)
        assert trained == (expert + gate if task else base)
        network.end()
        stored = storage(network.state_dict(), strategy.state())
        assert stored.parameters == base + task * (expert + gate) + generator
        assert stored.bytes == 4 * stored.parameters
        assert stored.exemplar_bytes == stored.mask_bytes == 0
        assert macs_per_pixel(network) == computed + task * branch


@pytest.mark.parametrize("name", ["resnet", "dense", "rdn", "skip"])
def test_it_grows_on_every_shipped_backbone(name: str) -> None:
    plain = build("resnet", 4, 1, True) if name == "skip" else build(name, 4, 1, False)
    network = make().adapt(plain, 2)
    assert isinstance(network, ForkJoinNetwork)
    network.rebuild(range(2))
    assert network(images(0), 1).shape == images(0).shape
    assert all(branch.expert.image_skip == (name == "skip") for branch in network.backbone.branches)


def test_a_network_that_changes_the_size_is_refused() -> None:
    network = make().adapt(NETWORKS["twice as large"](), 2)
    assert isinstance(network, ForkJoinNetwork)
    network.rebuild(range(1))
    with pytest.raises(UserError, match=r"lira joins images of one size, and Sequential makes \(2, 3, 64, 64\) of"):
        network(images(0), 0)


def test_a_network_that_gives_several_tensors_is_refused() -> None:
    class Several(nn.Sequential):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return super().forward(x), x

    network = make().adapt(Several(nn.Conv2d(3, 3, 1)), 2)
    assert isinstance(network, ForkJoinNetwork)
    network.rebuild(range(1))
    with pytest.raises(UserError, match=r"Several makes a tuple of .* gives one tensor"):
        network(images(0), 0)

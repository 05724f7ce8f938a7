"""Knowledge replay: its loss by hand, what it stores, and the features of networks."""

import copy
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from made_networks import NETWORKS
from made_stream import BATCH, UPDATES, Weights, Witness, learner, loss_and_gradient, network, pairs, stream
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.finetune import Finetune
from benchmark import backbones
from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from benchmark.engine.checkpoints import load_checkpoint, save_checkpoint
from benchmark.engine.ledger import storage
from strategies.base import Settings
from strategies.kr import AUTOENCODER_RATE, KnowledgeReplay, restored

TASKS = [pairs(seed, torch.float32) for seed in range(3)]


def make(model: nn.Module, **settings: Any) -> KnowledgeReplay:
    strategy = KnowledgeReplay(KnowledgeReplay.Settings(**{"patches": 7, "autoencoder_updates": 4, **settings}))
    assert strategy.adapt(model, 3) is model
    return strategy


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def run(layers: nn.Sequential, weights: Weights, images: Tensor) -> tuple[Tensor, Tensor]:
    """Layer after layer: the output, and what the last layer took."""
    x = taken = images
    for place, layer in enumerate(copy.deepcopy(layers)):
        own = {name: weights[f"{place}.{name}"] for name, _ in layer.named_parameters()}
        taken, x = x, torch.func.functional_call(layer, own, (x,))
    return x, taken


def test_the_loss_and_its_gradient_are_those_of_the_docstring() -> None:
    model, witness = network().float(), Witness()
    strategy = make(model, weight=0.8, feature_weight=2.5, reduction=2)
    template = learner(strategy, model, witness)
    terms = []

    def replayed(number: int, update: int, parameters: Weights, _: Tensor) -> Tensor:
        """With the state and the old network that the loop below has set."""
        if not number:
            return torch.zeros(())
        chosen = generator("kr", 0, number, update).integers(len(state["exemplars.labels"]), size=BATCH)
        images = state["exemplars.degraded"][chosen]
        new, features = run(model, parameters, images)
        was, features_then = run(old, dict(old.named_parameters()), images)
        kernel = state["autoencoder.0.weight"][:, :, 0, 0]  # a bias makes no difference to a difference
        moved = torch.einsum("dc,nchw->ndhw", kernel, features - features_then.detach())
        assert moved.shape[1] == 2
        terms.append(float(moved.detach().square().mean()))
        return 0.8 * ((new - was.detach()).square().mean() + 2.5 * moved.square().mean())

    for number, experience in enumerate(stream(*TASKS)):
        state, old = {k: v.clone() for k, v in strategy.state().items()}, copy.deepcopy(model).eval()
        template.learn(experience)
        assert len(witness.steps) == UPDATES
        for update, step in enumerate(witness.steps):
            loss, gradient = loss_and_gradient(model, step.before, step.batch, partial(replayed, number, update))
            torch.testing.assert_close(step.loss, loss)
            torch.testing.assert_close(step.gradient, gradient, rtol=1e-4, atol=1e-6)
    assert max(terms) > 1e-6


def test_without_weight_it_is_plain_training_to_the_bit_and_with_it_both_terms_count() -> None:
    ends = []
    for settings in ({"weight": 0}, {"feature_weight": 0}, {}):
        model = network().float()
        template = learner(make(model, **settings), model)
        for experience in stream(*TASKS):
            template.learn(experience)
        ends.append(model.state_dict())
    plain = network().float()
    template = learner(Finetune(Settings()), plain)
    for experience in stream(*TASKS):
        template.learn(experience)
    assert same_bits(ends[0], plain.state_dict())
    assert not any(same_bits(a, b) for a, b in [(ends[0], ends[1]), (ends[1], ends[2]), (ends[0], ends[2])])


def test_degraded_patches_are_stored_without_targets_and_counted_beside_the_autoencoder() -> None:
    model = network().float()
    strategy = make(model, patches=6, reduction=2)
    template = learner(strategy, model)
    for experience in stream(*TASKS):
        template.learn(experience)
    state = strategy.state()
    kept = torch.cat([torch.stack([degraded for degraded, _ in task[:2]]) for task in TASKS])
    assert torch.equal(state["exemplars.degraded"], kept)
    clean = {patch.numpy().tobytes() for task in TASKS for _, patch in task}
    levels = {(patch * 255).round().to(torch.uint8).numpy().tobytes() for task in TASKS for _, patch in task}
    for tensor in state.values():
        assert not {part.numpy().tobytes() for part in tensor} & (clean | levels)
    stored = storage({}, state)
    assert stored.exemplar_bytes == 6 * (3 * 6 * 6 * 4 + 8)
    assert stored.parameters == (4 * 2 + 2) + (2 * 2 * 9 + 2) + (2 * 4 * 9 + 4)
    assert stored.bytes == stored.exemplar_bytes + 4 * stored.parameters
    assert stored.mask_bytes == 0


def test_the_autoencoder_learns_the_features_and_leaves_the_random_state_alone() -> None:
    model = backbones.build("resnet", 8, 1, False)
    before = torch.get_rng_state()
    strategy = make(model, patches=20, reduction=2, autoencoder_updates=200)
    assert torch.equal(torch.get_rng_state(), before)
    untrained = copy.deepcopy(strategy.autoencoder)
    template = learner(strategy, model)
    (experience,) = stream(TASKS[0])
    template.learn(experience)
    with torch.no_grad():
        features = restored(model, strategy.stored.degraded)[1]
        spread = (features - features.mean((0, 2, 3), keepdim=True)).square().mean()
        first, last = (float((one(features) - features).square().mean()) for one in (untrained, strategy.autoencoder))
    assert last < 0.5 * spread < first


def test_the_autoencoder_goes_on_from_task_to_task_on_other_patches_in_every_update_at_a_falling_rate() -> None:
    """By a loop of its own: Adam as its paper writes it, and half a cosine."""
    model, updates = network(), 4
    strategy = make(model, autoencoder_updates=updates)
    template = learner(strategy, model)
    for place, experience in enumerate(stream(pairs(0), pairs(1))):
        mine = copy.deepcopy(strategy.autoencoder)
        template.learn(experience)
        model.eval()
        means = [[torch.zeros_like(one) for one in mine.parameters()] for _ in range(2)]
        for update in range(updates):
            rng = generator("kr", "autoencoder", 0, place, update)
            features = restored(model, strategy.stored.degraded[strategy.stored.choose(BATCH, rng)])[1].detach()
            loss = (mine(features) - features).square().mean()
            rate = AUTOENCODER_RATE * (1 + math.cos(math.pi * update / updates)) / 2
            for one, grad, first, second in zip(
                mine.parameters(), torch.autograd.grad(loss, [*mine.parameters()]), *means, strict=True
            ):
                first.mul_(0.9).add_(0.1 * grad)
                second.mul_(0.999).add_(0.001 * grad.square())
                unbiased = first / (1 - 0.9 ** (update + 1)), second / (1 - 0.999 ** (update + 1))
                one.data -= rate * unbiased[0] / (unbiased[1].sqrt() + 1e-8)
        for name, tensor in mine.state_dict().items():
            torch.testing.assert_close(strategy.autoencoder.state_dict()[name], tensor, rtol=1e-9, atol=1e-12)


def test_the_old_network_is_the_one_before_the_task() -> None:
    model = network().float()
    strategy = make(model)
    template = learner(strategy, model)
    first, second = stream(*TASKS[:2])
    template.learn(first)
    assert strategy.teacher is None
    before = copy.deepcopy(model.state_dict())
    template.learn(second)
    assert strategy.teacher is not None
    assert same_bits(strategy.teacher.state_dict(), before)
    assert not same_bits(model.state_dict(), before)


@pytest.mark.parametrize("name", backbones.BACKBONES)
def test_features_are_what_the_output_convolution_of_a_backbone_takes(name: str) -> None:
    model = backbones.build(name, 8, 1, False)
    images = torch.rand(2, 3, 16, 16)
    output, features = restored(model, images)
    assert features.shape == (2, 8, 16, 16)
    assert torch.equal(output, model(images))
    torch.testing.assert_close(F.conv2d(features, model.tail.weight, model.tail.bias, padding=1), output)
    assert not any(layer._forward_pre_hooks for layer in model.modules()), "nothing is left behind"


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_nobody_here_designed_have_features_and_learn(name: str) -> None:
    torch.manual_seed(0)
    model = NETWORKS[name]()
    strategy = make(model)
    if name in ("twice as large", "resnet10"):
        return  # what they give is of another size than the targets
    template = learner(strategy, model)
    for experience in stream(*(pairs(seed, torch.float32, side=8) for seed in range(2))):
        template.learn(experience)
    assert all(value.isfinite().all() for value in model.state_dict().values() if value.is_floating_point())


@pytest.mark.parametrize(("width", "reduction", "channels"), [(16, 4, 4), (64, 4, 16), (9, 2, 4), (4, 8, 1)])
def test_features_are_projected_to_a_share_of_their_channels(width: int, reduction: int, channels: int) -> None:
    strategy = make(backbones.build("resnet", width, 1, False), reduction=reduction)
    sizes = [tuple(layer.weight.shape) for layer in strategy.autoencoder if isinstance(layer, nn.Conv2d)]
    assert sizes == [(channels, width, 1, 1), (channels, channels, 3, 3), (width, channels, 3, 3)]


def test_what_cannot_work_is_a_clear_error() -> None:
    with pytest.raises(UserError, match=r"kr matches .* Linear runs no nn\.Conv2d.*backbone"):
        make(nn.Linear(32, 32))
    with pytest.raises(UserError, match=r"kr\.patches = 2 .*3 tasks.*Use 3 at least"):
        make(network(), patches=2)


def test_a_resumed_strategy_goes_on_bit_for_bit_and_needs_its_autoencoder(tmp_path: Path) -> None:
    experiences = stream(*TASKS)
    model = network().float()
    strategy = make(model)
    template = learner(strategy, model)
    for experience in experiences[:2]:
        template.learn(experience)
    save_checkpoint(tmp_path / "checkpoint", model, strategy)
    template.learn(experiences[2])

    ends = []
    for forgets in (False, True):
        twin = network().float()
        resumed = make(twin)
        fresh = copy.deepcopy(resumed.autoencoder)
        load_checkpoint(tmp_path / "checkpoint", twin, resumed)
        if forgets:
            resumed.autoencoder = fresh
        learner(resumed, twin).learn(experiences[2])
        ends.append(twin.state_dict())
        assert same_bits(strategy.state(), resumed.state()) != forgets
    assert same_bits(model.state_dict(), ends[0])
    assert not same_bits(model.state_dict(), ends[1])

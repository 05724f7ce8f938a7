"""Rehearsal, replay and A-GEM: what is stored, what a batch is made of, and which gradients are projected."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avalanche.training.plugins import AGEMPlugin
from made_stream import BATCH, UPDATES, Witness, learner, loss_and_gradient, network, pairs, stream
from torch import Tensor, nn

from baselines.finetune import Finetune
from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from benchmark.core.images import to_float
from benchmark.engine.checkpoints import load_checkpoint, save_checkpoint
from benchmark.engine.ledger import storage
from benchmark.planning import plan
from benchmark.streams.build import build
from strategies.agem import AGEM
from strategies.base import Settings, Strategy
from strategies.der import DER, DERpp
from strategies.gem import GEM
from strategies.rehearsal import StoredPatches, gradient, set_gradient
from strategies.replay import Replay

KINDS = [Replay, AGEM, GEM, DER, DERpp]
TASKS = [pairs(seed, torch.float32) for seed in range(3)]


def make(kind: type[Strategy], **settings: Any) -> Any:
    return kind(kind.Settings(**settings))


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def test_the_room_is_shared_equally_and_each_tasks_first_patches_are_kept() -> None:
    store = StoredPatches(10)
    for label, counts in enumerate([[10], [5, 5], [3, 3, 3]]):
        store.add(label, TASKS[label])
        assert store.labels.bincount().tolist() == counts
    for label in range(3):
        kept = store.degraded[store.labels == label]
        assert torch.equal(kept, torch.stack([degraded for degraded, _ in TASKS[label][:3]]))
    few = StoredPatches(1000)
    few.add(0, TASKS[0])
    few.add(1, TASKS[1])
    assert len(few) == 2 * UPDATES * BATCH, "a task may have fewer patches than its share"


@pytest.mark.slow
def test_patches_of_every_task_come_back_to_the_bit() -> None:
    (config,) = plan("finetune", "four_tasks", "smoke", "0", None, None, None, [])
    train = build(config).scenario.train_stream
    store = StoredPatches(48)
    for label, experience in enumerate(train):
        store.add(label, experience.dataset)
    seen = set()
    for degraded, clean, label in zip(*store.draw(400, generator("any")), strict=True):
        number = int(label)
        matches = [
            k
            for k in range(12)
            if torch.equal(degraded, train[number].dataset[k][0]) and torch.equal(clean, train[number].dataset[k][1])
        ]
        assert len(matches) == 1
        seen.add((number, matches[0]))
    assert len(seen) > 40
    stored = storage({}, store.state())
    assert stored.exemplar_bytes == stored.bytes == 48 * (3 * 16 * 16 * (4 + 1) + 8), "float32, 8 bits, and a label"
    assert stored.parameters == stored.mask_bytes == 0


def test_all_256_levels_of_a_clean_patch_are_exact() -> None:
    levels = torch.from_numpy(to_float(np.arange(256, dtype=np.uint8))).reshape(1, 16, 16)
    store = StoredPatches(1)
    store.add(0, [(levels, levels)])
    assert torch.equal(store.draw(1, generator("any"))[1][0], levels)


def test_every_stored_patch_is_as_likely_as_any_other_and_the_address_decides() -> None:
    store = StoredPatches(9)
    for label in range(3):
        store.add(label, TASKS[label])
    degraded, _, _ = store.draw(9000, generator("a"))
    counts = [int((degraded == patch).flatten(1).all(1).sum()) for patch in store.degraded]
    assert sum(counts) == 9000
    assert all(abs(count - 1000) < 150 for count in counts)  # five standard deviations
    assert torch.equal(store.draw(9000, generator("a"))[0], degraded)
    assert not torch.equal(store.draw(9000, generator("b"))[0], degraded)


def test_patches_of_one_task_alone_can_be_drawn_and_none_else() -> None:
    store = StoredPatches(9)
    for label in range(3):
        store.add(label, TASKS[label])
    for label in range(3):
        degraded, clean, labels = store.draw(60, generator("a"), label)
        own = [index for index in range(len(store)) if store.labels[index] == label]
        places = [int((store.degraded == patch).flatten(1).all(1).nonzero()) for patch in degraded]
        assert set(places) == set(own), "all of them occur"
        assert labels.tolist() == [label] * 60
        assert torch.equal(clean, store.clean[places].float() / 255)


def test_what_is_kept_of_earlier_tasks_is_told() -> None:
    store = StoredPatches(6)
    assert store.add(0, TASKS[0]) == []
    assert store.add(1, TASKS[1]) == [0, 1, 2]
    assert store.add(2, TASKS[2]) == [0, 1, 3, 4]


def test_without_targets_nothing_clean_is_stored() -> None:
    store, other = StoredPatches(4, targets=False), StoredPatches(4, targets=False)
    store.add(0, TASKS[0])
    store.add(1, TASKS[1])
    assert set(store.state()) == {"exemplars.degraded", "exemplars.labels"}
    other.load_state(store.state())
    assert same_bits(other.state(), store.state())
    assert torch.equal(other.degraded[2:], torch.stack([degraded for degraded, _ in TASKS[1][:2]]))


@pytest.mark.parametrize("kind", KINDS)
def test_too_few_patches_for_the_stream_is_a_clear_error(kind: type[Strategy]) -> None:
    with pytest.raises(UserError, match=rf"{kind.name}\.patches = 3 .*4 tasks.*Use 4 at least"):
        make(kind, patches=3).adapt(nn.Identity(), 4)
    backbone = nn.Identity()
    assert make(kind, patches=4).adapt(backbone, 4) is backbone


def test_replay_joins_as_many_old_patches_to_every_batch_of_new_ones() -> None:
    strategy, model, witness = make(Replay, patches=8), network().float(), Witness()
    template = learner(strategy, model, witness)
    batches = []
    for number, experience in enumerate(stream(*TASKS)):
        store = strategy.stored.state()
        template.learn(experience)
        assert len(witness.steps) == UPDATES
        for update, step in enumerate(witness.steps):
            degraded, clean, labels = step.batch
            new = TASKS[number][update * BATCH : (update + 1) * BATCH]
            assert torch.equal(degraded[:BATCH], torch.stack([patch for patch, _ in new]))
            assert torch.equal(clean[:BATCH], torch.stack([patch for _, patch in new]))
            assert labels.tolist()[:BATCH] == [number] * BATCH
            assert len(degraded) == len(clean) == len(labels) == (2 * BATCH if number else BATCH)
            for patch, target, label in zip(degraded[BATCH:], clean[BATCH:], labels[BATCH:], strict=True):
                (index,) = (store["exemplars.degraded"] == patch).flatten(1).all(1).nonzero().flatten().tolist()
                assert torch.equal(target, store["exemplars.clean"][index].float() / 255)
                assert label == store["exemplars.labels"][index] < number
            loss, gradient = loss_and_gradient(model, step.before, step.batch)
            torch.testing.assert_close(step.loss, loss)
            torch.testing.assert_close(step.gradient, gradient, rtol=1e-4, atol=1e-6)
            batches.append(labels.tolist())
    assert {0, 1} <= {label for batch in batches[-UPDATES:] for label in batch[BATCH:]}


def test_agem_projects_exactly_the_gradients_that_would_raise_the_loss_on_stored_patches() -> None:
    strategy, model, witness = make(AGEM, patches=8), nn.Conv2d(3, 3, 1), Witness()
    nn.init.dirac_(model.weight)  # between tasks 0 and 2, which want the image, and task 1, which wants its negative
    model.weight.data *= 0.3
    template = learner(strategy, model, witness)
    cases = []
    for number, experience in enumerate(stream(*TASKS)):
        old = StoredPatches(8)
        if number:
            old.load_state(strategy.stored.state())
        template.learn(experience)
        assert len(witness.steps) == UPDATES
        for update, step in enumerate(witness.steps):
            assert len(step.batch[0]) == BATCH
            own = loss_and_gradient(model, step.before, step.batch)[1]
            given, g = flat(step.gradient), flat(own)
            if number == 0:
                torch.testing.assert_close(given, g, rtol=1e-4, atol=1e-6)
                continue
            batch = old.draw(BATCH, generator("agem", 0, number, update))
            g_ref = flat(loss_and_gradient(model, step.before, batch)[1])
            product = float(g @ g_ref)
            expected = g - product / float(g_ref @ g_ref) * g_ref if product < 0 else g
            torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-6)
            assert float(given @ g_ref) >= -1e-5 * float(g.norm() * g_ref.norm())
            cases.append(product < 0)
    assert 0 < sum(cases) < len(cases), "both cases occurred"


def test_agem_ends_with_the_same_bits_as_avalanches_plugin_on_the_same_batches() -> None:
    class Avalanches(AGEM):
        """Avalanche's projection, with batches of our stored patches."""

        def before_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
            self.plugin = AGEMPlugin(patterns_per_experience=1, sample_size=0)
            self.plugin.buffers = [self.stored] if len(self.stored) else []
            self.plugin.buffer_dliter = self.batches(template)

        def batches(self, template: Any) -> Iterator[list[Tensor]]:
            while True:
                address = (template.experience.current_experience, template.clock.train_exp_iterations)
                yield self.stored.draw(template.train_mb_size, generator("agem", self.seed, *address))

        def before_training_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
            self.plugin.before_training_iteration(template)

        def after_backward(self, template: Any, *args: Any, **kwargs: Any) -> None:
            before = [parameter.grad.clone() for parameter in template.model.parameters()]
            self.plugin.after_backward(template)
            after = [parameter.grad for parameter in template.model.parameters()]
            projected.append(any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))

    projected: list[bool] = []
    ends = []
    for kind in (AGEM, Avalanches):
        model = nn.Conv2d(3, 3, 1)
        nn.init.dirac_(model.weight)
        nn.init.zeros_(model.bias)
        model.weight.data *= 0.3
        template = learner(make(kind, patches=8), model)
        for experience in stream(*TASKS):
            template.learn(experience)
        ends.append(model.state_dict())
    assert any(projected)
    assert same_bits(*ends)


def flat(gradient: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in gradient.values()])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_task_is_learned_as_without_stored_patches(kind: type[Strategy]) -> None:
    rehearsing, plain = network().float(), network().float()
    (experience,) = stream(TASKS[0])
    learner(make(kind), rehearsing).learn(experience)
    learner(Finetune(Settings()), plain).learn(experience)
    assert same_bits(rehearsing.state_dict(), plain.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_strategy_goes_on_bit_for_bit(kind: type[Strategy], tmp_path: Path) -> None:
    experiences = stream(*TASKS)
    strategy, model = make(kind, patches=7), network().float()
    template = learner(strategy, model)
    for experience in experiences[:2]:
        template.learn(experience)
    save_checkpoint(tmp_path / "checkpoint", model, strategy)
    template.learn(experiences[2])

    resumed, twin = make(kind, patches=7), network().float()
    load_checkpoint(tmp_path / "checkpoint", twin, resumed)
    learner(resumed, twin).learn(experiences[2])
    assert same_bits(model.state_dict(), twin.state_dict())
    assert same_bits(strategy.state(), resumed.state())

    forgetful, other = make(kind, patches=7), network().float()
    load_checkpoint(tmp_path / "checkpoint", other, make(kind, patches=7))
    learner(forgetful, other).learn(experiences[2])
    assert not same_bits(model.state_dict(), other.state_dict()), "what is stored makes a difference"


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_rehearses_other_patches(kind: type[Strategy]) -> None:
    results = []
    for seed in (0, 0, 1):
        strategy, model = kind(kind.Settings(), seed), network().float()
        template = learner(strategy, model)
        for experience in stream(*TASKS[:2]):
            template.learn(experience)
        results.append(model.state_dict())
    assert same_bits(results[0], results[1])
    assert not same_bits(results[0], results[2])


class Skipping(nn.Module):
    """Two layers of one size, of which a pass uses one; and one that no pass uses."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(3))
        self.turn = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[self.turn](x)


def test_gradients_of_passes_that_skip_layers_are_told_apart() -> None:
    model, found = Skipping(), []
    for model.turn in range(2):
        model.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        found.append(gradient(model))
    assert found[0].tolist() == [1.0] * 4 + [0.0] * 8
    assert found[1].tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 4
    set_gradient(model, found[1] - 0.5 * found[0])
    assert model.layers[0].weight.grad.tolist() == [[-0.5, -0.5]] * 2
    assert model.layers[1].weight.grad.tolist() == [[1.0, 1.0]] * 2
    assert model.layers[2].weight.grad is None, "what no pass uses is left alone"

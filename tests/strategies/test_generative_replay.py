"""The generator of patches, and deep generative replay: what it learns from, what is rehearsed, what is kept."""

import copy
import warnings
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from made_stream import BATCH, UPDATES, Witness, learner, loss_and_gradient, network, pairs, stream, weights
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from baselines.finetune import Finetune
from benchmark.core.addresses import torch_seed
from benchmark.engine.ledger import storage
from strategies.base import Settings
from strategies.generative_replay import GenerativeReplay
from strategies.generator import RATE, GeneratedRehearsalSettings, PatchVAE, interleaved

TASKS = [pairs(seed, torch.float32) for seed in range(3)]


def make(**settings: Any) -> GenerativeReplay:
    return GenerativeReplay(GeneratedRehearsalSettings(**{"width": 4, **settings}))


def numbers(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def at(task: int, update: int) -> torch.Generator:
    """The numbers of an update of a run with seed 0."""
    return numbers(torch_seed("generator", 0, task, update))


class Generators(SupervisedPlugin):
    """Keeps the generator's weights before every update of a task, and after the last."""

    def __init__(self, strategy: GenerativeReplay) -> None:
        super().__init__()
        self.strategy = strategy
        self.kept: list[dict[str, Tensor]] = []
        self.dreaming: PatchVAE | None = None

    def before_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        self.kept = [weights(self.strategy.generator)]
        self.dreaming = copy.deepcopy(self.strategy.earlier)

    def after_training_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        self.kept.append(weights(self.strategy.generator))


@pytest.mark.parametrize("side", [(8, 8), (16, 24), (5, 13), (1, 1)])
def test_patches_of_every_size_are_generated_by_address(side: tuple[int, int]) -> None:
    torch.manual_seed(0)
    generator, like = PatchVAE(4), torch.empty(3, 3, *side)
    made = generator.sample(like, numbers(1))
    assert made.shape == like.shape
    assert made.isfinite().all()
    assert not made.requires_grad
    assert torch.equal(made, generator.sample(like, numbers(1)))
    assert not torch.equal(made, generator.sample(like, numbers(2)))
    assert not torch.equal(made[0], made[1])
    assert generator.bound(torch.rand(like.shape), numbers(1)).shape == (3,)


def test_what_the_generator_minimises_is_the_evidence_lower_bound() -> None:
    torch.manual_seed(0)
    generator, patches = PatchVAE(6).double(), torch.rand(2, 3, 11, 9).double()
    posterior = Normal(*generator.encode(patches))
    draws = torch.randn(posterior.mean.shape, generator=numbers(5), dtype=torch.float64)
    likelihood = Normal(*generator.decode(posterior.mean + posterior.stddev * draws, 11, 9))
    divergence = kl_divergence(posterior, Normal(torch.zeros(()).double(), torch.ones(()).double()))
    expected = divergence.flatten(1).sum(1) - likelihood.log_prob(patches).flatten(1).sum(1)
    constant = torch.log(torch.tensor(2 * torch.pi).double()) / 2
    torch.testing.assert_close(generator.bound(patches, numbers(5)), expected / (3 * 11 * 9) - constant)


def test_the_generator_learns_level_and_noise_of_patches() -> None:
    torch.manual_seed(0)
    generator, rng = PatchVAE(8), numbers(0)
    steps = torch.optim.Adam(generator.parameters(), 0.01)
    for _ in range(150):
        patches = 0.3 + 0.1 * torch.randn(4, 3, 16, 16, generator=rng)
        steps.zero_grad()
        generator.bound(patches, rng).mean().backward()
        steps.step()
    made = generator.sample(torch.empty(64, 3, 16, 16), rng)
    assert abs(made.mean() - 0.3) < 0.05
    assert abs(made.std() - 0.1) < 0.03
    assert abs((made[..., 1:] - made[..., :-1]).std() - 0.1 * 2**0.5) < 0.04, "white, as it was"


@pytest.mark.parametrize("r", [None, 0.2])
def test_batches_losses_and_gradients_are_those_of_the_formula(r: float | None) -> None:
    strategy, model, witness = make(r=r), network().float(), Witness()
    generators = Generators(strategy)
    template = learner(strategy, model, witness, generators)
    for number, experience in enumerate(stream(*TASKS)):
        teacher = copy.deepcopy(model).eval()
        template.learn(experience)
        assert len(witness.steps) == UPDATES
        share = r or 1 / (number + 1)
        for update, step in enumerate(witness.steps):
            degraded, clean, labels = step.batch
            rows = slice(None, None, 2 if number else 1)
            own = TASKS[number][update * BATCH : (update + 1) * BATCH]
            assert torch.equal(degraded[rows], torch.stack([patch for patch, _ in own]))
            assert torch.equal(clean[rows], torch.stack([target for _, target in own]))
            assert len(degraded) == len(clean) == len(labels) == (2 * BATCH if number else BATCH)
            if not number:
                continue
            assert generators.dreaming is not None
            dreamed = generators.dreaming.sample(degraded[::2], at(number, update))
            assert torch.equal(degraded[1::2], dreamed)
            with torch.no_grad():
                torch.testing.assert_close(clean[1::2], teacher(dreamed))

            def weighed(_: Any, outputs: Tensor, clean: Tensor = clean, share: float = share) -> Tensor:
                """What makes of the mean over the batch, which the reference begins with, the weighed one."""
                errors = ((outputs - clean) ** 2).flatten(1).mean(1)
                return share * errors[::2].mean() + (1 - share) * errors[1::2].mean() - errors.mean()

            loss, gradient = loss_and_gradient(model, step.before, step.batch, weighed)
            torch.testing.assert_close(step.loss, loss)
            torch.testing.assert_close(step.gradient, gradient, rtol=1e-4, atol=1e-6)
        assert strategy.earlier is None, "the copy goes when the task is learned"


@pytest.mark.parametrize(("share", "changed"), [(1.0, [1, 1, 1, 1, 1]), (0.4, [0, 0, 1, 0, 1]), (0.1, [0] * 5)])
def test_the_generator_learns_in_its_share_of_the_updates(share: float, changed: list[int]) -> None:
    strategy = make(generator_updates=share)
    generators = Generators(strategy)
    template = learner(strategy, network().float(), generators)
    for experience in stream(*TASKS[:2]):
        template.learn(experience)
        between = zip(generators.kept, generators.kept[1:], strict=False)
        assert [int(any(not torch.equal(a[k], b[k]) for k in a)) for a, b in between] == changed


@pytest.mark.parametrize(("share", "told"), [(0.9 / UPDATES, 1), (1 / UPDATES, 0)])
def test_that_the_generator_has_no_update_is_told(share: float, told: int) -> None:
    template = learner(make(generator_updates=share), network().float())
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        template.learn(stream(*TASKS)[0])
    assert sum("generator_updates = " in str(one.message) for one in found) == told


def test_the_generator_learns_from_new_patches_and_from_its_own_of_before() -> None:
    """One update in a task, the last: Adam's first step follows from the gradient alone."""
    strategy = make(generator_updates=1 / UPDATES, r=0.3)
    generators, witness = Generators(strategy), Witness()
    template = learner(strategy, network().float(), witness, generators)
    for number, experience in enumerate(stream(*TASKS[:2])):
        template.learn(experience)
        patches, rng = witness.steps[-1].batch[0], at(number, UPDATES - 1)
        reference = copy.deepcopy(strategy.generator)
        reference.load_state_dict(generators.kept[0])
        if number:
            assert generators.dreaming is not None
            new, old = patches[::2], generators.dreaming.sample(patches[::2], rng)
            bounds = reference.bound(interleaved(new, old), rng)
            loss = 0.3 * bounds[::2].mean() + 0.7 * bounds[1::2].mean()
        else:
            loss = reference.bound(patches, rng).mean()
        rate = RATE * (1 + torch.cos(torch.tensor(torch.pi * (UPDATES - 1) / UPDATES))) / 2
        for name, value in reference.named_parameters():
            (slope,) = torch.autograd.grad(loss, value, retain_graph=True)
            step = rate * slope / (slope.abs() + 1e-8)
            torch.testing.assert_close(generators.kept[-1][name], (value - step).detach(), rtol=1e-4, atol=1e-6)


def test_the_first_task_is_plain_training_to_the_bit() -> None:
    ends = []
    for strategy in (Finetune(Settings()), make()):
        model = network().float()
        learner(strategy, model).learn(stream(*TASKS)[0])
        ends.append(weights(model))
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_rehearsal_keeps_what_plain_training_forgets() -> None:
    """With a generator that dreams well, so that this is about the rehearsal: on its own first patches."""
    away = []
    for r in (1.0, 0.5):
        strategy, model = make(r=r), network().float()
        template = learner(strategy, model)
        experiences = stream(*TASKS)
        template.learn(experiences[0])
        dreams = torch.stack([patch for patch, _ in TASKS[0][:BATCH]])
        strategy.generator.sample = lambda like, rng, dreams=dreams: dreams
        before = copy.deepcopy(model).eval()(dreams).detach()
        template.learn(experiences[1])
        away.append(float((model.eval()(dreams).detach() - before).square().mean()))
    assert away[1] < 0.5 * away[0]


def test_only_the_generator_is_stored_whatever_was_learned() -> None:
    strategy, model = make(width=6), network().float()
    template = learner(strategy, model)
    encoder = (3 * 6 * 9 + 6) + 2 * (6 * 6 * 9 + 6) + (6 * 6 + 6)
    decoder = (3 * 24 * 9 + 24) + (6 * 24 * 9 + 24) + (6 * 24 * 9 + 24)
    for experience in stream(*TASKS):
        template.learn(experience)
        stored = storage({}, strategy.state())
        assert stored.bytes == 4 * stored.parameters == 4 * (encoder + decoder)
        assert stored.exemplar_bytes == stored.mask_bytes == 0
    other = make(width=6)
    other.load_state({name: value.clone() for name, value in strategy.state().items()})
    like = torch.empty(2, 3, 8, 8)
    assert torch.equal(other.generator.sample(like, numbers(0)), strategy.generator.sample(like, numbers(0)))


@pytest.mark.parametrize("wrong", [{"r": 0}, {"r": 1.5}, {"width": 1}, {"generator_updates": 0}, {"dream": 1}])
def test_settings_outside_their_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make(**wrong)

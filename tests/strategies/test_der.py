"""DER and DER++: what is stored, and the loss, against sums made by hand."""

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from made_stream import BATCH, UPDATES, Weights, Witness, learner, loss_and_gradient, network, pairs, stream
from torch import Tensor, nn

from baselines.finetune import Finetune
from benchmark.core.addresses import generator
from benchmark.engine.ledger import storage
from strategies.base import Settings, Strategy
from strategies.der import DER, DERpp
from strategies.replay import Replay

TASKS = [pairs(seed, torch.float32) for seed in range(3)]


def make(kind: type[Strategy], **settings: Any) -> Any:
    return kind(kind.Settings(**settings))


def plain() -> nn.Sequential:
    """Two convolutions without normalisation, so that patches of a batch do not see each other."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 3, padding=1))


def after(strategy: Strategy, model: nn.Module, tasks: int = 3) -> dict[str, Tensor]:
    template = learner(strategy, model)
    for experience in stream(*TASKS[:tasks]):
        template.learn(experience)
    return model.state_dict()


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def test_outputs_are_those_of_the_network_at_the_end_of_the_patchs_task() -> None:
    strategy, model = make(DER, patches=7), network().float()
    template = learner(strategy, model)
    then: list[Tensor] = []
    for number, experience in enumerate(stream(*TASKS)):
        template.learn(experience)
        share = 7 // (number + 1)
        learned = copy.deepcopy(model).eval()
        with torch.no_grad():
            then.append(torch.stack([learned(degraded[None])[0] for degraded, _ in TASKS[number][:share]]))
        state = strategy.state()
        torch.testing.assert_close(state["exemplars.outputs"], torch.cat([outputs[:share] for outputs in then]))
        expected = torch.cat([torch.stack([patch for patch, _ in task[:share]]) for task in TASKS[: number + 1]])
        assert torch.equal(state["exemplars.degraded"], expected), "and stand beside their patches"
        assert model.training


@pytest.mark.parametrize("kind", [DER, DERpp])
def test_the_loss_and_its_gradient_are_those_of_the_paper(kind: type[Strategy]) -> None:
    settings = {"alpha": 0.7, "beta": 0.4} if kind is DERpp else {"alpha": 0.7}
    strategy, model, witness = make(kind, patches=7, **settings), network().float(), Witness()
    template = learner(strategy, model, witness)
    drawn = set()

    def distance(parameters: Weights, chosen: np.ndarray, wanted: Tensor) -> Tensor:
        restored = torch.func.functional_call(copy.deepcopy(model), parameters, (store["exemplars.degraded"][chosen],))
        drawn.update(chosen.tolist())
        return sum(
            (one - z).square().sum() / z.numel() / BATCH for one, z in zip(restored, wanted[chosen], strict=True)
        )

    def rehearsed(number: int, update: int, parameters: Weights, _: Tensor) -> Tensor:
        """With the memory that the loop below has set."""
        if not number:
            return torch.zeros(())
        count = len(store["exemplars.labels"])
        chosen = generator("der", 0, number, update).integers(count, size=BATCH)
        total = 0.7 * distance(parameters, chosen, store["exemplars.outputs"])
        if kind is DERpp:
            chosen = generator("replay", 0, number, update).integers(count, size=BATCH)
            total = total + 0.4 * distance(parameters, chosen, store["exemplars.clean"] / 255)
        return total

    for number, experience in enumerate(stream(*TASKS)):
        store = strategy.state()
        template.learn(experience)
        assert len(witness.steps) == UPDATES
        for update, step in enumerate(witness.steps):
            assert len(step.batch[0]) == BATCH
            loss, gradient = loss_and_gradient(model, step.before, step.batch, partial(rehearsed, number, update))
            torch.testing.assert_close(step.loss, loss)
            torch.testing.assert_close(step.gradient, gradient, rtol=1e-4, atol=1e-6)
    assert len(drawn) > BATCH


def test_without_weights_both_are_plain_training_to_the_bit_and_with_them_they_are_not() -> None:
    expected = after(Finetune(Settings()), network().float())
    assert same_bits(after(make(DER, alpha=0), network().float()), expected)
    assert same_bits(after(make(DERpp, alpha=0, beta=0), network().float()), expected)
    changed = [after(make(DER), network().float()), after(make(DERpp, alpha=0), network().float())]
    assert not any(same_bits(one, expected) for one in changed)
    assert not same_bits(*changed)


def test_derpp_without_beta_is_der_to_the_bit() -> None:
    der, derpp = make(DER, alpha=0.6), make(DERpp, alpha=0.6, beta=0)
    assert same_bits(after(der, network().float()), after(derpp, network().float()))
    assert same_bits(der.state(), derpp.state())


def test_beta_alone_is_twice_the_loss_of_replay_on_the_same_patches() -> None:
    strategy, model, witness = make(DERpp, patches=7, alpha=0, beta=1), plain(), Witness()
    replay, twin, other = make(Replay, patches=7), plain(), Witness()
    template, beside = learner(strategy, model, witness), learner(replay, twin, other)
    for number, experience in enumerate(stream(*TASKS)):
        store = copy.deepcopy(strategy.stored)
        template.learn(experience)
        beside.learn(experience)
        if number == 0:
            assert same_bits(model.state_dict(), twin.state_dict())
            continue
        for update, step in enumerate(witness.steps):
            old = store.draw(BATCH, generator("replay", 0, number, update))
            joined = [torch.cat(parts) for parts in zip(step.batch, old, strict=True)]
            assert all(map(torch.equal, joined, other.steps[update].batch)), "the very batch of replay"
            loss, gradient = loss_and_gradient(model, step.before, joined)
            torch.testing.assert_close(step.loss, 2 * loss)
            torch.testing.assert_close(step.gradient, {k: 2 * v for k, v in gradient.items()}, rtol=1e-4, atol=1e-6)
        if number == 1:  # until here the weights are the same, too
            torch.testing.assert_close(witness.steps[0].loss, 2 * other.steps[0].loss)


@pytest.mark.parametrize("kind", [DER, DERpp])
def test_the_ledger_counts_patches_targets_outputs_and_labels(kind: type[Strategy]) -> None:
    strategy = make(kind, patches=8)
    after(strategy, plain(), tasks=2)
    stored = storage({}, strategy.state())
    assert stored.exemplar_bytes == stored.bytes == 8 * (3 * 6 * 6 * (4 + 1 + 4) + 8)
    assert stored.parameters == stored.mask_bytes == 0

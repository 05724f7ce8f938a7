"""Learning rates of what strategies train beside the network: they fall as half a cosine, step by step."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from made_stream import UPDATES, learner, network, pairs, stream
from torch.optim.optimizer import register_optimizer_step_pre_hook

from benchmark.backbones.resnet import ResNet
from strategies.cmc.strategy import CMC
from strategies.cpg.strategy import CPG
from strategies.generative_replay import GenerativeReplay
from strategies.generator import RATE
from strategies.kr import AUTOENCODER_RATE, KnowledgeReplay

Rates = list[list[float]]


def falling(rate: float, steps: int) -> Any:
    return pytest.approx([rate * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)])


@pytest.fixture
def rates() -> Iterator[Rates]:
    """The rates of every optimizer that has made a step, in the order of their first."""
    seen: dict[torch.optim.Optimizer, list[float]] = {}
    found: Rates = []

    def note(optimizer: torch.optim.Optimizer, *_: object) -> None:
        if optimizer not in seen:
            found.append(seen.setdefault(optimizer, []))
        (group,) = optimizer.param_groups
        seen[optimizer].append(group["lr"])

    hook = register_optimizer_step_pre_hook(note)
    yield found
    hook.remove()


def test_cmc_learns_from_later_tasks_at_a_rate_that_falls(rates: Rates) -> None:
    strategy = CMC(CMC.Settings(fraction=0.2, backward=8))
    template = learner(strategy, strategy.adapt(network(), 2))
    for experience in stream(pairs(0), pairs(2)):
        template.learn(experience)
    first, second, backward = rates
    assert first == second == [0.02] * UPDATES
    assert backward == falling(0.02, UPDATES)


def test_the_autoencoder_of_knowledge_replay_learns_at_a_rate_that_falls(rates: Rates) -> None:
    model = network().float()
    strategy = KnowledgeReplay(KnowledgeReplay.Settings(patches=4, autoencoder_updates=7))
    template = learner(strategy, strategy.adapt(model, 2))
    for experience in stream(*(pairs(seed, torch.float32) for seed in range(2))):
        template.learn(experience)
    assert rates[0] == rates[2] == [0.02] * UPDATES
    assert rates[1] == falling(AUTOENCODER_RATE, 7)
    assert rates[3] == falling(AUTOENCODER_RATE, 7)


def test_a_generator_of_patches_learns_at_the_rate_of_the_tasks_updates_that_it_takes_part_in(rates: Rates) -> None:
    strategy = GenerativeReplay(GenerativeReplay.Settings(width=4, generator_updates=0.4))
    template = learner(strategy, strategy.adapt(network().float(), 2))
    for experience in stream(*(pairs(seed, torch.float32) for seed in range(2))):
        template.learn(experience)
    every = [RATE * (1 + math.cos(math.pi * update / UPDATES)) / 2 for update in range(UPDATES)]
    taken = pytest.approx([every[2], every[4]])
    assert [one for one in rates if len(one) == 2] == [taken, taken]


def test_the_network_that_sets_the_goal_of_cpg_learns_at_the_rate_of_the_one_beside_it(rates: Rates) -> None:
    strategy = CPG(CPG.Settings(grow=0))
    template = learner(strategy, strategy.adapt(ResNet(width=4, blocks=1), 2))
    template.training_settings = template.training_settings.model_copy(update={"schedule": "cosine"})
    template.learn(stream(pairs(0, torch.float32))[0])
    assert rates == [falling(0.02, UPDATES)] * 2

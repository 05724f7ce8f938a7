"""How a task is trained: which rate and which patches every update has, when all is saved, and an early end."""

import math
from typing import Any

import pytest
import torch
from avalanche.core import SupervisedPlugin
from made_stream import BATCH, UPDATES, Pairs, Witness, network, pairs, stream

from baselines.finetune import Finetune
from benchmark.config import Training
from benchmark.engine import template as module
from benchmark.engine.state import State
from benchmark.engine.template import RestorationTemplate
from strategies.base import Settings
from strategies.state import to_state

RATE = 0.02


def made(*plugins: SupervisedPlugin, **settings: Any) -> RestorationTemplate:
    """A template that learns made tasks with plain training."""
    given = {"updates_per_epoch": UPDATES, "batch_size": BATCH, "patch_size": 8, "learning_rate": RATE, **settings}
    return RestorationTemplate(
        model=network(),
        strategy=Finetune(Settings()),
        training=Training(**given),
        device=torch.device("cpu"),
        plugins=plugins,
    )


def several(epochs: int, first: int = 0) -> Pairs:
    """The patches of so many epochs, all different."""
    return [pair for epoch in range(epochs) for pair in pairs(first + epoch)]


class Rates(SupervisedPlugin):
    """Keeps the rate that every update is made with."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def before_update(self, template: Any, *args: Any, **kwargs: Any) -> None:
        (group,) = template.optimizer.param_groups
        self.seen.append(group["lr"])


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_a_rate_falls_as_half_a_cosine_at_every_update_of_all_that_is_learned_together(budget: int) -> None:
    rates = Rates()
    made(rates, epochs=2, schedule="cosine").learn(stream(several(2 * budget))[0], budget)
    falling = [RATE * (1 + math.cos(math.pi * update / (2 * UPDATES))) / 2 for update in range(2 * UPDATES)]
    assert rates.seen == pytest.approx([rate for rate in falling for _ in range(budget)])


@pytest.mark.parametrize("budget", [1, 2])
def test_a_rate_is_halved_after_so_many_epochs_of_every_task_learned_together(budget: int) -> None:
    rates = Rates()
    made(rates, epochs=5, schedule="halving", halve_every=2).learn(stream(several(5 * budget))[0], budget)
    by_epoch = [RATE, RATE, RATE / 2, RATE / 2, RATE / 4]
    assert rates.seen == [rate for rate in by_epoch for _ in range(budget * UPDATES)]


def test_every_task_starts_at_the_full_rate() -> None:
    rates = Rates()
    template = made(rates, epochs=1, schedule="cosine")
    for experience in stream(several(1), several(1, first=1)):
        template.learn(experience)
    assert len(rates.seen) == 2 * UPDATES
    assert rates.seen[0] == rates.seen[UPDATES] == RATE
    assert rates.seen[:UPDATES] == rates.seen[UPDATES:]


class Anew(SupervisedPlugin):
    """Makes the optimizer anew with an epoch's last update; keeps the rate at the end of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def after_training_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        if template.clock.train_exp_iterations + 1 == UPDATES:  # the clock counts after all plugins
            template.make_optimizer()

    def after_training_epoch(self, template: Any, *args: Any, **kwargs: Any) -> None:
        self.seen.append(template.optimizer.param_groups[0]["lr"])


def test_what_goes_on_at_the_end_of_an_epoch_has_the_rate_that_it_had_there(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut, states = Anew(), Anew(), []
    monkeypatch.setattr(RestorationTemplate, "save_is_due", lambda _: True)
    template, (experience,) = made(whole, epochs=2, schedule="cosine"), stream(several(2))

    def save() -> None:
        tensors, place = template.progress()
        states.append(State(tensors | to_state("model", template.model.state_dict()), place))

    template.learn(experience, save=save)
    for state in states:
        cut.seen.clear()
        made(cut, epochs=2, schedule="cosine").learn(experience, saved=state)
        assert cut.seen == whole.seen[state.note["epochs"] :], state.note
    assert whole.seen[0] == RATE


def test_every_epoch_has_its_own_patches_in_their_order() -> None:
    witness, given = Witness(), several(3)
    made(witness, epochs=3).learn(stream(given)[0])
    for place in (0, 1):
        seen = torch.cat([step.batch[place] for step in witness.steps])
        assert torch.equal(seen, torch.stack([pair[place] for pair in given]))
    assert len(witness.steps) == 3 * UPDATES


class Now:
    """A clock that goes on when it is told to, in place of the module ``time``."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    clock = Now()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.mark.parametrize(("took", "pause"), [(0.0, 60), (0.5, 60), (0.75, 75), (5.0, 500)])
def test_all_is_saved_again_after_the_pause_asked_for_or_a_hundred_times_what_it_took(
    took: float, pause: int, now: Now
) -> None:
    template = made(save_seconds=60)
    now.wait(59.5)
    assert not template.save_is_due()
    now.wait(0.5)
    assert template.save_is_due()
    template.timed(lambda: now.wait(took))
    now.wait(pause - 0.5)
    assert not template.save_is_due()
    now.wait(0.5)
    assert template.save_is_due()


def test_within_an_epoch_all_is_saved_when_it_is_due_and_again_at_its_end(now: Now) -> None:
    class Slow(SupervisedPlugin):
        def after_update(self, *args: Any, **kwargs: Any) -> None:
            now.wait(30)

    template, saved = made(Slow(), epochs=2, save_seconds=60), []
    now.wait(1000)  # what was done before the task does not count
    template.learn(stream(several(2))[0], save=lambda: saved.append(template.progress()[1]["updates"]))
    assert saved == [2, 4, 5, 7, 9, 10]


class Enough(SupervisedPlugin):
    """Ends the training of the first experience after some updates."""

    def __init__(self, updates: int) -> None:
        super().__init__()
        self.updates = updates
        self.epochs = 0

    def after_training_epoch(self, *args: Any, **kwargs: Any) -> None:
        self.epochs += 1

    def after_training_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        first = template.experience.current_experience == 0
        if first and template.clock.train_exp_iterations + 1 == self.updates:  # the clock counts after all plugins
            template.stop_training()


@pytest.mark.parametrize("updates", [UPDATES - 2, UPDATES, 2 * UPDATES])
def test_a_plugin_ends_the_training_of_one_experience_and_the_next_is_learned_in_full(updates: int) -> None:
    enough, witness = Enough(updates), Witness()
    template = made(enough, witness, epochs=3)
    first, second = stream(several(3), several(3, first=3))
    template.learn(first)
    begun = math.ceil(updates / UPDATES)
    assert (len(witness.steps), enough.epochs) == (updates, begun)
    template.learn(second)
    assert (len(witness.steps), enough.epochs) == (3 * UPDATES, begun + 3)

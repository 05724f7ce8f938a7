"""MAS, EWC, SI and LwF against their formulas, computed a second time without the strategies' code."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from avalanche.training.plugins import EWCPlugin, MASPlugin
from made_stream import UPDATES, Witness, learner, loss_and_gradient, network, pairs, stream, weights
from torch import Tensor, nn

from baselines.finetune import Finetune
from benchmark.engine.checkpoints import load_checkpoint, save_checkpoint
from strategies.base import Settings, Strategy
from strategies.ewc import EWC
from strategies.lwf import LwF
from strategies.mas import MAS
from strategies.si import SI
from strategies.trainer import Trainer

CLOSE = {"rtol": 1e-5, "atol": 1e-9, "check_dtype": False}  # Avalanche keeps importances and penalties as float32
ALL = [MAS, EWC, SI, LwF]


def make(kind: type[Strategy], **settings: Any) -> Any:
    return kind(kind.Settings(**settings))


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], **CLOSE)


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def known(strategy: Strategy, prefix: str) -> dict[str, Tensor]:
    state = strategy.state().items()
    return {key.removeprefix(prefix): value.clone() for key, value in state if key.startswith(prefix)}


def quadratic(weight: float, terms: list[tuple[dict[str, Tensor], dict[str, Tensor]]]) -> Any:
    """The penalty ``weight · Σ importance (θ − anchor)²`` over all terms (importance, anchor)."""

    def penalty(parameters: dict[str, Tensor], _: Tensor) -> Any:
        return weight * sum(
            (importance[name] * (parameters[name] - anchor[name]) ** 2).sum()
            for importance, anchor in terms
            for name in parameters
        )

    return penalty


def per_patch(model: nn.Module, samples: int, task: list[tuple[Tensor, Tensor]], of: Any) -> dict[str, Tensor]:
    """The mean of ``of(gradient)`` of the mean-squared error over single patches, in evaluation mode."""
    model = copy.deepcopy(model).eval()
    total = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    for degraded, clean in task[:samples]:
        _, gradient = loss_and_gradient(model, weights(model), [degraded[None], clean[None]])
        for name, value in gradient.items():
            total[name] += of(value) / samples
    return total


def assert_steps_follow(witness: Witness, model: nn.Module, penalty: Any) -> None:
    """Loss and gradient of every update are those of the task's loss plus the penalty, which matters."""
    assert len(witness.steps) == UPDATES
    for step in witness.steps:
        loss, gradient = loss_and_gradient(model, step.before, step.batch, penalty)
        torch.testing.assert_close(step.loss, loss, **CLOSE)
        largest = max(value.abs().max().item() for value in gradient.values())
        for name, value in gradient.items():  # where loss and penalty cancel, what is left has fewer digits
            torch.testing.assert_close(step.gradient[name], value, rtol=0, atol=1e-5 * largest, check_dtype=False)
    alone, _ = loss_and_gradient(model, step.before, step.batch)
    assert step.loss > 1.01 * alone


def linear() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(3, 3, 1, bias=False).double()


def test_mas_importance_of_a_linear_map_is_what_calculus_says() -> None:
    """For f(x) = Wx at every pixel, d(mean ‖f‖²)/dW = 2 W S with S the mean of x xᵀ over the pixels of a patch."""
    tasks = [pairs(0), pairs(1)]
    strategy, model = make(MAS, samples=4), linear()
    template = learner(strategy, model)
    expected = []
    for number, experience in enumerate(stream(*tasks)):
        template.learn(experience)
        matrix = model.weight.detach()[:, :, 0, 0]
        importance = torch.zeros(3, 3).double()
        for degraded, _ in tasks[number][:4]:
            pixels = degraded.flatten(1)
            importance += (2 * matrix @ (pixels @ pixels.T / pixels.shape[1])).abs() / 4
        expected.append(importance)
        mean = torch.stack(expected).mean(0)
        torch.testing.assert_close(known(strategy, "importance.")["weight"][:, :, 0, 0], mean, **CLOSE)
    assert not torch.allclose(expected[0], expected[1], rtol=0.01)


def test_mas_importance_does_not_depend_on_the_area_of_patches() -> None:
    """A patch laid out four times over has four times the area and, for a 1×1 convolution, nothing new."""
    small, model = make(MAS), linear()
    learner(small, model).learn(stream(pairs(0))[0])
    large, tiled_model = make(MAS), linear()
    tiled = [(degraded.repeat(1, 2, 2), clean.repeat(1, 2, 2)) for degraded, clean in pairs(0)]
    learner(large, tiled_model).learn(stream(tiled)[0])
    assert_same(known(small, "importance."), known(large, "importance."))


def test_mas_measures_what_avalanche_does_with_batches_of_one() -> None:
    strategy, model = make(MAS), linear()
    template = learner(strategy, model)
    (experience,) = stream(pairs(0))
    template.learn(experience)
    view = SimpleNamespace(
        model=model, experience=experience, train_mb_size=1, device="cpu", optimizer=template.optimizer
    )
    avalanche = {name: value.data for name, value in MASPlugin()._get_importance(view).items()}
    assert_same(known(strategy, "importance."), avalanche)


def test_mas_adds_its_penalty_to_the_loss() -> None:
    strategy, model, witness = make(MAS, weight=5), network(), Witness()
    template = learner(strategy, model, witness)
    for experience in stream(pairs(0), pairs(1), pairs(2)):
        importance, anchor = known(strategy, "importance."), weights(model)
        template.learn(experience)
    assert_steps_follow(witness, model, quadratic(5, [(importance, anchor)]))


def test_ewc_adds_a_penalty_of_fisher_information_for_every_earlier_task() -> None:
    tasks = [pairs(0), pairs(1), pairs(2)]
    strategy, model, witness = make(EWC, weight=300, samples=4), network(), Witness()
    template = learner(strategy, model, witness)
    terms: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    for number, experience in enumerate(stream(*tasks)):
        template.learn(experience)
        if number == 2:
            assert_steps_follow(witness, model, quadratic(300, terms))
        terms.append((per_patch(model, 4, tasks[number], torch.square), weights(model)))
    for number, (fisher, anchor) in enumerate(terms):
        assert_same(known(strategy, f"fisher.{number}."), fisher)
        assert_same(known(strategy, f"anchor.{number}."), anchor)


@pytest.mark.parametrize("kind", [MAS, EWC])
def test_of_a_task_with_fewer_patches_the_mean_is_over_those_that_there_are(kind: type[Strategy]) -> None:
    states = []
    for samples in (len(pairs(0)), 1000):
        strategy = make(kind, samples=samples)
        learner(strategy, linear()).learn(stream(pairs(0))[0])
        states.append(strategy.state())
    assert same_bits(*states)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "plugin"), [(MAS, MASPlugin(5)), (EWC, EWCPlugin(300))])
def test_avalanches_plugin_with_batches_of_one_ends_with_the_same_weights(kind: type[Strategy], plugin: Any) -> None:
    """On a network without normalisation, since Avalanche's MAS measures in training mode."""

    class Avalanches(Strategy):
        def before_backward(self, trainer: Trainer) -> None:
            plugin.before_backward(trainer)

        def after_training_exp(self, trainer: Trainer) -> None:
            earlier = trainer.experience.current_experience
            plugin.alpha = earlier / (earlier + 1)  # of MAS: all tasks count the same
            batch, trainer.train_mb_size = trainer.train_mb_size, 1
            plugin.after_training_exp(trainer)
            trainer.train_mb_size = batch

    ends = []
    for strategy in (make(kind, weight=5 if kind is MAS else 300), Avalanches(Settings()), Finetune(Settings())):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 3, padding=1)).double()
        template = learner(strategy, model)
        for experience in stream(pairs(0), pairs(1), pairs(2)):
            template.learn(experience)
        ends.append(weights(model))
    ours, theirs, unprotected = ends
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-6)
    assert any(not torch.allclose(value, unprotected[name], rtol=0.1) for name, value in ours.items())


def test_fisher_information_of_whole_batches_would_be_smaller() -> None:
    """Why EWC measures patch by patch: signs cancel within a batch."""
    model, (experience,) = network(), stream(pairs(0))
    plugin, optimizer = EWCPlugin(1), torch.optim.SGD(model.parameters(), lr=1)

    def total(batch_size: int) -> float:
        found = plugin.compute_importances(model, nn.MSELoss(), optimizer, experience.dataset, "cpu", batch_size)
        return sum(value.data.sum().item() for value in found.values())

    assert total(10) < total(2) < total(1)


def test_si_goes_on_along_its_path_on_the_device_where_it_is() -> None:
    strategy = SI(SI.Settings())
    strategy.path = {"weight": torch.zeros(2, device="meta")}
    strategy.load_progress({"path.weight": torch.ones(2)})
    assert strategy.path["weight"].device.type == "meta"
    strategy.path = {"weight": torch.zeros(2)}
    strategy.load_progress({"path.weight": torch.tensor([1.0, 2.0])})
    assert strategy.path["weight"].tolist() == [1, 2]


def test_si_integrates_the_tasks_own_gradient_along_the_path() -> None:
    strategy, model, witness = make(SI, weight=20, damping=0.01), network(), Witness()
    template = learner(strategy, model, witness)
    importance = {name: torch.zeros_like(value) for name, value in weights(model).items()}
    for experience in stream(pairs(0), pairs(1), pairs(2)):
        anchor = weights(model)
        penalty = quadratic(20, [(importance, anchor)])
        template.learn(experience)
        grown, with_penalty = {}, {}
        for name, start in anchor.items():
            moved = (weights(model)[name] - start) ** 2 + 0.01
            steps = [(step, step.after[name] - step.before[name]) for step in witness.steps]
            own = sum(-loss_and_gradient(model, step.before, step.batch)[1][name] * change for step, change in steps)
            total = sum(-step.gradient[name] * change for step, change in steps)
            grown[name] = torch.clamp(importance[name] + own / moved, min=0)
            with_penalty[name] = torch.clamp(importance[name] + total / moved, min=0)
        previous, importance = importance, grown
        assert_same(known(strategy, "importance."), importance)
    assert_steps_follow(witness, model, penalty)
    assert any(not torch.allclose(with_penalty[name], importance[name], rtol=0.01) for name in importance)
    assert any((previous[name] > importance[name]).any() for name in importance), "a path uphill lowers importance"
    assert all((value >= 0).all() for value in importance.values())


def test_importance_of_si_by_hand_never_falls_below_zero() -> None:
    strategy, model = make(SI, damping=0.01), nn.Linear(2, 1, bias=False)
    strategy.importance = {"weight": torch.tensor([[1.0, 1.0]])}
    strategy.anchor = {"weight": model.weight.detach() - torch.tensor([[0.1, -0.2]])}
    strategy.path = {"weight": torch.tensor([[-0.1, 0.1]])}
    trainer: Any = SimpleNamespace(model=model)
    strategy.after_training_exp(trainer)
    torch.testing.assert_close(strategy.importance["weight"], torch.tensor([[0.0, 1 + 0.1 / (0.04 + 0.01)]]))


def test_lwf_distils_the_network_from_before_the_task_on_the_tasks_own_images() -> None:
    strategy, model, witness = make(LwF, weight=0.7), network(), Witness()
    template = learner(strategy, model, witness)
    for experience in stream(pairs(0), pairs(1), pairs(2)):
        old = copy.deepcopy(model).eval()
        template.learn(experience)

    for step in witness.steps:
        with torch.no_grad():
            target = old(step.batch[0])
        penalty = lambda _, outputs, target=target: 0.7 * ((outputs - target) ** 2).mean()  # noqa: E731
        loss, gradient = loss_and_gradient(model, step.before, step.batch, penalty)
        torch.testing.assert_close(step.loss, loss, **CLOSE)
        assert_same(step.gradient, gradient)
    assert loss > 1.01 * loss_and_gradient(model, step.before, step.batch)[0]
    assert not strategy.state(), "the teacher is the network itself as the task begins"


@pytest.mark.parametrize("kind", ALL)
def test_the_first_task_is_learned_as_without_protection(kind: type[Strategy]) -> None:
    """Bit for bit, running statistics of the normalisation included: measuring importance leaves no trace."""
    protected, plain = network(), network()
    (experience,) = stream(pairs(0))
    learner(make(kind), protected).learn(experience)
    learner(Finetune(Settings()), plain).learn(experience)
    assert same_bits(protected.state_dict(), plain.state_dict())
    assert protected.training


class InTurn(nn.Module):
    """Two layers, of which a pass in training uses one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 1).double() for _ in range(2))
        self.turn = 0

    def forward(self, x: Tensor) -> Tensor:
        self.turn += self.training
        return self.layers[self.turn % 2](x)


@pytest.mark.parametrize("kind", ALL)
def test_in_the_first_task_layers_that_a_pass_skips_are_left_alone(kind: type[Strategy]) -> None:
    ends = []
    for strategy in (make(kind), Finetune(Settings())):
        torch.manual_seed(0)
        model = InTurn()
        learner(strategy, model).learn(stream(pairs(0))[0])
        ends.append(model.state_dict())
    assert same_bits(*ends)


def test_what_ewc_knows_of_more_than_ten_tasks_comes_back_in_their_order() -> None:
    strategy, resumed = make(EWC), make(EWC)
    strategy.fisher = [{"weight": torch.tensor([task])} for task in range(12)]
    strategy.anchors = [{"weight": torch.tensor([task + 50])} for task in range(12)]
    resumed.load_state(dict(sorted(strategy.state().items())))
    assert (resumed.fisher, resumed.anchors) == (strategy.fisher, strategy.anchors)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL)
def test_a_resumed_strategy_goes_on_bit_for_bit(kind: type[Strategy], tmp_path: Path) -> None:
    experiences = stream(pairs(0), pairs(1), pairs(2))
    strategy, model, whole, rest = make(kind), network(), Witness(), Witness()
    template = learner(strategy, model, whole)
    for experience in experiences[:2]:
        template.learn(experience)
    save_checkpoint(tmp_path / "checkpoint", model, strategy)
    template.learn(experiences[2])

    resumed, twin = make(kind), network()
    load_checkpoint(tmp_path / "checkpoint", twin, resumed)
    unprotected = copy.deepcopy(twin)
    learner(resumed, twin, rest).learn(experiences[2])
    assert all(torch.equal(a.loss, b.loss) for a, b in zip(whole.steps, rest.steps, strict=True))
    assert same_bits(model.state_dict(), twin.state_dict())
    assert same_bits(strategy.state(), resumed.state())

    learner(Finetune(Settings()), unprotected).learn(experiences[2])
    assert not same_bits(model.state_dict(), unprotected.state_dict()), "protection makes a difference"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "weight"), [(MAS, 1e2), (EWC, 1e5), (SI, 1e2), (LwF, 1e2)])
def test_a_weight_that_binds_keeps_the_network_closer_to_the_old_one(kind: type[Strategy], weight: float) -> None:
    """Over a hundred updates, outputs for the old task move less than half as far as without protection.

    What remains comes from the normalisation, whose running statistics no penalty holds: with these weights, ten times
    as much and a tenth of it, and with other draws, it was at most 0.31 of the way.
    """
    epochs = 20
    distances = []
    for strength in (0.0, weight):
        strategy, model = make(kind, weight=strength), network()
        template = learner(strategy, model)
        first, second = stream(pairs(0), pairs(1) * epochs)
        template.learn(first)
        images = torch.stack([degraded for degraded, _ in pairs(0)])
        old = model.eval()(images).detach()
        template.learn(second, budget=epochs)
        distances.append((model.eval()(images) - old).square().mean().item())
    assert distances[1] < 0.5 * distances[0]

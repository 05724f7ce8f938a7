"""GEM: its quadratic program by the conditions of its optimum, and what becomes of gradients in training."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_stream import BATCH, UPDATES, Witness, learner, loss_and_gradient, pairs, stream
from torch import Tensor, nn

from baselines.finetune import Finetune
from benchmark.core.addresses import generator
from benchmark.engine.ledger import storage
from strategies.agem import AGEM
from strategies.base import Settings
from strategies.gem import GEM, multipliers
from strategies.rehearsal import StoredPatches

TASKS = [pairs(seed, torch.float32) for seed in range(3)]


def between() -> nn.Conv2d:
    """A network between tasks 0 and 2, which want the image, and task 1, which wants its negative."""
    model = nn.Conv2d(3, 3, 1)
    nn.init.dirac_(model.weight)
    nn.init.zeros_(model.bias)
    model.weight.data *= 0.3
    return model


def make(**settings: Any) -> GEM:
    return GEM(GEM.Settings(**settings))


def flat(gradient: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in gradient.values()])


def check_optimum(rows: Tensor, g: Tensor, v: np.ndarray, least: float, tolerance: float = 1e-9) -> None:
    """Karush, Kuhn and Tucker's conditions, which are enough for the optimum of a convex problem."""
    scales = [float(row.norm() * g.norm()) for row in rows]
    projected = [float(g[j]) + sum(float(v[k] * rows[k, j]) for k in range(len(rows))) for j in range(len(g))]
    for k, row in enumerate(rows):
        slope = sum(float(row[j]) * projected[j] for j in range(len(g)))  # of the objective, and the promise of GEM
        assert slope >= -tolerance * (scales[k] + float(row.norm()) * float(np.linalg.norm(projected)))
        assert v[k] >= least
        slack = (v[k] - least) * slope
        assert abs(slack) <= tolerance * float(np.linalg.norm(projected) ** 2 + g.norm() ** 2 + 1e-30)


@given(seed=st.integers(0, 10_000), tasks=st.integers(1, 6), size=st.integers(1, 8), least=st.sampled_from([0, 0.5, 3]))
def test_the_multipliers_meet_the_conditions_of_the_optimum(seed: int, tasks: int, size: int, least: float) -> None:
    """With more tasks than parameters, too, where the gradients depend on each other."""
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randn(tasks, size, generator=rng, dtype=torch.float64)
    g = torch.randn(size, generator=rng, dtype=torch.float64)
    check_optimum(rows, g, multipliers(rows, g, least), least)


@pytest.mark.parametrize("least", [0, 0.5])
def test_gradients_that_are_equal_opposite_zero_or_of_other_sizes_are_no_trouble(least: float) -> None:
    g = torch.tensor([1.0, 2.0, -1.0])
    one = torch.tensor([-1.0, -1.0, 0.5])
    for rows in (
        [one, one],
        [one, -one],
        [one, torch.zeros(3)],
        [one, 1e-6 * torch.tensor([0.0, -1.0, 0.0])],
        [one, 1e4 * torch.tensor([0.0, -1.0, 0.0]), one + 1e-7],
    ):
        check_optimum(torch.stack(rows), g, multipliers(torch.stack(rows), g, least), least, 1e-6)


def test_in_the_plane_the_nearest_allowed_vector_is_found() -> None:
    """Drawn on paper: of two constraints one binds, or both leave nothing but the origin."""
    right, down = torch.tensor([1.0, 0.0]), torch.tensor([0.0, -1.0])
    rows, g = torch.stack([right, down]), torch.tensor([2.0, 3.0])
    assert multipliers(rows, g, 0) == pytest.approx([0, 3])
    rows, g = torch.stack([right, down]), torch.tensor([-2.0, 3.0])
    assert multipliers(rows, g, 0) == pytest.approx([2, 3])
    assert multipliers(rows, g, 2.5) == pytest.approx([2.5, 3])


def test_in_training_no_product_with_an_earlier_task_is_negative_and_other_gradients_stay() -> None:
    strategy, model, witness = make(patches=9, strength=0), between(), Witness()
    template = learner(strategy, model, witness)
    conflicts = []
    for number, experience in enumerate(stream(*TASKS)):
        old = StoredPatches(9)
        if number:
            old.load_state(strategy.stored.state())
        template.learn(experience)
        assert len(witness.steps) == UPDATES
        for update, step in enumerate(witness.steps):
            assert len(step.batch[0]) == BATCH
            own, given = flat(loss_and_gradient(model, step.before, step.batch)[1]), flat(step.gradient)
            rows = []
            for task in range(number):
                of_task = (old.labels == task).nonzero().flatten()
                chosen = of_task[generator("gem", task, 0, number, update).integers(len(of_task), size=BATCH)]
                batch = [old.degraded[chosen], old.clean[chosen] / 255]
                rows.append(flat(loss_and_gradient(model, step.before, batch)[1]))
            products = [float(own @ row) for row in rows]
            if not rows or min(products) >= 0:
                torch.testing.assert_close(given, own, rtol=1e-4, atol=1e-6)
            else:
                added = torch.linalg.lstsq(torch.stack(rows).T.double(), (given - own).double()[:, None]).solution
                check_optimum(torch.stack(rows), own, added.flatten().clamp(min=0).numpy(), 0, 1e-4)
                assert all(float(given @ row) >= -1e-5 * float(given.norm() * row.norm()) for row in rows)
                assert added.min() > -1e-4
            conflicts += [(number, sum(product < 0 for product in products))]
    assert {(1, 1), (2, 1)} <= set(conflicts), f"conflicts with one of two tasks, too: {conflicts}"
    assert any(count == 0 for number, count in conflicts if number), "and none"


def test_a_gradient_without_conflict_stays_to_the_bit() -> None:
    """Learning the same task once more, every product is positive at first."""
    ends, kept = [], []
    for strategy in (make(patches=20, strength=3), Finetune(Settings())):
        model, witness = between(), Witness()
        model.weight.data *= 0.01
        template = learner(strategy, model, witness)
        for experience in stream(TASKS[0], TASKS[0]):
            template.learn(experience)
        ends.append(flat(witness.steps[0].gradient))
        if isinstance(strategy, GEM):
            kept.append(float(strategy.references[0] @ flat(witness.steps[-1].gradient)))
    assert torch.equal(*ends)
    assert kept[0] > 0


def test_with_one_earlier_task_and_no_strength_it_is_agem_on_the_same_patches() -> None:
    class Same(AGEM):
        def rng(self, trainer: Any, *purpose: str | int) -> np.random.Generator:
            return super().rng(trainer, "gem", 0)

    ends, projected = [], []
    for strategy in (make(patches=8, strength=0), Same(Same.Settings(patches=8))):
        model, witness = between().double(), Witness()
        template = learner(strategy, model, witness)
        for experience in stream(*[pairs(seed) for seed in range(2)]):
            template.learn(experience)
        ends.append(flat(witness.steps[-1].after))
        projected += [flat(loss_and_gradient(model, s.before, s.batch)[1]) - flat(s.gradient) for s in witness.steps]
    assert max(float(change.norm()) for change in projected) > 1e-3, "some were projected"
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-12)


def test_strength_adds_at_least_so_much_of_every_earlier_gradient() -> None:
    ends = []
    for strength in (0.0, 0.5):
        model = between()
        template = learner(make(patches=9, strength=strength), model)
        for experience in stream(*TASKS):
            template.learn(experience)
        ends.append(model.weight.detach().clone())
    assert not torch.equal(*ends)


def test_a_gradient_that_is_not_finite_is_left_for_the_run_to_tell() -> None:
    model = between()
    strategy = make(patches=8)
    template = learner(strategy, model)
    first, second = stream(*TASKS[:2])
    template.learn(first)
    with torch.no_grad():
        model.bias.fill_(float("nan"))
    template.learn(second)
    assert model.weight.isnan().all()


def test_what_is_stored_is_what_replay_stores() -> None:
    strategy = make(patches=8)
    template = learner(strategy, between())
    for experience in stream(*TASKS[:2]):
        template.learn(experience)
    stored = storage({}, strategy.state())
    assert stored.exemplar_bytes == stored.bytes == 8 * (3 * 6 * 6 * (4 + 1) + 8)

"""Backward transfer: earlier tasks learn vectors over the memory of later ones, and keep them if they are better."""

import copy
import math
from typing import Any

import pytest
import torch
from made_stream import BATCH, UPDATES, learner, network, pairs, stream
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from benchmark.engine.ledger import storage
from strategies.cmc import backward
from strategies.cmc.backward import CHOOSE
from strategies.cmc.layer import CMCConv2d
from strategies.cmc.network import CMCNetwork, fold
from strategies.cmc.strategy import CMC, CMCSettings
from strategies.trainer import psnr

TASKS, PATCHES = 3, 16


def make(**settings: Any) -> CMC:
    return CMC(CMCSettings(**{"fraction": 0.2, **settings}), seed=3)


def learned(strategy: CMC, tasks: int = TASKS) -> CMCNetwork:
    """A network that has learned tasks of which the first and the third are alike."""
    template = learner(strategy, strategy.adapt(network(), tasks))
    for experience in stream(*(pairs(seed) for seed in (0, 1, 2)[:tasks])):
        template.learn(experience)
    assert isinstance(template.model, CMCNetwork)
    return template.model.eval()


@pytest.fixture(scope="module")
def plain() -> CMCNetwork:
    return learned(make())


@pytest.fixture(scope="module")
def strategy() -> CMC:
    return make(backward=PATCHES)


@pytest.fixture(scope="module")
def revised(strategy: CMC) -> CMCNetwork:
    return learned(strategy)


def outputs(model: CMCNetwork) -> list[Tensor]:
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    with torch.no_grad():
        return [model(image, task) for task in model.known]


def held_out(strategy: CMC, model: CMCNetwork, task: int) -> float:
    """Mean PSNR on the stored patches that are not trained on."""
    places = (strategy.stored.labels == task).nonzero().flatten()[CHOOSE - 1 :: CHOOSE]
    clean = strategy.stored.clean[places] / 255
    with torch.no_grad():
        found = model(strategy.stored.degraded[places], task)
    return sum(psnr(one, other) for one, other in zip(found, clean, strict=True)) / len(places)


def test_nothing_but_earlier_tasks_changes_and_these_are_better_where_they_did(
    strategy: CMC, plain: CMCNetwork, revised: CMCNetwork
) -> None:
    before, after = outputs(plain), outputs(revised)
    changed = [not torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert any(changed), "vectors that nobody keeps are no test"
    assert not changed[-1], "the last task has nothing after it"
    for task in range(TASKS - 1):
        gain = held_out(strategy, revised, task) - held_out(strategy, plain, task)
        assert gain > 0 if changed[task] else gain == 0
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, revised.state_dict()[name]), f"{name} is not what a later task may change"


def test_kernels_are_those_of_the_formula(revised: CMCNetwork) -> None:
    seen = 0
    for layer in revised.layers:
        for task in range(TASKS - 1):
            vectors = getattr(layer, f"later_{task}", None)
            if vectors is None:
                continue
            kernel = layer.get_buffer(f"kernel_{task}").clone()
            for later, vector in enumerate(vectors, task + 1):
                for row in range(layer.t):
                    for place in range(layer.m):
                        if layer.owner[row, place] == later:
                            kernel[place] += vector[row] * layer.memory[row, place]
            with revised.showing(task):
                torch.testing.assert_close(layer.weight.flatten(), kernel, rtol=1e-12, atol=1e-14)
            seen += 1
    assert seen


def test_the_first_update_follows_the_gradient_by_the_vectors() -> None:
    """Adam's first step is the rate times the sign of the gradient, here by finite differences of the loss."""
    strategy = make(backward=PATCHES)
    template = learner(strategy, strategy.adapt(network(), 2))
    template.training_settings = template.training_settings.model_copy(update={"updates_per_epoch": 1})
    first, second = stream(pairs(0), pairs(2))
    template.learn(first)
    template.learn(second)
    model = template.model
    found = [getattr(layer, "later_0", None) for layer in model.layers]
    assert all(vectors is not None for vectors in found), "one step downhill is kept"
    places = (strategy.stored.labels == 0).nonzero().flatten()
    trained = places[torch.arange(len(places)) % CHOOSE != CHOOSE - 1]
    draw = generator("cmc", "backward", 3, 0, 0)
    chosen = trained[torch.from_numpy(draw.integers(len(trained), size=template.train_mb_size))]

    def loss(shift: dict[tuple[int, int], float]) -> float:
        moved = copy.deepcopy(model)
        for index, layer in enumerate(moved.layers):
            delattr(layer, "revised_0")
            for row in range(layer.t):
                step = shift.get((index, row), 0.0)
                owned = (layer.owner[row] == 1) * layer.memory[row]
                layer.get_buffer("kernel_0").add_(step * owned)
        with torch.no_grad():
            restored = moved(strategy.stored.degraded[chosen], 0)
        return float(F.mse_loss(restored, strategy.stored.clean[chosen] / 255))

    for index, vectors in enumerate(found):
        for row, value in enumerate(vectors[0]):
            slope = (loss({(index, row): 1e-4}) - loss({(index, row): -1e-4})) / 2e-4
            assert float(value) == pytest.approx(-0.02 * (slope > 0) + 0.02 * (slope < 0), rel=1e-3)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, CMC]:
    """A template that has learned two tasks, of which the first has not learned from the second yet."""
    strategy = make(backward=PATCHES)
    template = learner(strategy, strategy.adapt(network(), 2))
    with monkeypatch.context() as patch:
        patch.setattr("strategies.cmc.strategy.learn_from_later", lambda *_: False)
        for experience in stream(pairs(0), pairs(2)):
            template.learn(experience)
    template.model.eval()
    return template, strategy


def test_an_epoch_follows_fresh_gradients_at_a_rate_that_falls_as_a_cosine(waiting: tuple[Any, CMC]) -> None:
    """Against the same kernels put in from outside, and Adam's formula written out."""
    template, strategy = waiting
    template.training_settings = template.training_settings.model_copy(update={"updates_per_epoch": 5})
    model, stored = copy.deepcopy(template.model), strategy.stored
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, CMCConv2d)}
    vectors = {name: torch.zeros(layer.t, dtype=torch.float64) for name, layer in layers.items()}
    moments = {name: (torch.zeros_like(one), torch.zeros_like(one)) for name, one in vectors.items()}
    trained = torch.arange(len(stored))[torch.arange(len(stored)) % CHOOSE != CHOOSE - 1]
    for update in range(5):
        chosen = trained[generator("cmc", "backward", 3, 0, update).integers(len(trained), size=template.train_mb_size)]
        moved = {name: one.requires_grad_() for name, one in vectors.items()}
        kernels = {
            f"{name}.kernel_0": layer.get_buffer("kernel_0") + moved[name] @ ((layer.owner == 1) * layer.memory)
            for name, layer in layers.items()
        }
        restored = torch.func.functional_call(model, kernels, (stored.degraded[chosen], 0))
        loss = F.mse_loss(restored, stored.clean[chosen] / 255)
        slopes = torch.autograd.grad(loss, list(moved.values()))
        rate = 0.02 * (1 + math.cos(math.pi * update / 5)) / 2
        for (name, one), slope in zip(moved.items(), slopes, strict=True):
            first, second = moments[name] = (
                0.9 * moments[name][0] + 0.1 * slope,
                0.999 * moments[name][1] + 0.001 * slope**2,
            )
            unbiased = (second / (1 - 0.999 ** (update + 1))).sqrt() + 1e-8
            vectors[name] = one.detach() - rate * first / (1 - 0.9 ** (update + 1)) / unbiased
    assert backward.learn_from_later(0, template, stored, 3)
    for name, vector in vectors.items():
        found = template.model.get_submodule(name).later_0[0]
        torch.testing.assert_close(found, vector, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [([20.0, 30.0], [26.0, 25.0], True), ([20.0, 30.0], [23.0, 26.0], False), ([20.0, 30.0], [30.0, 20.0], False)],
)
def test_kernels_are_kept_only_if_their_mean_is_better(
    before: list[float], after: list[float], kept: bool, waiting: tuple[Any, CMC], monkeypatch: pytest.MonkeyPatch
) -> None:
    template, strategy = waiting
    stored = strategy.stored
    stored.degraded, stored.clean, stored.labels = stored.degraded[:8], stored.clean[:8], stored.labels[:8]
    told = iter([*before, *after])
    monkeypatch.setattr(backward, "psnr", lambda *_: next(told))
    assert backward.learn_from_later(0, template, stored, 3) is kept
    assert any("later_0" in name for name in template.model.state_dict()) is kept
    assert next(told, None) is None


def test_every_update_has_patches_of_its_own_and_none_of_those_that_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    strategy, judged = make(backward=PATCHES), []
    template = learner(strategy, strategy.adapt(network(), TASKS))
    seen, error = [], template.loss_function
    template.loss_function = lambda restored, clean: seen.append(clean) or error(restored, clean)
    monkeypatch.setattr(backward, "psnr", lambda restored, clean: judged.append(clean[0]) or psnr(restored, clean))
    for experience in stream(*(pairs(seed) for seed in range(TASKS))):
        template.learn(experience)
    clean = strategy.stored.clean.float() / 255
    trained, decide = [], []
    for task in range(TASKS - 1):
        places = (strategy.stored.labels == task).nonzero().flatten()
        held = torch.arange(len(places)) % CHOOSE == CHOOSE - 1
        draws = [generator("cmc", "backward", 3, task, update) for update in range(UPDATES)]
        drawn = [torch.from_numpy(draw.integers(int((~held).sum()), size=BATCH)) for draw in draws]
        trained += [clean[places[~held][chosen]] for chosen in drawn]
        decide += [*clean[places[held]]] * 2  # before and after
    assert len(seen) == len(trained) == (TASKS - 1) * UPDATES
    assert all(map(torch.equal, seen, trained))
    assert len(judged) == len(decide) > 0
    assert all(map(torch.equal, judged, decide))


def test_a_checkpoint_and_a_folded_copy_have_what_was_learned(strategy: CMC, revised: CMCNetwork) -> None:
    again = make(backward=PATCHES)
    loaded = again.adapt(network(), TASKS)
    loaded.train()
    loaded.rebuild(range(TASKS))
    loaded.load_state_dict(revised.state_dict())
    again.load_state(strategy.state())
    assert all(map(torch.equal, outputs(loaded.eval()), outputs(revised)))
    assert all(torch.equal(value, strategy.state()[name]) for name, value in again.state().items())
    image = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        for task in range(TASKS):
            assert torch.equal(fold(revised, task)(image), revised(image, task))


@pytest.mark.parametrize("more", ["task", "rows"])
def test_a_checkpoint_brings_back_what_was_learned_before_the_memory_was_used_further(more: str) -> None:
    def begun() -> CMCConv2d:
        layer = CMCConv2d(nn.Conv2d(3, 4, 3), 3).double()
        for _ in range(2):
            layer.begin(0.2)
            layer.end()
        return layer

    layer, loaded = begun(), begun()
    layer.revise(0, torch.tensor([[0.3, -0.2, 0.7]], dtype=torch.float64))
    layer.select(0)
    kernel = layer.weight.clone()
    for one in (layer, loaded):
        if more == "rows":
            one.expand(1)
        else:
            one.begin(0.2)
            one.end()
    loaded.load_state_dict(layer.state_dict())
    loaded.select(0)
    assert torch.equal(loaded.weight, kernel)


def test_what_is_stored_is_declared_and_counted(strategy: CMC, plain: CMCNetwork, revised: CMCNetwork) -> None:
    assert (strategy.traits.stores_data, strategy.traits.protects_exactly) == (True, False)
    assert (make().traits.stores_data, make().traits.protects_exactly) == (False, True)
    assert not make().state()
    kept = storage(revised.state_dict(), strategy.state())
    each = min(PATCHES // 2, len(pairs(0)))
    pixels = 3 * pairs(0)[0][0].shape[-1] ** 2
    assert kept.exemplar_bytes == 2 * each * (pixels * (8 + 1) + 8), "degraded here float64, clean 8 bits, a label"
    vectors = sum(
        getattr(layer, f"later_{task}").numel()
        for layer in revised.layers
        for task in range(TASKS - 1)
        if hasattr(layer, f"later_{task}")
    )
    assert kept.parameters - storage(plain.state_dict(), {}).parameters == vectors


class Saving(nn.Module):
    """May compute its middle again in the backward pass, to save memory."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.enter, self.middle, self.leave = network()[0], nn.Conv2d(4, 4, 1).double(), network()[3]
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        again = self.reentrant
        x = self.middle(x) if again is None else checkpoint(self.middle, x, use_reentrant=again)
        return self.leave(torch.tanh(x))


def test_what_is_computed_again_for_the_gradient_has_the_kernels_of_its_pass() -> None:
    found = []
    for reentrant in (None, False, True):
        strategy = make(backward=PATCHES)
        template = learner(strategy, strategy.adapt(Saving(reentrant), 2))
        for experience in stream(pairs(0), pairs(2)):
            template.learn(experience)
        found.append({name: value for name, value in template.model.state_dict().items() if "later" in name})
    for again in found[1:]:
        assert again.keys() == found[0].keys() != set()
        for name, value in found[0].items():
            torch.testing.assert_close(again[name], value, msg=lambda told, name=name: f"{name}: {told}")


def test_a_task_with_too_few_patches_to_be_judged_on_stays_as_it_is() -> None:
    strategy = make(backward=PATCHES)
    template = learner(strategy, strategy.adapt(network(), 2))
    template.training_settings = template.training_settings.model_copy(update={"updates_per_epoch": 1})
    assert BATCH < CHOOSE
    for experience in stream(pairs(0)[:BATCH], pairs(2)[:BATCH]):
        template.learn(experience)
    assert not any("later" in name for name in template.model.state_dict())


def test_too_few_patches_are_refused() -> None:
    with pytest.raises(UserError, match=r"cmc\.backward = 7 .* Use 8 at least, or 0"):
        make(backward=7).adapt(network(), TASKS)
    make(backward=8).adapt(network(), TASKS)

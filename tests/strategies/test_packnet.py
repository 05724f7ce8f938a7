"""PackNet: whose weights are whose, what pruning keeps, and what later tasks may change."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from benchmark.backbones.resnet import ResNet
from benchmark.config import Training
from benchmark.core.errors import UserError
from benchmark.engine.ledger import trainable_parameters
from strategies.packnet import FREE, PackedConv2d, PackedNetwork, PackNet, PackNetSettings

OPTIMIZERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.5),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=0.1),
}


class Awkward(nn.Module):
    """No biases, normalisation, PReLU, groups, stride, and a layer that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, padding_mode="reflect")
        self.act = nn.PReLU()
        self.strided = nn.Sequential(nn.Conv2d(8, 8, (3, 1), stride=2, padding=(1, 0)), nn.Upsample(scale_factor=2))
        self.twice = nn.Conv2d(8, 8, 1)
        self.again = self.twice
        self.last = nn.Conv2d(8, 3, 3, padding="same", bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.first(x)))
        return self.last(self.again(F.relu(self.twice(self.strided(self.depthwise(x))))))


def packed(backbone: nn.Module | None = None, fraction: float = 0.2) -> PackedNetwork:
    torch.manual_seed(0)
    return PackedNetwork(ResNet(width=4, blocks=1) if backbone is None else backbone, fraction)


def begin(network: PackedNetwork, task: int) -> None:
    network.train()
    network.adaptation(SimpleNamespace(task_labels=[task]))


def step(network: PackedNetwork, task: int, updates: int, optimizer: str = "adam") -> None:
    steps = OPTIMIZERS[optimizer]([p for p in network.parameters() if p.requires_grad])
    generator = torch.Generator().manual_seed(task)
    for _ in range(updates):
        images = torch.rand(2, 3, 8, 8, generator=generator)
        steps.zero_grad()
        (network(images, task) - images.roll(task + 1, 1)).square().mean().backward()
        steps.step()


def learn(network: PackedNetwork, task: int, optimizer: str = "adam") -> None:
    begin(network, task)
    step(network, task, 4, optimizer)
    network.prune()
    step(network, task, 3, optimizer)
    network.end()
    network.eval()


def kernels(network: PackedNetwork) -> list[np.ndarray]:
    return [layer.kernel().detach().numpy().copy() for layer in network.layers]


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [0.125, 0.2, 0.25])
def test_every_task_owns_its_exact_share_of_every_layer(fraction: float) -> None:
    network = packed(fraction=fraction)
    for task in range(4):
        learn(network, task)
        for layer in network.layers:
            owner = layer.owner.numpy()
            for k in range(task + 1):
                assert (owner == k).sum() == int(fraction * owner.size)
            assert (owner == FREE).sum() == owner.size - (task + 1) * int(fraction * owner.size)
            assert not layer.kept[layer.owner == FREE].any()


def test_pruning_keeps_the_largest_of_the_free_weights_and_zeroes_the_others() -> None:
    network = packed(fraction=0.2)
    learn(network, 0)
    begin(network, 1)
    step(network, 1, 4)
    before = kernels(network)
    network.prune()
    for layer, old, new in zip(network.layers, before, kernels(network), strict=True):
        owner = layer.owner.numpy()
        free = np.flatnonzero(owner.ravel() != 0)
        by_size = sorted(free, key=lambda i: -abs(old.ravel()[i]))
        kept = set(by_size[: int(0.2 * old.size)])
        assert kept == set(np.flatnonzero(owner.ravel() == 1))
        for i in range(old.size):
            if i in kept or owner.ravel()[i] == 0:
                assert new.ravel()[i] == old.ravel()[i]
            else:
                assert new.ravel()[i] == 0


def test_the_first_task_starts_at_the_backbone_and_later_ones_at_what_is_known() -> None:
    backbone = ResNet(width=4, blocks=1)
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        plain = backbone(image)
        network = packed(backbone)
        begin(network, 0)
        assert torch.equal(network(image, 0), plain)
        step_before = kernels(network)
    step(network, 0, 4)
    assert any((old != new).all() for old, new in zip(step_before, kernels(network), strict=True))
    network.end()
    with torch.no_grad():
        first = network(image, 0)
        begin(network, 1)
        assert torch.equal(network(image, 1), first)


def test_all_free_weights_train_before_pruning_and_only_the_kept_ones_after() -> None:
    network = packed(fraction=0.2)
    learn(network, 0)
    begin(network, 1)
    start = kernels(network)
    step(network, 1, 2)
    trained = kernels(network)
    for layer, old, new in zip(network.layers, start, trained, strict=True):
        owner = layer.owner.numpy()
        np.testing.assert_array_equal(old[owner == 0], new[owner == 0])
        assert (old[owner == FREE] != new[owner == FREE]).mean() > 0.5
    assert trainable_parameters(network) == sum(int((layer.owner == FREE).sum()) for layer in network.layers)
    network.prune()
    pruned = kernels(network)
    step(network, 1, 2)
    for layer, old, new in zip(network.layers, pruned, kernels(network), strict=True):
        owner = layer.owner.numpy()
        np.testing.assert_array_equal(old[owner != 1], new[owner != 1])
        assert (old[owner == 1] != new[owner == 1]).mean() > 0.5
    assert trainable_parameters(network) == sum(int((layer.owner == 1).sum()) for layer in network.layers)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("backbone", [ResNet, Awkward])
def test_old_outputs_stay_bit_identical_whatever_the_optimizer(backbone: type[nn.Module], optimizer: str) -> None:
    network = packed(backbone() if backbone is Awkward else None)
    image = torch.rand(1, 3, 8, 8)
    outputs: list[torch.Tensor] = []
    with torch.no_grad():
        for task in range(4):
            with torch.enable_grad():
                learn(network, task, optimizer)
            for earlier, output in enumerate(outputs):
                assert torch.equal(network(image, earlier), output)
            outputs.append(network(image, task))
    assert len({output.numpy().tobytes() for output in outputs}) == 4


def test_task_n_uses_the_weights_of_tasks_up_to_n() -> None:
    network = packed(fraction=0.2)
    for task in range(3):
        learn(network, task)
    for task in range(3):
        network.select(task)
        for layer, kernel in zip(network.layers, kernels(network), strict=True):
            owner, kept = layer.owner.numpy(), layer.kept.numpy()
            visible = (owner >= 0) & (owner <= task)
            assert (kernel[visible] == kept[visible]).all()
            assert (kernel[visible] != 0).any()
            assert not kernel[~visible].any()


def test_all_but_kernels_is_learned_with_the_first_task_and_fixed_then() -> None:
    network = packed(Awkward())
    others = {name for name, _ in network.backbone.named_parameters()}
    others |= {name for name, _ in network.backbone.named_buffers() if "norm" in name}
    assert {"depthwise.bias", "norm.weight", "act.weight", "norm.running_mean"} < others
    start = copy.deepcopy(network.backbone.state_dict())
    learn(network, 0)
    first = copy.deepcopy(network.backbone.state_dict())
    learn(network, 1)
    second = network.backbone.state_dict()
    for name in others:
        assert not torch.equal(start[name], first[name]), name
        assert torch.equal(first[name], second[name]), name


def test_convolutions_are_packed_with_their_options_and_used_twice_stay_one() -> None:
    plain = Awkward().eval()
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        expected = plain(image)
        network = packed(copy.deepcopy(plain))
        begin(network, 0)
        network.eval()
        assert torch.equal(network(image, 0), expected)
    assert network.backbone.twice is network.backbone.again
    assert len(network.layers) == 5


def test_what_cannot_be_packed_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"Sequential has others: 1\.weight"):
        packed(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ConvTranspose2d(3, 3, 1)))
    with pytest.raises(UserError, match=r"PReLU has no nn\.Conv2d layer"):
        packed(nn.PReLU())


def test_more_tasks_than_weights_is_an_error_that_names_the_largest_fraction() -> None:
    strategy = PackNet(PackNetSettings(fraction=0.3))
    with pytest.raises(UserError, match=r"0\.3 for each of 4 tasks is 120% .* at most 0\.25"):
        strategy.adapt(ResNet(4, 1), tasks=4)
    PackNet(PackNetSettings(fraction=0.25)).adapt(ResNet(4, 1), tasks=4)
    PackNet(PackNetSettings(fraction=1 / 3)).adapt(ResNet(4, 1), tasks=3)
    with pytest.raises(ValidationError):
        PackNetSettings(retrain=1.0)


@pytest.mark.parametrize(
    ("epochs", "per_epoch", "retrain", "expected"),
    [(2, 3, 1 / 3, 4), (12, 100, 1 / 3, 800), (1, 2, 0.01, 1), (1, 10, 0.99, 1), (1, 1, 0.5, None)],
)
def test_pruning_comes_once_and_leaves_the_share_of_updates_for_retraining(
    epochs: int, per_epoch: int, retrain: float, expected: int | None
) -> None:
    training = Training(epochs=epochs, updates_per_epoch=per_epoch)
    events: list[str] = []
    template = SimpleNamespace(
        training_settings=training,
        clock=SimpleNamespace(train_exp_iterations=0),
        model=packed(),
        make_optimizer=lambda: events.append("optimizer"),
    )
    template.model.prune = lambda: events.append("prune")
    strategy = PackNet(PackNetSettings(retrain=retrain))
    pruned_after = None
    for update in range(training.updates):
        template.clock.train_exp_iterations = update
        strategy.after_training_iteration(template)
        if events and pruned_after is None:
            pruned_after = update + 1
    assert pruned_after == expected
    assert events == (["prune", "optimizer"] if expected else [])


def test_a_task_that_was_never_pruned_is_pruned_at_its_end() -> None:
    network = packed(fraction=0.2)
    begin(network, 0)
    step(network, 0, 2)
    network.end()
    assert all(int((layer.owner == 0).sum()) == int(0.2 * layer.owner.numel()) for layer in network.layers)


def test_a_layer_too_small_for_the_fraction_still_serves_every_task() -> None:
    """Of 9 weights and a share of 5 %, each task gets one; when none is left, later tasks use those of earlier ones."""
    layer = PackedConv2d(nn.Conv2d(3, 3, 1))
    for task in range(10):
        layer.cursor.learning = layer.cursor.selected = task
        layer.begin()
        layer.prune(0.05)
        layer.end()
    layer.cursor.learning = None
    assert sorted(layer.owner.flatten().tolist()) == list(range(9))
    assert torch.equal(layer.kernel(), layer.kept)


def test_state_is_one_float_and_one_byte_per_weight() -> None:
    plain = ResNet(width=4, blocks=1)
    weights = sum(p.numel() for p in plain.parameters() if p.ndim == 4)
    biases = sum(p.numel() for p in plain.parameters() if p.ndim == 1)
    network = packed(plain)
    for task in range(2):
        learn(network, task)
        state = network.state_dict().values()
        assert sum(t.numel() * t.element_size() for t in state) == 5 * weights + 4 * biases


def test_a_checkpoint_of_the_version_before_is_read() -> None:
    network, twin = packed(), packed()
    learn(network, 0)
    old = {key.replace(".kept", ".memory"): value for key, value in network.state_dict().items()}
    assert any(key.endswith(".memory") for key in old)
    twin.rebuild([0])
    assert twin.load_state_dict(old) == ([], [])
    assert all(torch.equal(value, twin.state_dict()[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("backbone", [ResNet, Awkward])
def test_state_loads_into_a_fresh_network_that_goes_on_bit_for_bit(backbone: type[nn.Module]) -> None:
    def fresh() -> PackedNetwork:
        torch.manual_seed(0)
        return packed(Awkward() if backbone is Awkward else None)

    network, twin = fresh(), fresh()
    for task in range(2):
        learn(network, task)
        begin(twin, task)
        twin.end()
    twin.load_state_dict(copy.deepcopy(network.state_dict()))
    learn(network, 2)
    learn(twin, 2)
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        for task in (2, 0, 1):
            assert torch.equal(twin(image, task), network(image, task))


def test_a_task_is_kept_whichever_is_selected_as_it_ends() -> None:
    network = packed()
    begin(network, 0)
    step(network, 0, 3)
    network.end()
    begin(network, 1)
    step(network, 1, 3)
    network.prune()
    image = torch.rand(1, 3, 8, 8)
    network.eval()
    with torch.no_grad():
        before = network(image, torch.tensor([1]))
        network.select(0)
        network.end()
        assert torch.equal(network(image, torch.tensor([1])), before)


def test_a_task_that_finds_no_free_weight_is_refused() -> None:
    network = PackedNetwork(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 3)), 0.5)
    for task in range(2):
        network.begin(task)
        network.end()
    with pytest.raises(UserError, match=r"no free weight left for task 2.*fraction of 0\.5"):
        network.begin(2)
    assert network.known == [0, 1]

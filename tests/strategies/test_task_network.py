"""What every network that is told the task does: batches of several tasks, and what a task owns."""

import copy
import pickle
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.deform import Deform, DeformSettings
from baselines.independent import Independent
from baselines.together import TaskBiasNetwork
from benchmark.backbones.resnet import ResNet
from benchmark.core.errors import UserError
from strategies import registry
from strategies.base import Settings, TaskNetwork
from strategies.cmc.layer import CMCConv2d
from strategies.cmc.network import CMCNetwork, convert
from strategies.packnet import PackedNetwork

LABELS = torch.tensor([1, 0, 1, 0, 0])


class Scaling(TaskNetwork):
    """The least that a network of tasks can be; its tasks may give different outputs."""

    def __init__(self, *sizes: int, gives: type = Tensor) -> None:
        super().__init__()
        self.backbone = nn.Identity()
        self.sizes, self.gives = sizes, gives

    def select(self, task: int) -> None:
        super().select(task)
        side = self.sizes[task]
        self.backbone = nn.AdaptiveAvgPool2d(side) if self.gives is Tensor else Listed()


class Listed(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, x]


def convs(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.PReLU(), *layers)


def network(strategy: str, plain: nn.Module, tasks: int = 2) -> TaskNetwork:
    """A network that has learned some tasks by random steps; the tasks of together_task_id stay in training."""
    made: TaskNetwork
    if strategy == "cmc":
        made = CMCNetwork(convert(plain, t=2), partial(CMCConv2d.begin, fraction=0.2, start=1.0))
    elif strategy == "packnet":
        made = PackedNetwork(plain, 0.2)
    elif strategy == "together_task_id":
        made = TaskBiasNetwork(plain)
    else:
        made = Independent(Settings()).adapt(plain, tasks)  # type: ignore[assignment]
    made.train()
    for task in range(tasks):
        made.begin(task)
        with torch.no_grad():
            for parameter in made.parameters():
                if parameter.requires_grad:
                    parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(task))
        made.end()
    return made


STRATEGIES = ["cmc", "packnet", "together_task_id", "independent"]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("last", "shape"),
    [
        (nn.Conv2d(6, 1, 3, padding=1), (1, 8, 10)),
        (nn.Conv2d(6, 5, 3, stride=2, padding=1), (5, 4, 5)),
        (nn.Sequential(nn.Conv2d(6, 18, 3), nn.PixelShuffle(3)), (2, 18, 24)),
        (nn.Sequential(nn.Conv2d(6, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), (4,)),
    ],
    ids=["grey", "strided", "shuffled", "flat"],
)
def test_a_batch_of_several_tasks_gives_what_each_gives_by_itself(
    strategy: str, last: nn.Module, shape: tuple[int, ...]
) -> None:
    made = network(strategy, convs(last))
    images = torch.rand(5, 3, 8, 10)
    mixed = made(images, LABELS)
    assert mixed.shape == (5, *shape)
    for place, task in enumerate(LABELS.tolist()):
        torch.testing.assert_close(mixed[place : place + 1], made(images[place : place + 1], task))
    with torch.autocast("cpu", torch.bfloat16):
        assert made(images, LABELS).dtype == torch.bfloat16


def test_gradients_of_a_mixed_batch_are_those_of_its_parts() -> None:
    made = network("together_task_id", convs(nn.Conv2d(6, 12, 3, padding=1), nn.PixelShuffle(2)))
    images = torch.rand(5, 3, 8, 8, requires_grad=True)
    made(images, LABELS).square().sum().backward()
    mixed = [images.grad, *(parameter.grad.clone() for parameter in made.parameters())]
    made.zero_grad()
    images.grad = None
    sum(made(image[None], task).square().sum() for image, task in zip(images, LABELS.tolist(), strict=True)).backward()
    apart = [images.grad, *(parameter.grad for parameter in made.parameters())]
    for one, other in zip(mixed, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_empty_batch_gives_an_empty_batch_of_outputs_and_moves_nothing(strategy: str) -> None:
    plain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.PixelShuffle(2))
    made = network(strategy, plain)
    made.begin(2)
    made.train()
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    assert made(torch.rand(0, 3, 8, 8), torch.empty(0, dtype=torch.long)).shape == (0, 2, 16, 16)
    assert all(torch.equal(made.state_dict()[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(
    "labels", [torch.empty(0, dtype=torch.long), torch.tensor(2), 2], ids=["none", "one", "number"]
)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_empty_batch_moves_no_statistics_whatever_its_label_and_passes_layers_that_take_none(
    strategy: str, labels: Tensor | int
) -> None:
    class Rows(nn.Module):
        """Rows of four pixels are taken apart and put together, however many there are."""

        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(-1, 4, x.shape[1]).reshape(x.shape)

    plain = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 8, 1), nn.BatchNorm2d(8), Rows())
    made = network(strategy, plain, tasks=0)
    made.rebuild([0, 1])
    made.begin(2)
    made.train()
    before = copy.deepcopy(made.state_dict())
    restored = made(torch.rand(0, 3, 8, 8), labels)
    assert restored.shape == (0, 8, 4, 4)
    restored.sum().backward()
    assert all(torch.equal(made.state_dict()[name], tensor) for name, tensor in before.items())
    assert all(layer.training for layer in made.modules())


def test_outputs_that_make_no_batch_are_clear_errors() -> None:
    images = torch.rand(5, 3, 8, 8)
    sizes, lists = Scaling(2, 3), Scaling(2, 2, gives=list)
    for made in (sizes, lists):
        made.begin(0)
        made.begin(1)
    assert sizes(images, LABELS * 0).shape == (5, 3, 2, 2)
    with pytest.raises(UserError, match=r"task 0: \(3, 2, 2\), task 1: \(3, 3, 3\)"):
        sizes(images, LABELS)
    with pytest.raises(UserError, match="gives a list"):
        lists(images, LABELS)
    with pytest.raises(UserError, match="5 task labels for 2 images"):
        sizes(images[:2], LABELS)
    with pytest.raises(UserError, match="Task 6 was never learned"):
        sizes(images, LABELS + 6)
    with pytest.raises(UserError, match="No task"):
        Scaling()(images[:0], LABELS[:0])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_forward_pass_leaves_the_active_task_as_it_was(strategy: str) -> None:
    made = network(strategy, convs(nn.Conv2d(6, 3, 3)))
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert not torch.equal(made(image, 0), made(image, 1))
        for task in (0, 1):
            made.select(task)
            made(image, 1 - task)
            assert torch.equal(made.backbone(image), made(image, task))


@pytest.mark.parametrize("strategy", ["cmc", "packnet", "independent"])
def test_what_a_task_owns_stays_and_decides_its_output(strategy: str) -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.PReLU(), nn.Conv2d(4, 3, 3))
    made = network(strategy, plain, tasks=2)
    names = {"0.weight", "2.weight", "3.weight", "3.bias"}
    names |= {f"1.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}
    image = torch.rand(1, 3, 8, 8)
    owned = [made.owned(task) for task in range(2)]
    with torch.no_grad():
        for task in range(2):
            assert set(owned[task]) == names
            twin = nn.Sequential(
                nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.PReLU(), nn.Conv2d(4, 3, 3)
            ).eval()
            twin.load_state_dict(owned[task])
            assert torch.equal(twin(image), made(image, task))
    made.begin(2)
    for parameter in made.parameters():
        if parameter.requires_grad:
            parameter.data += 1
    made(torch.rand(4, 3, 8, 8), 2)
    assert any(not torch.equal(tensor, owned[1][name]) for name, tensor in made.owned(2).items())
    made.end()
    for task in range(2):
        again = made.owned(task)
        assert set(again) == names
        assert all(torch.equal(tensor, owned[task][name]) for name, tensor in again.items())


def test_of_tasks_with_biases_of_their_own_each_owns_its_bias_and_the_common_weights() -> None:
    made = network("together_task_id", ResNet(width=4, blocks=1))
    one, other = made.owned(0), made.owned(1)
    assert set(one) == set(ResNet(width=4, blocks=1).state_dict())
    assert {name for name in one if not torch.equal(one[name], other[name])} == {n for n in one if n.endswith("bias")}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_network_is_rebuilt_for_its_state(strategy: str) -> None:
    plain = convs(nn.Conv2d(6, 3, 3))
    made, twin = network(strategy, copy.deepcopy(plain)), network(strategy, plain, tasks=0)
    twin.rebuild([0, 1])
    assert twin.known == [0, 1]
    assert twin.load_state_dict(made.state_dict()) == ([], [])
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        for task in (0, 1):
            assert torch.equal(twin(image, task), made(image, task))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_copy_of_a_network_selects_by_itself(strategy: str) -> None:
    """All layers of a network follow one cursor, and those of a copy the copy's."""
    made = network(strategy, convs(nn.Conv2d(6, 3, 3)))
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        outputs = [made(image, task) for task in (0, 1)]
        for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            made.select(1)
            twin.select(0)
            assert torch.equal(made.backbone(image), outputs[1])
            assert torch.equal(twin.backbone(image), outputs[0])


def test_a_task_that_was_never_learned_cannot_be_selected() -> None:
    made = network("cmc", convs(nn.Conv2d(6, 3, 3)))
    with pytest.raises(UserError, match=r"Task 2 was never learned. Learned so far: \[0, 1\]"):
        made.select(2)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "labels",
    [LABELS[:, None], LABELS.float(), LABELS == 1, LABELS.tolist(), LABELS.numpy(), 0.7, "0", True, None],
    ids=["column", "real", "truth values", "list", "array", "half", "text", "true", "none"],
)
def test_labels_that_are_no_whole_numbers_are_refused(strategy: str, labels: object) -> None:
    made = network(strategy, convs(nn.Conv2d(6, 3, 3)))
    with pytest.raises(UserError, match=r"Task label.*give (one )?whole number"):
        made(torch.rand(5, 3, 8, 8), labels)


def test_labels_of_every_whole_type_select_alike() -> None:
    made, images = network("cmc", convs(nn.Conv2d(6, 3, 3))), torch.rand(5, 3, 8, 8)
    for labels in (LABELS.to(torch.uint8), LABELS.int()):
        assert torch.equal(made(images, labels), made(images, LABELS))
    for label in (LABELS.numpy()[0], torch.tensor(1), 1):
        assert torch.equal(made(images, label), made(images, LABELS * 0 + 1))


@pytest.mark.parametrize("strategy", [*STRATEGIES, "pnn", "lira", "cpg", "lora"])
def test_a_task_that_has_begun_before_or_has_no_label_is_refused_and_stays(strategy: str) -> None:
    made = small(strategy)
    made.begin(0)
    made.end()
    image = torch.rand(1, 3, 8, 8)
    before = made(image, 0)
    with pytest.raises(UserError, match="cannot begin task 0: it has begun before"):
        made.begin(0)
    with pytest.raises(UserError, match="cannot begin task -1: its label is below 0"):
        made.begin(-1)
    assert torch.equal(made(image, 0), before)
    assert made.known == [0]
    if strategy in ("cmc", "packnet", "cpg", "lora"):
        made.begin(1)
        with pytest.raises(UserError, match="learns one task at a time: end task 1 before task 2 begins"):
            made.begin(2)


@pytest.mark.parametrize("strategy", ["cmc", "packnet", "cpg", "lora"])
def test_nothing_ends_that_did_not_begin(strategy: str) -> None:
    with pytest.raises(UserError, match=r"end\(\) without begin\(\)"):
        small(strategy).end()


@pytest.mark.parametrize("strategy", ["packnet", "cpg"])
def test_labels_that_a_table_of_owners_cannot_order_or_hold_are_refused(strategy: str) -> None:
    with pytest.raises(UserError, match=r"task 0 is next, not 300|from 0 to 126, and 300"):
        small(strategy).begin(300)


def small(strategy: str) -> TaskNetwork:
    kind = registry.load(strategy)
    chosen = registry.settings(kind, {"grow": 0} if strategy == "cpg" else {})
    made = kind(chosen).adapt(nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 3, padding=1)), 3)
    assert isinstance(made, TaskNetwork)
    return made


def test_the_verbs_of_the_version_before_still_work() -> None:
    plain = convs(nn.Conv2d(6, 3, 3))
    one = CMCNetwork(convert(plain), lambda layer: layer.begin(0.2, "adaptive", start=0.5))
    other = CMCNetwork(convert(plain), lambda layer: layer.begin_task(0.2, "adaptive", start=0.5))
    layer, twin = (CMCConv2d(nn.Conv2d(3, 3, 3), t=2) for _ in range(2))
    for task in (0, 1):
        one.begin(task)
        one.end()
        other.begin_task(task)
        other.end_task()
        layer.begin(fraction=0.2)
        layer.end()
        twin.begin_task(fraction=0.2)
        twin.end_task()
    for kind in (one, layer):
        kind.activate(0)
        assert kind.cursor.selected == 0
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())
    assert all(torch.equal(tensor, twin.state_dict()[name]) for name, tensor in layer.state_dict().items())


def test_a_small_network_with_deformable_layers_owns_its_offsets() -> None:
    made = Deform(DeformSettings(), seed=1).adapt(ResNet(width=8, blocks=1), 2)
    assert isinstance(made, TaskNetwork)
    made.begin(0)
    made.begin(1)
    assert set(made.owned(1)) == set(made.backbone["1"].state_dict())


@pytest.mark.parametrize("name", ["cmc", "packnet", "independent", "pnn", "lira", "lora", "cpg", "together_task_id"])
@pytest.mark.parametrize("label", [0.0, 1.0, True, "1", None])
def test_tasks_that_begin_or_are_selected_have_whole_numbers(name: str, label: Any) -> None:
    kind = registry.load(name)
    made = kind(registry.settings(kind, {"grow": 0} if name == "cpg" else {})).adapt(convs(nn.Conv2d(6, 3, 1))[::2], 3)
    made.rebuild([0])
    for verb in (made.begin, made.select):
        with pytest.raises(UserError, match=rf"Task label {label!r}: give one whole number"):
            verb(label)
    assert made.known == [0]
    made.rebuild([1])
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(made(image, torch.tensor(1)), made(image, 1))


@pytest.mark.parametrize("strategy", ["lira", "pnn", "independent"])
def test_what_is_learned_stays_though_all_parameters_are_let_require_a_gradient(strategy: str) -> None:
    kind = registry.load(strategy)
    learner = kind(registry.settings(kind, {})).adapt(convs(nn.Conv2d(6, 3, 3, padding=1)), 2)
    assert isinstance(learner, TaskNetwork)
    learner.rebuild([0])
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    before = learner(x, 0)
    learner.begin(1)
    learner.requires_grad_(True)
    optimizer = torch.optim.AdamW(learner.parameters(), 0.1, weight_decay=0.1)
    (learner(x, 0).mean() + learner(x, 1).square().mean()).backward()
    optimizer.step()
    assert torch.equal(learner(x, 0), before)

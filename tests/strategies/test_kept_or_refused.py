"""What hangs on a layer under a name that its new kind needs, and parameters that are several in one memory."""

import copy
from collections import deque
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from made_networks import Block
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

from benchmark.core.errors import UserError
from benchmark.engine import setup
from benchmark.planning import plan
from strategies import registry
from strategies.copies import copied
from strategies.cpg.network import GrowingNetwork
from strategies.kernels import KernelNetwork, fold
from strategies.separate import redrawn


def adapted(name: str, plain: nn.Module) -> nn.Module:
    kind = registry.load(name)
    return kind(registry.settings(kind, {"grow": 0} if name == "cpg" else {})).adapt(plain, 2)


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        *(("cmc", name) for name in ("m", "free", "learning", "expand", "memory", "reuse")),
        *(("cmc", name) for name in ("vector_0", "bias_3", "later_1")),
        *(("packnet", name) for name in ("pruned", "begin", "values", "owner")),
        *(("wsn", name) for name in ("used", "need_not", "draw", "scores", "kernel_2", "first_bias")),
        *(("lora", name) for name in ("part", "down")),
        *(("cpg", name) for name in ("shift", "grow", "used_0")),
        *(("together_task_id", name) for name in ("biases", "start")),
        *(("pnn", name) for name in ("lateral", "column")),
    ],
)
def test_what_hangs_on_a_layer_is_kept_or_refused_by_its_name(strategy: str, name: str) -> None:
    block = Block()
    setattr(block.enter, name, 3)
    if name == "need_not":
        network = adapted(strategy, block)
        network.begin(0)
        network.end()
        assert network.backbone.enter.need_not == 3
        return
    with pytest.raises(UserError, match=rf"'enter'.*named {name}, which \w+ needs"):
        adapted(strategy, block).begin(0)
    assert block.enter.__dict__[name] == 3


class Tied(Block):
    """Two convolutions whose kernels are two parameters in one memory, tied in one of three ways."""

    def __init__(self, tie: str = "data") -> None:
        super().__init__()
        kernel = self.enter.weight
        self.again = nn.Conv2d(3, 4, 3, padding=1)
        if tie == "data":
            self.again.weight.data = kernel.data
        else:
            self.again.weight = nn.Parameter(kernel.data if tie == "parameter" else kernel.detach().view(4, 3, 3, 3))


ONE_MEMORY = r"'enter\.weight' and 'again\.weight' are two parameters in one memory"


@pytest.mark.parametrize("name", ["cmc", "packnet", "cpg", "independent", "pnn", "wsn", "together_task_id"])
@pytest.mark.parametrize("tie", ["data", "view", "parameter"])
def test_parameters_that_share_memory_alone_are_refused_by_both_names(name: str, tie: str) -> None:
    with pytest.raises(UserError, match=ONE_MEMORY):
        adapted(name, Tied(tie)).begin(0)


def test_they_are_refused_for_strategies_that_leave_the_network_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU would untie them."""
    monkeypatch.setattr(setup, "build_backbone", lambda *shape: Tied())
    config = plan("finetune", "four_tasks", "smoke", "0", None, None, None, [])[0]
    with pytest.raises(UserError, match=ONE_MEMORY):
        setup.prepare(config)


def test_parameters_that_lie_side_by_side_in_one_memory_are_several() -> None:
    block, memory = Block(), torch.rand(2, 108)
    block.enter.weight = nn.Parameter(memory[0].view(4, 3, 3, 3))
    block.leave.weight = nn.Parameter(memory[1].view(3, 4, 3, 3))
    for name in ("cmc", "packnet", "independent", "together_task_id"):
        adapted(name, copy.deepcopy(block)).begin(0)


class Kernel:
    """Convolves with a kernel that it was given."""

    def __init__(self, kernel: Tensor) -> None:
        self.kernel = kernel

    def __call__(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel, padding=1)


def beside(conv: nn.Conv2d) -> nn.Conv2d:
    """A convolution with the kernel of another one."""
    other = nn.Conv2d(4, 3, 3, padding=1)
    other.weight = conv.weight
    return other


HOLDERS: dict[str, Callable[[nn.Conv2d], object]] = {
    "partial": lambda conv: partial(F.conv2d, weight=conv.weight),
    "function": lambda conv: lambda x, kernel=conv.weight: F.conv2d(x, kernel),
    "method": lambda conv: Kernel(conv.weight).__call__,
    "object": lambda conv: Kernel(conv.weight),
    "namespace": lambda conv: SimpleNamespace(kernel=conv.weight),
    "set": lambda conv: {conv.weight},
    "deque": lambda conv: deque([(conv.weight,)]),
    "layer of no network": lambda conv: [beside(conv)],
    "optimizer": lambda conv: torch.optim.SGD([conv.weight]),
}


@pytest.mark.parametrize("strategy", ["cmc", "packnet", "wsn", "cpg"])
@pytest.mark.parametrize("holds", HOLDERS.values(), ids=HOLDERS)
def test_a_kernel_is_refused_that_would_stay_as_it_was_in_whatever_holds_it(
    strategy: str, holds: Callable[[nn.Conv2d], object]
) -> None:
    block = Block()
    block.held = holds(block.leave)
    with pytest.raises(UserError, match=r"\(Block\) holds (a function|'leave\.weight' in its attribute held)"):
        adapted(strategy, block)
    assert type(block.leave) is nn.Conv2d


@pytest.mark.parametrize("strategy", ["cmc", "packnet", "wsn"])
def test_what_leads_back_to_a_layer_leads_to_what_it_became(strategy: str) -> None:
    block = Block()
    block.held = [SimpleNamespace(up=block), partial(F.relu, inplace=False)]
    network = adapted(strategy, block)
    network.begin(0)
    assert network.backbone.held[0].up.leave.weight.requires_grad


class Filling(Block):
    """A block with a buffer that is None until it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", None)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.mean is None:
            self.mean = x.detach().mean((0, 2, 3), keepdim=True)
        return super().forward(x if self.mean is None else x - self.mean)


@pytest.mark.parametrize("name", ["cmc", "lora"])
def test_a_tensor_that_comes_up_in_training_is_refused_as_it_would_be_that_of_all_tasks(name: str) -> None:
    network = adapted(name, Filling())
    network.begin(0)
    network.train()(torch.rand(1, 3, 8, 8), 0)
    with pytest.raises(UserError, match=rf"(?i){name}.*'mean' of a Filling has come up in training"):
        network.end()


@pytest.mark.parametrize("name", ["cmc", "dan"])
def test_what_is_frozen_before_the_first_task_stays_so(name: str) -> None:
    network = adapted(name, nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1)))
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    norm.requires_grad_(False)
    for task in range(2):
        network.begin(task)
        assert not norm.weight.requires_grad
        network.end()


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.orthogonal])
def test_parametrized_layers_are_drawn_anew_like_others(wrap: Callable[[nn.Module], nn.Module]) -> None:
    def drawn(layer: nn.Module, task: int) -> Tensor:
        return redrawn(nn.Sequential(layer), 0, task)[0].weight

    torch.manual_seed(0)
    plain = nn.Linear(5, 5)
    wrapped = wrap(copy.deepcopy(plain))
    first, second = drawn(wrapped, 1), drawn(wrapped, 2)
    assert not torch.allclose(first, drawn(wrapped, 0))
    assert not torch.allclose(first, second)
    if wrap is parametrizations.weight_norm:
        torch.testing.assert_close(first, drawn(plain, 1))
    else:
        torch.testing.assert_close(first @ first.T, torch.eye(5))


def test_a_parametrization_that_takes_no_value_is_told() -> None:
    class Symmetric(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + x.T

    layer = nn.Linear(5, 5)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    with pytest.raises(UserError, match=r"Layer '0' cannot be drawn anew .* weight is computed by Symmetric"):
        redrawn(nn.Sequential(layer), 0, 1)


class Centring(Block):
    """A block that keeps the mean of its images in a part of its own, or in a hook's, as that or itself is trained."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.kept = way, nn.Identity()
        self.kept.register_buffer("mean", torch.zeros(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.detach().mean((0, 2, 3)).view(3, 1, 1)
        if self.way == "its own" and self.kept.training:
            self.kept.mean = 0.9 * self.kept.mean + 0.1 * mean
        if self.way == "written" and self.training:
            self.kept.mean.lerp_(mean, 0.1)
        if self.way == "assigned" and self.training:
            self.kept.mean = 0.9 * self.kept.mean + 0.1 * mean
        if self.way == "resized":
            self.kept.mean = torch.zeros(3, *x.shape[2:])
        return super().forward(x - self.kept.mean)


@pytest.mark.parametrize("way", ["written", "assigned", "its own", "resized"])
@pytest.mark.parametrize("name", ["packnet", "cpg", "cmc", "independent"])
def test_a_buffer_of_all_tasks_that_a_later_one_changes_is_refused(name: str, way: str) -> None:
    network = adapted(name, Centring(way))
    network.train()
    images = torch.rand(2, 3, 8, 8)
    if name != "cpg":  # whose first task has no buffers of its own either
        network.begin(0)
        network(images, 0)
        network.end()
        before = network(images, 0)
    else:
        network.rebuild([0])
    network.begin(1)
    if name in ("packnet", "cpg") and way in ("written", "assigned"):
        with pytest.raises(UserError, match=r"'kept\.mean' has changed .* its own module \(Identity\)"):
            network(images, 1)
        return
    network(images[:, :, :6], 1)
    if name != "cpg":
        assert torch.equal(network(images, 0), before)


NOTED = ["cmc", "wsn", "piggyback", "lora", "dan", "mini", "packnet", "cpg", "independent", "pnn", "together_task_id"]


def groups(network: nn.Module) -> dict[str, str | None]:
    """What is noted on parameters that hold something, but for laterals between networks, by name."""
    held = ((name, one) for name, one in network.named_parameters() if one.numel() and "lateral" not in name)
    return {name: getattr(one, "group", None) for name, one in held}


@pytest.mark.parametrize("name", NOTED)
def test_what_is_noted_on_parameters_is_noted_on_those_of_every_task(name: str) -> None:
    layers = {"enter": nn.Conv2d(3, 4, 3, padding=1), "slope": nn.PReLU(), "leave": nn.Conv2d(4, 3, 3, padding=1)}
    if name == "cpg":
        del layers["slope"]
    plain = nn.Sequential()
    for place, layer in layers.items():
        plain.add_module(place, layer)
        for own, parameter in layer.named_parameters():
            parameter.group = f"{place}, {'bias' if own == 'bias' else 'others'}"  # type: ignore[attr-defined]
    network = adapted(name, plain)
    for task in range(2):
        network.begin(task)
        for place, group in groups(copied(network)).items():
            layer = next(layer for layer in layers if layer in place)
            kind = "bias" if "bias" in place or "shift" in place else "others"
            assert group == f"{layer}, {kind}", place
        network.end()
    for task in range(2 * isinstance(network, KernelNetwork)):
        assert groups(fold(network, task)) == groups(plain)


def test_layers_that_are_a_part_of_another_network_of_cpg_are_refused_and_stay() -> None:
    plain = Block()
    network = adapted("cpg", plain)
    with pytest.raises(UserError, match=r"cpg shares out .* and Block has none that is trained"):
        GrowingNetwork(plain, 0.01)
    assert all(layer.cursor is network.cursor for layer in network.layers)

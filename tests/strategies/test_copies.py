"""Copies of networks: what a copy would not have as the network has it is refused; what a pass left in it is not."""

import functools
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from made_networks import Block, images, learn, trainable
from made_stream import learner, pairs, stream
from torch import Tensor, nn

from benchmark.core.errors import UserError
from strategies import registry
from strategies.base import TaskNetwork
from strategies.cmc.layer import CMCConv2d
from strategies.cmc.network import CMCNetwork, convert
from strategies.copies import copied
from strategies.kernels import KernelNetwork, fold
from strategies.separate import redrawn

COPYING = ["cmc", "lora", "cpg", "lwf", "kr", "generative_replay"]


def adapted(name: str, plain: nn.Module) -> nn.Module:
    kind = registry.load(name)
    return kind(registry.settings(kind, {"grow": 0} if name == "cpg" else {})).adapt(plain, 2)


class Scaled(Block):
    """A block whose first convolution is scaled by what a function that hangs on it knows."""

    def __init__(self, hook: Callable[["Scaled"], Callable[..., Tensor]]) -> None:
        super().__init__()
        self.scale = nn.Conv2d(4, 4, 1)
        self.enter.register_forward_hook(hook(self))

    def scaled(self, output: Tensor) -> Tensor:
        return self.scale(output)


def by_a_list(block: Scaled) -> Callable[..., Tensor]:
    scales = {"scales": [block.scale]}
    return lambda _, __, output: scales["scales"][0](output)


def by_a_default(block: Scaled) -> Callable[..., Tensor]:
    return lambda _, __, output, scale=block.scale: scale(output)


def by_a_keyword(block: Scaled) -> Callable[..., Tensor]:
    def hook(_: nn.Module, __: object, output: Tensor, *, scale: nn.Module = block.scale) -> Tensor:
        return scale(output)

    return hook


def by_another_function(block: Scaled) -> Callable[..., Tensor]:
    scale = block.scale
    inner = lambda output: scale(output)  # noqa: E731
    return lambda _, __, output: inner(output)


def by_a_method(block: Scaled) -> Callable[..., Tensor]:
    scaled = block.scaled
    return lambda _, __, output: scaled(output)


def by_a_part_of_a_function(block: Scaled) -> Callable[..., Tensor]:
    scaled = functools.partial(block.scaled)
    return lambda _, __, output: scaled(output)


def by_a_weak_reference(block: Scaled) -> Callable[..., Tensor]:
    scale = weakref.ref(block.scale)
    return lambda _, __, output: scale()(output)


def by_a_global_name(block: Scaled) -> Callable[..., Tensor]:
    globals()["SCALE"] = block.scale
    return lambda _, __, output: SCALE(output)  # type: ignore[name-defined]  # noqa: F821


HOOKS = [
    by_a_list,
    by_a_default,
    by_a_keyword,
    by_another_function,
    by_a_method,
    by_a_part_of_a_function,
    by_a_weak_reference,
    by_a_global_name,
]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_function_that_knows_a_part_in_any_way_is_refused(hook: Callable[[Scaled], Callable[..., Tensor]]) -> None:
    with pytest.raises(UserError, match=r"'enter'.*holds a function \(_forward_hooks.*refers to a part of the network"):
        copied(Scaled(hook))


def cached(block: Block) -> None:
    block.forward = functools.lru_cache(block.forward)  # type: ignore[method-assign]


def wrapped(block: Block) -> None:
    forward = block.forward

    @functools.wraps(forward)
    def brighter(x: Tensor) -> Tensor:
        return forward(x) + 1

    block.forward = brighter  # type: ignore[method-assign]


def compiled(block: Block) -> None:
    block.forward = torch.compile(block.forward, backend="eager")  # type: ignore[method-assign]


@pytest.mark.parametrize("wrap", [cached, wrapped, compiled])
@pytest.mark.parametrize("name", COPYING)
def test_a_pass_that_was_wrapped_is_refused_as_copies_would_pass_the_network_they_were_made_of(
    name: str, wrap: Callable[[Block], None]
) -> None:
    block = Block()
    wrap(block)
    with pytest.raises(UserError, match=r"The network \(Block\) holds a function \(forward"):
        adapted(name, block)


def test_methods_and_what_is_copied_with_them_stay() -> None:
    class Counting(Block):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Conv2d(4, 4, 1)
            self.enter.register_forward_hook(functools.partial(self.scaled, by=2.0))
            self.register_load_state_dict_pre_hook(self.renamed)
            self.activation = torch.relu

        def scaled(self, _: nn.Module, __: object, output: Tensor, by: float) -> Tensor:
            return by * self.scale(output)

        def renamed(self, *_: Any) -> None:
            pass

    network = copied(Counting())
    network(images(0)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def buffer(block: Block) -> None:
    block.register_buffer("kernel", block.leave.weight.detach())


def passing_buffer(block: Block) -> None:
    block.register_buffer("kernel", block.leave.weight.data, persistent=False)


def attribute(block: Block) -> None:
    block.kernel = block.leave.weight.detach()


def view(block: Block) -> None:
    block.kernel = block.leave.weight.data[1:].flatten(1)


def listed(block: Block) -> None:
    block.kernel = [block.leave.weight.data]


def begun(name: str, plain: nn.Module) -> None:
    network = adapted(name, plain)
    network.begin(0) if isinstance(network, TaskNetwork) else copied(network)


@pytest.mark.parametrize("hold", [buffer, passing_buffer, attribute, view, listed])
@pytest.mark.parametrize("name", [*COPYING, "packnet", "independent"])
def test_what_lies_in_the_memory_of_a_trained_parameter_is_refused(name: str, hold: Callable[[Block], None]) -> None:
    block = Block()
    hold(block)
    with pytest.raises(UserError, match=r"'kernel' lies in the memory of the parameter 'leave\.weight'.*clone\(\)"):
        begun(name, block)


def test_what_is_no_trained_parameters_is_kept() -> None:
    block = Block()
    block.register_buffer("kernel", block.leave.weight.detach().clone())
    block.register_buffer("empty", None)
    block.first = block.kernel[:1]
    block.mix = nn.utils.spectral_norm(nn.Linear(3, 3))  # writes its weight anew in every pass
    block.filter = nn.Conv2d(3, 3, 1).requires_grad_(False)
    block.fixed = [block.filter.weight.data]
    made = redrawn(block, 0, 1)
    assert torch.equal(made.kernel, block.kernel)


class Keeping(Block):
    """A block that keeps the features of its last pass."""

    def forward(self, x: Tensor) -> Tensor:
        self.features = {"enter": [self.enter(x)]}
        return self.leave(self.features["enter"][0].relu())


def test_a_network_that_keeps_features_is_folded() -> None:
    network = adapted("lora", Keeping())
    assert isinstance(network, KernelNetwork)
    for task in range(2):
        for _ in learn(network, task):
            pass
    network.begin(2)
    network(images(0), 2)
    for task in range(3):
        assert torch.equal(fold(network, task)(images(1)), network(images(1), task))


def test_features_are_copied_as_values() -> None:
    network = Keeping()
    network(images(0))
    with pytest.raises(UserError, match="Keeping cannot be copied"):
        copied(network)
    twin = copied(network, ran=True)
    (kept,) = twin.features["enter"]
    assert torch.equal(kept, network.features["enter"][0])
    assert not kept.requires_grad
    assert len(trainable(twin)) == len(trainable(network))


class Mode(Block):
    """Has a method for its mode that gives nothing back."""

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)


def test_a_network_whose_mode_gives_nothing_back_is_folded() -> None:
    network = CMCNetwork(convert(Mode()), partial(CMCConv2d.begin, fraction=0.5))
    for _ in learn(network, 0):
        pass
    assert torch.equal(fold(network, 0)(images(1)), network(images(1), 0))


@pytest.mark.parametrize("plain", [Keeping, Mode])
@pytest.mark.parametrize("name", ["lwf", "kr", "generative_replay"])
def test_strange_networks_are_distilled_from(name: str, plain: type[nn.Module]) -> None:
    kind: Any = registry.load(name)
    strategy = kind(registry.settings(kind, {"autoencoder_updates": 1} if name == "kr" else {}))
    network = strategy.adapt(plain(), 2)
    template = learner(strategy, network)
    first, second = stream(*(pairs(seed, torch.float32) for seed in range(2)))
    template.learn(first)
    then = [value.clone() for value in network.parameters()]
    template.learn(second)
    assert all(map(torch.equal, strategy.teacher.parameters(), then))

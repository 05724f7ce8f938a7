"""Networks in other types, layouts and shapes than usual, or with more than layers in them: kept or refused by name."""

import copy

import pytest
import torch
from made_networks import TASKS, Block, images, learn, learned, outputs, same, trainable
from torch import Tensor, nn

from benchmark.backbones import build
from benchmark.core.errors import UserError
from strategies import registry
from strategies.base import TaskNetwork
from strategies.cmc.network import fold
from strategies.kernels import KernelNetwork
from strategies.kr import restored

STRATEGIES = ["cmc", "packnet", "independent", "pnn", "lira", "dan", "lora", "piggyback", "wsn", "mini", "cpg"]
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def adapted(strategy: str, plain: nn.Module, **settings: object) -> TaskNetwork:
    kind = registry.load(strategy)
    chosen = registry.settings(kind, ({"grow": 0} if strategy == "cpg" else {}) | settings)
    torch.manual_seed(0)
    network = kind(chosen).adapt(plain, TASKS)
    assert isinstance(network, TaskNetwork)
    return network


@every_strategy
@pytest.mark.parametrize("moment", ["before", "between", "within"])
def test_the_order_in_which_a_network_lies_in_memory_changes_no_earlier_output(strategy: str, moment: str) -> None:
    plain = Block()
    network = adapted(strategy, plain.to(memory_format=torch.channels_last) if moment == "before" else plain)
    for _ in learn(network, 0):
        pass
    if moment == "between":
        network.to(memory_format=torch.channels_last)
    # a processor may round otherwise where weights lie otherwise: what is compared lies alike
    alike = copy.deepcopy(network).to(memory_format=torch.channels_last) if moment == "within" else network
    before = outputs(alike, 1)
    for _ in learn(network, 1):
        if moment == "within":
            network.to(memory_format=torch.channels_last)
            if strategy == "cpg" and network.cursor.learning is not None:
                network.prune(0.5)
                network.take_back()
    assert same(outputs(network, 1), before)
    assert not torch.equal(outputs(network, 2)[1], before[0])


@every_strategy
def test_a_network_that_was_moved_to_another_type_learns_on_in_it(strategy: str) -> None:
    network = adapted(strategy, Block())
    for task in range(2):
        network.begin(task)
        network.end()
        network.double()
    network.begin(2)
    network(images(0).double(), 2).square().mean().backward()
    assert all(tensor.dtype == torch.float64 for tensor in network.parameters())
    assert network(images(0).double(), 2).dtype == torch.float64


@pytest.mark.parametrize("strategy", [*STRATEGIES, "deform"])
def test_a_network_that_is_moved_before_its_first_task_begins_in_the_new_type(strategy: str) -> None:
    after = adapted(strategy, build("resnet", 4, 1, False)).double()
    for network in (after, adapted(strategy, build("resnet", 4, 1, False).double())):
        for task in range(2):
            network.begin(task)
            assert network(images(0).double(), task).dtype == torch.float64
            network.end()
        assert all(tensor.dtype == torch.float64 for tensor in network.parameters())


@every_strategy
def test_a_state_of_another_type_that_is_assigned_is_gone_on_from(strategy: str) -> None:
    network, twin = adapted(strategy, Block()), adapted(strategy, Block())
    for task in range(2):
        for _ in learn(network, task):
            pass
        twin.begin(task)
        twin.end()
    state = {key: value.double() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    twin.load_state_dict(state, assign=True)
    before = [twin(images(1).double(), task) for task in range(2)]
    torch.testing.assert_close([one.float() for one in before], [network(images(1), task) for task in range(2)])
    twin.begin(2)
    twin(images(0).double(), 2).square().mean().backward()
    twin.end()
    assert same([twin(images(1).double(), task) for task in range(2)], before)


def test_what_was_assigned_lies_in_a_state_once() -> None:
    network = learned("cmc", "twice as large", tasks=2)
    network.load_state_dict(copy.deepcopy(network.state_dict()), assign=True)
    places = [value.data_ptr() for value in network.state_dict().values() if value.numel()]
    assert len(places) == len({*places})


@every_strategy
def test_what_ends_or_loads_under_autocast_or_inference_mode_is_kept_exactly(strategy: str) -> None:
    network, twin = adapted(strategy, Block()), adapted(strategy, Block())
    for _ in learn(network, 0):
        pass
    network.begin(1)
    with torch.no_grad():
        for parameter in trainable(network):
            parameter += 0.1 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        network.end()
    for task in range(2):
        twin.begin(task)
        twin.end()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        twin.load_state_dict(network.state_dict())
    assert same(outputs(twin, 2), outputs(network, 2))
    network.load_state_dict(network.state_dict())
    assert same(outputs(network, 2), outputs(twin, 2))
    image = images(0).requires_grad_()
    twin(image, 1).sum().backward()
    assert image.grad is not None


class Listing(Block):
    """A block that reads a kernel from a plain list, which exchanged layers would not change."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = [self.leave.weight]


@pytest.mark.parametrize("strategy", sorted({*STRATEGIES} - {"independent", "pnn", "lira"}))
def test_a_kernel_in_a_plain_list_is_refused_by_name(strategy: str) -> None:
    with pytest.raises(UserError, match=r"\(Listing\) holds 'leave.weight' in its attribute kernels"):
        adapted(strategy, Listing())


class Scaled(Block):
    """A block with a hook that is a function, and one that is a method."""

    def __init__(self, closes: bool) -> None:
        super().__init__()
        self.scale = nn.Conv2d(4, 4, 1)
        self.enter.register_forward_hook((lambda _, __, output: self.scale(output)) if closes else self.scaled)

    def scaled(self, _: nn.Module, __: object, output: Tensor) -> Tensor:
        return self.scale(output)


@pytest.mark.parametrize("strategy", sorted({*STRATEGIES} - {"packnet", "lira"}))
def test_a_hook_that_knows_the_network_is_copied_with_it_or_refused(strategy: str) -> None:
    with pytest.raises(UserError, match=r"'enter'.*holds a function \(_forward_hooks.*refers to a part of the network"):
        adapted(strategy, Scaled(True)).begin(0)
    network = adapted(strategy, Scaled(False))
    network.begin(0)
    network.train()
    network(images(0), 0).square().mean().backward()
    assert all(parameter.grad is not None for parameter in trainable(network) if parameter.numel())


@every_strategy
def test_convolutions_that_were_cut_to_fewer_channels_keep_those(strategy: str) -> None:
    plain = Block()
    with torch.no_grad():
        plain.enter.weight = nn.Parameter(plain.enter.weight[:2].clone())
        plain.enter.bias = nn.Parameter(plain.enter.bias[:2].clone())
        plain.leave.weight = nn.Parameter(plain.leave.weight[:, :2].clone())
    network = adapted(strategy, plain)
    for task in range(2):
        for _ in learn(network, task):
            pass
    if isinstance(network, KernelNetwork):
        assert torch.equal(fold(network, 1)(images(0)), network(images(0), 1))


@every_strategy
def test_tensors_without_a_shape_are_refused(strategy: str) -> None:
    with pytest.raises(UserError, match=r"'0' \(LazyConv2d\).*restore one image"):
        adapted(strategy, nn.Sequential(nn.LazyConv2d(4, 3, padding=1), nn.Conv2d(4, 3, 1))).begin(0)


class Normalised(Block):
    """A block with parameters outside of its convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(torch.relu(self.norm(self.enter(x))))


def in_its_second_task(strategy: str) -> tuple[TaskNetwork, list[Tensor]]:
    """A network that has begun its second task, and its outputs for both."""
    network = adapted(strategy, Normalised())
    for _ in learn(network, 0):
        pass
    network.begin(1)
    return network, outputs(network, 2)


@pytest.mark.parametrize("strategy", sorted({*STRATEGIES} - {"cpg"}))
def test_every_task_takes_parameters_that_are_given_for_one_call(strategy: str) -> None:
    network, before = in_its_second_task(strategy)
    given = {name: 1.5 * value.detach() for name, value in network.named_parameters() if value.requires_grad}
    called = [torch.func.functional_call(network, given, (images(99), task)) for task in range(2)]
    assert torch.equal(called[0], before[0])
    assert same(outputs(network, 2), before)
    assert all(isinstance(value, nn.Parameter) for value in network.parameters())
    with torch.no_grad():
        for name, value in given.items():
            network.get_parameter(name).copy_(value)
    torch.testing.assert_close(outputs(network, 2)[1], called[1])


@pytest.mark.parametrize("strategy", ["cmc", "lora", "mini"])
def test_parameters_that_are_given_while_another_task_is_selected_are_refused(strategy: str) -> None:
    network, before = in_its_second_task(strategy)
    given = {name: 1.5 * value.detach() for name, value in network.named_parameters()}
    network.select(0)
    with pytest.raises(UserError, match=r"while task 0 is selected, and would not be used. Call select\(1\)"):
        torch.func.functional_call(network, given, (images(99), 1))
    assert torch.equal(torch.func.functional_call(network, given, (images(99), 0)), before[0])
    assert same(outputs(network, 2), before)
    network.select(1)
    called = torch.func.functional_call(network, given, (images(99), 1))
    assert not torch.allclose(called, before[1])
    assert same(outputs(network, 2), before)


class TwoTypes(Block):
    """A block whose second convolution is more exact than its first."""

    def __init__(self) -> None:
        super().__init__()
        self.leave.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(torch.relu(self.enter(x)).double())


@every_strategy
def test_layers_of_two_types_keep_them(strategy: str) -> None:
    network = adapted(strategy, TwoTypes())
    for task in range(2):
        for _ in learn(network, task):
            pass
    assert network(images(0), 1).dtype == torch.float64


class ByName(Block):
    """A block that calls its convolutions by the name of their argument."""

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(input=torch.relu(self.enter(input=x)))


@pytest.mark.parametrize("strategy", [*STRATEGIES, "together_task_id"])
def test_convolutions_are_called_by_the_name_of_their_argument_too(strategy: str) -> None:
    by_name, plain = adapted(strategy, ByName()), adapted(strategy, Block())
    plain.begin(0)
    by_name.begin(0)
    by_name.load_state_dict(plain.state_dict())
    assert torch.equal(by_name(images(0), 0), plain(images(0), 0))


def test_features_enter_the_last_convolution_by_name_too() -> None:
    assert restored(ByName(), images(0))[1].shape == (2, 4, 32, 32)


@pytest.mark.parametrize("autocast", [False, True])
def test_lira_joins_images_of_another_type_than_its_branches_are(autocast: bool) -> None:
    class Exact(Block):
        """Takes and gives float32, and begins in float64."""

        def __init__(self) -> None:
            super().__init__()
            self.enter.double()

        def forward(self, x: Tensor) -> Tensor:
            return self.leave(torch.relu(self.enter(x.double())).float())

    network = adapted("lira", Exact())
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        for task in range(2):
            for _ in learn(network, task):
                pass
    with torch.no_grad():
        first, second = (network(images(0), task) for task in range(2))
    assert first.dtype == second.dtype == torch.float32
    assert not torch.equal(first, second)


def test_lira_shows_its_branches_the_image_as_it_was() -> None:
    class Shifting(Block):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.sub_(0.5))

    network = adapted("lira", Shifting())
    for _ in learn(network, 0):
        pass
    network.begin(1)
    base, image = network.backbone.base, images(0)
    restored = network.backbone.branches[0](image, base(image.clone()))
    assert torch.equal(network.eval()(image.clone(), 1), restored)


@every_strategy
def test_a_task_that_ends_in_inference_mode_is_learned_from_later(strategy: str) -> None:
    network = adapted(strategy, Block() if strategy == "cpg" else Normalised())
    kept = []
    for task in range(3):
        network.train()
        network.begin(task)
        steps = torch.optim.Adam(trainable(network), lr=0.01)
        network(images(task), task).square().mean().backward()
        steps.step()
        with torch.inference_mode():
            network.end()
        image = images(9).requires_grad_()
        output = network(image, 0)
        output.sum().backward()
        kept.append(output.detach())
    assert torch.equal(kept[0], kept[1])
    assert torch.equal(kept[0], kept[2])


def test_dan_combines_filters_in_half_precision() -> None:
    network, exact = (adapted("dan", Block(), start="least_squares") for _ in range(2))
    exact.load_state_dict(network.half().state_dict())
    for one in (network, exact):
        one.rebuild(range(2))
    torch.testing.assert_close(network(images(0).half(), 1).float(), exact(images(0), 1), rtol=1e-2, atol=1e-2)


class Sized(Block):
    """A block with a buffer that is no part of a state, and has the size of the last image."""

    grid: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grid", torch.zeros(1, 1), persistent=False)
        self.slope = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        if self.grid.shape != x.shape[2:]:
            self.grid = torch.linspace(0, 1, x.shape[2] * x.shape[3]).view(x.shape[2:])
        return super().forward(self.slope(x + self.grid))


@pytest.mark.parametrize("strategy", sorted({*STRATEGIES} - {"cpg"}))
def test_a_state_loads_where_buffers_that_are_no_part_of_it_have_other_sizes(strategy: str) -> None:
    network, twin = adapted(strategy, Sized()), adapted(strategy, Sized())
    for task in range(2):
        for _ in learn(network, task):
            pass
    twin.rebuild(range(2))
    for _ in range(2):
        twin.load_state_dict(network.state_dict())
        assert same(outputs(twin, 2), outputs(network, 2))
        with torch.no_grad():
            network(torch.rand(1, 3, 12, 12), 1)


@pytest.mark.parametrize("strategy", ["cmc", "lora"])
def test_layers_that_have_learned_elsewhere_are_refused(strategy: str) -> None:
    network = adapted(strategy, Block())
    network.begin(0)
    for _ in range(2):
        with pytest.raises(UserError, match="Layer 'enter' of Block has learned tasks by itself or elsewhere"):
            KernelNetwork(network.backbone, network.kind, strategy)  # type: ignore[arg-type]
        network.end() if network.cursor.learning is not None else None


@pytest.mark.parametrize("strategy", ["cmc", "lora"])
def test_layers_of_another_network_are_refused_and_go_on_following_it(strategy: str) -> None:
    """Of two networks over the same layers the first computed the first task whichever it selected."""
    network = adapted(strategy, Block())
    with pytest.raises(UserError, match=r"The layers of Block belong to another network already.* convert the plain"):
        KernelNetwork(network.backbone, network.kind, strategy)  # type: ignore[arg-type]
    network.begin(0)
    with pytest.raises(UserError):
        KernelNetwork(network.backbone, network.kind, strategy)  # type: ignore[arg-type]
    assert all(layer.cursor is network.cursor for layer in network.layers)  # type: ignore[union-attr]


@pytest.mark.parametrize("strategy", ["cmc", "dan", "lora", "piggyback", "wsn", "mini"])
def test_the_global_random_state_stays_whatever_a_network_of_tasks_does(strategy: str) -> None:
    plain = Normalised()
    kind = registry.load(strategy)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    network = kind(registry.settings(kind, {})).adapt(plain, 2)
    network.rebuild(range(2))
    network.select(0)
    fold(network, 1)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("strategy", ["cmc", "lora"])
def test_a_task_that_was_selected_in_inference_mode_may_be_differentiated_later(strategy: str) -> None:
    network = adapted(strategy, Normalised())
    network.rebuild([0, 1])
    with torch.inference_mode():
        network.select(0)
    image = images(0).requires_grad_()
    network.backbone(image).sum().backward()
    assert image.grad is not None

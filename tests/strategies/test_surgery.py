"""What hangs on a layer that becomes another one is kept, or refused with the layer's name."""

import copy
import pickle
import types
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from made_networks import Block
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from baselines.deform import DeformableConv2d, small_network
from baselines.together import TaskBiasConv2d, TaskBiasNetwork
from benchmark.backbones.resnet import ResNet
from benchmark.core.errors import UserError
from strategies.base import TaskNetwork
from strategies.cmc.layer import CMCConv2d
from strategies.cmc.network import CMCNetwork, convert, fold
from strategies.packnet import PackedConv2d, PackedNetwork
from strategies.surgery import convolutions


def cmc(network: nn.Module) -> TaskNetwork:
    return CMCNetwork(convert(network, t=2), partial(CMCConv2d.begin, fraction=0.2))


def packnet(network: nn.Module) -> TaskNetwork:
    return PackedNetwork(network, 0.2)


KINDS: dict[str, tuple[Callable[[nn.Module], TaskNetwork], type[nn.Module]]] = {
    "cmc": (cmc, CMCConv2d),
    "packnet": (packnet, PackedConv2d),
    "together_task_id": (TaskBiasNetwork, TaskBiasConv2d),
}
every_kind = pytest.mark.parametrize(("make", "kind"), KINDS.values(), ids=KINDS)


def outer(block: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Identity(), block)


class Seen:
    """A hook that counts its calls."""

    def __init__(self) -> None:
        self.layers: list[str] = []

    def __call__(self, layer: nn.Module, *rest: Any) -> None:
        self.layers.append(type(layer).__name__)


def begun(network: TaskNetwork) -> TaskNetwork:
    network.train()
    network.begin(0)
    return network


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@every_kind
def test_hooks_stay_on_the_layer(make: Callable[[nn.Module], TaskNetwork], kind: type[nn.Module]) -> None:
    seen = [Seen() for _ in range(4)]
    block = Block()
    block.enter.register_forward_hook(seen[0])
    block.enter.register_forward_pre_hook(seen[1])
    block.enter.register_full_backward_hook(seen[2])
    block.enter.register_full_backward_pre_hook(seen[3])
    network = begun(make(outer(block)))
    layer = network.backbone.get_submodule("1.enter")
    hooks = (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)
    mine = [next(iter(table.values())) for table in hooks]  # copies of ours where the network was copied
    network(torch.rand(1, 3, 8, 8), 0).sum().backward()
    assert [hook.layers for hook in mine] == [[kind.__name__]] * 4


def test_a_hook_can_be_removed_by_its_handle_after_the_layer_was_packed() -> None:
    block, seen = Block(), Seen()
    handle = block.leave.register_forward_hook(seen)
    network = begun(PackedNetwork(block, 0.2))
    network(torch.rand(1, 3, 8, 8), 0)
    handle.remove()
    network(torch.rand(1, 3, 8, 8), 0)
    assert seen.layers == ["PackedConv2d"]


def test_hooks_are_folded_with_the_layer() -> None:
    block = Block()
    block.enter.register_forward_hook(Seen())
    network = begun(cmc(block))
    folded = fold(network, 0)
    folded(torch.rand(1, 3, 8, 8))
    assert next(iter(folded.enter._forward_hooks.values())).layers == ["Conv2d"]


class Listing(nn.Module):
    """A parent that holds its convolutions in a plain list as well, and reads what it needs from them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.order = [self.first, self.second]
        self.first.role = "enter"

    def forward(self, x: Tensor) -> Tensor:
        assert self.first.role == "enter"
        assert self.first.in_channels == x.shape[1]
        for layer in self.order:
            x = layer(x.to(layer.weight.device, layer.weight.dtype)) + layer.bias.mean()
        return x + nn.functional.conv2d(x, self.second.weight, self.second.bias, padding=self.second.padding)


@every_kind
def test_parents_find_their_layers_wherever_they_keep_them(
    make: Callable[[nn.Module], TaskNetwork], kind: type[nn.Module]
) -> None:
    network = begun(make(Listing()))
    assert all(type(layer) is kind and isinstance(layer, nn.Conv2d) for layer in network.backbone.order)
    assert network.backbone.order[0] is network.backbone.first
    network(torch.rand(1, 3, 8, 8), 0).sum().backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
    network.end()
    twin = pickle.loads(pickle.dumps(network))
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(network(image, 0), twin(image, 0))
        assert torch.equal(network(image, 0), copy.deepcopy(network)(image, 0))


@every_kind
def test_flag_and_type_of_a_layer_are_kept(make: Callable[[nn.Module], TaskNetwork], kind: type[nn.Module]) -> None:
    block = Block().double()
    block.enter.eval()
    network = make(block)
    assert not network.backbone.enter.training
    assert network.backbone.leave.training
    begun(network)
    assert network(torch.rand(1, 3, 8, 8).double(), 0).dtype == torch.float64
    assert "kernel_size=(3, 3)" in repr(network)
    assert "bias=False" not in repr(network)


def test_reading_weight_and_bias_gives_the_active_tasks_with_their_gradient() -> None:
    network = begun(cmc(Block()))
    layer = network.backbone.enter
    assert layer.weight.shape == (4, 3, 3, 3)
    layer.weight.square().sum().backward()
    assert layer.values.grad.abs().sum() > 0
    network.end()
    network.begin(1)
    with torch.no_grad():
        layer.task_bias += 1
        new = layer.bias.clone()
        network.select(0)
        torch.testing.assert_close(layer.bias, new - 1)
        image = torch.rand(1, 3, 8, 8)
        before = network(image, 0)
        layer.weight.fill_(0)
        layer.bias.fill_(0)
        layer.reset_parameters()
        assert torch.equal(network(image, 0), before)
    assert "weight" not in {name.rpartition(".")[2] for name in network.state_dict()}


def with_state_hook(conv: nn.Module) -> nn.Module:
    conv.register_state_dict_post_hook(lambda *_: None)
    return conv


def with_forward(conv: nn.Module) -> nn.Module:
    conv.forward = types.MethodType(lambda self, x: 2 * nn.Conv2d.forward(self, x), conv)
    return conv


def with_gradient_hook(conv: nn.Module) -> nn.Module:
    conv.weight.register_hook(lambda gradient: gradient / 2)
    return conv


def with_accumulation_hook(conv: nn.Module) -> nn.Module:
    conv.weight.register_post_accumulate_grad_hook(lambda parameter: parameter.grad.clamp_(-1, 1))
    return conv


def with_observer(conv: nn.Module) -> nn.Module:
    conv.add_module("observer", nn.Identity())
    return conv


def quietly(wrap: Callable[[nn.Module], nn.Module], conv: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return wrap(conv)


WRAPS: dict[str, tuple[Callable[[nn.Module], nn.Module], str]] = {
    "spectral norm": (nn.utils.spectral_norm, "remove_spectral_norm"),
    "weight norm": (partial(quietly, nn.utils.weight_norm), "remove_weight_norm"),
    "pruning": (partial(prune.l1_unstructured, name="weight", amount=0.5), r"prune\.remove"),
    "spectral parametrization": (parametrizations.spectral_norm, "remove_parametrizations"),
    "weight parametrization": (parametrizations.weight_norm, "remove_parametrizations"),
    "orthogonal parametrization": (parametrizations.orthogonal, "remove_parametrizations"),
    "state hook": (with_state_hook, "Remove the hook"),
    "gradient hook": (with_gradient_hook, "Remove the hook"),
    "accumulation hook": (with_accumulation_hook, "Remove the hook"),
    "its own forward": (with_forward, "subclass of Conv2d"),
    "a part": (with_observer, "observer"),
    "lazy": (lambda _: nn.LazyConv2d(4, 3, padding=1), "restore one image"),
    "jit": (torch.jit.script, "torch.jit"),
    "compiled": (torch.compile, "torch.compile"),
    "parallel": (nn.DataParallel, "network itself"),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@every_kind
@pytest.mark.parametrize(("wrap", "advice"), WRAPS.values(), ids=WRAPS)
def test_what_would_be_lost_is_refused_by_name(
    wrap: Callable[[nn.Module], nn.Module],
    advice: str,
    make: Callable[[nn.Module], TaskNetwork],
    kind: type[nn.Module],
) -> None:
    block = Block()
    block.enter = wrap(block.enter)
    network = outer(block)
    with pytest.raises(UserError, match=rf"'1\.enter'.*{advice}"):
        make(network)
    assert type(block.leave) is nn.Conv2d, "the network stays as it was"


def test_a_name_that_the_new_layer_needs_for_itself_is_refused() -> None:
    block = Block()
    block.leave.seed = 3
    with pytest.raises(UserError, match=r"'leave'.*named seed, which CMCConv2d needs"):
        cmc(block)


@pytest.mark.parametrize("tensor", ["weight", "bias"])
def test_tied_layers_are_refused_by_both_names_where_the_tie_would_break(tensor: str) -> None:
    def tied() -> nn.Module:
        network = nn.ModuleDict({"one": nn.Conv2d(3, 3, 3, padding=1), "two": nn.Conv2d(3, 3, 3, dilation=2)})
        setattr(network["two"], tensor, getattr(network["one"], tensor))
        return network

    for name, (make, _) in KINDS.items():
        if name == "cmc" or tensor == ("weight" if name == "packnet" else "bias"):
            with pytest.raises(UserError, match=rf"'one\.{tensor}' and 'two\.{tensor}' are one parameter"):
                make(tied())
        else:
            network = begun(make(tied()))
            assert getattr(network.backbone["two"], tensor) is getattr(network.backbone["one"], tensor)


def test_a_kernel_that_a_parent_holds_too_is_refused() -> None:
    block = Block()
    block.kernel = block.leave.weight
    with pytest.raises(UserError, match=r"'kernel' and 'leave\.weight'"):
        cmc(block)


def test_ties_outside_the_kernels_hold_for_every_task_and_when_folded() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.PReLU(), nn.Conv2d(3, 3, 3, padding=1), nn.PReLU())
    network[3].weight = network[1].weight
    tied = cmc(network)
    for task in range(2):
        tied.begin(task)
        assert tied.backbone[3].weight is tied.backbone[1].weight
        with torch.no_grad():
            tied.backbone[1].weight.fill_(task + 1)
        tied.end()
    for task in range(2):
        folded = fold(tied, task)
        assert folded[3].weight is folded[1].weight
        assert float(folded[3].weight.detach()) == task + 1


def test_fixed_filters_stay_as_they_are() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1).requires_grad_(False), nn.Conv2d(3, 3, 3, padding=1))
    kernel = network[0].weight.clone()
    for make, _ in KINDS.values():
        made = begun(make(copy.deepcopy(network)))
        assert type(made.backbone[0]) is nn.Conv2d
        assert not made.backbone[0].weight.requires_grad
        made.end()
        assert torch.equal(made.backbone[0].weight, kernel)
    half = copy.deepcopy(network)
    half[1].bias.requires_grad_(False)
    with pytest.raises(UserError, match=r"'1' has a frozen bias"):
        cmc(half)
    with pytest.raises(UserError, match=r"no nn\.Conv2d layer to be trained"):
        cmc(network[:1])


class Doubled(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def test_subclasses_and_other_convolutions_are_left_alone_and_belong_to_the_task() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), Doubled(3, 3, 1), nn.ConvTranspose2d(3, 3, 1))
    assert list(convolutions(plain)) == ["0"]
    network = cmc(plain)
    outputs = []
    for task in range(2):
        network.begin(task)
        with torch.no_grad():
            network.backbone[1].weight += 1
            network.backbone[2].weight += 1
        network.end()
        outputs.append(network(torch.ones(1, 3, 4, 4), task))
    assert torch.equal(network(torch.ones(1, 3, 4, 4), 0), outputs[0])
    assert not torch.equal(*outputs)
    with pytest.raises(UserError, match=r"has others: 1\.weight, 2\.weight"):
        packnet(plain)


def test_a_state_outside_of_tensors_is_refused() -> None:
    class Counting(nn.Identity):
        def get_extra_state(self) -> int:
            return 3

    with pytest.raises(UserError, match=r"'0' \(Counting\) keeps a state outside"):
        cmc(nn.Sequential(Counting(), nn.Conv2d(3, 3, 1)))


def test_deformable_layers_keep_what_hung_on_the_convolution() -> None:
    seen = Seen()

    class Hooked(ResNet):
        def make_body(self) -> nn.Module:
            body = super().make_body()
            body[0].conv1.register_forward_hook(seen)
            return body

    network = small_network(Hooked(width=4, blocks=1), 2)
    network(torch.rand(1, 3, 8, 8))
    assert seen.layers == [DeformableConv2d.__name__]


def test_networks_that_know_tasks_refuse_to_be_run_in_parallel_copies() -> None:
    with pytest.raises(UserError, match="one network in each process"):
        cmc(Block())._replicate_for_data_parallel()

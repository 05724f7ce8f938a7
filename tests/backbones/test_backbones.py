"""Backbones, and every strategy on every backbone."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from baselines.deform import Deform
from baselines.independent import Independent
from baselines.together import TogetherTaskId
from benchmark.backbones import BACKBONES, build
from benchmark.backbones.base import Backbone
from benchmark.backbones.dense import DenseBlock
from benchmark.backbones.rdn import ResidualDenseBlock
from benchmark.core.errors import UserError
from benchmark.engine import ledger
from strategies.base import Strategy, TaskNetwork
from strategies.cmc.layer import CMCConv2d
from strategies.cmc.network import CMCNetwork, fold
from strategies.cmc.strategy import CMC
from strategies.packnet import PackNet


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", BACKBONES)
def test_any_size_of_image_keeps_its_size_and_every_parameter_takes_part(name: str) -> None:
    torch.manual_seed(0)  # of some draws a whole layer's ReLUs are dead
    network = build(name, width=8, blocks=2, image_skip=False)
    out = network(torch.rand(2, 3, 11, 14))
    assert out.shape == (2, 3, 11, 14)
    out.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize("name", BACKBONES)
def test_image_skip_adds_the_input_and_nothing_else(name: str) -> None:
    image = torch.rand(1, 3, 8, 8)
    plain, skip = (build(name, 4, 1, image_skip) for image_skip in (False, True))
    skip.load_state_dict(plain.state_dict())
    assert torch.equal(skip(image), image + plain(image))


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_can_be_built_again_from_its_attributes(name: str) -> None:
    network = build(name, width=12, blocks=3, image_skip=True)
    assert isinstance(network, Backbone)
    twin = type(network)(width=network.width, blocks=network.blocks, image_skip=network.image_skip)
    assert (network.width, network.blocks, network.image_skip) == (12, 3, True)
    assert {k: v.shape for k, v in twin.state_dict().items()} == {k: v.shape for k, v in network.state_dict().items()}


@pytest.mark.parametrize(("name", "within"), [("dense", 0.07), ("rdn", 0.03)])
def test_size_is_that_of_the_residual_network(name: str, within: float) -> None:
    with torch.device("meta"):
        sizes = [parameters(build(kind, 64, 6, False)) for kind in (name, "resnet")]
    assert sizes[0] == pytest.approx(sizes[1], rel=within)


@pytest.mark.parametrize("name", BACKBONES)
def test_every_layer_works_at_full_resolution(name: str) -> None:
    """A kernel's weights are each used once per pixel, so multiply-accumulates per pixel are the weights' number."""
    network = build(name, 8, 2, False)
    weights = sum(parameter.numel() for parameter in network.parameters() if parameter.ndim == 4)
    assert ledger.macs_per_pixel(network) == weights


def test_a_dense_layer_sees_the_input_and_all_layers_before() -> None:
    """With all kernels the identity at the centre, the outputs can be told by hand."""
    block = DenseBlock(width=4, layers=2)
    for layer in block.layers:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        layer.weight.data[0, :, 1, 1] = 1
    nn.init.ones_(block.join.weight)
    nn.init.zeros_(block.join.bias)
    x = torch.rand(1, 4, 5, 5)
    total = x.sum(1, keepdim=True)  # the first layer adds it as a fifth channel; the second adds 2 · total as a sixth
    torch.testing.assert_close(block(x), (total + total + 2 * total).expand(1, 4, 5, 5))
    residual = ResidualDenseBlock(width=4, layers=2)
    residual.load_state_dict(block.state_dict())
    torch.testing.assert_close(residual(x), x + (4 * total).expand(1, 4, 5, 5))


def test_rdn_fuses_the_outputs_of_all_blocks_and_adds_the_shallow_features() -> None:
    network = build("rdn", 4, 3, False).double()
    image = torch.rand(1, 3, 6, 6, dtype=torch.float64)
    seen: list[Tensor] = []
    for block in network.body.blocks:
        block.register_forward_hook(lambda _, __, out: seen.append(out))
    fused: list[Tensor] = []
    network.body.fuse[0].register_forward_pre_hook(lambda _, inputs: fused.append(inputs[0]))
    shallow = network.head(image)
    out = network(image)
    assert len(seen) == 3
    assert torch.equal(fused[0], torch.cat(seen, 1))
    torch.testing.assert_close(out, network.tail(shallow + network.body.fuse(torch.cat(seen, 1))))


def test_rdn_without_blocks_is_a_clear_error() -> None:
    with pytest.raises(UserError, match=r"backbone\.blocks = 0: rdn .* at least one"):
        build("rdn", 4, 0, False)


STRATEGIES = {kind.name: kind for kind in (CMC, PackNet, TogetherTaskId, Independent, Deform)}
"""The strategies that change the network; the others train the backbone as it is."""


def made(strategy: str, backbone: nn.Module, tasks: int) -> tuple[Strategy, TaskNetwork]:
    kind = STRATEGIES[strategy]
    chosen = kind(kind.Settings(), seed=3)
    network = chosen.adapt(backbone, tasks)
    assert isinstance(network, TaskNetwork)
    return chosen, network


def learn(network: TaskNetwork, labels: list[int], updates: int = 3) -> None:
    """One training round, as the template does it, on random images."""
    network.train()
    network.adaptation(SimpleNamespace(task_labels=labels))
    generator = torch.Generator().manual_seed(labels[0])
    steps = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.01)
    for _ in range(updates):
        images = torch.rand(4, 3, 8, 8, generator=generator)
        targets = torch.tensor([labels[k % len(labels)] for k in range(4)])
        steps.zero_grad()
        (network(images, targets) - images.flip(1)).square().mean().backward()
        steps.step()
    network.end()
    network.eval()


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_runs_on_every_backbone_and_resumes(strategy: str, backbone: str) -> None:
    """Two rounds in one go, and with the state loaded into a fresh network between them, give the same bits."""
    image = torch.rand(1, 3, 9, 10)

    def fresh() -> tuple[TaskNetwork, list[list[int]]]:
        torch.manual_seed(0)
        chosen, network = made(strategy, build(backbone, 4, 1, False), tasks=2)
        return network, chosen.rounds(2)

    network, rounds = fresh()
    for labels in rounds[:1]:
        learn(network, labels)
    resumed, _ = fresh()
    resumed.train()
    resumed.adaptation(SimpleNamespace(task_labels=rounds[0]))
    resumed.end()
    resumed.load_state_dict({key: value.clone() for key, value in network.state_dict().items()})
    torch.rand(5)  # where the global generator stands must not matter
    for labels in rounds[1:]:
        learn(network, labels)
        learn(resumed, labels)
    resumed.eval()
    with torch.no_grad():
        outputs = [network(image, task) for task in range(2)]
        assert not torch.equal(*outputs)
        for task in range(2):
            assert outputs[task].isfinite().all()
            assert torch.equal(resumed(image, task), outputs[task])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_cmc_folds_on_every_backbone(backbone: str) -> None:
    _, network = made("cmc", build(backbone, 4, 2, False), tasks=2)
    assert isinstance(network, CMCNetwork)
    learn(network, [0])
    learn(network, [1])
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        for task in range(2):
            folded = fold(network, task)
            assert not any(isinstance(layer, CMCConv2d) for layer in folded.modules())
            assert torch.equal(folded(image), network(image, task))


def operations(network: nn.Module, *arguments: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        network(*arguments)
    return counter.get_total_flops()


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("strategy", ["cmc", "packnet", "together_task_id", "independent"])
def test_computation_stays_that_of_the_plain_backbone(strategy: str, backbone: str) -> None:
    plain = build(backbone, 4, 1, False)
    expected = operations(plain, torch.rand(1, 3, 8, 8))
    _, network = made(strategy, plain, tasks=2)
    learn(network, [0])
    learn(network, [1])
    assert operations(network, torch.rand(1, 3, 8, 8), 1) == expected

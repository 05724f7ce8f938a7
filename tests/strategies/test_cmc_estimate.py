"""Kernels in training: only what the task owns is touched, nothing is computed twice, and nothing kept is stale."""

import copy
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from benchmark.backbones.resnet import ResNet
from strategies.cmc import estimate
from strategies.cmc.estimate import Product
from strategies.cmc.network import CMCNetwork, convert

SHARINGS = ["none", "copy", "fixed", "adaptive"]


def network(sharing: str = "fixed", tasks: int = 2, plain: nn.Module | None = None) -> CMCNetwork:
    """Some tasks begun, the last of them in training, with vectors that are not zero."""
    made = CMCNetwork(
        convert(plain or ResNet(4, 1), t=5, t_ends=7), lambda conv: conv.begin(0.15, sharing, exhausted="expand")
    )
    for task in range(tasks):
        if task:
            made.end()
        made.begin(task)
        generator = torch.Generator().manual_seed(task)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
    return made


@settings(max_examples=60)
@given(st.integers(0, 2**31 - 1), st.integers(1, 9), st.integers(1, 300), st.floats(0.01, 1))
def test_a_product_is_that_of_the_whole_matrix(seed: int, height: int, width: int, share: float) -> None:
    """Rows and columns without an entry, full ones, and rows of more than a chunk."""
    draw = np.random.default_rng(seed)
    matrix = np.where(draw.random((height, width)) < share, draw.standard_normal((height, width)), 0)
    matrix[draw.integers(height), draw.integers(width)] = 1.5
    rows, columns = map(torch.from_numpy, np.nonzero(matrix))
    product = Product(rows, columns, height, width, torch.device("cpu"))
    vector, gradient = draw.standard_normal(height), draw.standard_normal(width)
    values = torch.from_numpy(matrix[matrix != 0])
    times = product.times(torch.from_numpy(vector)[rows], values)
    np.testing.assert_allclose(times, vector @ matrix, atol=1e-10)
    sums = product.row_sums(values * torch.from_numpy(gradient)[columns])
    np.testing.assert_allclose(sums, matrix @ gradient, atol=1e-10)


@pytest.mark.parametrize("sharing", SHARINGS)
def test_layers_alone_and_in_a_network_have_the_same_kernels(sharing: str) -> None:
    made = network(sharing, tasks=3)
    for layer, kernel in zip(made.layers, estimate.Estimate(made.layers).kernels(), strict=True):
        assert torch.equal(layer.kernel(), kernel)


@pytest.mark.parametrize("sharing", SHARINGS)
def test_what_is_frozen_is_the_kernel_as_it_was_trained(sharing: str) -> None:
    made = network(sharing, tasks=3)
    trained = [layer.kernel().detach() for layer in made.layers]
    made.end()
    for layer, kernel in zip(made.layers, trained, strict=True):
        assert torch.equal(layer.kernel(), kernel)


def test_the_graph_of_a_step_holds_nothing_of_the_size_of_the_memory() -> None:
    made = network()
    sizes: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        estimate.Estimate(made.layers).kernels()
    owned = sum(layer.values.numel() for layer in made.layers)
    assert sizes
    assert max(sizes) <= owned < 0.2 * sum(layer.memory.numel() for layer in made.layers)
    step = torch.optim.Adam([one for one in made.parameters() if one.requires_grad])
    made(torch.rand(1, 3, 8, 8), 1).sum().backward()
    step.step()
    vectors = sum(layer.t + layer.out_channels for layer in made.layers)
    assert sum(state["exp_avg"].numel() for state in step.state.values()) == owned + vectors


def counted(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows by one with every estimate that is computed."""
    calls: list[None] = []
    times = Product.times

    def noted(*arguments: torch.Tensor) -> torch.Tensor:
        calls.append(None)
        return times(*arguments)

    monkeypatch.setattr(Product, "times", noted)
    return calls


def test_in_evaluation_a_kernel_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, image = network().eval(), torch.rand(1, 3, 8, 8)
    calls = counted(monkeypatch)
    with torch.no_grad():
        first = made(image, 1)
        for _ in range(3):
            assert torch.equal(made(image, 1), first)
            made(image, 0)
    assert len(calls) == 1
    assert made(image, 1).requires_grad
    assert len(calls) == 2, "with gradients it is a new graph each time"


def _step(made: CMCNetwork) -> None:
    optimizer = torch.optim.Adam([one for one in made.parameters() if one.requires_grad], lr=0.1, fused=True)
    made(torch.rand(1, 3, 8, 8), 1).square().sum().backward()
    optimizer.step()


def _by_data(made: CMCNetwork) -> None:
    made.layers[0].values.data += 1


def _vector(made: CMCNetwork) -> None:
    with torch.no_grad():
        made.layers[1].vector[2] -= 0.5


def _load(made: CMCNetwork) -> None:
    state = made.state_dict()
    made.load_state_dict({key: value * 2 if "vector" in key else value for key, value in state.items()})


def _next_task(made: CMCNetwork) -> None:
    made.end()
    made.begin(2)
    with torch.no_grad():
        made.layers[0].vector += 1


@pytest.mark.parametrize("change", [_step, _by_data, _vector, _load, _next_task, CMCNetwork.double])
def test_what_is_kept_is_never_stale(change: Callable[[CMCNetwork], object]) -> None:
    made = network().eval()
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        before = made(image, 1)
    change(made)
    task = made.known[-1]
    image = image.to(made.layers[0].memory.dtype)
    with torch.no_grad():
        after = made(image, task)
    if change is not CMCNetwork.double:
        assert not torch.equal(after, before)
    torch.testing.assert_close(after, made(image, task).detach(), rtol=0, atol=0)
    twin = copy.deepcopy(made)
    with torch.no_grad():
        twin.layers[0].values += 1
        assert not torch.equal(twin(image, task), after)
        assert torch.equal(made(image, task), after)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_networks_that_keep_a_kernel_are_copied_and_saved(mode: Callable[[], torch.no_grad]) -> None:
    made, image = network().eval(), torch.rand(1, 3, 8, 8)
    made.begin_layer.function = None
    with mode():
        expected = made(image, 1).clone()
        for layer in made.layers:
            layer.weight.mul_(2)  # what is given out is a copy
        assert torch.equal(made(image, 1), expected)
    file = io.BytesIO()
    torch.save(made, file)
    file.seek(0)
    for twin in (copy.deepcopy(made), torch.load(file, weights_only=False)):
        assert torch.equal(twin(image, 1).detach(), expected)
        twin(image, 1).sum().backward()


class Checkpointed(nn.Module):
    """Computes its middle a second time in the backward pass."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.enter, self.leave = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.middle = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x)
        if self.reentrant is None:
            return self.leave(self.middle(x))
        return self.leave(checkpoint(self.middle, x, use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("whole", [True, False], ids=["network", "layers"])
def test_checkpointed_parts_have_the_same_gradients(reentrant: bool, whole: bool) -> None:
    image = torch.rand(2, 3, 8, 8)
    found = []
    for way in (None, reentrant):
        made = network(plain=Checkpointed(way))
        output = made(image, 1) if whole else made.backbone(image)
        output.square().sum().backward()
        found.append([one.grad for one in made.parameters()])
    for gradient, plain in zip(*found, strict=True):
        torch.testing.assert_close(gradient, plain)

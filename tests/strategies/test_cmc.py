"""The CMC layer against Eq. 1-4, and the properties that it promises."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.backbones.resnet import ResNet
from benchmark.core.errors import UserError
from strategies.cmc.layer import FREE, CMCConv2d
from strategies.cmc.network import CMCNetwork, convert
from strategies.cmc.strategy import CMC, CMCSettings

SHARINGS = ["none", "copy", "fixed", "adaptive"]


def layer(t: int = 3, like: nn.Conv2d | None = None, name: str = "layer") -> CMCConv2d:
    return CMCConv2d(like or nn.Conv2d(4, 6, 3, padding=1), t, name).double()


def learn(conv: CMCConv2d, fraction: float = 0.2, **options: object) -> None:
    """Begin a task, move everything trainable as training would, and end it."""
    conv.begin(fraction, **options)
    generator = torch.Generator().manual_seed(conv.learned)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    conv.end()


def reference_kernel(conv: CMCConv2d, task: int, sharing: str) -> np.ndarray:
    """Eq. 1-4 read aloud: every task's vector times its masked memory, row by row, weight by weight."""
    memory, owner = conv.memory.numpy(), conv.owner.numpy()
    if task == conv.learning:
        memory = memory.copy()
        memory[owner == task] = conv.values.detach().numpy()
    kernel = np.zeros(conv.m)
    for i in range(task + 1):
        if i < task and sharing in ("none", "copy"):
            continue
        if i == task:
            vector = conv.vector if task == conv.learning else conv.get_buffer(f"vector_{task}")
        elif sharing == "fixed":
            vector = conv.get_buffer(f"vector_{i}")
        else:
            vector = (conv.reuse if task == conv.learning else conv.get_buffer(f"reuse_{task}"))[i]
        for row in range(len(vector)):
            for weight in range(conv.m):
                if owner[row, weight] == i:
                    kernel[weight] += vector[row].item() * memory[row, weight]
    return kernel.reshape(6, 4, 3, 3)


def direct_convolution(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A 3×3 convolution with a border of zeros, as a sum over shifted images."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    out = np.tile(bias[:, None, None], (1, height, width))
    for dy in range(3):
        for dx in range(3):
            out += np.einsum("oi,ihw->ohw", kernel[:, :, dy, dx], padded[:, dy : dy + height, dx : dx + width])
    return out


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("task", [0, 1, 3])
def test_forward_is_equation_4_while_learning_and_after(sharing: str, task: int) -> None:
    conv = layer()
    for _ in range(task):
        learn(conv, sharing=sharing)
    conv.begin(0.2, sharing=sharing, start=0.7)
    image = np.random.default_rng(0).random((4, 9, 7))
    for _ in range(2):
        bias = conv.current_bias().detach().numpy()
        expected = direct_convolution(image, reference_kernel(conv, task, sharing), bias)
        with torch.no_grad():
            got = conv(torch.from_numpy(image)[None])[0].numpy()
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)
        if conv.learning is not None:
            conv.end()
            conv.select(task)


@pytest.mark.parametrize("sharing", SHARINGS)
def test_gradients_are_those_of_equation_4(sharing: str) -> None:
    """dL/dM = T_n ⊗ dL/dK on the task's own entries; dL/dT_i = (M ⊙ H_i) · dL/dK; dL/db = sum of dL/dout."""
    conv = layer()
    learn(conv, sharing=sharing)
    learn(conv, sharing=sharing)
    conv.begin(0.2, sharing=sharing, start=0.3)
    image = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    upstream = torch.randn(2, 6, 5, 5, dtype=torch.float64)
    conv(image).backward(upstream)

    kernel = torch.from_numpy(reference_kernel(conv, 2, sharing)).requires_grad_()
    F.conv2d(image, kernel, padding=1).backward(upstream)
    d_kernel = kernel.grad.flatten().numpy()
    owner = conv.owner.numpy()
    memory = conv.memory.numpy().copy()
    memory[owner == 2] = conv.values.detach().numpy()
    vector = conv.vector.detach().numpy()
    np.testing.assert_allclose(conv.values.grad, np.outer(vector, d_kernel)[owner == 2], atol=1e-10)
    np.testing.assert_allclose(conv.vector.grad, (memory * (owner == 2)) @ d_kernel, atol=1e-10)
    np.testing.assert_allclose(conv.task_bias.grad, upstream.sum((0, 2, 3)), atol=1e-10)
    if sharing == "adaptive":
        for i in range(2):
            np.testing.assert_allclose(conv.reuse.grad[i], (memory * (owner == i)) @ d_kernel, atol=1e-10)
    trainable = {name for name, _ in conv.named_parameters()}
    assert trainable == {"values", "vector", "task_bias"} | ({"reuse"} if sharing == "adaptive" else set())


def test_tasks_own_disjoint_random_parts_of_the_asked_size() -> None:
    conv = layer(t=5)
    for _ in range(4):
        learn(conv, fraction=0.25)
    counts = [int((conv.owner == task).sum()) for task in range(4)]
    assert counts == [int(0.25 * 5 * conv.m)] * 4
    assert conv.free == 0
    other = layer(t=5, name="elsewhere")
    learn(other, fraction=0.25)
    assert not torch.equal(other.owner == 0, conv.owner == 0)


def test_first_kernel_has_the_variance_of_a_default_convolution() -> None:
    like = nn.Conv2d(64, 64, 3)
    for fraction in (0.0125, 0.1, 1.0):
        conv = CMCConv2d(like, t=5)
        conv.begin(fraction)
        assert float(conv.kernel().detach().var()) == pytest.approx(1 / (3 * 64 * 9), rel=0.06)
        assert float(like.weight.detach().var()) == pytest.approx(1 / (3 * 64 * 9), rel=0.06)


def test_a_new_task_starts_at_the_kernel_of_the_one_before_and_still_learns() -> None:
    conv = layer()
    learn(conv)
    before = conv.get_buffer("kernel_0").view(conv.kernel_shape).clone()
    conv.begin(0.2)
    assert torch.equal(conv.kernel(), before)
    conv(torch.randn(1, 4, 5, 5, dtype=torch.float64)).square().sum().backward()
    assert conv.vector.grad.abs().min() > 0
    conv.end()
    conv.begin(0.2, sharing="none")
    assert not torch.equal(conv.kernel(), before)
    assert torch.equal(conv.vector, torch.ones_like(conv.vector))


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize("sharing", SHARINGS)
def test_old_tasks_stay_bit_identical_whatever_the_optimizer(optimizer: type, sharing: str) -> None:
    conv = layer().float()
    image = torch.randn(1, 4, 8, 8)
    learn(conv, sharing=sharing)
    conv.select(0)
    first = conv(image).clone()
    options = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    for task in (1, 2):
        conv.begin(0.2, sharing=sharing)
        steps = optimizer(conv.parameters(), lr=0.1, weight_decay=0.1, **options)
        for _ in range(5):
            steps.zero_grad()
            conv(image).square().mean().backward()
            steps.step()
        conv.end()
        conv.select(0)
        assert torch.equal(conv(image), first)
        conv.select(task)
        assert not torch.equal(conv(image), first)


def test_cost_per_step_does_not_grow_with_tasks() -> None:
    """With fixed sharing the graph of a step has the same operations at task 2 and at task 8."""

    def operations(conv: CMCConv2d) -> int:
        conv.begin(0.1)
        seen, open_nodes = set(), [conv.kernel().grad_fn]
        while open_nodes:
            node = open_nodes.pop()
            if node is not None and node not in seen:
                seen.add(node)
                open_nodes += [parent for parent, _ in node.next_functions]
        conv.end()
        return len(seen)

    conv = layer()
    counts = [operations(conv) for _ in range(8)]
    assert len(set(counts[1:])) == 1


def test_expansion_changes_no_earlier_output_and_makes_room() -> None:
    conv = layer(t=2).float()
    image = torch.randn(1, 4, 8, 8)
    learn(conv, fraction=0.5)
    learn(conv, fraction=0.5)
    outputs = []
    for task in (0, 1):
        conv.select(task)
        outputs.append(conv(image).clone())
    with pytest.raises(UserError, match=r"'layer'.*needs 216 entries, 0 of 432 are left.*exhausted=expand"):
        conv.begin(0.5)
    assert conv.learning is None
    conv.begin(0.5, sharing="adaptive", exhausted="expand")
    assert conv.t == 3
    conv.end()
    state = conv.state_dict()
    for task in (0, 1):
        conv.select(task)
        assert torch.equal(conv(image), outputs[task])
    conv.load_state_dict(state)
    for task in (0, 1):
        conv.select(task)
        assert torch.equal(conv(image), outputs[task])


def test_a_task_owns_its_share_of_the_memory_as_it_was_at_the_start() -> None:
    conv = layer(t=2)
    for _ in range(5):
        learn(conv, fraction=0.4, exhausted="expand")
    assert conv.t > 2
    assert conv.owner[conv.owner != FREE].bincount().tolist() == [int(0.4 * 2 * conv.m)] * 5
    hundred = layer(t=100, like=nn.Conv2d(1, 1, 1))
    assert 0.29 * 100 < 29
    assert hundred.need(0.29) == 29, "a fraction is meant as it is written"
    assert hundred.need(0.001) == 1


def test_the_first_task_starts_from_ones_whatever_others_start_from() -> None:
    conv = layer()
    for value in (1, 0.7):
        conv.begin(0.2, start=0.7)
        assert conv.vector.tolist() == pytest.approx([value] * conv.t)
        conv.end()
    conv.begin(0.2, sharing="none")
    assert not torch.equal(conv.task_bias, conv.get_buffer("bias_1")), "without sharing the bias is drawn, too"


class TestStartFromACopy:
    """With ``sharing="copy"`` a task starts from the last kernel and bias, and shares nothing."""

    @pytest.mark.parametrize("fraction", [0.25, 0.2, 0.05, 0.0125])
    def test_it_is_the_last_kernel_where_the_task_owns_an_entry_and_zero_elsewhere(self, fraction: float) -> None:
        conv = layer(t=5, like=nn.Conv2d(12, 16, 3, padding=1))
        learn(conv, fraction)
        for task in (1, 2, 3):
            before = conv._learned("kernel", task - 1).numpy()
            conv.begin(fraction, sharing="copy")
            owned = (conv.owner == task).numpy()
            assert owned.sum() == conv.need(fraction)
            start = conv.kernel().detach().numpy().ravel()
            np.testing.assert_allclose(start, np.where(owned.any(0), before, 0), rtol=1e-12)
            assert torch.equal(conv.task_bias, conv.get_buffer(f"bias_{task - 1}"))
            carried = (start != 0).sum() / (before != 0).sum()
            assert carried > (0.7 if fraction == 0.25 else 0.88)
            assert carried > 1 - (1 - fraction) ** 5, "more than entries drawn without regard to the kernel would carry"
            with torch.no_grad():
                conv.values.add_(0.1)
                conv.vector.mul_(1.1)
            conv.end()

    def test_the_parts_of_a_weight_with_several_entries_are_equal(self) -> None:
        conv = layer(t=4)
        learn(conv, 0.25)
        conv.begin(0.75, sharing="copy")
        before = conv._learned("kernel", 0)
        for value, place in zip(conv.values, conv.index, strict=True):
            weight = int(place) % conv.m
            parts = int((conv.owner[:, weight] == 1).sum())
            torch.testing.assert_close(value.detach(), before[weight] / parts)

    @pytest.mark.parametrize("more", [{}, {"exhausted": "expand"}], ids=["room", "expand"])
    def test_what_it_has_learned_needs_nothing_of_earlier_tasks(self, more: dict[str, str]) -> None:
        conv = layer(t=3)
        image = torch.randn(1, 4, 8, 8, dtype=torch.float64)
        fraction = 0.5 if more else 0.25
        outputs = []
        for task in range(3):
            learn(conv, fraction, sharing="copy", **more)
            outputs.append(conv(image).clone())
            for earlier in range(task):
                conv.select(earlier)
                assert torch.equal(conv(image), outputs[earlier])
        assert conv.t == (5 if more else 3)
        for task in (2, 1):
            state = copy.deepcopy(conv.state_dict())
            state["memory"][state["owner"] != task] = 0
            for name in ("vector", "bias"):
                state[f"{name}_{task - 1}"].zero_()
            twin = copy.deepcopy(conv)
            twin.load_state_dict(state)
            twin.select(task)
            assert torch.equal(twin(image), outputs[task])

    def test_nothing_to_copy_is_no_error(self) -> None:
        conv = layer(t=1)
        learn(conv, 0.5)
        conv.begin(0.5, sharing="copy")
        assert not conv.kernel().any()

    @pytest.mark.parametrize(
        ("settings", "tasks", "words"),
        [
            ({"start": 0.5}, 2, r"cmc\.start = 0\.5 beside cmc\.sharing = copy"),
            ({"t": 3}, 4, "4 tasks do not fit into 3 rows"),
            ({"t": 6, "t_ends": 2}, 3, "3 tasks do not fit into 2 rows"),
        ],
    )
    def test_what_makes_no_copy_is_refused(self, settings: dict[str, object], tasks: int, words: str) -> None:
        strategy = CMC(CMCSettings(sharing="copy", **settings))
        with pytest.raises(UserError, match=words):
            strategy.adapt(ResNet(4, 1), tasks)

    def test_larger_ends_have_room_for_it(self) -> None:
        network = CMC(CMCSettings(sharing="copy", t=4, t_ends=8, fraction=0.25)).adapt(ResNet(4, 1), 4)
        for task in range(4):
            network.begin(task)
            network.end()
        assert [conv.t for conv in network.layers] == [8, 4, 4, 8]
        assert all(conv.free == 0 for conv in network.layers)


@pytest.mark.parametrize(
    "settings",
    [{}, {"sharing": "none"}, {"sharing": "adaptive", "start": 0.25}, {"sharing": "none", "start": 0.5}],
    ids=str,
)
def test_the_settings_and_the_seed_of_the_strategy_are_those_of_its_layers(settings: dict[str, Any]) -> None:
    """Against layers that are given them one by one."""
    plain = ResNet(width=4, blocks=1)
    made = CMC(CMCSettings(fraction=0.2, t=3, t_ends=4, **settings), seed=7).adapt(plain, 2)
    other = CMCNetwork(convert(plain, 3, 4, seed=7), lambda layer: layer.begin(0.2, **settings))
    for network in (made, other):
        for task in range(2):
            network.begin(task)
            if task == 0:
                network.end()
    expected = other.state_dict()
    assert made.state_dict().keys() == expected.keys()
    for name, tensor in made.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_what_is_free_is_zero_and_owned_by_nobody() -> None:
    conv = layer()
    learn(conv)
    assert conv.free == int((conv.owner == FREE).sum()) > 0
    assert not conv.memory[conv.owner == FREE].any()


def test_a_task_never_learned_is_a_clear_error() -> None:
    conv = layer()
    learn(conv)
    with pytest.raises(UserError, match=r"has not learned task 1\. Learned so far: 0"):
        conv.select(1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fraction": 0}, "fraction of 0"),
        ({"fraction": -0.1}, "fraction of -0.1"),
        ({"fraction": float("nan")}, "fraction of nan"),
        ({"fraction": 0.1, "sharing": "adaptiv"}, "'adaptiv'. Did you mean 'adaptive'"),
        ({"fraction": 0.1, "exhausted": "expnd"}, "'expnd'. Did you mean 'expand'"),
    ],
)
def test_settings_that_no_task_can_begin_with_are_refused(options: dict[str, Any], words: str) -> None:
    conv = CMCConv2d(nn.Conv2d(3, 4, 3), t=2)
    with pytest.raises(UserError, match=words):
        conv.begin(**options)
    assert conv.free == conv.memory.numel()
    for rows in (0, 2.5):
        with pytest.raises(UserError, match=rf"t = {rows}"):
            CMCConv2d(nn.Conv2d(3, 4, 3), t=rows)

"""Networks that nobody here designed, made into networks of tasks and taught a few."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torchvision.models.resnet import BasicBlock, ResNet

from baselines.independent import Independent
from strategies.base import Settings, TaskNetwork
from strategies.cmc.layer import CMCConv2d
from strategies.cmc.network import CMCNetwork, convert
from strategies.packnet import PackedNetwork
from strategies.pnn import PNN, PNNSettings

TASKS = 3


class Shared(nn.Module):
    """One convolution and one normalisation used twice, and a kernel that the parent reads."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 6, 3, padding=1)
        self.inner = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.again = nn.ModuleList([self.inner, self.norm])
        self.leave = nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.inner(F.relu(self.enter(x))))
        for layer in self.again:
            x = layer(x)
        return F.conv2d(x, self.leave.weight, self.leave.bias)


class UNet(nn.Module):
    """Two scales, with strided, transposed and grouped convolutions, batch normalisation and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8, momentum=None), nn.PReLU(8))
        self.down = nn.Sequential(
            nn.Conv2d(8, 16, 3, stride=2, padding=1, groups=4), nn.InstanceNorm2d(16, affine=True)
        )
        self.middle = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Dropout2d(0.3))
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.leave = nn.Conv2d(16, 3, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        wide = self.enter(x)
        return x + self.leave(torch.cat([wide, self.up(self.middle(self.down(wide)))], 1))


class Rows(nn.Module):
    """Attention and a recurrent layer over the rows of the image, and a linear layer under a spectral norm."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 8, 3, padding=1)
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.2, batch_first=True)
        self.memory = nn.LSTM(8, 8, batch_first=True)
        self.mix = parametrizations.spectral_norm(nn.Linear(8, 8))
        self.leave = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        rows = x.permute(0, 2, 3, 1).flatten(0, 1)
        rows = rows + self.attention(rows, rows, rows, need_weights=False)[0]
        rows = self.mix(self.memory(rows)[0])
        return self.leave(x + rows.unflatten(0, (x.shape[0], x.shape[2])).permute(0, 3, 1, 2))


class Sharpening(nn.Module):
    """A fixed filter before what is trained, and a buffer that is assigned anew in training instead of written to."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False).requires_grad_(False)
        self.register_buffer("mean", torch.zeros(3, 1, 1))
        self.enter = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.GroupNorm(2, 6)
        self.leave = nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean((0, 2, 3)).view(3, 1, 1)
        return self.leave(F.gelu(self.norm(self.enter(x - self.mean + self.filter(x)))))


def twice_as_large() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.PReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2)
    )


class SlimResNet(ResNet):
    """torchvision's residual network an eighth as wide in its blocks: 0.09 million parameters of 4.9."""

    def __init__(self) -> None:
        super().__init__(BasicBlock, [1, 1, 1, 1])
        self.fc = nn.Linear(512 // 8, 5)

    def _make_layer(self, block: type, planes: int, *args: Any, **options: Any) -> nn.Sequential:
        return super()._make_layer(block, planes // 8, *args, **options)


PACKED = ("shared", "sharpening", "twice as large")
"""Those whose trained weights all lie in plain convolutions."""


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "shared": Shared,
    "u-net": UNet,
    "rows": Rows,
    "sharpening": Sharpening,
    "twice as large": twice_as_large,
    "resnet10": SlimResNet,
}

CASES = [
    *(("cmc", name) for name in NETWORKS),
    *(("packnet", name) for name in PACKED),
    *(("independent", name) for name in NETWORKS),
    *(("pnn", name) for name in NETWORKS if name != "shared"),  # of which a kernel is read by its parent
]


def made(strategy: str, name: str) -> TaskNetwork:
    torch.manual_seed(0)
    plain = NETWORKS[name]()
    if strategy == "cmc":
        return CMCNetwork(convert(plain, t=2), partial(CMCConv2d.begin, fraction=0.2))
    if strategy == "packnet":
        return PackedNetwork(plain, 0.2)
    if strategy == "pnn":
        network = PNN(PNNSettings()).adapt(plain, TASKS)
    else:
        network = Independent(Settings()).adapt(plain, TASKS)
    assert isinstance(network, TaskNetwork)
    return network


def images(seed: int) -> Tensor:
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def trainable(network: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def learn(network: TaskNetwork, task: int, look_back: bool = True) -> Iterator[None]:
    """Train a task; it pauses in the middle, with the task still in training, and after its end."""
    network.train()
    network.begin(task)
    steps = torch.optim.AdamW(trainable(network), lr=0.01, weight_decay=0.1)
    for update in range(2):
        x = images(10 * task + update)
        steps.zero_grad()
        restored = network(x, task)
        if look_back and task:
            restored = restored - 0.1 * network(x, task - 1).detach()
        restored.square().mean().backward()
        steps.step()
        if update == 0:
            yield
    network.end()
    if look_back:
        before = outputs(network, task + 1)
        steps.step()  # an optimizer that outlives its task
        assert same(outputs(network, task + 1), before)
    yield


def learned(strategy: str, name: str, tasks: int = TASKS) -> TaskNetwork:
    network = made(strategy, name)
    for task in range(tasks):
        for _ in learn(network, task):
            pass
    return network


@torch.no_grad()
def outputs(network: TaskNetwork, tasks: int, training: bool = False) -> list[Tensor]:
    network.train(training)
    return [network(images(99), task) for task in range(tasks)]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


class Block(nn.Module):
    """Two convolutions with a ReLU between."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 4, 3, padding=1)
        self.leave = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.leave(torch.relu(self.enter(x)))

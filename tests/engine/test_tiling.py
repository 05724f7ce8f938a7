from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.backbones import build
from benchmark.core.errors import UserError
from benchmark.engine.tiling import reach, refuse_further, restore
from strategies.cmc.network import CMCNetwork, convert


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(1, 3, 61, 83, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet", "dense", "rdn"])
def test_tiles_equal_the_whole_image(image: torch.Tensor, name: str) -> None:
    torch.manual_seed(0)
    network = build(name, 4, 2, False).double().eval()
    with torch.no_grad():
        whole = network(image)
        tiled = restore(network, image, 24, reach(network))
        too_little = restore(network, image, 24, 1)
    assert torch.allclose(tiled, whole, rtol=0, atol=1e-12)
    assert not torch.allclose(too_little, whole, rtol=0, atol=1e-6), "the margin matters"


def test_layers_of_strategies_have_a_reach_too() -> None:
    plain = build("resnet", 4, 2, False)
    assert reach(plain) == 1 + 2 * 2 + 1, "one pixel for each layer of 3×3: the head, two blocks of two, the tail"
    network = CMCNetwork(convert(plain), lambda layer: layer.begin(0.5))
    network.begin(0)
    assert reach(network) == reach(plain)


@pytest.mark.parametrize(("kernel", "dilation", "pixels"), [(1, 1, 0), (3, 1, 1), (5, 1, 2), (3, 4, 4), (4, 1, 2)])
def test_reach_of_a_layer(kernel: int, dilation: int, pixels: int) -> None:
    assert reach(nn.Sequential(nn.Conv2d(3, 3, kernel, dilation=dilation))) == pixels


def test_reach_is_that_of_the_gradient(image: torch.Tensor) -> None:
    """No pixel further away than the reach has any influence, and the furthest has some."""
    torch.manual_seed(0)
    network = nn.Sequential(*[nn.Conv2d(3, 3, 3, padding=1) for _ in range(5)]).double()
    image.requires_grad_()
    network(image)[0, 0, 30, 40].backward()
    rows, columns = image.grad.abs().sum((0, 1)).nonzero(as_tuple=True)
    assert (rows.min(), rows.max()) == (30 - reach(network), 30 + reach(network))
    assert (columns.min(), columns.max()) == (40 - reach(network), 40 + reach(network))


def test_a_stride_is_refused() -> None:
    with pytest.raises(UserError, match=r"stride.*data\.tile"):
        reach(nn.Conv2d(3, 3, 3, stride=2))


class Scaled(nn.Module):
    """Channel attention without a layer for it."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x)
        return x * x.mean((2, 3), keepdim=True).sigmoid()


def spectrum(x: torch.Tensor) -> torch.Tensor:
    return torch.fft.irfft2(torch.fft.rfft2(x) * torch.linspace(0, 1, x.shape[-1] // 2 + 1), s=x.shape[-2:])


class Placed(nn.Module):
    """Knows the row of a pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        row = torch.linspace(0, 1, x.shape[-2]).view(-1, 1).expand_as(x[:, :1])
        return self.only(torch.cat([x, row], 1))


class Paired(nn.Module):
    """Takes two by two pixels together, with no layer that tells, beside a layer that looks further than they lie."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.pairs = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(12, 12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.wide(x) + F.pixel_shuffle(self.pairs(F.pixel_unshuffle(x, 2)), 2)


class Filtered(nn.Conv2d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return spectrum(super().forward(input))


@pytest.mark.parametrize(
    "make",
    [
        Scaled,
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.Conv2d(4, 3, 1)),
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Conv2d(4, 3, 1)),
        lambda: Filtered(3, 3, 3, padding=1),
        lambda: nn.Sequential(nn.ZeroPad2d((2, 0, 2, 0)), nn.Conv2d(3, 3, 3)),
        lambda: nn.Sequential(nn.ZeroPad2d((0, 2, 0, 2)), nn.Conv2d(3, 3, 3)),
        lambda: nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"),
        Placed,
        Paired,
    ],
)
def test_what_tiles_would_change_is_refused(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    network = make().eval()
    with torch.no_grad(), pytest.raises(UserError, match=r"further than the 1 pixels .*data\.tile"):
        refuse_further(network, network, torch.empty(1, 3, 99, 99), reach(network))


@pytest.mark.parametrize("name", ["resnet", "dense", "rdn"])
@pytest.mark.parametrize("norm", [False, True])
def test_what_looks_at_its_surroundings_is_not(name: str, norm: bool) -> None:
    torch.manual_seed(0)
    network = build(name, 4, 2, False).eval()
    if norm:
        network.head = nn.Sequential(network.head, nn.BatchNorm2d(4), nn.MaxPool2d(3, 1, 1)).eval()
    with torch.no_grad():
        refuse_further(network, network, torch.empty(1, 3, 99, 99), reach(network))


@pytest.mark.parametrize("layer", [nn.AvgPool1d(3, 1, 1), nn.AvgPool3d((1, 3, 3), 1), nn.Conv1d(1, 1, 3)])
def test_layers_of_other_dimensions_have_a_reach(layer: nn.Module) -> None:
    assert reach(layer) == 1


def test_tiles_have_the_type_and_the_channels_of_the_output(image: torch.Tensor) -> None:
    torch.manual_seed(0)
    network = nn.Conv2d(3, 5, 3, padding=1).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        whole, tiled = network(image.float()), restore(network, image.float(), 24, 1)
    assert tiled.dtype == whole.dtype == torch.bfloat16
    assert torch.allclose(tiled.float(), whole.float(), rtol=0.05, atol=0.05)


def test_an_output_of_another_size_is_refused(image: torch.Tensor) -> None:
    network = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2)).double()
    with pytest.raises(UserError, match=r"makes \d+×\d+ pixels of .*data\.tile"):
        restore(network, image, 24, 1)


def test_no_tile_is_longer_than_asked_for_and_all_are_about_as_long(image: torch.Tensor) -> None:
    """61 pixels in three parts and 83 in four, with two more on each side where there are any."""
    given: list[torch.Size] = []

    def network(part: torch.Tensor) -> torch.Tensor:
        given.append(part.shape[-2:])
        return part

    assert torch.equal(restore(network, image, 24, 2), image)
    assert [height for height, _ in given[::4]] == [20 + 2, 20 + 4, 21 + 2]
    assert [width for _, width in given[:4]] == [20 + 2, 21 + 4, 21 + 4, 21 + 2]

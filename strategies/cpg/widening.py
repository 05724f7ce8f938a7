"""Wider backbones: where in one the weights of a narrower one lie."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from benchmark.backbones.base import Backbone
from benchmark.core.errors import UserError
from strategies.surgery import convolutions


@dataclass(frozen=True)
class Place:
    """Where the weights of a convolution lie in a wider one.

    Args:
        outs: its output channels, which are the leading ones of the wider one.
        ins: for each of its input channels, which one it is of the wider one.
    """

    outs: int
    ins: Tensor

    def take(self, wide: Tensor) -> Tensor:
        """The part (k_out, k_in, ...) of a wider tensor, as a copy."""
        return wide[: self.outs].index_select(1, self.ins.to(wide.device))

    def put(self, narrow: Tensor, wide: Tensor) -> Tensor:
        """A copy of a wider tensor with this part in its place."""
        made = wide.detach().clone()
        made[: self.outs] = made[: self.outs].index_copy(1, self.ins.to(made.device), narrow.detach())
        return made


def built(backbone: Backbone, width: int) -> Backbone:
    """A backbone like another one, at some width and without values."""
    with torch.device("meta"):
        return backbone.at_width(width)


def places(backbone: Backbone, narrow: int, wide: int) -> dict[str, tuple[int, int, Place]]:
    """For each convolution its output and input channels in a wide backbone, and where those of a narrow one lie.

    Output channels of the narrow one are the leading ones. Which input channels they become is seen by marking them:
    the wide backbone is run with convolutions that give one in a channel of the narrow one and zero in others.

    Args:
        backbone: says which kind is meant, and its other options.
        narrow: a width.
        wide: a greater one.

    Raises:
        UserError: they do not fit, as marks do not pass through the network, it has groups of channels, or it computes
            with tensors outside of trained convolutions.
    """
    network = built(backbone, wide)
    small, large = convolutions(built(backbone, narrow)), convolutions(network)
    found: dict[str, tuple[int, int, Place]] = {}

    def mark(name: str, x: Tensor) -> Tensor:
        outs, ins = large[name].out_channels, large[name].in_channels
        found[name] = outs, ins, Place(small[name].out_channels, torch.nonzero(x[0, :, 0, 0]).flatten())
        marks = (torch.arange(outs) < small[name].out_channels).to(x)
        return marks.view(1, -1, 1, 1).expand(len(x), -1, *x.shape[2:])

    for name, conv in large.items():
        conv.forward = partial(mark, name)  # type: ignore[method-assign]
    tensors = (*network.named_parameters(), *network.named_buffers())
    others = [name for name, _ in tensors if name.rpartition(".")[0] not in large]
    try:
        with torch.no_grad():
            network.eval()
            network(torch.ones(1, 3, 8, 8))
    except RuntimeError as error:
        if not others:
            raise
        raise UserError(
            f"{type(backbone).__name__} cannot be widened: beside convolutions that are trained it has "
            f"{', '.join(others)}, of which it cannot be told what a wider network has. Use cpg.grow=0, or a network "
            "without."
        ) from error
    for name, conv in small.items():
        if name not in found or len(found[name][-1].ins) != conv.in_channels or conv.groups != 1:
            raise UserError(
                f"{type(backbone).__name__} cannot be widened: of what enters layer '{name}', it cannot be told which "
                "channels a narrower network has. Use cpg.grow=0, or a network of ungrouped convolutions, ReLU, sums "
                "and concatenations."
            )
    return found


def check_that_it_widens(backbone: nn.Module) -> None:
    """Refuse what :func:`places` cannot be told of.

    Raises:
        UserError: it is none of the suite's backbones, or cannot be widened.
    """
    if not isinstance(backbone, Backbone):
        raise UserError(
            f"cpg widens a network by building it again, and cannot do so with {type(backbone).__name__}. Use "
            "cpg.grow=0, or one of those that this command shows: python -m benchmark list backbones."
        )
    places(backbone, backbone.width, backbone.width + 1)

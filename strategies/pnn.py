"""Progressive neural networks: a new column for every task, which reads what all earlier columns compute.

Rusu et al., "Progressive Neural Networks", arXiv 1606.04671, 2016. Every task gets a full network of its own, a column.
Layer i of column k computes from what enters it, h_{i-1}^k, and what enters the same layer in earlier columns::

    h_i^k = f(W_i^k h_{i-1}^k + Σ_{j<k} U_i^{k:j} h_{i-1}^j)                                   (Eq. 1)
    h_i^k = f(W_i^k h_{i-1}^k + U_i^k g(V_i^k [α_i^{k:0} h_{i-1}^0, …, α_i^{k:k-1} h_{i-1}^{k-1}]))    (Eq. 2)

The second line is what is used, as in that paper: an adapter scales the features of each earlier column by a learned α,
projects all of them together to fewer channels by a 1×1 convolution V, and applies a non-linearity g, here ReLU; then
comes U. Learned columns are frozen, and run in evaluation mode and without gradient. Every column before a task's own
has to be computed, so computation grows with every task, and the adapters grow with the square of their number.

The method was made for networks of one output after another, in reinforcement learning. For images nothing has to be
changed, and these are our choices. Columns start at the weights that ``independent`` draws for their tasks. U starts at
zero and α at 1, so that a column begins as that of ``independent`` does; the paper starts with small random α, which
leaves a trace of noise in the first updates. U has the stride, padding, dilation and groups of the convolution that it
stands beside. V projects to a share of one column's channels. A convolution that is called several times in a pass
reads, in its n-th call, the n-th call of the earlier ones. Layers of other kinds have no laterals.
"""

from functools import partial
from math import ceil

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark.core.addresses import torch_seed
from benchmark.core.errors import UserError
from strategies.base import Settings, Strategy, Traits
from strategies.columns import ColumnConv2d, Columns
from strategies.separate import SeparateNetworks, redrawn
from strategies.surgery import convolutions, geometry, refuse_complex, replace_convolutions, tensors_in_use


class PNNSettings(Settings):
    """Settings of progressive neural networks."""

    adapter: float = Field(
        0.5, gt=0, le=4, description="channels of a lateral adapter, as a share of those that enter the convolution"
    )


class PNN(Strategy):
    """Progressive networks: a column per task, with laterals from all earlier ones (Rusu et al., 2016)."""

    name = "pnn"
    relative_cost = 2.2
    Settings = PNNSettings
    traits = Traits(needs_task_id=True, grows=True, protects_exactly=True)
    settings: PNNSettings

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """A network that gets a column with every task.

        Raises:
            UserError: the backbone has fewer than two convolutions, they cannot be exchanged without a loss, or one
                that is to have a lateral has complex numbers.
        """
        found = convolutions(backbone, taken=())
        if len(found) < 2:
            raise UserError(
                f"pnn has laterals at every nn.Conv2d but the first, and {type(backbone).__name__} has fewer than two "
                "that are trained. Use a network with more, or the strategy independent."
            )
        for name, conv in [*found.items()][1:]:
            refuse_complex(name, conv, self.name)
        return ProgressiveNetwork(backbone, self.settings.adapter, self.seed)


class Lateral(nn.Module):
    """``U g(V [α_0 h_0, α_1 h_1, …])``: what a convolution gains from earlier columns; at first nothing.

    Args:
        conv: the convolution, whose stride, padding, dilation and groups U has.
        earlier: columns before this one.
        share: channels between V and U, as a share of those that enter the convolution; rounded up.
    """

    def __init__(self, conv: nn.Conv2d, earlier: int, share: float) -> None:
        super().__init__()
        shape = geometry(conv)
        channels = conv.groups * ceil(share * shape["in_channels"] / conv.groups - 1e-9)
        self.scale = nn.Parameter(torch.ones(earlier))
        self.project = nn.Conv2d(earlier * shape["in_channels"], channels, 1)
        self.combine = nn.Conv2d(**shape | {"in_channels": channels, "bias": False})
        nn.init.zeros_(self.combine.weight)

    def forward(self, earlier: list[Tensor]) -> Tensor:
        """Map what entered the convolution in each earlier column (N, k_in, H, W) to what it gains (N, k_out, …)."""
        scaled = [scale * h for scale, h in zip(self.scale, earlier, strict=True)]
        return self.combine(F.relu(self.project(torch.cat(scaled, 1))))


class ProgressiveNetwork(SeparateNetworks):
    """A column for each task; only the one in training is trainable, and the others run in evaluation mode.

    What entered the convolutions of earlier columns is held during a pass, one tensor for each call; where large images
    take too much memory, a smaller ``data.tile`` helps.

    Args:
        backbone: an untrained network, of which columns are copies.
        share: channels of an adapter, as a share of those that enter its convolution.
        seed: seed of the run.
    """

    backbone: Columns

    def __init__(self, backbone: nn.Module, share: float, seed: int) -> None:
        super().__init__(partial(redrawn, backbone, seed), backbone)
        self.backbone = Columns(self.cursor)
        self.share, self.seed = share, seed

    def begin(self, task: int) -> None:
        """Freeze the earlier columns and add one, with laterals from each of them at every convolution but the first.

        Raises:
            UserError: something that hangs on a convolution would be lost.
        """
        super().begin(task)
        column, earlier = self.backbone[str(task)], len(self.backbone) - 1
        first = next(iter(convolutions(column, taken=())))

        def joined(conv: nn.Conv2d, name: str) -> nn.Module:
            lateral = Lateral(conv, earlier, self.share).to(conv.weight) if earlier and name != first else None
            return ColumnConv2d(conv, name, earlier, self.backbone.entered, lateral)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed("pnn", self.seed, task))
            replace_convolutions(column, joined, taken=())

    def parts(self, task: int) -> list[nn.Module]:
        """The task's column and all before it, its own last."""
        return [self.backbone[name] for name in self.backbone.up_to(task)]

    def owned(self, task: int) -> dict[str, Tensor]:
        """Copies of all tensors of the task's column and of those before it, by name."""
        columns = {name: tensors_in_use(self.backbone[name]) for name in self.backbone.up_to(task)}
        return {f"{k}.{name}": copy for k, own in columns.items() for name, copy in own.items()}

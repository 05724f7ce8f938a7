"""LIRA, a network that grows a branch with every task (Liu et al., ECCV 2020).

The paper is "LIRA: Lifelong Image Restoration from Unknown Blended Distortions". Its base joins several experts, each
trained before on one distortion, for images that have many; here the base is one network, and an expert is trained
together with its gate.

What is built here is the outline: a base network that is trained with the first task and frozen, an expert network for
every new one, a gated fusion that joins it, and a generator of pseudo-random patches of earlier tasks, rehearsed while
the fusion learns, so that what was learned is not interfered with. Everything else is our choice.

The input forks to the network of before, y_{n−1}, and to the expert e_n, and their outputs are joined, pixel by pixel
and channel by channel::

    y_0(x) = base(x)
    y_n(x) = (1 − m_n) · y_{n−1}(x) + m_n · e_n(x),    m_n = sigmoid(gate_n(x, y_{n−1}(x), e_n(x)))

All of this happens on images, so that any network that maps images to images of the same size can be the base. Once a
task is learned, its branch is frozen like all before it, so that y_n never changes: an image whose task is told is
restored by y_n to the bit as it was. What the rehearsal is for is the image whose task nobody tells, or of which a
wrong one is told: its target on generated patches is y_{n−1}, which teaches the gate to leave to the network of before
what is not of the new task.

An expert is a plain residual network of BLOCKS blocks, which needs nothing of the base, whatever that is. It is as wide
as fits into a share ``size`` of the base's parameters; with a quarter, four tasks take less than two plain networks,
where with experts of full size they would take the four of `independent`; the generator, whose size does not depend on
the base's, comes on top. A gate is two 3×3 convolutions with GATE_WIDTH channels between, of which the second starts at
zero: both sides count half when a task begins.
"""

from itertools import count

import torch
from pydantic import Field
from torch import Tensor, nn

from benchmark.backbones.resnet import ResNet
from benchmark.core.addresses import torch_seed
from benchmark.core.errors import UserError
from strategies.base import Traits
from strategies.copies import refuse_lazy
from strategies.generator import GeneratedRehearsal, GeneratedRehearsalSettings
from strategies.separate import GrowingParts
from strategies.surgery import tensors_in_use
from strategies.tasks import Cursor, check_begin
from strategies.trainer import Trainer

BLOCKS = 4
GATE_WIDTH = 8


class LIRASettings(GeneratedRehearsalSettings):
    """Settings of LIRA."""

    size: float = Field(0.25, gt=0, le=10, description="parameters of each task's expert, in plain backbones, at most")


class LIRA(GeneratedRehearsal):
    """LIRA: a frozen base, and for every new task an expert, joined by a gate that learns with generated patches.

    In task n the loss is ``r · MSE(y_n(x), y) + (1 − r) · MSE(y_n(x'), y_{n−1}(x'))`` on new patches x with targets y
    and generated ones x' of earlier tasks; by default r = 1/t in task t. See this module for y_n, and for what is ours.
    """

    name = "lira"
    relative_cost = 2.5
    Settings = LIRASettings
    traits = Traits(needs_task_id=True, grows=True, protects_exactly=True)
    settings: LIRASettings

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """The backbone as the base of a network that grows.

        Raises:
            UserError: it has tensors without a shape yet.
        """
        refuse_lazy(backbone)
        return ForkJoinNetwork(backbone, expert_width(backbone, self.settings.size), self.seed)

    @torch.no_grad()
    def restored_before(self, trainer: Trainer, patches: Tensor) -> Tensor:
        """What the network makes of patches (N, 3, H, W) as those of the task before, whose parts are frozen."""
        assert isinstance(trainer.model, ForkJoinNetwork)
        return trainer.model(patches, trainer.model.known[-2])


class Branch(nn.Module):
    """A task's expert and the gate that joins it to the network of before.

    Args:
        width: channels of the expert.
        image_skip: whether the expert adds its input to its output, as the base does.
    """

    def __init__(self, width: int, image_skip: bool) -> None:
        super().__init__()
        self.expert = ResNet(width, BLOCKS, image_skip)
        last = nn.Conv2d(GATE_WIDTH, 3, 3, padding=1)
        self.gate = nn.Sequential(nn.Conv2d(9, GATE_WIDTH, 3, padding=1), nn.ReLU(), last)
        for start in last.parameters():
            nn.init.zeros_(start)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """Join what the expert makes of images (N, 3, H, W) to what the network of before made of them.

        Where these are of another type than the branch, as with a base of parameters of several, it computes in its
        own, and gives that of the network of before; within autocast only where float64 is one of both.
        """
        own_type, given = next(self.parameters()).dtype, before.dtype
        if torch.float64 in (own_type, given) or not torch.is_autocast_enabled(x.device.type):
            return self._joined(x.to(own_type), before.to(own_type)).to(given)
        return self._joined(x, before)

    def _joined(self, x: Tensor, before: Tensor) -> Tensor:
        own = self.expert(x)
        share = torch.sigmoid(self.gate(torch.cat([x, before, own], 1)))
        return before + share * (own - before)


class ForkJoin(nn.Module):
    """A base, and branches that join it one after another, up to that of the task which a cursor selects.

    Args:
        base: the network of the first task.
        cursor: says which task.
    """

    def __init__(self, base: nn.Module, cursor: Cursor) -> None:
        super().__init__()
        self.base, self.branches, self.cursor = base, nn.ModuleList(), cursor

    def parts(self, task: int) -> list[nn.Module]:
        """The base and the branches that a task uses, its own last."""
        return [self.base, *self.branches][: self.cursor.known.index(task) + 1]

    def forward(self, x: Tensor) -> Tensor:
        """Restore images (N, 3, H, W).

        Raises:
            UserError: the base gives images of another size, or something else than a tensor.
        """
        base, *branches = self.parts(self.cursor.selected)
        restored = base(x.clone() if branches else x)  # which the base may write to
        if not isinstance(restored, Tensor) or restored.shape != x.shape:
            made = tuple(restored.shape) if isinstance(restored, Tensor) else f"a {type(restored).__name__}"
            raise UserError(
                f"lira joins images of one size, and {type(base).__name__} makes {made} of {tuple(x.shape)}. Use a "
                "backbone that gives one tensor and keeps the size and the three channels."
            )
        for branch in branches:
            restored = branch(x, restored)
        return restored


class ForkJoinNetwork(GrowingParts):
    """A network that grows a branch with every task but the first; only the newest part is trainable.

    Args:
        base: any network that maps images (N, 3, H, W) to the same shape; it becomes a part of this one.
        width: channels of the experts.
        seed: of the run; with the task it decides a branch's first weights.
    """

    backbone: ForkJoin

    def __init__(self, base: nn.Module, width: int, seed: int = 0) -> None:
        super().__init__()
        self.backbone = ForkJoin(base, self.cursor)
        self.width, self.seed = width, seed

    def begin(self, task: int) -> None:
        """Freeze what there is, and add a branch, if it is not the first task.

        Raises:
            UserError: the task has begun before.
        """
        check_begin(self.cursor, task, "lira", alone=False)
        if self.known:
            self.backbone.requires_grad_(False)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(torch_seed("lira", self.seed, task))
                branch = Branch(self.width, getattr(self.backbone.base, "image_skip", False))
            parameters = self.backbone.base.parameters()  # the network may have been moved to another type
            like = next((one for one in parameters if one.is_floating_point()), None)
            self.backbone.branches.append(branch if like is None else branch.to(like))
        super().begin(task)

    def parts(self, task: int) -> list[nn.Module]:
        """The base, and the branches up to the task's own, which is last."""
        return self.backbone.parts(task)

    def owned(self, task: int) -> dict[str, Tensor]:
        """Copies of all tensors of the parts that the task uses, by name."""
        return {
            f"{place}.{name}": copy
            for place, part in enumerate(self.parts(task))
            for name, copy in tensors_in_use(part).items()
        }


def expert_width(backbone: nn.Module, size: float) -> int:
    """The largest width, at least 1, at which an expert has at most a share of the backbone's parameters."""
    most = size * sum(parameter.numel() for parameter in backbone.parameters())

    def parameters(width: int) -> int:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in ResNet(width, BLOCKS).parameters())

    return next(width for width in count(1) if parameters(width + 1) > most)

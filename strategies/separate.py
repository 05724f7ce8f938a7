"""A network of its own for every task, each drawn for it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from benchmark.core.addresses import torch_seed
from benchmark.core.errors import UserError
from strategies.base import TaskNetwork
from strategies.copies import copied
from strategies.surgery import tensors_in_use
from strategies.tasks import Cursor, check_begin


def redrawn(backbone: nn.Module, seed: int, task: int) -> nn.Module:
    """A copy of a backbone with weights drawn for the task; the first task gets the backbone's own.

    So after the first task, ``independent`` and plain training are the same network. Layers and parts of it that have
    parameters, none of which requires a gradient, stay as they are: filters that are fixed, a part trained before.

    Raises:
        UserError: a layer has a parametrization through which weights cannot be set.
    """
    network = copied(backbone)
    if task > 0:
        fixed = {layer for part in network.modules() if _is_fixed(part) for layer in part.modules()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed("independent", seed, task))
            for name, layer in network.named_modules():
                if callable(getattr(layer, "reset_parameters", None)) and layer not in fixed:
                    _draw(name, layer)
    return network


@torch.no_grad()
def _draw(name: str, layer: Any) -> None:
    """Draw a layer's weights anew; of parametrized ones what they are computed from follows."""
    with parametrize.cached():  # so that what is drawn stays until it is set
        layer.reset_parameters()
        for tensor, computed in getattr(layer, "parametrizations", {}).items():
            try:
                setattr(layer, tensor, getattr(layer, tensor).clone())
            except RuntimeError:
                kinds = ", ".join(type(one).__name__ for one in computed)
                raise UserError(
                    f"Layer '{name}' cannot be drawn anew for a task: its {tensor} is computed by {kinds}, which takes "
                    "no value. Give it a right_inverse, or freeze the layer."
                ) from None


def _is_fixed(part: nn.Module) -> bool:
    trained = [parameter.requires_grad for parameter in part.parameters()]
    return bool(trained) and not any(trained)


def _move_like(network: nn.Module, other: nn.Module) -> None:
    """Give tensors the type and place that those of the same name have in another network, which may have moved."""
    theirs = dict([*other.named_parameters(), *other.named_buffers()])
    own = {tensor: theirs.get(name, tensor) for name, tensor in (*network.named_parameters(), *network.named_buffers())}
    network._apply(lambda tensor: tensor.to(own.get(tensor, tensor)))


class Switch(nn.ModuleDict):
    """A network for each task, of which the one that a cursor selects is in use."""

    def __init__(self, cursor: Cursor) -> None:
        super().__init__()
        self.cursor = cursor

    def forward(self, x: Tensor) -> Tensor:
        """Restore images (N, 3, H, W) with the selected network."""
        return self[str(self.cursor.selected)](x)


class GrowingParts(TaskNetwork):
    """Base of networks that get a part with every task, of which only the newest is trainable.

    Subclasses define :meth:`parts`, a task's own part last.
    """

    def standing_still(self, task: int) -> Iterable[nn.Module]:
        """All layers of the parts that the task uses, but those of the part in training."""
        return [layer for part in self._settled(task) for layer in part.modules()]

    def _settled(self, task: int) -> list[nn.Module]:
        """The parts that the task uses, but the one in training."""
        parts = self.parts(task)
        return parts[:-1] if task == self.cursor.learning else parts

    def forward_single_task(self, x: Tensor, task_label: int) -> Tensor:
        """Restore images (N, C, H, W) of one task; what is learned is frozen, also if somebody let it be trained since.

        Raises:
            UserError: the task was never learned.
        """
        for part in self._settled(task_label) if task_label in self.known else ():
            for parameter in part.parameters():
                if parameter.requires_grad and isinstance(parameter, nn.Parameter):
                    parameter.requires_grad_(False)
        return super().forward_single_task(x, task_label)

    def end(self) -> None:
        """Freeze the newest part, and leave no gradient that an optimizer could still follow."""
        self.backbone.requires_grad_(False)
        self.backbone.zero_grad()
        super().end()


class SeparateNetworks(GrowingParts):
    """A network for each task; only the one in training is trainable, and the others run in evaluation mode.

    Args:
        make: gives a task's untrained network.
        like: a network whose type and place those have.
    """

    backbone: Switch
    anchor: Tensor

    def __init__(self, make: Callable[[int], nn.Module], like: nn.Module) -> None:
        super().__init__()
        self.make = make
        self.backbone = Switch(self.cursor)
        found = (one for one in like.parameters() if one.is_floating_point() and not is_lazy(one))
        first = next(found, torch.empty(0))
        self.made_as = first.dtype, first.device
        self.register_buffer("anchor", first.detach().new_empty(0), persistent=False)  # moves where no network is yet

    def begin(self, task: int) -> None:
        """Freeze the earlier networks and add one.

        Raises:
            UserError: the task has begun before.
        """
        check_begin(self.cursor, task, type(self).__name__, alone=False)
        self.backbone.requires_grad_(False)
        made = self.make(task)
        if self.known:
            _move_like(made, self.backbone[str(self.known[-1])])
        elif (self.anchor.dtype, self.anchor.device) != self.made_as:
            made.to(self.anchor)
        self.backbone[str(task)] = made
        super().begin(task)

    def parts(self, task: int) -> list[nn.Module]:
        """The task's network."""
        return [self.backbone[str(task)]]

    def owned(self, task: int) -> dict[str, Tensor]:
        """Copies of all tensors of the task's network, by name."""
        with self.showing(task):
            return tensors_in_use(self.backbone[str(task)])

"""The network of CPG, which is widened, and of which earlier tasks use the narrower part that they have learned."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.backbones.base import Backbone
from benchmark.core.addresses import torch_seed
from benchmark.core.errors import UserError
from strategies.base import TaskNetwork
from strategies.cpg.layer import GrowingConv2d
from strategies.cpg.widening import places
from strategies.places import buffers_outside
from strategies.surgery import (
    CONVOLUTIONS_ALONE,
    convolutions,
    refuse_complex,
    refuse_frozen_bias,
    replace_convolutions,
)
from strategies.tasks import FREE, MAX_TASKS, check_begin, check_end


class GrowingNetwork(TaskNetwork):
    """A network of :class:`GrowingConv2d`.

    Args:
        backbone: a network whose trained parameters all lie in ``nn.Conv2d`` layers; it becomes a part of this one.
        start: where scores start.

    State:
        ``widths`` int64, of the network as each task has learned it.

    Raises:
        UserError: there is no convolution, one has a frozen bias alone or complex numbers, or trained parameters lie
            elsewhere.
    """

    widths: Tensor

    def __init__(self, backbone: nn.Module, start: float) -> None:
        super().__init__()
        kind = type(backbone).__name__
        found = convolutions(backbone)
        for name, conv in found.items():
            refuse_frozen_bias(name, conv, "cpg")
            refuse_complex(name, conv, "cpg")
        self.backbone = replace_convolutions(backbone, lambda conv, _: GrowingConv2d(conv))
        elsewhere = [name for name, parameter in self.backbone.named_parameters() if parameter.requires_grad]
        if elsewhere or not found:  # layers of another such network are none to be taken
            told = f"others: {', '.join(elsewhere)}" if elsewhere else "none that is trained"
            raise UserError(
                f"cpg shares out the parameters of nn.Conv2d layers, and {kind} has {told}. {CONVOLUTIONS_ALONE}"
            )
        self.layers = self.following(GrowingConv2d)
        self.common = buffers_outside(self.backbone, GrowingConv2d)
        self.start = start
        self.register_buffer("widths", torch.zeros(0, dtype=torch.int64))

    def begin(self, task: int) -> None:
        """Make the free weights trainable, and scores over the others.

        Raises:
            UserError: another task is being learned, this one has begun before, or its label is none of an owner.
        """
        check_begin(self.cursor, task, "cpg")
        if task >= MAX_TASKS:
            raise UserError(f"cpg keeps the owners of weights by labels from 0 to {MAX_TASKS - 1}, and {task} is none.")
        for layer in self.layers:
            layer.begin(self.start, self.known[-1] if self.known else None)
        width = int(self.widths[-1]) if self.known else getattr(self.backbone, "width", 0)
        self.widths = torch.cat([self.widths, self.widths.new_tensor([width])])
        super().begin(task)

    @property
    def named(self) -> dict[str, GrowingConv2d]:
        """The layers by name."""
        return {name: layer for name, layer in self.backbone.named_modules() if isinstance(layer, GrowingConv2d)}

    def trainable(self) -> int:
        """Free weights that are not pruned, scores over frozen ones, and biases."""
        return super().trainable() - sum(int((layer.owner < FREE).sum()) for layer in self.layers)

    def prune(self, share: float) -> None:
        """Prune every layer to a share of the weights with which the task began."""
        for layer in self.layers:
            layer.prune(share)

    def take_back(self) -> None:
        """Take the last step of pruning back."""
        for layer in self.layers:
            layer.take_back()

    def grow(self, share: float, seed: int) -> None:
        """Widen the network by a share of the backbone's width, at least by one channel, without changing its function.

        Raises:
            UserError: it cannot be widened.
        """
        assert isinstance(self.backbone, Backbone)
        old = int(self.widths[-1])
        self.widths[-1] = old + max(1, round(share * self.backbone.width))
        found = places(self.backbone, old, int(self.widths[-1]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed("cpg", seed, len(self.known), int(self.widths[-1])))
            for name, layer in self.named.items():
                layer.grow(*found[name])
        self._find_places()

    def _find_places(self) -> None:
        """Where in the network the weights of narrower ones lie."""
        for layer in self.layers:
            layer.places.clear()
        for task, width in zip(self.known, self.widths.tolist(), strict=True):
            if width != self.widths[-1] and isinstance(self.backbone, Backbone):
                found = places(self.backbone, width, int(self.widths[-1]))
                for name, layer in self.named.items():
                    layer.places[task] = found[name][-1]

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._find_places()

    def end(self) -> None:
        """Freeze what the task has trained.

        Raises:
            UserError: no task is being learned.
        """
        learning = check_end(self.cursor)
        for layer in self.layers:
            layer.end(learning)
        super().end()

    def standing_still(self, task: int) -> Iterable[nn.Module]:
        """Of a learned task all layers; of the one in training what has running statistics and the like."""
        if task != self.cursor.learning:
            return self.backbone.modules()
        return [m for m in self.backbone.modules() if m._buffers and not isinstance(m, GrowingConv2d)]

"""The layer of CPG: a convolution whose weights belong to tasks, and are used by others that pick them."""

from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from strategies.cpg.widening import Place
from strategies.masks import from_bits, straight_through, to_bits
from strategies.surgery import TaskConv2d, geometry
from strategies.tasks import FREE

PRUNED, LAST = -2, -3
"""In a table of owners while a task is learned: free weights that it has pruned, and those of the last step."""


class GrowingConv2d(TaskConv2d):
    """A convolution whose weights are owned by tasks, each by at most one, and used by any later one that picks them.

    Args:
        conv: the convolution; its options are kept, and the first task starts at its weights and bias.

    State:
        ``kept`` like the weights, zero where free; ``owner`` int8, the task that owns a weight or -1; for every learned
        task k ``used_k``, a bit for each weight of its network, eight in a uint8, and ``bias_k``; while a task is
        learned ``values``, the free weights and, in the places of the others, scores, and ``shift``, its bias.
    """

    kept: Tensor
    owner: Tensor
    first_bias: Tensor | None
    values: nn.Parameter
    shift: nn.Parameter | None

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv)
        del self._parameters["weight"], self._parameters["bias"]
        self.register_buffer("kept", conv.weight.detach())
        self.register_buffer("owner", torch.full_like(self.kept, FREE, dtype=torch.int8))
        self.register_buffer("first_bias", None if conv.bias is None else conv.bias.detach(), persistent=False)
        self.places: dict[int, Place] = {}
        """Where the weights of tasks lie that have learned a narrower network."""

    def begin(self, start: float, before: int | None) -> None:
        """Make free weights trainable, and scores, from ``start``, over the others; ``before`` is the last task."""
        frozen = self.owner >= 0
        self.values = nn.Parameter(torch.where(frozen, start, self.kept))
        self.kept = self.kept.masked_fill(~frozen, 0)
        bias = self.first_bias if before is None else getattr(self, f"bias_{before}", None)
        self.shift = None if bias is None else nn.Parameter(bias.detach().clone())

    def prune(self, share: float) -> None:
        """Keep the largest of the weights in training: a share of those with which the task began, rounded up."""
        self.owner[self.owner == LAST] = PRUNED
        places = torch.nonzero(self.owner.flatten() == FREE).flatten()
        keep = ceil(share * int((self.owner < 0).sum()) - 1e-6)
        values = self.values.detach().flatten()
        order = torch.argsort(values[places].abs(), descending=True, stable=True)
        dropped = places[order[keep:]]
        self.owner, self.kept = self.owner.contiguous(), self.kept.contiguous()
        self.owner.view(-1)[dropped] = LAST
        self.kept.view(-1)[dropped] = values[dropped]

    @torch.no_grad()
    def take_back(self) -> None:
        """Let the weights of the last step be what they were before it."""
        last = self.owner == LAST
        self.values[last] = self.kept[last]
        self.owner[last] = FREE

    @torch.no_grad()
    def grow(self, outs: int, ins: int, place: Place) -> None:
        """Widen the convolution to ``outs`` and ``ins`` channels; its weights lie at ``place`` from then on."""
        shape = (outs, ins, *self.kept.shape[2:])
        drawn = nn.Conv2d(**geometry(self) | {"in_channels": ins, "out_channels": outs}).to(self.values)
        drawn.weight[: place.outs] = 0
        self.values = nn.Parameter(place.put(self.values, drawn.weight.detach()))
        self.kept = place.put(self.kept, self.kept.new_zeros(shape))
        self.owner = place.put(self.owner, self.owner.new_full(shape, FREE))
        if self.shift is not None and drawn.bias is not None:
            self.shift = nn.Parameter(torch.cat([self.shift, drawn.bias[place.outs :]]))

    def end(self, task: int) -> None:
        """Freeze what the task has trained, note what it uses, and free what it has pruned."""
        own = self.owner == FREE
        used = own | ((self.owner >= 0) & (self.values.detach() > 0))
        self.register_buffer(f"used_{task}", to_bits(used))
        if self.shift is not None:
            self.register_buffer(f"bias_{task}", self.shift.detach().clone())
        self.kept = torch.where(own, self.values.detach(), self.kept.masked_fill(self.owner < FREE, 0))
        self.owner = self.owner.masked_fill(self.owner < FREE, FREE).masked_fill(own, task)
        del self.values, self.shift

    def kernel(self) -> Tensor:
        """The selected task's weights, with a gradient while it is learned."""
        task = self.cursor.selected
        if task == self.cursor.learning:
            picked = straight_through(self.values, self.values > 0)
            free = self.values.masked_fill(self.owner != FREE, 0)
            return torch.where(self.owner >= 0, self.kept * picked, free).contiguous()
        if task not in self.cursor.known:
            return self.kept
        kept = self.places[task].take(self.kept) if task in self.places else self.kept
        return kept.masked_fill(~from_bits(getattr(self, f"used_{task}"), kept.shape), 0).contiguous()

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The selected task's weights, as other parts of a network read them."""
        return self.kernel()

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """The selected task's bias; None for a convolution without one."""
        task = self.cursor.selected
        if task == self.cursor.learning:
            return self.shift
        return getattr(self, f"bias_{task}", None) if task in self.cursor.known else self.first_bias

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, k_in, H, W) with the selected task's weights; widths are those of its network."""
        return self._conv_forward(input, self.kernel(), self.bias)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load, also what was widened since."""
        for name, tensor in [*self.named_parameters(recurse=False), *self.named_buffers(recurse=False)]:
            saved = state_dict.get(prefix + name)
            if saved is not None and saved.shape != tensor.shape:
                empty = tensor.new_empty(saved.shape)
                setattr(self, name, nn.Parameter(empty) if isinstance(tensor, nn.Parameter) else empty)
        super()._load_from_state_dict(state_dict, prefix, *args)

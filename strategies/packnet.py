"""PackNet: a share of one network's weights for every task, chosen by magnitude.

Mallya and Lazebnik, "PackNet: Adding Multiple Tasks to a Single Network by Iterative Pruning", CVPR 2018. A task first
trains all weights that are still free, beside the fixed ones of earlier tasks; then keeps the largest of them in every
layer and drops the others to zero; and trains on with those it kept. At test time task n uses the weights of
tasks 0 to n. Biases, and everything else outside the kernels of convolutions (normalisation with its running
statistics, PReLU), are learned with the first task and fixed from then on, as in section 3 of that paper.

Most of a task's updates come after pruning: a restoration network that is cut to an eighth of its weights loses nearly
all it has learned, and the learning rate has fallen by then. With 600 updates on denoising (16 channels, cosine decay)
validation PSNR ended at 19.9, 23.9, 24.4 and 24.6 dB with 1/3, 1/2, 2/3 and 4/5 of the updates after pruning. The
authors retrain half as long as they train, at a tenth of the rate; here the rate falls on as it does for every
strategy. They prune a share of what a task has trained, half or three quarters, so that later tasks have less and less;
here every task keeps the same share of all weights of a layer, which is how the paper that this suite implements
counts.

Why not avalanche-lib's ``PackNetModel``: in 0.6.0 it crashes on convolutions without a bias and refuses normalisation
and PReLU, decides by epochs, leaves what it pruned at its old values, stores two masks that follow from a third, and
holds fixed weights back by their gradients alone, so that weight decay moves them. Here, as in CMC, only what the task
may change is ever a parameter, and the rest lies in buffers that no optimizer reaches.
"""

from collections.abc import Iterable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from benchmark.core.errors import UserError
from strategies.base import Settings, Strategy, TaskNetwork, Traits
from strategies.places import buffers_outside
from strategies.surgery import CONVOLUTIONS_ALONE, TaskConv2d, convolutions, exactly, replace_convolutions
from strategies.tasks import FREE, MAX_TASKS, check_begin, check_end
from strategies.trainer import Trainer


class PackNetSettings(Settings):
    """Settings of PackNet."""

    fraction: float = Field(0.125, gt=0, le=1, description="share of every layer's weights that each task keeps")
    retrain: float = Field(
        0.75, gt=0, lt=1, description="share of a task's updates that follow pruning, with the kept weights alone"
    )


class PackNet(Strategy):
    """PackNet: every task keeps the largest of the free weights and prunes the rest (Mallya and Lazebnik, 2018)."""

    name = "packnet"
    Settings = PackNetSettings
    traits = Traits(needs_task_id=True, protects_exactly=True)
    settings: PackNetSettings

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """Pack every convolution.

        Raises:
            UserError: the tasks do not fit into the network, or weights lie outside of convolutions.
        """
        fraction = self.settings.fraction
        if fraction * tasks > 1 + 1e-9 or tasks > MAX_TASKS:
            raise UserError(
                f"packnet.fraction = {fraction:g} for each of {tasks} tasks is {fraction * tasks:.0%} of the weights. "
                f"Use a fraction of at most {1 / tasks:.4g}, and at most {MAX_TASKS} tasks."
            )
        return PackedNetwork(backbone, fraction)

    def after_training_iteration(self, trainer: Trainer) -> None:
        """Prune when the share of updates that is left is the one for retraining; never before the first update."""
        updates = trainer.training_settings.updates
        before_pruning = min(max(1, round((1 - self.settings.retrain) * updates)), updates - 1)
        if trainer.clock.train_exp_iterations + 1 == before_pruning:  # the clock counts after all plugins
            assert isinstance(trainer.model, PackedNetwork)
            trainer.model.prune()
            trainer.make_optimizer()


class PackedConv2d(TaskConv2d):
    """A convolution whose weights are owned by tasks, each by at most one.

    Args:
        conv: the convolution; its options and bias are kept, and its weights are where the first task starts.

    State:
        ``kept`` like the weights, zero where free; ``owner`` int8, the task that owns a weight or -1; ``values``, the
        weights in training; ``bias``.
    """

    kept: Tensor
    owner: Tensor
    index: Tensor
    values: nn.Parameter

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv)
        del self._parameters["weight"]
        self.bias = conv.bias
        self.register_buffer("kept", conv.weight.detach())
        self.register_buffer("owner", torch.full_like(self.kept, FREE, dtype=torch.int8))

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The selected task's weights, as other parts of a network read them."""
        return self.kernel()

    @property
    def pruned(self) -> bool:
        """Whether the task in training has chosen the weights that it keeps."""
        learning = self.cursor.learning
        return learning is not None and bool(torch.any(self.owner == learning))

    def begin(self) -> None:
        """Make all free weights trainable: from the network's own start in the first task, from zero in later ones."""
        free = self.owner == FREE
        self.register_buffer("index", torch.nonzero(free.flatten()).flatten(), persistent=False)
        self.values = nn.Parameter(self.kept.flatten()[self.index])
        self.kept = self.kept.masked_fill(free, 0)

    def prune(self, fraction: float) -> None:
        """Keep the largest of the free weights, a fraction of all weights but at least one; the others become zero."""
        assert self.cursor.learning is not None
        keep = max(1, int(fraction * self.owner.numel() + 1e-6))
        largest = torch.argsort(self.values.detach().abs(), descending=True, stable=True)[:keep]
        largest = largest.sort().values
        self.index = self.index[largest]
        self.values = nn.Parameter(self.values.detach()[largest])
        self.owner = self.owner.contiguous()
        self.owner.view(-1)[self.index] = self.cursor.learning

    def end(self) -> None:
        """Fix the weights that the task kept."""
        with exactly(self.kept.device):
            self.kept = self.kernel()
        del self.values, self.index

    def kernel(self) -> Tensor:
        """The selected task's weights: with a gradient while it is learned, and without those of later tasks."""
        task = self.cursor.selected
        if task == self.cursor.learning:
            return self.kept.flatten().scatter(0, self.index, self.values).view(self.kernel_shape)
        # a product would leave the sign of what is hidden
        return self.kept.masked_fill(self.owner > task, 0).contiguous()

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (N, k_in, H, W) with the selected task's weights."""
        return self._conv_forward(input, self.kernel(), self.bias)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Load, also between pruning and the end of a task, where fewer weights are in training than before."""
        if f"{prefix}memory" in state_dict:  # as it was called in version 0.1
            state_dict[f"{prefix}kept"] = state_dict.pop(f"{prefix}memory")
        learning = self.cursor.learning
        if learning is not None and f"{prefix}values" in state_dict:
            self.values = nn.Parameter(self.values.new_empty(len(state_dict[f"{prefix}values"])))
        super()._load_from_state_dict(state_dict, prefix, *args)
        if learning is not None:
            owner = learning if self.pruned else FREE
            self.index = torch.nonzero(self.owner.flatten() == owner).flatten()


class PackedNetwork(TaskNetwork):
    """A network of :class:`PackedConv2d`.

    Args:
        backbone: any network whose weights lie in ``nn.Conv2d`` layers; it becomes a part of this one.
        fraction: share of every layer's weights that each task keeps.

    Raises:
        UserError: there is no convolution, or weights lie elsewhere.
    """

    def __init__(self, backbone: nn.Module, fraction: float) -> None:
        super().__init__()
        kind = type(backbone).__name__
        if not convolutions(backbone, taken=("weight",)):
            raise UserError(
                f"PackNet shares out the weights of convolutions, and {kind} has no nn.Conv2d layer to be trained."
            )
        self.backbone = replace_convolutions(backbone, lambda conv, _: PackedConv2d(conv), taken=("weight",))
        self.layers = self.following(PackedConv2d)
        self.fraction = fraction
        self.fixed: list[nn.Module] = []
        elsewhere = [name for name, p in self.backbone.named_parameters() if p.ndim > 1 and p.requires_grad]
        if elsewhere:
            raise UserError(
                f"PackNet shares out the weights of nn.Conv2d layers, and {kind} has others: {', '.join(elsewhere)}. "
                f"{CONVOLUTIONS_ALONE}"
            )

    def begin(self, task: int) -> None:
        """Make the free weights trainable.

        Raises:
            UserError: another task is being learned, this one does not follow the last, or every weight is taken.
        """
        check_begin(self.cursor, task, "PackNet", ordered=True)  # a task uses the weights of those with lower labels
        if not any((layer.owner == FREE).any() for layer in self.layers):
            raise UserError(
                f"PackNet has no free weight left for task {task}, as each task keeps a fraction of {self.fraction:g}. "
                "Use a smaller fraction."
            )
        for layer in self.layers:
            layer.begin()
        super().begin(task)

    def prune(self) -> None:
        """Keep the task's share of weights in every layer, and drop the other free ones to zero."""
        for layer in self.layers:
            layer.prune(self.fraction)

    def end(self) -> None:
        """Fix what the task kept, after the first one also everything outside the kernels.

        Raises:
            UserError: no task is being learned.
        """
        learning = check_end(self.cursor)
        if not any(layer.pruned for layer in self.layers):
            self.prune()
        self.select(learning)  # what a layer fixes is the selected task's kernel
        for layer in self.layers:
            layer.end()
        if not self.fixed:
            self._fix_others()
        super().end()

    def _fix_others(self) -> None:
        """Turn all parameters that hold something into buffers, as copies, so that no optimizer can reach them."""
        copies: dict[Tensor, Tensor] = {}
        for module in self.backbone.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None and parameter.numel():
                    delattr(module, name)
                    with exactly(parameter.device):
                        module.register_buffer(name, copies.setdefault(parameter, parameter.clone()))
            if module._buffers and not isinstance(module, PackedConv2d):
                self.fixed.append(module)
        self.common = buffers_outside(self.backbone, PackedConv2d)

    def standing_still(self, task: int) -> Iterable[nn.Module]:
        """Of a fixed task all layers; in later tasks than the first, those with running statistics and the like."""
        return self.fixed if task == self.cursor.learning else self.backbone.modules()

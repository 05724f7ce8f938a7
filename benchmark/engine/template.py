"""The Avalanche template for image-to-image tasks: what happens in training, and how a stream is evaluated."""

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from benchmark.config import Training
from benchmark.engine.tiling import reach, restore
from strategies.base import Strategy, TaskNetwork


def learning_rate(training: Training, update: int, budget: int = 1) -> float:
    """Learning rate of one batch update, counted from 0; with ``budget`` tasks' worth of updates it falls slower."""
    update //= budget
    if training.schedule == "cosine":
        return training.learning_rate * 0.5 * (1 + math.cos(math.pi * update / training.updates))
    if training.schedule == "halving":
        return training.learning_rate * 0.5 ** (update // training.updates_per_epoch // training.halve_every)
    return training.learning_rate


class EpochSampler(Sampler[int]):
    """The indices of one epoch's patches, which lie one epoch after another in the training set of a task."""

    def __init__(self, per_epoch: int, epoch: Callable[[], int]) -> None:
        self.per_epoch, self.epoch = per_epoch, epoch

    def __len__(self) -> int:
        return self.per_epoch

    def __iter__(self) -> Iterator[int]:
        start = self.epoch() * self.per_epoch
        return iter(range(start, start + self.per_epoch))


class OutputCollector(SupervisedPlugin):
    """Keeps the outputs of an evaluation: a list of (restored, clean), each (3, H, W) on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[tuple[Tensor, Tensor]] = []

    def after_eval_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Take the images of the mini-batch."""
        self.outputs += zip(template.mb_output.cpu(), template.mb_y.cpu(), strict=True)


class RestorationTemplate(SupervisedTemplate):
    """Avalanche's supervised template with mean-squared error, Adam and addressed batches.

    With ``training.precision`` bf16 the forward pass of a training step, and so its backward pass, computes what torch
    deems safe in bf16. Weights, gradients, the optimizer, the loss and every evaluation stay in float32.
    Adam is made anew for every experience, over the parameters that are trainable then, so that no momentum reaches
    from one task into the next. Any Avalanche plugin can be added to the strategy's own callbacks.

    Args:
        model: the network to train.
        strategy: its callbacks.
        training: length, batch and learning rate.
        device: where to train.
        workers: processes that draw patches.
        tile: images of more than tile × tile pixels are evaluated in overlapping tiles of this side.
        plugins: further Avalanche plugins, called after the strategy.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        strategy: Strategy,
        training: Training,
        device: torch.device,
        workers: int = 0,
        tile: int = 2048,
        plugins: tuple[SupervisedPlugin, ...] = (),
    ) -> None:
        self.training_settings, self.workers, self.tile = training, workers, tile
        self.collector = OutputCollector()
        self.loss_function = nn.MSELoss()
        self.budget = 1
        with warnings.catch_warnings():  # Avalanche's own metrics are for classes; benchmark.engine.recorder has ours
            warnings.filterwarnings("ignore", message="No loggers specified")
            no_metrics = EvaluationPlugin()
        super().__init__(
            model=model.to(device),
            optimizer=None,  # made by make_optimizer, once the model knows its task
            criterion=self.loss_function,
            train_mb_size=training.batch_size,
            train_epochs=training.epochs,
            eval_mb_size=1,
            device=device,
            plugins=[strategy, self.collector, *plugins],
            evaluator=no_metrics,
        )

    def learn(self, experience: Any, budget: int = 1) -> None:
        """Train on one experience for ``budget`` tasks' worth of epochs."""
        self.budget = budget
        self.train_epochs = self.training_settings.epochs * budget
        self.train(experience, eval_streams=[])

    def outputs(self, experience: Any) -> list[tuple[Tensor, Tensor]]:
        """Restore the images of an experience: a list of (restored, clean), each (3, H, W) float32 on the CPU.

        A network that needs the task's label is given that of the task learned last where it has not learned this one.
        """
        self.collector.outputs = []
        self.eval([experience])
        return self.collector.outputs

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        """Adapt the model to the experience, then make its optimizer."""
        self.model = self.model_adaptation()
        self.make_optimizer()

    def make_optimizer(self, **kwargs: Any) -> None:
        """A fresh Adam over what is trainable."""
        trainable = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        # foreach computes the same as one parameter after another, in fewer calls; fused would round otherwise
        self.optimizer = torch.optim.Adam(trainable, lr=self.training_settings.learning_rate, foreach=True)

    def make_train_dataloader(self, **kwargs: Any) -> None:
        """Batches in the order of their addresses; shuffling is in the addresses already."""
        per_epoch = self.training_settings.updates_per_epoch * self.train_mb_size
        self.dataloader = DataLoader(
            self.adapted_dataset,
            batch_size=self.train_mb_size,
            sampler=EpochSampler(per_epoch, lambda: self.clock.train_exp_epochs),
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),
        )

    def forward(self) -> Tensor:
        """The network's output for the mini-batch, under its task labels where the network needs them."""
        images = self.mb_x.contiguous(memory_format=torch.channels_last)
        if self.is_eval and images.shape[-2] * images.shape[-1] > self.tile**2:
            return restore(self._restore, images, self.tile, reach(self.model))
        if self.is_eval or self.training_settings.precision != "bf16":
            return self._restore(images)
        with torch.autocast(self.device.type, torch.bfloat16):
            output = self._restore(images)
        return output.to(images.dtype)

    def _restore(self, images: Tensor) -> Tensor:
        if not isinstance(self.model, TaskNetwork):
            return self.model(images)
        labels = self.mb_task_id
        if self.is_eval:
            labels = labels.clamp(max=max(self.model.known))
        return self.model(images, labels)

    def _before_training_iteration(self, **kwargs: Any) -> None:
        rate = learning_rate(self.training_settings, self.clock.train_exp_iterations, self.budget)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        super()._before_training_iteration(**kwargs)

    def _after_training_exp(self, **kwargs: Any) -> None:
        super()._after_training_exp(**kwargs)
        if isinstance(self.model, TaskNetwork):
            self.model.end()

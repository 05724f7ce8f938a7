"""A made stream of tiny random tasks, and what happened at each update while a strategy learned it."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from avalanche.benchmarks import benchmark_from_datasets
from avalanche.benchmarks.utils import AvalancheDataset, DataAttribute
from avalanche.benchmarks.utils.flat_data import ConstantSequence
from avalanche.core import SupervisedPlugin
from torch import Tensor, nn

from benchmark.config import Training
from benchmark.engine.template import RestorationTemplate
from strategies.base import Strategy

Pairs = list[tuple[Tensor, Tensor]]
Weights = dict[str, Tensor]
UPDATES, BATCH = 5, 2


def pairs(seed: int, dtype: torch.dtype = torch.float64, side: int = 6) -> Pairs:
    """Random patches for one epoch; the clean ones have 8 bits, the degraded ones go beyond [0, 1].

    Odd tasks restore the negative of the image, so that tasks contradict each other.
    """
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(UPDATES * BATCH):
        clean = torch.randint(0, 256, (3, side, side), generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        target = 255 - clean if seed % 2 else clean
        made.append((clean.to(dtype) / 255 + 0.2 * noise.to(dtype), target.to(dtype) / 255))
    return made


def stream(*tasks: Pairs) -> Any:
    """The training experiences of tasks."""
    datasets = []
    for label, task in enumerate(tasks):
        attribute = DataAttribute(ConstantSequence(label, len(task)), name="targets_task_labels", use_in_getitem=True)
        datasets.append(AvalancheDataset([task], data_attributes=[attribute]))
    experiences = benchmark_from_datasets(train=datasets).train_stream
    for label, experience in enumerate(experiences):
        experience.task_labels = [label]
    return experiences


def network() -> nn.Sequential:
    """Two convolutions with a normalisation between; always the same weights."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4, momentum=0.3), nn.Tanh(), nn.Conv2d(4, 3, 3, padding=1)
    ).double()


@dataclass
class Step:
    """One update: the batch, the weights before and after, and the loss and gradient that the optimizer was given."""

    batch: list[Tensor]
    before: Weights
    loss: Tensor
    gradient: Weights
    after: Weights


class Witness(SupervisedPlugin):
    """Keeps every update of the task learned last."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    def before_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        self.steps = []

    def before_update(self, template: Any, *args: Any, **kwargs: Any) -> None:
        gradient = {name: value.grad.clone() for name, value in template.model.named_parameters()}
        batch = [part.clone() for part in template.mbatch]
        self.steps.append(Step(batch, weights(template.model), template.loss.detach().squeeze(), gradient, {}))

    def after_update(self, template: Any, *args: Any, **kwargs: Any) -> None:
        self.steps[-1].after = weights(template.model)


def weights(model: nn.Module) -> Weights:
    """A copy of the parameters."""
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def learner(strategy: Strategy, model: nn.Module, *plugins: SupervisedPlugin) -> RestorationTemplate:
    """A template that learns a made stream, one epoch a task."""
    training = Training(
        epochs=1, updates_per_epoch=UPDATES, batch_size=BATCH, patch_size=8, learning_rate=0.02, schedule="constant"
    )
    return RestorationTemplate(
        model=model, strategy=strategy, training=training, device=torch.device("cpu"), plugins=plugins
    )


def loss_and_gradient(
    model: nn.Module, at: Weights, batch: list[Tensor], penalty: Any = None
) -> tuple[Tensor, Weights]:
    """Mean-squared error on a batch, plus ``penalty(parameters, outputs)``, and the gradient at given weights."""
    parameters = {name: value.clone().requires_grad_() for name, value in at.items()}
    outputs = torch.func.functional_call(copy.deepcopy(model), parameters, (batch[0],))
    loss = ((outputs - batch[1]) ** 2).mean()
    if penalty is not None:
        loss = loss + penalty(parameters, outputs)
    loss.backward()
    return loss.detach(), {name: value.grad for name, value in parameters.items()}

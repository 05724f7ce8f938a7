"""What penalties on changed weights share, and what they are made of: tensors for each trainable weight."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from strategies.base import Strategy, evaluating
from strategies.state import from_state, to_state
from strategies.trainer import Trainer

Tensors = dict[str, Tensor]
"""Name of a trainable parameter → a tensor of its shape."""


class Anchored(Strategy):
    """Base of strategies that hold weights where they were as the task began, by one importance for each weight."""

    def __init__(self, settings: Any, seed: int = 0) -> None:
        super().__init__(settings, seed)
        self.importance: Tensors = {}
        self.anchor: Tensors = {}

    def before_training_exp(self, trainer: Trainer) -> None:
        """Anchor the weights where they are."""
        self.anchor = weights(trainer.model)
        self.importance = moved(self.importance, trainer.device)

    def state(self) -> dict[str, Tensor]:
        """The importances; the anchor of the next task is the network itself."""
        return to_state("importance", self.importance)

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up the importances."""
        self.importance = from_state("importance", state)


def weights(model: nn.Module) -> Tensors:
    """The trainable weights as they are now, as copies."""
    return {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}


def squared(values: Tensor) -> Tensor:
    """The square of each value; of a complex number that of its magnitude."""
    return (values.conj() * values).real if values.is_complex() else values.square()


def quadratic(model: nn.Module, earlier: Iterable[tuple[Tensors, Tensors]]) -> Tensor:
    """``Σ_i Σ_k Ω_ik (θ_k − θ*_ik)²``, a scalar: how far the weights θ of a model are from earlier ones that mattered.

    Args:
        model: the network in training.
        earlier: pairs of the importances Ω_i and the values θ*_i of its weights.
    """
    terms = (
        (mattered * squared(weight - start)).sum()
        for importance, anchor in earlier
        for mattered, weight, start in held(model, importance, anchor)
    )
    return sum(terms, torch.zeros(()))


def held(model: nn.Module, importance: Tensors, anchor: Tensors) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Importance, present value and anchor of each weight that has all three, as one frozen or thawed since has not."""
    for name, weight in model.named_parameters():  # not the order of a checkpoint, which would round otherwise
        if name in importance and name in anchor:
            yield importance[name], weight, anchor[name]


def patch_gradients(trainer: Trainer, patches: int, loss: Callable[[Tensor, Tensor], Tensor]) -> Iterator[Tensors]:
    """The gradient of a loss on each of the first patches of a task by itself, in evaluation mode; it leaves no trace.

    Args:
        trainer: with the model, and the experience that holds the patches.
        patches: how many.
        loss: of a restored and a clean patch (1, 3, H, W).
    """
    trainable = {name: value for name, value in trainer.model.named_parameters() if value.requires_grad}
    with evaluating(trainer.model.modules()):
        for index in range(patches):
            degraded, clean = (image[None].to(trainer.device) for image in trainer.experience.dataset[index][:2])
            measured = loss(trainer.model(degraded), clean)
            gradients = torch.autograd.grad(measured, list(trainable.values()), materialize_grads=True)
            yield dict(zip(trainable, gradients, strict=True))


def sensitivity(trainer: Trainer, patches: int, loss: Callable[[Tensor, Tensor], Tensor]) -> Tensors:
    """The mean of ``|∂loss / ∂θ_k|`` over the first patches of a task, each by itself, for every trainable weight θ_k.

    Args:
        trainer: as for :func:`patch_gradients`.
        patches: how many, or all of the task's if it has fewer.
        loss: as for :func:`patch_gradients`.
    """
    patches = min(patches, len(trainer.experience.dataset))
    measured: Tensors = {}
    for gradients in patch_gradients(trainer, patches, loss):
        for name, gradient in gradients.items():
            measured[name] = measured.get(name, 0) + gradient.abs() / patches
    return measured


def mean_over_tasks(earlier: Tensors, new: Tensors, tasks: int) -> Tensors:
    """The mean of a quantity over all tasks with equal weights, from that over ``tasks`` earlier ones and the new.

    It is zero in a task that did not train the weight.
    """
    old, none = tasks / (tasks + 1), torch.zeros(())
    return {name: old * earlier.get(name, none) + (1 - old) * new.get(name, none) for name in new | earlier}


def moved(tensors: Tensors, device: torch.device) -> Tensors:
    """The tensors on a device; those of a checkpoint are on the CPU."""
    return {name: value.to(device) for name, value in tensors.items()}

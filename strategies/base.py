"""The plugin class: what a continual-learning strategy is.

A strategy is one class with a name, typed settings and declared traits. It may change the network before training
(:meth:`Strategy.adapt`) and may act at every step of training through Avalanche's callbacks
(``before_training_exp``, ``before_backward``, ``after_update``, ...), which get the Avalanche template with the
current ``experience``, ``model``, ``optimizer``, ``mbatch``, ``mb_output`` and ``loss``.
"""

from typing import Any, ClassVar

import torch
from avalanche.core import SupervisedPlugin
from avalanche.models import MultiTaskModule
from torch import Tensor, nn

from benchmark.errors import UserError
from benchmark.validation import Closed
from strategies.traits import Traits

EXEMPLARS = "exemplars."
"""Start of the names of stored images in a strategy's state."""


class Settings(Closed):
    """Base of a strategy's settings: frozen, checked, and closed to names it does not know.

    Give every field a description and its range; both appear in ``list settings`` and in errors.
    """


class Strategy(SupervisedPlugin):
    """Base class of all strategies; by itself it learns task after task and protects nothing.

    Args:
        settings: this strategy's settings, checked.
        seed: seed of the run; draw random numbers from ``benchmark.addresses`` with it.
    """

    name: ClassVar[str]
    revision: ClassVar[int] = 1
    """Raised by one when a change makes the strategy give other results; finished runs are then done again. A class
    that is derived from another one counts from 1, and the changes of both are counted."""
    Settings: ClassVar[type[Settings]] = Settings
    traits: ClassVar[Traits] = Traits()

    def __init__(self, settings: Any, seed: int = 0) -> None:
        super().__init__()
        self.settings = settings
        self.seed = seed

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """The network to train in place of the plain backbone, for a stream of ``tasks`` tasks.

        Raises:
            UserError: the settings do not fit the stream or the backbone.
        """
        return backbone

    def rounds(self, tasks: int) -> list[list[int]]:
        """Which tasks (counted from 0) are trained together, round after round; by default each by itself.

        A task brings its training budget to the round in which it first appears, so that every strategy makes the
        same number of updates. Patches of a round's tasks are mixed evenly in every batch. The ledger counts the images
        of learned tasks that later rounds train on again, for which it also asks for one task more than the stream has.
        """
        return [[task] for task in range(tasks)]

    def state(self) -> dict[str, Tensor]:
        """What learning the next task needs beside the network's weights; kept in checkpoints.

        Images of earlier tasks, and what belongs to them, have names that start with EXEMPLARS; the ledger counts them.
        """
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take up again what :meth:`state` gave."""


class TaskNetwork(MultiTaskModule):
    """A network that is told the task of each image, as Avalanche's multi-task modules are.

    Subclasses define ``backbone``, :meth:`add_task` (make room for a new task), :meth:`activate` (choose a task) and,
    where something is to be settled after training, :meth:`end_task`.
    Tasks are numbered by Avalanche's task labels, which count from 0 in the order of the stream.
    """

    backbone: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.known: list[int] = []

    def adaptation(self, experience: Any) -> None:
        """Called by Avalanche before each experience: begin the tasks that are new, in training only."""
        if not self.training:
            return
        for task in sorted(set(experience.task_labels)):
            if task not in self.known:
                self.begin_task(task)

    def begin_task(self, task: int) -> None:
        """Make room for a task that was not seen before, and know it from now on."""
        self.add_task(task)
        self.known.append(task)

    def add_task(self, task: int) -> None:
        """Make room for a task; ``known`` holds the ones before it."""
        raise NotImplementedError

    def end_task(self) -> None:
        """Settle what was just learned; called after every training experience, last of all callbacks."""

    def activate(self, task: int) -> None:
        """Choose the task that the next forward passes are for."""
        raise NotImplementedError

    def forward(self, x: Tensor, task_labels: Tensor | int) -> Tensor:
        """Restore images (N, 3, H, W), each under its own task label (N,) or all under one.

        Raises:
            UserError: a task was never learned.
        """
        if isinstance(task_labels, int):
            return self.forward_single_task(x, task_labels)
        tasks = torch.unique(task_labels).tolist()
        if len(tasks) == 1:
            return self.forward_single_task(x, tasks[0])
        out = torch.empty_like(x)
        for task in tasks:
            chosen = task_labels == task
            out[chosen] = self.forward_single_task(x[chosen], task)
        return out

    def forward_single_task(self, x: Tensor, task_label: int) -> Tensor:
        """Restore images (N, 3, H, W) of one task.

        Raises:
            UserError: the task was never learned.
        """
        if task_label not in self.known:
            raise UserError(f"Task {task_label} was never learned. Learned so far: {self.known or 'none'}.")
        self.activate(task_label)
        return self.backbone(x)

"""The plugin class: what a continual-learning strategy is.

A strategy is one class with a name, typed settings and declared traits. It may change the network before training
(:meth:`Strategy.adapt`) and may act at every step of training through Avalanche's callbacks
(``before_training_exp``, ``before_backward``, ``after_update``, ...), which get the Avalanche template with the
current ``experience``, ``model``, ``optimizer``, ``mbatch``, ``mb_output`` and ``loss``.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from avalanche.core import SupervisedPlugin
from avalanche.models import MultiTaskModule
from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.core.validation import Closed
from strategies.surgery import tensors_in_use
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
        seed: seed of the run; draw random numbers from ``benchmark.core.addresses`` with it.
    """

    name: ClassVar[str]
    revision: ClassVar[int] = 1
    """Raised by one when a change makes the strategy give other results; finished runs are then done again. A class
    that is derived from another one counts from 1, and the changes of both are counted."""
    Settings: ClassVar[type[Settings]] = Settings
    traits: ClassVar[Traits] = Traits()
    relative_cost: ClassVar[float] = 1.0
    """An update's time in updates of the plain network, roughly; for the time that is foretold, nothing else."""

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

    Subclasses define ``backbone``, :meth:`add_task` (make room for a new task), :meth:`activate` (choose a task, and
    note it as ``active``) and, where something is to be settled after training, :meth:`end_task`. Those that promise
    never to change what was learned also define :meth:`standing_still`.
    Tasks are numbered by Avalanche's task labels, which count from 0 in the order of the stream.
    """

    backbone: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.known: list[int] = []
        self.learning: int | None = None
        self.active: int | None = None

    def adaptation(self, experience: Any) -> None:
        """Called by Avalanche before each experience: begin the tasks that are new, in training only."""
        if not self.training:
            return
        for task in sorted(set(experience.task_labels)):
            if task not in self.known:
                self.begin_task(task)

    def begin_task(self, task: int) -> None:
        """Make room for a task that was not seen before, know it from now on, and make it the active one."""
        self.add_task(task)
        self.known.append(task)
        self.learning = task
        self.activate(task)

    def add_task(self, task: int) -> None:
        """Make room for a task; ``known`` holds the ones before it."""
        raise NotImplementedError

    def end_task(self) -> None:
        """Settle what was just learned; called after every training experience, last of all callbacks."""
        self.learning = None

    def activate(self, task: int) -> None:
        """Choose the task that the backbone is for; a forward pass of this network leaves that as it was."""
        raise NotImplementedError

    def standing_still(self, task: int) -> Iterable[nn.Module]:
        """Layers that a forward pass for the task must not move, though the network may be in training mode.

        They run in evaluation mode: normalisation uses its running statistics and leaves them, nothing is dropped.
        So what a settled task computes is the same in both modes, and depends on no random number.
        """
        return ()

    def forward(self, x: Tensor, task_labels: Tensor | int) -> Tensor:
        """Restore images (N, C, H, W), each under its own task label (N,) or all under one.

        What comes out may have another size and type than what goes in, as long as all tasks agree.

        Raises:
            UserError: a task was never learned, there are not as many labels as images, or outputs of different tasks
                cannot be put into one tensor.
        """
        if not isinstance(task_labels, Tensor):
            return self.forward_single_task(x, int(task_labels))
        if task_labels.ndim and len(task_labels) != len(x):
            raise UserError(f"{len(task_labels)} task labels for {len(x)} images: give one for each, or one number.")
        tasks = torch.unique(task_labels).tolist()
        if not tasks:
            return self._restore_nothing(x)
        if len(tasks) == 1:
            return self.forward_single_task(x, tasks[0])
        places = [torch.nonzero(task_labels == task).flatten() for task in tasks]
        outputs = [self.forward_single_task(x[place], task) for place, task in zip(places, tasks, strict=True)]
        _check_that_they_fit(tasks, places, outputs)
        return torch.cat(outputs)[torch.cat(places).argsort()]

    def forward_single_task(self, x: Tensor, task_label: int) -> Tensor:
        """Restore images (N, C, H, W) of one task.

        Raises:
            UserError: the task was never learned.
        """
        with self.showing(task_label), evaluating(self.standing_still(task_label)):
            return self.backbone(x)

    @contextmanager
    def showing(self, task: int) -> Iterator[None]:
        """Make a task the active one for a while.

        Raises:
            UserError: the task was never learned.
        """
        if task not in self.known:
            raise UserError(f"Task {task} was never learned. Learned so far: {self.known or 'none'}.")
        before = self.active
        try:
            self.activate(task)
            yield
        finally:
            if before is not None and before != task:
                self.activate(before)

    def owned(self, task: int) -> dict[str, Tensor]:
        """Copies of all tensors on which what the task computes depends, by name; equal ones give equal outputs.

        Convolutions with a weight or a bias of the task appear with these as they are used, and not with what they are
        made from. Networks that hold other tensors of several tasks side by side define this themselves.

        Raises:
            UserError: the task was never learned.
        """
        with self.showing(task):
            return {name: tensor.detach().clone() for name, tensor in tensors_in_use(self.backbone).items()}

    def _replicate_for_data_parallel(self) -> Any:
        raise UserError(
            f"{type(self).__name__} cannot run under nn.DataParallel, whose copies would not know their task. Train "
            "one network in each process instead."
        )

    def _restore_nothing(self, x: Tensor) -> Tensor:
        """What an empty batch gives, under the task that is known last; nothing can be learned from it."""
        if not self.known:
            raise UserError("No task was learned yet.")
        with evaluating(self.backbone.modules()):
            return self.forward_single_task(x, self.known[-1])


@contextmanager
def evaluating(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Put layers into evaluation mode, and those that were in training mode back into it."""
    changed = [layer for layer in layers if layer.training]
    for layer in changed:
        layer.training = False
    try:
        yield
    finally:
        for layer in changed:
            layer.training = True


def _check_that_they_fit(tasks: list[int], places: list[Tensor], outputs: list[Any]) -> None:
    """Outputs of different tasks can be put into one batch."""
    for task, place, output in zip(tasks, places, outputs, strict=True):
        if not isinstance(output, Tensor) or output.shape[:1] != (len(place),):
            given = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise UserError(
                f"A batch of several tasks needs a network that gives one tensor with a row for each image; for task "
                f"{task} with {len(place)} images this one gives {given}. Restore each task's images by themselves."
            )
    if len({output.shape[1:] for output in outputs}) > 1:
        told = ", ".join(f"task {task}: {tuple(output.shape[1:])}" for task, output in zip(tasks, outputs, strict=True))
        raise UserError(
            f"Outputs of different tasks have different shapes ({told}) and cannot be put into one batch. Restore the "
            "images of each task by themselves."
        )

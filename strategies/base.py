"""What a strategy is, and what a network that is told the task is.

A strategy is one class with a name, typed settings and declared traits. It may change the network before training, and
may act at every step of it through hooks, which are Avalanche's callbacks. A run goes like this, where the network's
verbs, ``begin``, ``end`` and ``select``, are those of a :class:`TaskNetwork`; a plain network has none::

    network = strategy.adapt(backbone, tasks)
    for each round of strategy.rounds(tasks):           # by default, a round is one task
        network.begin(task)                             # for each task that was not seen before
        strategy.before_training_exp(trainer)
        for each epoch:
            strategy.before_training_epoch(trainer)
            for each update:
                strategy.before_training_iteration(trainer)
                strategy.before_forward(trainer)
                    trainer.mb_output = network(trainer.mb_x)
                strategy.after_forward(trainer)
                    trainer.loss = loss_function(trainer.mb_output, trainer.mb_y)
                strategy.before_backward(trainer)
                    trainer.loss.backward()
                strategy.after_backward(trainer)
                strategy.before_update(trainer)
                    trainer.optimizer.step()
                strategy.after_update(trainer)
                strategy.after_training_iteration(trainer)
            strategy.after_training_epoch(trainer)
        strategy.after_training_exp(trainer)
        network.end()
        network.select(task) while images of each task are restored and measured
        a checkpoint: the network's state_dict() and strategy.state()

A run that was interrupted calls ``adapt``, ``network.rebuild(tasks)`` with the tasks it had learned, loads both states
(``strategy.load_state``), and goes on with the next round. If it had gone some way in that, the round begins as always,
and before its next update the network, the optimizer and ``strategy.load_progress`` take up what they had come to.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, TypeVar

import torch
from avalanche.core import SupervisedPlugin
from avalanche.models import MultiTaskModule
from torch import Tensor, nn

from benchmark.core.errors import UserError, unknown
from benchmark.core.plugins.calls import unfit
from benchmark.core.validation import Closed
from strategies.contract import extends
from strategies.passes import again_within
from strategies.places import Place, unwritten
from strategies.surgery import TaskConv2d, tensors_in_use
from strategies.tasks import Cursor, check_begin, check_labels, check_outputs, one_label
from strategies.trainer import Experience, Trainer
from strategies.traits import Traits

EXEMPLARS = "exemplars."
"""Start of the names of stored images in a strategy's state."""

HOOKS = frozenset(name for name in dir(SupervisedPlugin) if name.startswith(("before_", "after_")))
"""Avalanche's callbacks. Those of training are declared by :class:`Strategy`; the others may be used, too."""


class Settings(Closed):
    """Base of a strategy's settings: frozen, checked, and closed to names it does not know.

    Give every field a description and its range; both appear in ``list settings`` and in errors.
    """


class Strategy(SupervisedPlugin):
    """Base class of all strategies; by itself it learns task after task and protects nothing.

    A subclass defines the hooks it needs; all do nothing here. A method whose name starts as a hook's does, and that is
    none, raises a :class:`UserError` as the class is made, and so does a hook that cannot be called with the trainer.

    Args:
        settings: this strategy's settings, checked.
        seed: seed of the run; draw random numbers from ``benchmark.core.addresses`` with it.
    """

    name: ClassVar[str]
    revision: ClassVar[int] = 1
    """Raised by one when a change makes the strategy give other results; finished runs are then done again. A class
    that is derived from another one counts from 1, and the changes of both are counted."""
    Settings: ClassVar[type[Settings]] = Settings
    traits: Traits = Traits()
    """What it declares. Where that depends on settings, the class says what holds by default, an instance the rest."""
    relative_cost: ClassVar[float] = 1.0
    """An update's time in updates of the plain network, roughly; for the time that is foretold, nothing else."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in dir(cls):
            if name.startswith(("before_", "after_")) and name not in HOOKS and callable(getattr(cls, name)):
                raise unknown(f"hook of the strategy {cls.__name__}:", name, HOOKS, "Give other methods another name.")
        for name in HOOKS & vars(cls).keys():
            if problem := unfit(getattr(cls, name), "self", "trainer"):
                raise UserError(f"{cls.__name__}.{name} {problem}. A hook is a method that takes the trainer.")

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

        Every round brings the next task of the stream, or the next few, and may hold earlier ones, each once. A task
        brings its training budget to the round in which it first appears, so that every strategy makes the same number
        of updates. Patches of a round's tasks are mixed evenly in every batch. The ledger counts the images
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

    def progress(self) -> dict[str, Tensor]:
        """What has changed in the strategy since its task began, beside the network, that the task's training needs.

        Kept in checkpoints within a task. To go on from one, the task is begun again from the state before it, with
        ``before_training_exp``, and then :meth:`load_progress` is called; so this is for what grows from update to
        update, such as a sum over gradients, and not for what is made once.
        """
        return {}

    def load_progress(self, progress: dict[str, Tensor]) -> None:
        """Take up again what :meth:`progress` gave."""

    def before_training_exp(self, trainer: Trainer) -> None:
        """A task, or a round of several, begins; the network has made room for it."""

    def before_training_epoch(self, trainer: Trainer) -> None:
        """An epoch begins."""

    def before_training_iteration(self, trainer: Trainer) -> None:
        """A batch was drawn; it may be changed. Gradients are set to zero after this."""

    def before_forward(self, trainer: Trainer) -> None:
        """The network is about to restore the batch."""

    def after_forward(self, trainer: Trainer) -> None:
        """The network has restored the batch."""

    def before_backward(self, trainer: Trainer) -> None:
        """The loss is known and may be added to."""

    def after_backward(self, trainer: Trainer) -> None:
        """Every trainable parameter has its gradient."""

    def before_update(self, trainer: Trainer) -> None:
        """The optimizer is about to step."""

    def after_update(self, trainer: Trainer) -> None:
        """The optimizer has stepped."""

    def after_training_iteration(self, trainer: Trainer) -> None:
        """An update is done; the clock counts it after this."""

    def after_training_epoch(self, trainer: Trainer) -> None:
        """An epoch is done."""

    def after_training_exp(self, trainer: Trainer) -> None:
        """The task, or the round, is learned; a network of tasks settles it after this."""


Layer = TypeVar("Layer", bound=TaskConv2d)


class TaskNetwork(MultiTaskModule):
    """A network that is told the task of each image, as Avalanche's multi-task modules are.

    It lives by three verbs: :meth:`begin` a task, :meth:`end` it, and :meth:`select` the task to compute. Subclasses
    define ``backbone`` and extend those verbs that need more than the cursor to be moved. Those that promise never to
    change what was learned also define :meth:`standing_still`.
    Tasks are numbered by Avalanche's task labels, which count from 0 in the order of the stream.
    """

    backbone: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.cursor = Cursor()
        self.common: list[Place] = []
        """Buffers that the task in training has in common with earlier ones."""

    @property
    def known(self) -> list[int]:
        """The tasks that have begun, in their order."""
        return self.cursor.known

    def adaptation(self, experience: Experience) -> None:
        """Called by Avalanche before each experience: begin the tasks that are new, in training only."""
        if not self.training:
            return
        for task in sorted(set(experience.task_labels)):
            if task not in self.known:
                self.begin(task)
                extends(self, "begin", self.known[-1:] == [task])

    def begin(self, task: int) -> None:
        """Learn a new task from now on. Subclasses first make room for it; ``known`` holds the ones before it.

        Raises:
            UserError: the task has begun before; subclasses ask :func:`strategies.tasks.check_begin` first of all.
        """
        check_begin(self.cursor, task, type(self).__name__, alone=False)
        self.known.append(task)
        self.cursor.learning = task
        self.select(task)

    def end(self) -> None:
        """Settle what was just learned; called after every training experience, last of all callbacks."""
        self.cursor.learning = None

    def trainable(self) -> int:
        """How many numbers an optimizer may change at present."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    def select(self, task: int) -> None:
        """Choose the task that the backbone is for; a forward pass of this network leaves that as it was.

        Raises:
            UserError: the task was never learned, or its label is no whole number.
        """
        if one_label(task) not in self.known:
            raise UserError(f"Task {task} was never learned. Learned so far: {self.known or 'none'}.")
        self.cursor.selected = task

    def rebuild(self, tasks: Iterable[int]) -> None:
        """Give an untrained network the shape it had after learning some tasks, so that its state can be loaded."""
        for task in tasks:
            self.begin(task)
            self.end()

    def begin_task(self, task: int) -> None:
        """What :meth:`begin` was called in version 0.1; kept until version 0.3."""
        self.begin(task)

    def end_task(self) -> None:
        """What :meth:`end` was called in version 0.1; kept until version 0.3."""
        self.end()

    def activate(self, task: int) -> None:
        """What :meth:`select` was called in version 0.1; kept until version 0.3."""
        self.select(task)

    def following(self, kind: type[Layer]) -> list[Layer]:
        """The backbone's layers of a kind, which follow this network's cursor from now on.

        Raises:
            UserError: they follow that of another network, which would compute another task than it selects.
        """
        layers = [layer for layer in self.backbone.modules() if isinstance(layer, kind)]
        if any(layer.cursor.followed for layer in layers):
            raise UserError(
                f"The layers of {type(self.backbone).__name__} belong to another network already, which would compute "
                "another task than it selects. Go on with that network, or convert the plain backbone once more."
            )
        self.cursor.followed = bool(layers)
        for layer in layers:
            layer.cursor = self.cursor
        return layers

    def parts(self, task: int) -> list[nn.Module]:
        """What a forward pass for the task goes through; tasks learned later add nothing to it."""
        return [self.backbone]

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
            UserError: a task was never learned, there are not as many labels as images, they are no whole numbers, or
                outputs of different tasks cannot be put into one tensor.
        """
        if isinstance(task_labels, Tensor):
            check_labels(task_labels, len(x))
            tasks = torch.unique(task_labels).tolist()
        else:
            tasks = [one_label(task_labels)]
        if isinstance(x, Tensor) and x.shape[:1] == (0,):
            return self._restore_nothing(x, tasks or self.known)
        if len(tasks) == 1 or not isinstance(task_labels, Tensor):
            return self.forward_single_task(x, tasks[0])
        places = [torch.nonzero(task_labels == task).flatten() for task in tasks]
        outputs = [self.forward_single_task(x[place], task) for place, task in zip(places, tasks, strict=True)]
        check_outputs(tasks, places, outputs)
        return torch.cat(outputs)[torch.cat(places).argsort()]

    def forward_single_task(self, x: Tensor, task_label: int) -> Tensor:
        """Restore images (N, C, H, W) of one task.

        Raises:
            UserError: the task was never learned.
        """
        with self._passing(task_label):
            output = self.backbone(x)
        again_within(x, output, partial(self._passing, task_label))
        return output

    @contextmanager
    def _passing(self, task: int) -> Iterator[None]:
        """A pass for a task, during which the task is selected and what must not move stands still."""
        common = self.common if task == self.cursor.learning else ()
        with self.showing(task), evaluating(self.standing_still(task)), unwritten(common, self.backbone):
            yield

    @contextmanager
    def showing(self, task: int) -> Iterator[None]:
        """Select a task for a while.

        Raises:
            UserError: the task was never learned.
        """
        before = self.cursor.selected
        self.select(task)
        extends(self, "select", self.cursor.selected == task)
        try:
            yield
        finally:
            if before in self.known and before != task:
                self.select(before)

    def owned(self, task: int) -> dict[str, Tensor]:
        """Copies of all tensors on which what the task computes depends, by name; equal ones give equal outputs.

        Convolutions with a weight or a bias of the task appear with these as they are used, and not with what they are
        made from. Networks that hold other tensors of several tasks side by side define this themselves.

        Raises:
            UserError: the task was never learned.
        """
        with self.showing(task):
            return tensors_in_use(self.backbone)

    def _replicate_for_data_parallel(self) -> Any:
        raise UserError(
            f"{type(self).__name__} cannot run under nn.DataParallel, whose copies would not know their task. Train "
            "one network in each process instead."
        )

    def _restore_nothing(self, x: Tensor, tasks: list[int]) -> Tensor:
        """What an empty batch gives, under the last of some tasks; nothing can be learned from it.

        It has the shape and type of what becomes of a blank image, as not every layer takes none.
        """
        if not tasks:
            raise UserError("No task was learned yet.")
        blank = x.new_zeros(1, *x.shape[1:])
        with torch.no_grad(), evaluating(self.backbone.modules()):
            output = self.forward_single_task(blank, tasks[-1])
        check_outputs(tasks[-1:], [blank], [output])
        return output[:0].requires_grad_(
            torch.is_grad_enabled() and (output.is_floating_point() or output.is_complex())
        )


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

"""How a network of several tasks and its layers tell these apart: labels, one cursor, and tables of owners."""

from contextlib import suppress
from dataclasses import dataclass, field
from operator import index
from typing import Any

import torch
from torch import Tensor

from benchmark.core.errors import UserError, shortened

FREE = -1
"""In a table of owners: what no task owns."""
MAX_TASKS = 127
"""Tasks that a table of owners can hold at most, since it keeps their numbers as int8."""


@dataclass
class Cursor:
    """Which task a network is at: one object, which the network moves and its layers read.

    Args:
        known: the tasks that have begun, in their order.
        learning: the task in training; None between tasks.
        selected: the task that is computed.
        followed: whether layers of a network read it.
    """

    known: list[int] = field(default_factory=list)
    learning: int | None = None
    selected: int = 0
    followed: bool = False


def check_begin(cursor: Cursor, task: int, called: str, alone: bool = True, ordered: bool = False) -> None:
    """Refuse a task that cannot begin, before a network makes room for it.

    Args:
        cursor: the network's.
        task: the label of the task.
        called: what the network is called in errors.
        alone: whether the network learns one task at a time.
        ordered: whether labels have to follow each other from 0 on.

    Raises:
        UserError: another task is being learned, this one has begun before, or its label is no whole number, below 0
            or not the next.
    """
    one_label(task)
    if alone and cursor.learning is not None:
        raise UserError(f"{called} learns one task at a time: end task {cursor.learning} before task {task} begins.")
    if task in cursor.known or task < 0:
        reason = "its label is below 0" if task < 0 else "it has begun before, and what it learned would be lost"
        raise UserError(f"{called} cannot begin task {task}: {reason}. Give every task a label of its own, from 0 on.")
    if ordered and task != len(cursor.known):
        raise UserError(f"{called} learns tasks in order: task {len(cursor.known)} is next, not {task}.")


def check_end(cursor: Cursor) -> int:
    """The task in training, which can end.

    Raises:
        UserError: there is none.
    """
    if cursor.learning is None:
        raise UserError("end() without begin(): no task is being learned.")
    return cursor.learning


def one_label(given: Any) -> int:
    """A label for all images, as a plain number.

    Raises:
        UserError: it is no whole number.
    """
    with suppress(TypeError):
        if not isinstance(given, bool):
            return index(given)
    raise UserError(
        f"Task label {shortened(repr(given))}: give one whole number for all images, or a tensor with one for each."
    )


def check_labels(labels: Tensor, images: int) -> None:
    """Refuse labels that do not say of every image which task it is of.

    Args:
        labels: (N,), or one for all images.
        images: how many there are.

    Raises:
        UserError: they are no whole numbers, or not as many as images.
    """
    if labels.ndim == 1 and len(labels) != images:
        raise UserError(f"{len(labels)} task labels for {images} images: give one for each, or one number.")
    kind = labels.dtype
    whole = not (kind.is_floating_point or kind.is_complex or kind is torch.bool)
    if labels.ndim > 1 or (labels.numel() and not whole):
        raise UserError(
            f"Task labels of shape {tuple(labels.shape)} and type {kind}: give whole numbers, in shape ({images},) or "
            "one for all images."
        )


def check_outputs(tasks: list[int], places: list[Tensor], outputs: list[Any]) -> None:
    """Refuse outputs of different tasks that cannot be put into one batch.

    Args:
        tasks: which tasks.
        places: of each task's images in the batch.
        outputs: what the network made of them.

    Raises:
        UserError: one is no tensor with a row for each image, or their shapes differ.
    """
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

"""Joint training whose batches are not mixed: the tasks take turns, each for some updates."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field
from torch.utils.data import Sampler

from baselines.together import Together
from benchmark.core.errors import UserError
from strategies.base import Settings


class InTurnSettings(Settings):
    """Settings of InTurn."""

    span: int = Field(100, ge=1, description="updates of a task before the next one takes its turn; divides a task's")


class InTurn(Together):
    """One plain network, trained on all tasks, of which each batch has one; as many patches of each as `together` sees.

    With a span of 1 tasks alternate from batch to batch; with that of a task's whole training they are learned one
    after another, as by `finetune`, but under one schedule of the learning rate.
    """

    name = "in_turn"
    Settings = InTurnSettings

    def before_training_exp(self, trainer: Any) -> None:
        """Draw the patches in another order.

        Raises:
            UserError: the span does not divide the updates of a task.
        """
        updates, span = trainer.training_settings.updates, self.settings.span
        if updates % span:
            raise UserError(
                f"in_turn.span = {span}: the {updates:,} updates of a task are no multiple of it. Choose one."
            )
        batches = trainer.dataloader.batch_sampler
        tasks = len(trainer.experience.task_labels)
        batches.sampler = TurnSampler(batches.sampler, tasks, span * batches.batch_size)


class TurnSampler(Sampler[int]):
    """From indices of patches that are of every task in turn to those of patches that are of one task for a span.

    Args:
        mixed: the indices; patch k is of task k % tasks.
        tasks: how many there are.
        span: patches of one task before the next task's.
    """

    def __init__(self, mixed: Sampler[int], tasks: int, span: int) -> None:
        self.mixed, self.tasks, self.span = mixed, tasks, span

    def __len__(self) -> int:
        return len(self.mixed)

    def __iter__(self) -> Iterator[int]:
        for k in self.mixed:
            turn, within = divmod(k, self.span)
            lap, task = divmod(turn, self.tasks)
            yield (lap * self.span + within) * self.tasks + task

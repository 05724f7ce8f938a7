"""What a strategy declares about itself, in plain values that lists and reports read without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Traits:
    """What a strategy declares about itself; shown in ``list strategies`` and in reports.

    Args:
        needs_task_id: the network must be told at test time which task an image belongs to.
        stores_data: images of earlier tasks are kept.
        grows: what a checkpoint holds gets larger with every task.
        protects_exactly: a learned task's outputs, under its label and in evaluation mode, never change by a bit again.
    """

    needs_task_id: bool = False
    stores_data: bool = False
    grows: bool = False
    protects_exactly: bool = False


WORDS = {
    "needs_task_id": "told the task",
    "stores_data": "keeps images",
    "grows": "grows",
    "protects_exactly": "protects exactly",
}
"""Each trait as the heading of a column."""


def answers(traits: Traits | None) -> dict[str, str]:
    """Under each heading of WORDS ``yes`` or ``no``; ``unknown`` where the traits are."""
    return {
        word: "unknown" if traits is None else "yes" if getattr(traits, name) else "no" for name, word in WORDS.items()
    }

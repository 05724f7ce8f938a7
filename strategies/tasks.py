"""How a network of several tasks and its layers tell these apart: one cursor, and tables of owners."""

from dataclasses import dataclass, field

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
    """

    known: list[int] = field(default_factory=list)
    learning: int | None = None
    selected: int = 0

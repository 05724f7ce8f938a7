"""What of a pass is computed again as its gradient is taken, as where a network saves memory by checkpoints.

By then another task may be selected, or layers that stood still may be in training mode again: whoever called the
network has looked at an earlier task, or a batch was of several.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor

from strategies.copies import flat

_entered: dict[int, ExitStack] = {}
"""What the backward passes at work have entered, by their number."""


def again_within(given: Any, output: Any, within: Callable[[], AbstractContextManager[Any]]) -> None:
    """Let what an output was computed from be computed again, if at all, within some context.

    Args:
        given: what the pass was given; where it is handed on as it is, nothing of the pass is computed again for it.
        output: what a pass gave, a tensor or several in lists and dicts; without a gradient, nothing is computed again.
        within: makes the context, which is entered as a backward pass comes to the output, and left at its end.
    """
    entered = {id(one) for one in flat(given)}
    for one in () if torch.compiler.is_compiling() else flat(output):
        if isinstance(one, Tensor) and one.requires_grad and id(one) not in entered:
            one.register_hook(partial(_enter, within))


def _enter(within: Callable[[], AbstractContextManager[Any]], _gradient: Tensor) -> None:
    number = torch._C._current_graph_task_id()
    if number not in _entered:
        _entered[number] = ExitStack()
        torch.autograd.Variable._execution_engine.queue_callback(partial(_leave, number))
    _entered[number].enter_context(within())


def _leave(number: int) -> None:
    _entered.pop(number).close()

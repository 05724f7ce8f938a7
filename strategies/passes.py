"""What of a pass is computed again as its gradient is taken, as where a network saves memory by checkpoints.

By then another task may be selected, or layers that stood still may be in training mode again: whoever called the
network has looked at an earlier task, or a batch was of several.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from strategies.copies import flat


class _Contexts(ExitStack):
    """What a backward pass has entered; it is left as that ends, also where it fails and lets go of this alone."""

    def __call__(self) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


_entered: WeakValueDictionary[int, _Contexts] = WeakValueDictionary()
"""What the backward passes at work have entered, by their number; these hold it."""


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
    contexts = _entered.get(number)
    if contexts is None:
        contexts = _entered[number] = _Contexts()
        torch.autograd.Variable._execution_engine.queue_callback(contexts)
    contexts.enter_context(within())

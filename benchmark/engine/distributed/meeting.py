"""Where the processes of a group meet: before and after a task and after each epoch, the leader once it has measured.

They compare what has to be equal, and go on with the leader's random state, as measuring may have drawn numbers.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from avalanche.core import SupervisedPlugin
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from benchmark.core.errors import UserError
from benchmark.engine.distributed import group
from benchmark.engine.state import tensor_digests
from strategies.base import Strategy

Tensors = Mapping[str, Tensor]


class Meeting(SupervisedPlugin):
    """Keeps the processes of a group together; comes after what measures.

    Args:
        strategy: whose state has to be equal in all of them, as the network has.
    """

    def __init__(self, strategy: Strategy) -> None:
        super().__init__()
        self.strategy = strategy

    def before_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Meet before a task.

        Raises:
            UserError: the network cannot be trained in shares, or differs between processes.
        """
        refuse_mixing(template.model)
        self._meet("before the task", self._state(template))

    def before_training_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Compare the first batch of an epoch, which every process has drawn whole.

        Raises:
            UserError: it differs between processes.
        """
        if template.clock.train_epoch_iterations == 0:
            agree(
                {f"batch[{place}]": part for place, part in enumerate(template.mbatch)},
                "in the first batch of an epoch",
            )

    def after_training_epoch(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Meet after an epoch."""
        self._meet(f"after {template.clock.train_exp_iterations} updates of a task", template.model.state_dict())

    def after_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Meet after a task."""
        self._meet("after the task", self._state(template))

    def _meet(self, moment: str, tensors: Tensors) -> None:
        agree(tensors, moment)
        state = torch.get_rng_state()
        work = dist.broadcast(state, src=0, async_op=True)
        assert work is not None
        group.wait(work)
        torch.set_rng_state(state)

    def _state(self, template: Any) -> Tensors:
        """The network; and the strategy's state, unless a GPU is free to round it differently each time."""
        tensors = dict(template.model.state_dict())
        if template.device.type == "cpu" or template.training_settings.deterministic:
            tensors |= {f"strategy.{name}": tensor for name, tensor in self.strategy.state().items()}
        return tensors


def agree(tensors: Tensors, moment: str) -> None:
    """Compare tensors with those of the other processes, bit for bit.

    Args:
        tensors: name → tensor.
        moment: when this is, for the error.

    Raises:
        UserError: one differs; it is named.
    """
    told = json.dumps(tensor_digests(tensors))
    mine = torch.tensor(list(hashlib.sha256(told.encode()).digest()), dtype=torch.uint8)
    all_of_them = [torch.empty_like(mine) for _ in range(group.size())]
    work = dist.all_gather(all_of_them, mine, async_op=True)
    assert work is not None
    group.wait(work)
    if all(torch.equal(one, mine) for one in all_of_them):
        return
    first, *others = (json.loads(text) for text in group.exchange(told))
    for rank, other in enumerate(others, 1):
        for name in [*first, *(name for name in other if name not in first)]:
            if first.get(name) != other.get(name):
                raise UserError(
                    f"'{name}' is not the same in processes 0 and {rank} {moment}. Every process has to draw the same "
                    "random numbers, from benchmark.core.addresses, and may change weights only by averaged gradients "
                    "(docs/distributed.md). Train this strategy in one process."
                )


def refuse_mixing(model: nn.Module) -> None:
    """Refuse layers whose output for a patch depends on the others of the batch, or on chance.

    Raises:
        UserError: there is one; it is named.
    """
    for name, module in model.named_modules():
        mixing = isinstance(module, _BatchNorm) or getattr(module, "running_mean", None) is not None
        if mixing or (isinstance(module, _DropoutNd) and module.p > 0):
            kind = type(module).__name__
            why = "normalises by the whole batch" if mixing else "drops features at random"
            raise UserError(
                f"'{name}' ({kind}) {why}, and would not learn the same from shares of a batch. Train this network in "
                "one process, or use one without."
            )

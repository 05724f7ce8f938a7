"""How a batch is shared by the processes of a group, and how what each makes of its share becomes one again.

The loss of a batch is a mean over its patches. With equal shares it is the mean of the shares' losses, and its gradient
the mean of their gradients, up to rounding.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from benchmark.core.errors import UserError
from benchmark.core.process import endings
from benchmark.engine.distributed import group


def share(batch: Sequence[Tensor]) -> list[Tensor]:
    """This process's share of a batch: of N rows of each tensor, N / size that follow one another.

    Raises:
        UserError: N cannot be shared equally.
    """
    size, rows = group.size(), len(batch[0])
    if rows % size:
        raise UserError(
            f"A batch of {rows} patches cannot be shared equally by {size} processes. Start as many processes as "
            "divide it, or use a strategy that leaves the size of a batch alone."
        )
    each = rows // size
    start = group.rank() * each
    return [part[start : start + each] for part in batch]


def average(model: nn.Module, loss: Tensor) -> Tensor:
    """Make the gradient of every trainable parameter the mean over all processes; alone, leave it as it is.

    A parameter that has no gradient in some processes, such as a bias of a task of which they have no patch, counts as
    zero there; one that has none in any gets none. A signal to one process is heard by all.

    Args:
        model: the network after its backward pass.
        loss: of this process's share, with one element.

    Returns:
        The mean loss, in the shape of ``loss`` and detached; alone, ``loss`` itself.

    Raises:
        UserError: another process has ended.
    """
    if group.size() == 1:
        return loss
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = [torch.zeros_like(value) if value.grad is None else value.grad for value in trainable]
    has = torch.tensor([value.grad is not None for value in trainable], device=loss.device)
    stop = loss.new_full((1,), float(endings.pending()), requires_grad=False)
    parts = [*(gradient.flatten() for gradient in gradients), has.float(), stop, loss.detach().reshape(1)]
    total = torch.cat(parts)
    work = dist.all_reduce(total, async_op=True)
    assert work is not None
    group.wait(work)
    *means, having, stops, mean_loss = (total / group.size()).split([part.numel() for part in parts])
    for parameter, mean, some in zip(trainable, means, having.tolist(), strict=True):
        parameter.grad = mean.view_as(parameter).to(parameter.dtype) if some else None
    group.agree(bool(stops))
    return mean_loss.view_as(loss).to(loss.dtype)

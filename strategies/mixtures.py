"""Known mixtures of degradations, restored by what was learned of their parts: two ways, beside learning them.

One after the other undoes the steps of a mixture in turn, the last one first, at the cost of a pass for each. Combined
is one pass of a network whose weights and biases are the means of those of the parts' tasks. Section 5 of the paper
names fusing what was learned of single degradations as a way to mixtures, and leaves open how; the mean is ours.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from benchmark.core.runs.schemas import COMBINED, ONE_AFTER_OTHER
from strategies.base import TaskNetwork
from strategies.kernels import KernelNetwork, fold


class OneAfterOther(nn.Module):
    """A network that undoes the steps of a mixture in turn, the last one first.

    Args:
        network: has learned the tasks.
        labels: the tasks of the steps, in the order in which these were applied.
    """

    def __init__(self, network: TaskNetwork, labels: Sequence[int]) -> None:
        super().__init__()
        self.passes = nn.ModuleList([network] * len(labels))
        self.labels = list(labels)

    def forward(self, images: Tensor) -> Tensor:
        """Restore images (N, 3, H, W)."""
        for network, label in zip(self.passes, reversed(self.labels), strict=True):
            images = network(images, label)
        return images


@torch.no_grad()
def combined(network: TaskNetwork, labels: Sequence[int]) -> nn.Module | None:
    """A plain network whose tensors are the means of those of some tasks.

    Args:
        network: has learned the tasks.
        labels: which tasks.

    Returns:
        the network; None of one that has no kernel for each task.
    """
    if not isinstance(network, KernelNetwork):
        return None
    folded = [fold(network, label) for label in labels]
    states = [one.state_dict() for one in folded]
    means = {
        name: torch.stack([state[name] for state in states]).mean(0)
        if tensor.is_floating_point() or tensor.is_complex()
        else tensor
        for name, tensor in states[0].items()
    }
    folded[0].load_state_dict(means)
    return folded[0]


def ways(network: TaskNetwork, labels: Sequence[int]) -> dict[str, nn.Module]:
    """What restores a mixture of some tasks, by the subject under which it is recorded; as far as the network can."""
    fused = combined(network, labels)
    return {ONE_AFTER_OTHER: OneAfterOther(network, labels)} | ({COMBINED: fused} if fused is not None else {})

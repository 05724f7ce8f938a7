"""One network per task: nothing is forgotten, nothing is shared, and storage grows with every task."""

from functools import partial

from torch import nn

from strategies.base import Strategy, Traits
from strategies.separate import SeparateNetworks, redrawn


class Independent(Strategy):
    """A full network of its own for every task."""

    name = "independent"
    traits = Traits(needs_task_id=True, grows=True, protects_exactly=True)

    def adapt(self, backbone: nn.Module, tasks: int) -> nn.Module:
        """A network that gets a copy of the backbone with every task."""
        return SeparateNetworks(partial(redrawn, backbone, self.seed), backbone)

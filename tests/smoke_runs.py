"""Configurations of runs that take seconds."""

from benchmark.config import RunConfig
from benchmark.planning import plan


def planned(*assignments: str, strategy: str = "finetune", order: str = "derain,deblock") -> RunConfig:
    """A run at preset smoke that is not resolved yet."""
    (config,) = plan(strategy, "four_tasks", "smoke", "0", order, None, None, list(assignments))
    return config

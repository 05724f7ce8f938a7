"""What the strategies over Avalanche's importance plugins share: where such a plugin is in the stream, and its tensors.

Avalanche counts experiences since the process began and adds no penalty at the first one. In a resumed run the first
one is a later task, so its counter is set to the experience's place in the stream.
"""

from collections.abc import Mapping
from typing import Any

from avalanche.training.utils import ParamData
from torch import Tensor


def count_experiences(template: Any) -> None:
    """Set Avalanche's counter of past experiences, before training on one."""
    template.clock.train_exp_counter = template.experience.current_experience


def to_state(prefix: str, values: Mapping[str, ParamData]) -> dict[str, Tensor]:
    """The tensors that belong to the named parameters, under keys that start with ``prefix``."""
    return {f"{prefix}.{name}": value.data for name, value in values.items()}


def from_state(prefix: str, state: Mapping[str, Tensor]) -> dict[str, ParamData]:
    """What :func:`to_state` was given."""
    start = f"{prefix}."
    found = {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
    return {name: ParamData(name, init_tensor=value, device=value.device) for name, value in found.items()}


def move(values: Mapping[str, ParamData], device: Any) -> None:
    """Bring tensors to the device of the training; those of a checkpoint are on the CPU."""
    for value in values.values():
        value.data = value.data.to(device)

"""What strategies and training keep of networks and optimizers, as named tensors for a checkpoint."""

from typing import Any

import torch
from torch import Tensor, nn

from benchmark.core.errors import UserError, shortened


def to_state(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as part of a state, under names that start with ``prefix``."""
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


def named_tensors(given: Any, what: str) -> dict[str, Tensor]:
    """What a strategy gives for a checkpoint, once it is known to be named tensors.

    Args:
        given: it.
        what: gave it, such as ``state()``.

    Raises:
        UserError: it is something else.
    """
    if not isinstance(given, dict):
        raise UserError(f"{what} gave {shortened(repr(given))}; a dict of named tensors is accepted.")
    for name, value in given.items():
        if not (isinstance(name, str) and isinstance(value, Tensor)):
            raise UserError(
                f"{what} gave {shortened(repr(value))} for {name!r}; tensors under names are accepted. Make it a "
                "tensor, as with torch.tensor(...)."
            )
        if value.is_meta or value.layout != torch.strided:
            kind = "no values (its device is meta)" if value.is_meta else f"the layout {value.layout}"
            raise UserError(
                f"{what} gave a tensor for '{name}' that has {kind}, which no file of a run can hold. Give it with its "
                "values, as with to_dense()."
            )
    return given


def from_state(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What :func:`to_state` was given."""
    start = f"{prefix}."
    return {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}


def moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimizer has gathered, such as Adam's moments, as ``{number of the parameter}.{name}``."""
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, gathered in optimizer.state_dict()["state"].items()
        for name, value in gathered.items()
    }


def load_moments(optimizer: torch.optim.Optimizer, saved: dict[str, Tensor]) -> None:
    """Let an optimizer go on from what :func:`moments` gave.

    Raises:
        ValueError: it does not fit the optimizer.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in saved.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def load_network(network: nn.Module, saved: dict[str, Tensor]) -> None:
    """Load the state of a network, also into buffers that are None until the first images have passed.

    Raises:
        RuntimeError: it does not fit.
    """
    device = next((tensor.device for tensor in (*network.parameters(), *network.buffers())), None)
    for name, module in network.named_modules():
        for buffer, value in module._buffers.items():
            came = saved.get(f"{name}.{buffer}" if name else buffer) if value is None else None
            if came is not None:
                module._buffers[buffer] = torch.empty_like(came, device=device)
    network.load_state_dict(saved)

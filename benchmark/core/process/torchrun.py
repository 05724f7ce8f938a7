"""What torchrun tells a process that it has started, in its environment."""

import os

from benchmark.core.errors import UserError

STARTED = "TORCHELASTIC_RUN_ID"
"""The variable that says that torchrun has started a process."""

_NUMBERS = ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")


def processes() -> int:
    """How many processes train together, of which this is one; 1 for one that is alone.

    Raises:
        UserError: what the environment says of them is left out, or no number.
    """
    if STARTED not in os.environ or _number("WORLD_SIZE", "1") == 1:
        return 1
    for name in _NUMBERS:
        _number(name)
    if not os.environ.get("MASTER_ADDR"):
        raise _error("MASTER_ADDR", "")
    return _number("WORLD_SIZE")


def _number(name: str, usual: str = "") -> int:
    told = os.environ.get(name, usual)
    if not (told.isascii() and told.isdecimal() and len(told) < 10):
        raise _error(name, told)
    return int(told)


def _error(name: str, told: str) -> UserError:
    given = f"is '{told}', which is no number" if told else "is not set"
    return UserError(
        f"The variable {name} {given}. {STARTED} is set, as torchrun sets it, and then {name} is needed, too. Start "
        f"the processes with torchrun; or unset {STARTED} to train in one process."
    )

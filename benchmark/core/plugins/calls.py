"""Whether code from outside can be called as the suite calls it, and where it stands."""

import inspect
from contextlib import suppress
from typing import Any

from benchmark.core.errors import shortened


def unfit(method: Any, *given: str) -> str:
    """Why something cannot be called with so many arguments; empty if it can."""
    if not callable(method):
        return f"is {shortened(repr(method))}, which cannot be called"
    if inspect.iscoroutinefunction(method):
        return "is async, and would never run"
    with suppress(ValueError):  # of what tells no signature
        try:
            inspect.signature(method).bind(*given)
        except TypeError:
            return f"takes {inspect.signature(method)}"
    return ""


def where(*written: Any) -> str:
    """File and line of the first function or class of which they are known, in brackets and after a blank."""
    for one in written:
        with suppress(OSError, TypeError):
            return f" ({inspect.getsourcefile(one)}, line {inspect.getsourcelines(one)[1]})"
    return ""

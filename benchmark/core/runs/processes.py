"""Which process does something, and whether it is still there: for records that outlive their process."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def identity() -> dict[str, Any]:
    """This process: the machine's name, the process id, and when it began, which tells it from a later namesake."""
    return {"host": platform.node(), "pid": os.getpid(), "began": _began(os.getpid())}


def gone(recorded: Any) -> bool:
    """Whether a process that :func:`identity` described is known to have ended; False if that cannot be told here."""
    if not isinstance(recorded, Mapping) or recorded.get("host") != platform.node() or os.name == "nt":
        return False
    pid = recorded.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    began = _began(pid)
    return bool(began) and began != recorded.get("began")


def _began(pid: int) -> str:
    """The boot of the machine and the clock tick since then at which a process began; empty where Linux is not."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    if after_name[0] in ("Z", "X"):  # ended, and not yet waited for
        return "ended"
    return f"{boot} {after_name[19]}"

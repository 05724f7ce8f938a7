"""Time that has passed: measured, never zero, so that it can be divided by and compared; and written for people."""

import time
from datetime import UTC, datetime

RESOLUTION = time.get_clock_info("perf_counter").resolution
"""Seconds between two ticks of the clock: what passed in between may be told as 0 and took at most this long."""

now = time.perf_counter


def since(start: float) -> float:
    """Seconds since ``start``, which :func:`now` gave; at least a tick."""
    return max(now() - start, RESOLUTION)


def moment() -> str:
    """The present moment in UTC, to the second, as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def duration(seconds: float) -> str:
    """Seconds as people write them, to the second below an hour and to the minute above.

    >>> duration(75), duration(3700), duration(3600), duration(0.2)
    ('1 min 15 s', '1 h 1 min', '1 h', '0 s')
    """
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    parts = ((hours, "h"), (minutes, "min"), (0 if hours else rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"

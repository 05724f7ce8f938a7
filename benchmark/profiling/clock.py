"""Time that has passed, never zero, so that it can be divided by and compared."""

import time

RESOLUTION = time.get_clock_info("perf_counter").resolution
"""Seconds between two ticks of the clock: what passed in between may be told as 0 and took at most this long."""

now = time.perf_counter


def since(start: float) -> float:
    """Seconds since ``start``, which :func:`now` gave; at least a tick."""
    return max(now() - start, RESOLUTION)

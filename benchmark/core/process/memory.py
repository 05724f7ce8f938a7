"""Memory that a process keeps between two uses."""

import ctypes
from contextlib import suppress

KEPT = 2**28
"""Bytes of a block, at most, that is kept: the features of an image of a megapixel in 64 channels."""

KEPT_BEFORE = 2**25
"""The same of a C library that takes no more, as glibc before 2.35."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Options of ``mallopt``, as in glibc's ``malloc.h``."""


def keep() -> bool:
    """Ask the C library not to give freed blocks of up to KEPT bytes back to the system, or up to KEPT_BEFORE.

    By itself glibc does that with every block of 32 MiB or more, and with smaller ones as chance has it. The features
    of each layer then come as fresh pages that the system has to clear: a third of the time that restoring an image of
    some size took. No result depends on it.

    Returns:
        whether the C library knows how; others than glibc are left as they are.
    """
    try:
        option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # The block's size comes first: once anything is set, glibc no longer raises it from 128 KiB by itself
    taken = option(_MMAP_THRESHOLD, KEPT) or option(_MMAP_THRESHOLD, KEPT_BEFORE)
    return bool(taken and option(_TRIM_THRESHOLD, 2**31 - 1))


def give_back() -> None:
    """Give everything back to the system that is kept and not in use, where the C library knows how."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)

"""Freed memory is kept by the process: what is freed and taken again comes without fresh pages."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from benchmark.core.process import memory

AGAIN = """
import resource
import torch
from benchmark.core.process import memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

kept = memory.keep()
for _ in range(20):
    torch.ones(2**24)
before = faults()
for _ in range(5):
    torch.ones(2**24)
print(kept, faults() - before)
"""
PAGES = 2**24 * 4 // 4096


def test_a_block_that_is_taken_again_brings_no_fresh_pages() -> None:
    """Five times 64 MiB, which are 80,000 pages where each is given back; a few are taken before one fits again."""
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    if kept == "False":
        pytest.skip("this C library is left as it is")
    assert int(faults) < PAGES


@pytest.mark.parametrize("most", [2**25, 2**31])
def test_a_library_that_keeps_smaller_blocks_alone_keeps_these(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As glibc before 2.35, which keeps none of more than 128 KiB once anything else is set."""
    told: dict[int, int] = {}

    def mallopt(option: int, value: int) -> int:
        if option == memory._MMAP_THRESHOLD and value > most:
            return 0
        told[option] = value
        return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert memory.keep()
    assert told == {memory._MMAP_THRESHOLD: min(most, memory.KEPT), memory._TRIM_THRESHOLD: 2**31 - 1}
    most = 0
    told.clear()
    assert not memory.keep()
    assert told == {}, "it goes on as it does by itself"


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_a_library_that_does_not_know_how_is_left_as_it_is(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(name: None) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", fails)
    assert memory.keep() is False
    memory.give_back()

"""The examples in docstrings do what they say, and so does the script that stands in the documents."""

import doctest
import pkgutil
import re
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
from conftest import ROOT

from benchmark.core.metrics import backward_transfer, forgetting

PACKAGES = ("benchmark", "strategies", "baselines", "reports")


def modules() -> list[str]:
    found = []
    for package in PACKAGES:
        root = import_module(package)
        found += [one.name for one in pkgutil.walk_packages(root.__path__, f"{package}.")]
    return [name for name in found if not name.endswith("__main__")]


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings(name: str) -> None:
    failed, _ = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert not failed


def test_that_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    examples = [test for name in modules() for test in finder.find(import_module(name)) if test.examples]
    assert len(examples) >= 5


@pytest.mark.slow
def test_a_strategy_of_avalanche_learns_a_stream_of_the_suite() -> None:
    script = [sys.executable, "-W", "ignore", str(ROOT / "docs/examples/plain_avalanche.py")]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    *after, lost, transfer = done.stdout.splitlines()
    told = [[float(value) for value in re.findall(r"(-?[\d.]+) dB", line)] for line in (*after, lost, transfer)]
    matrix = np.array(told[:4])
    assert [line.partition(":")[0] for line in after] == [
        f"after {task}" for task in ("derain", "denoise", "deblock", "deblur")
    ]
    assert len(np.unique(matrix)) > 4
    np.testing.assert_allclose(told[4], forgetting(matrix)[:-1], atol=0.02)
    np.testing.assert_allclose(told[5], backward_transfer(matrix), atol=0.02)

"""The examples in docstrings do what they say."""

import doctest
import pkgutil
from importlib import import_module

import pytest

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

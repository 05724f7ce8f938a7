"""The paper's tables and figures, one file for each: what to run, what was printed, and which run fills which row."""

from functools import cache
from pathlib import Path

from benchmark.core.errors import unknown
from benchmark.core.files import named
from benchmark.core.yaml_files import YamlFile
from benchmark.experiments.experiment import Experiment, read
from benchmark.streams import definition

FOLDER = Path(__file__).parent


@cache
def names() -> tuple[str, ...]:
    """The tables and figures that can be reproduced, in the paper's order."""
    return tuple(sorted(named(FOLDER, ".yaml"), key=lambda name: (name[0] != "t", name)))


@cache
def load(name: str) -> Experiment:
    """The experiment behind a table or figure, by its name such as ``table2``.

    Raises:
        UserError: there is none of this name.
    """
    if name not in names():
        raise unknown("table or figure", name, [*names(), "all"])
    return read(YamlFile(FOLDER / f"{name}.yaml", "experiment file", "a list 'strategies'", Experiment))


@cache
def stream(name: str) -> definition.Stream:
    """The stream behind a name in these files; of a stream that reorders another, that one in the new order."""
    return definition.load(name)


def orders(experiment: Experiment) -> list[list[str]]:
    """The order in which each of an experiment's streams learns its tasks."""
    return [stream(name).order for name in experiment.streams]

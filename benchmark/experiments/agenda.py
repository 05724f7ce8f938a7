"""From experiments to their runs: which runs they need, what is missing of these, and doing it."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmark.engine.events import Listener
from benchmark.engine.executors import workers as sharing
from benchmark.engine.executors.workers import Machine, Workers
from benchmark.experiments.experiment import Experiment
from benchmark.experiments.matrix import Choices, expand, refuse_strangers
from benchmark.experiments.measurements import MEASUREMENTS, Measurement
from benchmark.experiments.schedule import Planned, schedule
from benchmark.planning import about_images

if TYPE_CHECKING:
    from benchmark.engine.executors.execute import Results


def planned_seeds(experiments: Sequence[Experiment], choices: Choices) -> list[int]:
    """The seeds of some experiments, each once: those that are chosen, or else the experiments' own."""
    own = (seed for experiment in experiments for seed in experiment.seeds)
    return sorted(set(choices.seeds or own))


def more_seeds(seeds: Sequence[int], most: int) -> list[int]:
    """The seeds that come after these, the smallest first, until there are ``most`` of them together."""
    free = (seed for seed in itertools.count() if seed not in seeds)
    return list(itertools.islice(free, max(0, most - len(seeds))))


@dataclass(frozen=True)
class Agenda:
    """What some experiments come to.

    Args:
        planned: their runs, each once, with what is done of them.
        needed: identity of a run → the experiments that it belongs to.
        measurements: what belongs to an experiment and is no run, by the experiment's name.
        notes: what is worth knowing before they are done.
        jobs: how many runs at once.
    """

    planned: list[Planned]
    needed: dict[str, list[str]]
    measurements: dict[str, Measurement]
    notes: list[str]
    jobs: int = 1

    @property
    def belongs(self) -> dict[Path, list[str]]:
        """Directory of a run, resolved → the experiments that it belongs to."""
        return {one.run.path.resolve(): self.needed[one.config.identity] for one in self.planned}


def gather(
    experiments: Sequence[Experiment],
    choices: Choices,
    out: Path,
    console: Console | None = None,
    workers: Workers = Workers(),
) -> Agenda:
    """The runs of some experiments, resolved, and how long what is missing of them will take.

    Args:
        experiments: what is asked for; a run that several need is done once.
        choices: what they leave open.
        out: folder of the run directories.
        console: where to show the progress of preparing data.
        workers: how many runs at once, and with how many threads; what a run takes is measured with as many.

    Raises:
        UserError: a setting is not accepted or is for no strategy that is run; images are missing or cannot be used.
    """
    from benchmark.engine.setup import resolve
    from benchmark.experiments.cost import measure

    refuse_strangers(experiments, choices)
    expanded = [(experiment.name, expand(experiment, choices)) for experiment in experiments]
    needed: dict[str, list[str]] = {}
    configs = []
    for name, members in expanded:
        for config in members:
            configs.append(resolve(config, console))
            belongs = needed.setdefault(configs[-1].identity, [])
            if name not in belongs:
                belongs.append(name)
    machine = Machine.here()
    threads = sharing.choose_threads(configs, workers.threads, machine)
    with sharing.using(threads):
        planned = schedule(configs, out, measure)
    jobs = sharing.choose_jobs([one.config for one in planned if not one.finished], threads, workers, machine)
    measurements = {one.name: MEASUREMENTS[one.measure] for one in experiments if one.measure}
    return Agenda(planned, needed, measurements, about_images([one.config for one in planned]), jobs)


def perform(agenda: Agenda, out: Path, on_event: Listener, workers: Workers) -> "Results":
    """Do what is missing, and give what has become of all of them."""
    from benchmark.engine.executors.execute import execute

    weights = [one.seconds_per_task / one.config.training.updates for one in agenda.planned]
    return execute([one.config for one in agenda.planned], out, on_event, workers, weights=weights)

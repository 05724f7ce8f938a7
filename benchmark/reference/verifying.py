"""Doing reference runs again: which ones, by what configuration, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import Run, locate
from benchmark.core.runs.wholeness import examine
from benchmark.engine import events
from benchmark.engine.events import Listener
from benchmark.engine.executors.workers import Workers
from benchmark.reference.comparing import Comparison, compare
from strategies import registry

if TYPE_CHECKING:
    from benchmark.config import RunConfig


@dataclass(frozen=True)
class Asked:
    """Which records of a preset are meant; what is None or empty is not asked for.

    Args:
        stream: its name.
        strategies, seeds: some of these.
    """

    stream: str | None = None
    strategies: Sequence[str] = ()
    seeds: Sequence[int] = ()

    def meant(self, run: Run) -> bool:
        """Whether a record is among them; one whose configuration cannot be read always is."""
        try:
            config = run.config
        except UserError:
            return True
        return (
            (self.stream is None or config["stream"] == self.stream)
            and (not self.strategies or config["strategy"] in self.strategies)
            and (not self.seeds or config["seed"] in self.seeds)
        )


def damaged(runs: Sequence[Run]) -> dict[str, str]:
    """What is wrong with records that are not whole: name → what."""
    found = {run.name: examine(run) for run in runs}
    return {name: "; ".join(one.details) or one.state for name, one in found.items() if one.state != "whole"}


def drawn(runs: Sequence[Run], count: int, draw: int) -> list[Run]:
    """So many of the records, by a draw that depends on its number and their names alone; all if there are no more."""
    order = sorted(runs, key=lambda run: int(generator("reference", draw, run.name).integers(2**63)))
    return order[:count]


def planned(runs: Sequence[Run]) -> tuple[dict[str, "RunConfig"], dict[str, str]]:
    """The configuration by which each record is made again; and which cannot be, as code or images are others now."""
    from benchmark.reference.packing import again, stale

    configs, outdated = {}, {}
    for run in runs:
        config = again(run)
        changed = stale(run, config)
        if changed:
            outdated[run.name] = f"of other code or images than this version's: {'; '.join(changed)}"
        else:
            configs[run.name] = config
    return configs, outdated


def repeat(
    runs: Sequence[Run],
    configs: "dict[str, RunConfig]",
    out: Path,
    on_event: Listener = events.ignore,
    workers: Workers = Workers(),
) -> dict[str, Comparison]:
    """Do the runs of records again and compare: name of the record → what came of it.

    Each is done with as many threads as the record, unless ``workers`` says how many. One that is finished below
    ``out`` is done anew, and one that was interrupted there goes on.

    Raises:
        UserError: a run cannot be started, or fails.
    """
    from benchmark.engine.executors.execute import execute

    found: dict[str, Comparison] = {}
    threads = {run.name: workers.threads or _threads(run) for run in runs}
    places = locate(out) if out.is_dir() else {}
    done = {
        run.name: (path := places.get(configs[run.name].identity)) is not None and Run(path).finished for run in runs
    }
    for number, finished in sorted({(threads[run.name], done[run.name]) for run in runs}):
        members = [run for run in runs if (threads[run.name], done[run.name]) == (number, finished)]
        wanted = [configs[run.name] for run in members]
        weights = [registry.load(config.strategy).relative_cost for config in wanted]
        results = execute(wanted, out, on_event, replace(workers, threads=number), force=finished, weights=weights)
        results.check()
        found |= {run.name: compare(run, made) for run, made in zip(members, results.runs, strict=True)}
    return found


def _threads(run: Run) -> int:
    """With how many threads a record was made; one where it does not say."""
    number = run.environment.get("threads")
    return number if isinstance(number, int) and 1 <= number <= 1024 else 1


def against(runs: Sequence[Run], folder: Path) -> dict[str, Comparison]:
    """Compare records with the finished runs of the same names' identities at or below a folder.

    Raises:
        UserError: there is none.
    """
    places = locate(folder) if folder.is_dir() else {}
    there = {run.name: places.get(run.name.rpartition("-")[2]) for run in runs}
    found = {run.name: Run(path) for run in runs if (path := there[run.name]) is not None and Run(path).finished}
    if not found:
        raise UserError(
            f"Below '{folder}' there is no finished run of a reference run that is meant. See: reference list"
        )
    return {run.name: compare(run, found[run.name]) for run in runs if run.name in found}

"""``reproduce`` and ``sweep``: the runs of experiments, the paper's and one's own, and their report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.commands.options import (
    Address,
    Assignments,
    DryRun,
    Engine,
    EngineName,
    Fallback,
    Jobs,
    MostSeeds,
    Out,
    Overwrite,
    Page,
    Plugins,
    Preset,
    Root,
    Seeds,
    Threads,
    Track,
    UntilDecided,
    most_seeds,
    place,
    words,
    workers,
)
from benchmark.commands.output import Reporter, console
from benchmark.core.errors import UserError

if TYPE_CHECKING:
    from benchmark.engine.executors.execute import Results
    from benchmark.engine.executors.workers import Workers
    from benchmark.experiments.agenda import Agenda
    from benchmark.experiments.experiment import Experiment
    from benchmark.experiments.matrix import Choices
    from reports.groups import Collection
    from reports.undecided import Open


@dataclass(frozen=True)
class Rounds:
    """Whether, after the planned seeds, more are run until something is decided.

    Args:
        most: seeds at most; None where the planned ones are all that is wanted.
        undecided: what runs leave undecided.
    """

    most: int | None
    undecided: "Callable[[Collection], list[Open]]"

    def further(self, seeds: "Sequence[int]") -> list[int]:
        """The seeds that may come after the planned ones.

        Raises:
            UserError: more are planned than may be run.
        """
        from benchmark.experiments.agenda import more_seeds

        if self.most is not None and self.most < len(seeds):
            raise UserError(
                f"--until-decided runs {self.most} seeds at most (--most-seeds), and {len(seeds)} are planned: "
                f"{_numbers(seeds)}. Allow as many or more with --most-seeds, or plan fewer with --seed."
            )
        return more_seeds(seeds, self.most or 0)

    def tell(self, left: "Sequence[Open]", seeds: "Sequence[int]", further: "Sequence[int]") -> None:
        """Print what a round has left undecided, and what comes next."""
        from reports.undecided import STOPPING

        if not left:
            with_seeds = f"with seeds {_numbers(seeds)}"
            console.print(f"Nothing is left that more seeds would decide (p < {STOPPING}), {with_seeds}.")
            return
        for one in left:
            console.print(f"Undecided: {one.text}.")
        after = f"next is seed {further[0]}" if further else f"no more than {self.most} seeds are run (--most-seeds)"
        console.print(f"{len(left)} undecided (p ≥ {STOPPING}) with seeds {_numbers(seeds)}; {after}.")


def reproduce(
    names: Annotated[
        list[str],
        typer.Argument(parser=words("NAME"), help="Tables and figures, such as table2, or all.", metavar="NAME..."),
    ],
    preset: Preset = "quick",
    seed: Seeds = None,
    data_root: Root = None,
    fallback: Fallback = None,
    out: Out = Path("runs"),
    report: Page = Path("report"),
    assignments: Assignments = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    until_decided: UntilDecided = False,
    most: MostSeeds = None,
    jobs: Jobs = None,
    threads: Threads = None,
    engine: EngineName = Engine.local,
    address: Address = None,
    track: Track = None,
) -> None:
    """Make tables and figures of the paper: do the runs that are missing, then report ours beside the published ones.

    The experiment behind each is a file in benchmark/experiments/paper. With --preset paper and --data-root it is the
    paper's; with quick it is the same, small. No run is done twice, and one that was interrupted goes on.

        python -m benchmark reproduce table2 figure6

        python -m benchmark reproduce all --dry-run

        python -m benchmark reproduce table5 --until-decided --most-seeds 10
    """
    from benchmark.experiments import matrix, paper
    from reports import undecided

    named = [paper.load(name) for name in dict.fromkeys(names) if name != "all"]
    experiments = [paper.load(name) for name in paper.names()] if "all" in names else named
    choices = matrix.choices(preset, seed, data_root, fallback, assignments or [])
    rounds = Rounds(most_seeds(until_decided, most), undecided.claims)
    asked = workers(jobs, threads, engine, address)
    _do(experiments, choices, rounds, asked, out, report, overwrite, dry_run, track)


def sweep(
    files: Annotated[list[Path], typer.Argument(parser=place("FILE"), help="Experiment files.", metavar="FILE...")],
    preset: Preset = "quick",
    seed: Seeds = None,
    data_root: Root = None,
    fallback: Fallback = None,
    out: Out = Path("runs"),
    report: Page = Path("report"),
    assignments: Assignments = None,
    plugin: Plugins = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    until_decided: UntilDecided = False,
    most: MostSeeds = None,
    jobs: Jobs = None,
    threads: Threads = None,
    engine: EngineName = Engine.local,
    address: Address = None,
    track: Track = None,
) -> None:
    """Do the runs of an experiment of your own, a YAML matrix of strategies, streams, settings and seeds, and report.

    How to write one: docs/experiments.md.
    """
    from benchmark.experiments import matrix
    from reports import undecided
    from strategies import registry

    registry.add_plugins(plugin or [])
    choices = matrix.choices(preset, seed, data_root, fallback, assignments or [])
    experiments = matrix.load_each(files)
    rounds = Rounds(most_seeds(until_decided, most), undecided.comparisons)
    asked = workers(jobs, threads, engine, address)
    _do(experiments, choices, rounds, asked, out, report, overwrite, dry_run, track)


def _do(
    experiments: "Sequence[Experiment]",
    choices: "Choices",
    rounds: Rounds,
    asked: "Workers",
    out: Path,
    page: Path,
    overwrite: bool,
    dry_run: bool,
    track: Track,
) -> None:
    """Do what is missing of some experiments, and report their runs; then, if asked to, more seeds of the undecided."""
    from benchmark.experiments import agenda
    from reports import build, folder
    from reports.groups import collect
    from reports.terminal import show_scorecard

    if dry_run:
        _foretell(experiments, choices, rounds, asked, out)
        return
    folder.check(page, overwrite)
    seeds = agenda.planned_seeds(experiments, choices)
    further = rounds.further(seeds)
    wanted = agenda.gather(experiments, choices, out, console, asked)
    measured = wanted.measurements.values()
    paths: dict[Path, None] = {}
    belongs: dict[Path, list[str]] = {}
    while True:
        results = _perform(wanted, out, asked, track)
        belongs |= wanted.belongs
        paths |= dict.fromkeys([*(run.path for run in results.begun), *(one.of(out, console) for one in measured)])
        if not paths:
            break
        goes_on = bool(rounds.most) and not results.failures
        left = rounds.undecided(collect(list(paths))) if goes_on else []
        names = {name for one in left for path in one.runs for name in belongs[path]}
        still = [one for one in experiments if one.name in names]
        last = not (still and further)
        if last or not all(one.finished for one in wanted.planned):
            made = build(list(paths), page, overwrite=overwrite)
            if last:
                show_scorecard(made.scorecard, console)
            console.print(f"Report: {made.index.resolve()}")
        if goes_on:
            rounds.tell(left, seeds, further)
        if last:
            break
        seeds.append(further.pop(0))
        wanted = agenda.gather(still, replace(choices, seeds=(seeds[-1],)), out, console, asked)
    results.check()


def _foretell(
    experiments: "Sequence[Experiment]", choices: "Choices", rounds: Rounds, asked: "Workers", out: Path
) -> None:
    """Print what would be done; where seeds are added until all is decided, at least and at most."""
    from benchmark.experiments import agenda, schedule

    seeds = agenda.planned_seeds(experiments, choices)
    most = [*seeds, *rounds.further(seeds)]
    wanted = agenda.gather(experiments, choices, out, console, asked)
    if wanted.planned:
        schedule.render(wanted.planned, wanted.needed, console, wanted.jobs)
    for name, one in wanted.measurements.items():
        path = out / one.file
        console.print(f"{name}: {'measured' if path.exists() else 'to be measured'}, {path}")
    if rounds.most and wanted.planned:
        console.print(f"Until decided: at least these; at most, with seeds {_numbers(most)}:")
        wanted = agenda.gather(experiments, replace(choices, seeds=tuple(most)), out, console, asked)
        console.print(schedule.summary(wanted.planned, wanted.jobs))


def _perform(wanted: "Agenda", out: Path, asked: "Workers", track: Track) -> "Results":
    """Do what is missing, and show it."""
    from benchmark.experiments import agenda, schedule
    from benchmark.tracking.trackers import tracked

    if wanted.planned:
        console.print(schedule.summary(wanted.planned, wanted.jobs))
    for note in wanted.notes:
        console.print(note)
    with Reporter(console) as reporter, tracked(track, out, reporter, console.print) as listener:
        return agenda.perform(wanted, out, listener, asked)


def _numbers(seeds: "Sequence[int]") -> str:
    """Seeds in words, in order."""
    from reports.text import listed

    return listed([str(seed) for seed in sorted(seeds)])

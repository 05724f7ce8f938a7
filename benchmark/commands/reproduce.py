"""``reproduce`` and ``sweep``: the runs of experiments, the paper's and one's own, and their report."""

from collections.abc import Sequence
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
    Out,
    Overwrite,
    Page,
    Plugins,
    Preset,
    Root,
    Seeds,
    Threads,
    Track,
    place,
    words,
    workers,
)
from benchmark.commands.output import Reporter, console

if TYPE_CHECKING:
    from benchmark.engine.executors.workers import Workers
    from benchmark.experiments.experiment import Experiment
    from benchmark.experiments.matrix import Choices


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
    """
    from benchmark.experiments import matrix, paper

    asked = [paper.load(name) for name in dict.fromkeys(names) if name != "all"]
    experiments = [paper.load(name) for name in paper.names()] if "all" in names else asked
    choices = matrix.choices(preset, seed, data_root, fallback, assignments or [])
    _do(experiments, choices, workers(jobs, threads, engine, address), out, report, overwrite, dry_run, track)


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
    from strategies import registry

    registry.add_plugins(plugin or [])
    choices = matrix.choices(preset, seed, data_root, fallback, assignments or [])
    experiments = [matrix.load(file) for file in files]
    _do(experiments, choices, workers(jobs, threads, engine, address), out, report, overwrite, dry_run, track)


def _do(
    experiments: "Sequence[Experiment]",
    choices: "Choices",
    asked: "Workers",
    out: Path,
    page: Path,
    overwrite: bool,
    dry_run: bool,
    track: Track,
) -> None:
    """Do what is missing of some experiments, and report their runs."""
    from benchmark.experiments import agenda, schedule
    from benchmark.tracking.trackers import tracked
    from reports import build, folder
    from reports.terminal import show_scorecard

    if not dry_run:
        folder.check(page, overwrite)
    wanted = agenda.gather(experiments, choices, out, console, asked)
    if dry_run:
        if wanted.planned:
            schedule.render(wanted.planned, wanted.needed, console, wanted.jobs)
        for name, one in wanted.measurements.items():
            path = out / one.file
            console.print(f"{name}: {'measured' if path.exists() else 'to be measured'}, {path}")
        return
    if wanted.planned:
        console.print(schedule.summary(wanted.planned, wanted.jobs))
    for note in wanted.notes:
        console.print(note)
    with Reporter(console) as reporter, tracked(track, out, reporter, console.print) as listener:
        results = agenda.perform(wanted, out, listener, asked)
    measured = [one.of(out, console) for one in wanted.measurements.values()]
    paths = [*(run.path for run in results.begun), *measured]
    if paths:
        made = build(paths, page, overwrite=overwrite)
        show_scorecard(made.scorecard, console)
        console.print(f"Report: {made.index.resolve()}")
    results.check()

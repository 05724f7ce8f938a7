"""``reference``: the runs that ship, what there is of them, whether they can be repeated, and how one gets in."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.commands.options import Engine, Jobs, number, place, words, workers
from benchmark.commands.output import Reporter, console
from benchmark.core import printing
from benchmark.core.errors import UserError, unknown
from benchmark.core.process import endings
from benchmark.reference import SHIPPED

if TYPE_CHECKING:
    from benchmark.core.runs.directory import Run
    from benchmark.engine.executors.workers import Workers
    from benchmark.reference.comparing import Comparison
    from benchmark.reference.records import Records

Folder = Annotated[
    Path,
    typer.Option(
        "--records",
        parser=place("--records"),
        help="Folder of the archives, one for each preset.",
        show_default="those that come with the suite",
    ),
]
Of = Annotated[str | None, typer.Option("--preset", parser=words("--preset"), help="Only records of this preset.")]


def reference_list(preset: Of = None, folder: Folder = SHIPPED) -> None:
    """List the reference runs by strategy and seeds, with the commit and the kind of machine that made them."""
    from rich.table import Table

    from benchmark.reference.records import Records, archive

    with Records(folder) as records:
        runs = _of(records, preset)
        apart: dict[str, dict[tuple[str, str], list[Run]]] = {}
        for run in runs:
            where, what = _told(run)
            apart.setdefault(where, {}).setdefault(what, []).append(run)
        for where, members in apart.items():
            table = Table(box=None, header_style="bold", pad_edge=False)
            for head in ("strategy", "seeds", "minutes", "settings"):
                table.add_column(head, no_wrap=head == "strategy", overflow="fold")
            for (strategy, settings), seeds in members.items():
                took = [run.status.get("seconds") for run in seeds]
                minutes = ", ".join(f"{one / 60:.0f}" if isinstance(one, int | float) else "?" for one in took)
                table.add_row(strategy, ", ".join(str(run.config.get("seed", 0)) for run in seeds), minutes, settings)
            console.print(f"{where}:")
            console.print(table)
            console.print("")
        sizes = [archive(folder, name).stat().st_size for name in records.presets]
    console.print(f"{len(runs)} reference runs; all archives have {sum(sizes):,} bytes.")


def reference_page() -> None:
    """Print what the reference runs came to as a page in Markdown: docs/results.md is this."""
    from reports.leaderboard import page

    printing.page(page(SHIPPED))


def reference_pack(
    runs: Annotated[
        list[Path],
        typer.Argument(
            parser=place("RUN"),
            help="Run directories, or folders that hold some; and layer-profile.csv, the cost of a layer (Table 6).",
            metavar="RUN...",
        ),
    ],
    folder: Annotated[
        Path,
        typer.Option(
            "--records", parser=place("--records", made="folder"), help="Folder of the archives, one for each preset."
        ),
    ] = SHIPPED,
) -> None:
    """Make reference runs of finished runs: their records, without pictures and checkpoints, into the preset's archive.

    A run may become one if it is whole, of a commit whose code was not changed, of a strategy and a stream that ship,
    and on embedded images. A record of the same run by earlier code is replaced. Then write docs/results.md anew, with:
    reference page
    """
    from benchmark.core.files import named
    from benchmark.core.runs.directory import LAYER_PROFILE, find_runs
    from benchmark.reference.packing import keep_layer, pack
    from benchmark.reference.records import LARGEST_SHIPPED

    layers = [path for path in runs if path.name == LAYER_PROFILE]
    found = find_runs([path for path in runs if path not in layers], needed=not layers)
    for path in layers[-1:]:
        keep_layer(path, folder)
        console.print(f"{folder / LAYER_PROFILE}: what a layer costs")
    for one in pack(found, folder):
        console.print(f"{one.name}: {one.size:,} bytes" + "".join(f"; replaces {name}" for name in one.replaced))
    sizes = {path.name: path.stat().st_size for path in named(folder, ".zip").values()}
    for name, size in sizes.items():
        console.print(f"{folder / name}: {size:,} bytes packed")
    if sum(sizes.values()) > LARGEST_SHIPPED:
        console.print(f"Note: {sum(sizes.values()):,} bytes are more than may ship ({LARGEST_SHIPPED:,}).")


def reference_verify(
    sample: Annotated[
        int | None,
        typer.Option(parser=number("--sample", 1, 10_000), help="How many of the runs to do again; 1 by default."),
    ] = None,
    draw: Annotated[
        int | None,
        typer.Option(
            parser=number("--draw", 0, 2**31 - 1),
            help="Which: a number that decides the choice. By default one by chance, which is printed.",
        ),
    ] = None,
    preset: Of = None,
    stream: Annotated[str | None, typer.Option(parser=words("--stream"), help="Only records of this stream.")] = None,
    strategy: Annotated[
        str | None, typer.Option(parser=words("--strategy"), help="Only these strategies, with commas between.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option(parser=words("--seed"), help="Only these seeds, with commas between.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(parser=place("--against"), help="Train nothing: compare with the finished runs in this folder."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=place("--out", made="folder"),
            help="Folder for the run directories.",
            show_default="runs/reference",
        ),
    ] = None,
    jobs: Jobs = None,
    threads: Annotated[
        int | None,
        typer.Option(parser=number("--threads", 1, 1024), help="Threads of each run. By default those of its record."),
    ] = None,
    folder: Folder = SHIPPED,
) -> None:
    """Do some of the reference runs again, and compare what was measured.

    On the same kind of machine (device, processor, its instructions, threads, versions) all tables have to be equal to
    the bit; on another one every measurement has to lie within a tolerance, as sums are rounded in another order there.
    Exits with 1 if they are not. Each run is done with the threads of its record, unless --threads says otherwise.

    Of two of all, and of one that is named:

        python -m benchmark reference verify --sample 2

        python -m benchmark reference verify --preset quick --strategy cmc --seed 0
    """
    from benchmark.planning import seeds, split_names
    from benchmark.reference import verifying
    from benchmark.reference.comparing import FAILED
    from benchmark.reference.records import Records

    if against is not None:
        training = {"--sample": sample, "--draw": draw, "--out": out, "--jobs": jobs, "--threads": threads}
        for option, value in training.items():
            if value is not None:
                raise UserError(
                    f"{option} {value} has no effect beside --against {against}, which trains nothing and compares "
                    "every record that is meant. Leave one of them out."
                )
    asked = verifying.Asked(
        stream, tuple(split_names(strategy, "--strategy")) if strategy else (), tuple(seeds(seed)) if seed else ()
    )
    doing = workers(jobs, threads, Engine.local, None)
    with Records(folder) as records:
        meant = [run for run in _of(records, preset, verified=True) if asked.meant(run)]
        if not meant:
            raise UserError(
                "No reference run is of the stream, strategies and seeds that are named. See: reference list"
            )
        failed = verifying.damaged(meant)
        for name, problem in failed.items():
            console.print(f"{name}: damaged: {problem}")
        whole = [run for run in meant if run.name not in failed]
        console.print(f"{len(whole)} of {len(meant)} records are whole.")
        if against is not None:
            compared = verifying.against(whole, against) if whole else {}
        else:
            compared, outdated = _repeated(whole, sample or 1, draw, out or Path("runs/reference"), doing)
            failed |= outdated
        _show(compared)
    if failed or any(one.verdict == FAILED for one in compared.values()):
        raise typer.Exit(1)


def _repeated(
    records: "list[Run]", sample: int, draw: int | None, out: Path, doing: "Workers"
) -> "tuple[dict[str, Comparison], dict[str, str]]":
    """Do a sample of records again: what was found, and of those that cannot be repeated why."""
    import random

    from benchmark.core.clock import duration
    from benchmark.reference import verifying

    if draw is None:
        draw = random.SystemRandom().randrange(10**6)
        endings.chose("--draw", str(draw))
    chosen = verifying.drawn(records, sample, draw)
    console.print(f"Done again: {len(chosen)} of {len(records)}, as --draw {draw} says.")
    configs, outdated = verifying.planned(chosen)
    for name, problem in outdated.items():
        console.print(f"{name}: cannot be repeated: {problem}")
    chosen = [run for run in chosen if run.name in configs]
    for run in chosen:
        if (took := run.status.get("seconds")) is not None:
            console.print(f"{run.name}: took {duration(float(took))} where it was made")
    with Reporter(console) as reporter:
        return verifying.repeat(chosen, configs, out, reporter, doing), outdated


def _of(records: "Records", preset: str | None, verified: bool = False) -> "list[Run]":
    """The records of a preset or of all; to be verified, of all but SMOKE, which are there to try the commands."""
    from reports.results import SMOKE

    if preset is not None and preset not in records.presets:
        raise unknown("preset of reference runs", preset, records.presets)
    chosen = [
        name for name in records.presets if preset == name or (preset is None and not (verified and name == SMOKE))
    ]
    found = records.runs(chosen)
    if not found:
        raise UserError(f"There is no reference run in '{records.folder}'. Make some with: reference pack")
    return found


def _told(run: "Run") -> tuple[str, tuple[str, str]]:
    """Preset, stream and what made a record, in words; and its strategy with the settings that its command names."""
    import itertools
    import shlex

    from benchmark.reference.comparing import commit, machine
    from reports.text import plain

    config, made = run.config, run.environment
    words = shlex.split(str(run.status.get("command", "")))
    settings = [value for option, value in itertools.pairwise(words) if option in ("--set", "--order")]
    start = f"{plain(config['preset'])}, {plain(config['stream'])}"
    where = f"{start}, made by commit {plain(commit(made))} on {plain(machine(made), 200)}"
    return where, (plain(config["strategy"]), plain(" ".join(settings), 200))


def _show(compared: "dict[str, Comparison]") -> None:
    """What was compared, a line for each record, and in words what was found."""
    from rich.text import Text

    from benchmark.core.shell import literal
    from benchmark.reference.comparing import EQUAL, FAILED, NEAR, TOLERANCE

    colours = {EQUAL: "green", NEAR: "yellow", FAILED: "red"}
    console.print(f"{'verdict':<21} {'largest difference':<20} {'compared':<10} run", style="bold")
    for name, one in compared.items():
        off, rows = f"{one.largest['dB']:.3g} dB", str(one.measurements)
        line = literal(f" {off:<20} {rows:<10} {name}")
        console.print(Text.assemble((f"{one.verdict:<21}", colours[one.verdict]), line))
    for name, one in compared.items():
        if one.verdict == FAILED and not one.machines:
            console.print(f"{name}: made on the same kind of machine, so it has to be equal to the bit.")
        elif one.verdict in (NEAR, FAILED):
            console.print(f"{name}: {'; '.join(one.machines)}.")
        if one.where["dB"]:
            console.print(f"{name}: {one.where['dB']} differs most, by {one.largest['dB']:.3g} dB.")
        for problem in one.problems:
            console.print(f"{name}: {problem}")
    if any(one.verdict == NEAR for one in compared.values()):
        learned, others = TOLERANCE["dB"]
        console.print(
            f"The tolerance is {learned:g} dB on a task that was learned last or is protected, {others:g} dB on others."
        )

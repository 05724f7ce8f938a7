"""``tune``: try the values of settings."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.options import Address, Engine, EngineName, Jobs, Threads, Track, place, words, workers
from benchmark.commands.output import Reporter, console


def tune(
    strategy: Annotated[
        str | None,
        typer.Option(parser=words("--strategy"), help="Strategies to tune, with commas between; all by default."),
    ] = None,
    preset: Annotated[
        str, typer.Option(parser=words("--preset"), help="Training length and sizes to tune for.")
    ] = "quick",
    stream: Annotated[str, typer.Option(parser=words("--stream"), help="The stream to tune on.")] = "four_tasks",
    seed: Annotated[
        str,
        typer.Option(
            parser=words("--seed"), help="The first seed tries every value, the others the two best of each setting."
        ),
    ] = "0,1,2",
    out: Annotated[
        Path,
        typer.Option(
            parser=place("--out", made="folder"), help="Folder for the run directories; finished ones are reused."
        ),
    ] = Path("runs/tuning"),
    table: Annotated[
        Path | None,
        typer.Option(
            parser=place("--table", made="file"),
            help="CSV of what was tried, extended; by default tuning-PRESET-STREAM.csv, as scores of different presets "
            "or streams are not compared. Of a stream file STREAM is its name with a digest of its tasks.",
        ),
    ] = None,
    jobs: Jobs = None,
    threads: Threads = None,
    engine: EngineName = Engine.local,
    address: Address = None,
    track: Track = None,
) -> None:
    """Try the values of benchmark/experiments/tuning.yaml and score them on the validation photographs.

    The score is the mean PSNR over all tasks after the last one. The best values belong into the preset. A best value
    at the end of what was tried is told, since the next one might be better still. A value that diverges has lost.
    """
    from rich.table import Table

    from benchmark.experiments import tuning
    from benchmark.planning import seeds, split_names
    from benchmark.tracking.trackers import tracked

    names = split_names(strategy) if strategy else None
    table = table or place("--table", made="file")(tuning.usual_table(preset, stream))
    asked = workers(jobs, threads, engine, address)
    with Reporter(console) as reporter, tracked(track, out, reporter, console.print) as listener:
        tried, results = tuning.search(names, seeds(seed), preset, stream, out, table, listener, asked)
    chosen = tuning.choices(tried)
    heads = ("strategy", "setting", "best", "score", "next", "better by ± deviation")
    shown = Table(*heads, box=None, header_style="bold")
    for one in chosen:
        spread = f" ± {one.spread:.3f}" if one.seeds > 1 else ""
        next_best = "" if one.second is None else f"{one.second:g}"
        better = "" if one.second is None else f"{one.margin:.3f}{spread} dB ({one.seeds} seed{'s'[: one.seeds - 1]})"
        shown.add_row(one.strategy, one.setting, f"{one.value:g}", f"{one.score:.3f}", next_best, better)
    console.print(shown)
    for one in chosen:
        if one.rivals:
            rivals = ", ".join(f"{value:g}" for value in one.rivals)
            console.print(
                f"{one.setting}: {rivals} did better than {one.value:g} on the seeds that both have, and was left out "
                "for having fewer: the table is of searches with different first seeds. Start another (--table) with "
                "one search over all of them; finished runs are reused."
            )
        if one.open_end:
            console.print(
                f"{one.setting} = {one.value:g} is the best and the last that was tried; add values beyond it to "
                "benchmark/experiments/tuning.yaml and run this command again."
            )
    results.check()

"""``run``: train strategies on a stream."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.options import (
    Address,
    Assignments,
    Engine,
    EngineName,
    Fallback,
    Jobs,
    Out,
    Plugins,
    Preset,
    Root,
    Threads,
    Track,
    place,
    words,
    workers,
)
from benchmark.commands.output import Reporter, console


def run(
    strategy: Annotated[
        str,
        typer.Option(
            parser=words("--strategy"), help="One strategy, or several with commas between. See: list strategies"
        ),
    ],
    stream: Annotated[
        str, typer.Option(parser=words("--stream"), help="A shipped stream, or the path of a stream file (.yaml).")
    ] = "four_tasks",
    preset: Preset = "quick",
    seed: Annotated[str, typer.Option(parser=words("--seed"), help="One seed, or several with commas between.")] = "0",
    order: Annotated[
        str | None,
        typer.Option(parser=words("--order"), help="Another order of the stream's tasks, or only some: denoise,derain"),
    ] = None,
    data: Annotated[
        str | None, typer.Option(parser=words("--data"), help="Where images come from. See: list datasets")
    ] = None,
    data_root: Root = None,
    fallback: Fallback = None,
    out: Out = Path("runs"),
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", parser=place("--config"), help="YAML file of settings, in sections like those of a preset."
        ),
    ] = None,
    assignments: Assignments = None,
    plugin: Plugins = None,
    force: Annotated[bool, typer.Option("--force", help="Repeat runs that are finished.")] = False,
    jobs: Jobs = None,
    threads: Threads = None,
    engine: EngineName = Engine.local,
    address: Address = None,
    track: Track = None,
) -> None:
    """Train strategies on a stream, and measure them after every task.

    A finished run is not done twice; an interrupted one goes on from what was last saved, within a task, too. Later
    settings win: preset, then --config, then --set.
    """
    from benchmark.planning import about_images, others_begun, plan, root_assignments
    from strategies import registry

    asked = workers(jobs, threads, engine, address)
    registry.add_plugins(plugin or [])
    given = [*root_assignments(data_root, fallback), *(assignments or [])]
    planned = plan(strategy, stream, preset, seed, order, data, config_file, given)
    from benchmark.engine.executors.execute import execute
    from benchmark.engine.setup import resolve

    configs = [resolve(one, console) for one in planned]
    for note in [*about_images(configs), *others_begun(configs, out)]:
        console.print(note)
    from benchmark.tracking.trackers import tracked

    with Reporter(console, takes_force=True) as reporter, tracked(track, out, reporter, console.print) as listener:
        weights = [registry.load(one.strategy).relative_cost for one in configs]
        results = execute(configs, out, listener, asked, force=force, weights=weights)
    from benchmark.core.yaml_files import command
    from reports.terminal import show as show_run

    failed = {failure.run for failure in results.failures}
    for run_ in results.runs:
        if run_ not in failed:
            show_run(run_, console)
    results.check()
    console.print(f"\nA report of these runs: {command('report', out)}")

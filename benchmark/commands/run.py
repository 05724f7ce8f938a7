"""``run``: train strategies on a stream."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.options import Assignments, Fallback, Out, Plugins, Preset, Root, Track, place, words
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
    track: Track = None,
) -> None:
    """Train strategies on a stream, one run after another, and measure them after every task.

    A finished run is not done twice; an interrupted one goes on after its last finished task. Later settings win:
    preset, then --config, then --set.
    """
    from benchmark.planning import leaks, others_begun, plan, root_assignments
    from strategies import registry

    registry.add_plugins(plugin or [])
    given = [*root_assignments(data_root, fallback), *(assignments or [])]
    planned = plan(strategy, stream, preset, seed, order, data, config_file, given)
    from benchmark.engine.local import execute
    from benchmark.engine.setup import resolve

    configs = [resolve(one, console) for one in planned]
    for note in [*leaks(configs), *others_begun(configs, out)]:
        console.print(note)
    from benchmark.tracking.trackers import tracked

    with Reporter(console) as reporter, tracked(track, out, reporter, console.print) as listener:
        done = execute(configs, out, listener, force=force)
    from benchmark.core.yaml_files import command
    from reports.terminal import show as show_run

    for finished in done:
        show_run(finished, console)
    console.print(f"\nA report of these runs: {command('report', out)}")

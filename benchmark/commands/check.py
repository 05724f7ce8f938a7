"""``check``: is a strategy what it declares? ``runs check``: are runs whole?"""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.options import Plugins, place, words
from benchmark.commands.output import console


def check(
    strategy: Annotated[
        str, typer.Option(parser=words("--strategy"), help="One strategy, or several with commas between.")
    ],
    preset: Annotated[
        str, typer.Option(parser=words("--preset"), help="Sizes; training is lengthened to 100 updates a task.")
    ] = "smoke",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", parser=words("--set"), help="One setting; repeatable.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Check that a strategy is what it declares: it learns, repeats, resumes, keeps no data, counts its costs truly."""
    from rich.text import Text

    from benchmark.core.shell import literal
    from benchmark.planning import plan
    from strategies import registry

    registry.add_plugins(plugin or [])
    configs = plan(strategy, "four_tasks", preset, "0", "derain,denoise,deblur", None, None, assignments or [])
    from benchmark.conformance import check as examine
    from benchmark.engine.endings import blamed
    from benchmark.engine.setup import resolve

    failed = 0
    for planned in configs:
        console.print(planned.strategy, style="bold")
        with blamed(planned):
            for finding in examine(resolve(planned)):
                failed += not finding.holds
                mark = ("ok  ", "green") if finding.holds else ("FAIL", "red")
                console.print(Text.assemble("  ", mark, literal(f" {finding.question} ({finding.detail})")))
    if failed:
        console.print(f"{failed} check(s) failed.")
        raise typer.Exit(1)


def runs_check(
    folder: Annotated[
        Path, typer.Argument(parser=place("FOLDER"), help="A run, or a folder that holds some.", metavar="[FOLDER]")
    ] = Path("runs"),
) -> None:
    """Look at every run below FOLDER: is it whole, unfinished or damaged, and what can be done? Nothing is changed."""
    from rich.text import Text

    from benchmark.core.runs.directory import find_runs
    from benchmark.core.runs.wholeness import examine
    from benchmark.core.shell import literal

    found = [examine(run) for run in find_runs([folder])]
    for one in found:
        style = {"whole": "green", "damaged": "red"}.get(one.state, "yellow")
        console.print(Text.assemble((f"{one.state:<11}", style), literal(one.name)))
        for line in one.details:
            console.print(literal(f"          {line}"))
    damaged = sum(one.state == "damaged" for one in found)
    console.print(f"{len(found)} run{'s' if len(found) != 1 else ''}, {damaged} of them damaged.")
    if damaged:
        raise typer.Exit(1)

"""``report``: one page of many runs."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.options import Overwrite, place
from benchmark.commands.output import console


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(parser=place("RUN"), help="Run directories, or folders that hold some.", metavar="RUN..."),
    ],
    out: Annotated[Path, typer.Option(parser=place("--out", made="folder"), help="Folder for the report.")] = Path(
        "report"
    ),
    overwrite: Overwrite = False,
) -> None:
    """Make one HTML report of runs, with every table as CSV and every figure as SVG and PNG."""
    from reports import build
    from reports.terminal import show_unreadable

    made = build(runs, out, overwrite=overwrite)
    show_unreadable(made.collection.unreadable, console)
    console.print(f"Report: {made.index.resolve()}")

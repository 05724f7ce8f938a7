"""``report``: one page of many runs."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.options import Overwrite, place
from benchmark.commands.output import console


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            parser=place("RUN"),
            help="Run directories, folders that hold some, or files that profile wrote.",
            metavar="RUN...",
        ),
    ],
    out: Annotated[Path, typer.Option(parser=place("--out", made="folder"), help="Folder for the report.")] = Path(
        "report"
    ),
    with_reference: Annotated[
        bool,
        typer.Option(
            "--with-reference",
            help="Put beside the runs those that came with the suite, where preset, stream, images and protocol are "
            "the same. See: reference list",
        ),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Make one HTML report of runs, with every table as CSV and every figure as SVG and PNG.

    One run of a new strategy beside all others:

        python -m benchmark report runs --with-reference
    """
    from benchmark.reference import SHIPPED
    from reports import build
    from reports.terminal import show_unreadable

    made = build(runs, out, overwrite=overwrite, reference=SHIPPED if with_reference else None)
    show_unreadable(made.collection.unreadable, console)
    if made.collection.beside:
        console.print(made.collection.beside)
    console.print(f"Report: {made.index.resolve()}")

"""``data``: look at datasets on disk, and prepare them."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.options import place
from benchmark.commands.output import console


def data_check(
    root: Annotated[
        Path, typer.Argument(parser=place("ROOT"), help="Folder that holds datasets.", metavar="[ROOT]")
    ] = Path("data"),
) -> None:
    """Open every image under ROOT: what was found, what is damaged or missing, what leaks from training to test."""
    from benchmark.config import patch_sizes
    from benchmark.data.checks.check import check as examine
    from benchmark.data.checks.view import render

    found = examine(root, patch_sizes(), console)
    render(found, console)
    if found.problems:
        raise typer.Exit(1)


def data_prepare(
    root: Annotated[Path, typer.Argument(parser=place("ROOT"), help="Folder that holds datasets.", metavar="ROOT")],
    cache: Annotated[
        Path | None,
        typer.Option(
            parser=place("--cache", made="folder"), help="Folder for the cache; beside the data if not given."
        ),
    ] = None,
) -> None:
    """Decode the training images under ROOT once, so that a patch costs a crop. Run it again after an interruption."""
    from benchmark.data.cache import prepare_all

    prepared = prepare_all(root, cache, console)
    for one in prepared:
        state = one.problem or (str(one.place) if one.place else "only test images, nothing to cache")
        console.print(f"{one.dataset.name}: {state}" if one.dataset else state)
    if any(one.problem for one in prepared):
        raise typer.Exit(1)

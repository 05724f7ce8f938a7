"""``profile``: where the time goes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchmark.commands import check, data, listing, report, reproduce, run, tune
from benchmark.commands.options import Assignments, number, place, words
from benchmark.commands.output import console
from benchmark.core.errors import UserError

if TYPE_CHECKING:
    from benchmark.core.runs.profile_table import Row

Repeats = Annotated[
    int, typer.Option(parser=number("--repeats", 1, 1000), help="How often each is timed; the median counts.")
]

Rows = Annotated[
    Path,
    typer.Option(
        parser=place("--out", "file"),
        help="The CSV file for the rows, ending in .csv; the figure goes beside it, ending in .svg.",
    ),
]

DRAWN = "<!-- drawn by python -m benchmark profile -->"
"""The last line of a figure that stands beside its rows; the next one replaces it, and nothing else."""

LARGEST_FEATURES = 4 * 2**30
"""Bytes of the features that ``profile layer`` convolves, at most; the paper's take 0.24 GiB."""


def profile_data(
    preset: Annotated[
        str, typer.Option(parser=words("--preset"), help="Size of batch, patches and network. See: list presets")
    ] = "quick",
    step_ms: Annotated[
        float | None,
        typer.Option(
            parser=number("--step-ms", 0.001, 1e6, whole=False),
            help="Milliseconds of a training step, to tell one worker's share of it; else measured.",
        ),
    ] = None,
    repeats: Repeats = 5,
) -> None:
    """Time a training patch: cropped from the cache, decoded from its PNG, computed on the device, against a step."""
    from benchmark import config
    from benchmark.profiling import patches, timing

    training, backbone = config.sizes(preset)
    device = timing.place()
    step = step_ms or patches.step_milliseconds(training, backbone, device)
    patches.render(patches.profile(training, device, step, repeats), console)
    console.print(f"A training step takes {step:.1f} ms; a share below 100% keeps one worker ahead of training.")


def profile_layer(
    out: Annotated[Path, typer.Option(parser=place("--out", made="file"), help="The CSV file to write.")] = Path(
        "layer-profile.csv"
    ),
    size: Annotated[
        int, typer.Option(parser=number("--size", 8, 8192), help="Height and width of the features in pixels.")
    ] = 1000,
    channels: Annotated[
        int, typer.Option(parser=number("--channels", 1, 1024), help="Channels into and out of the layer.")
    ] = 64,
    repeats: Repeats = 7,
) -> None:
    """Measure the paper's Table 6: what more parameters cost as larger kernels, as more layers, and in CMC's memory.

    Times are those of a forward pass, taken by turns; ratios are to a plain convolution.
    """
    features = 4 * channels * size**2
    if features > LARGEST_FEATURES:
        raise UserError(
            f"--channels {channels} and --size {size} are {features / 2**30:.1f} GiB of features; at most "
            f"{LARGEST_FEATURES / 2**30:g} GiB."
        )
    from benchmark.profiling import layer

    layer.render(layer.profile(out, channels, size, repeats, console), console)
    console.print(f"Written: {out.resolve()}")


def profile_train(
    preset: Annotated[
        str, typer.Option(parser=words("--preset"), help="Size of network, batch and patches. See: list presets")
    ] = "quick",
    assignments: Assignments = None,
    updates: Annotated[
        int, typer.Option(parser=number("--updates", 1, 10_000), help="Training steps each time it is their turn.")
    ] = 10,
    repeats: Repeats = 7,
    out: Rows = Path("train-profile.csv"),
) -> None:
    """Time a training step against a loop written by hand and Avalanche's Naive, and tell what it is made of."""
    from benchmark.profiling import train

    _measure(out, lambda: train.measure(preset, assignments or [], updates, repeats, console))


def profile_inference(
    preset: Annotated[
        str, typer.Option(parser=words("--preset"), help="Size of the network. See: list presets")
    ] = "quick",
    size: Annotated[
        int, typer.Option(parser=number("--size", 8, 4096), help="Height and width of the image in pixels.")
    ] = 256,
    repeats: Repeats = 15,
    out: Rows = Path("inference-profile.csv"),
) -> None:
    """Time the restoring of an image: CMC's networks, as they are and folded, against the plain one."""
    from benchmark.profiling import inference

    _measure(out, lambda: inference.measure(preset, size, repeats, console))


def profile_start(
    repeats: Repeats = 3,
    out: Rows = Path("start-profile.csv"),
) -> None:
    """Time what each command imports before it does anything, package by package."""
    from benchmark.experiments import agenda, tuning
    from benchmark.profiling import start

    commands: dict[str, list[Callable[..., object]]] = {
        "list": [listing.list_],
        "show": [listing.show],
        "report": [report.report],
        "run": [run.run],
        "tune": [tune.tune, tuning.search],
        "reproduce": [reproduce.reproduce, agenda.gather, agenda.perform],
        "check": [check.check],
        "data check": [data.data_check],
    }
    _measure(out, lambda: start.measure(commands, repeats, console))


def _measure(out: Path, measure: "Callable[[], list[Row]]") -> None:
    """Measure, print the rows, and write them and their figure."""
    from benchmark.core.runs import profile_table
    from benchmark.core.runs.writing import refuse_other, told, write_text
    from benchmark.profiling import timing
    from reports.figures import profiles

    if out.suffix.lower() != ".csv":
        raise UserError(f"--out {out}: the rows go into a file that ends in .csv, their figure into one in .svg.")
    figure = out.with_suffix(".svg")
    refuse_other(out, profile_table.COLUMNS.names, "--out")
    _refuse_other_figure(figure)
    rows = measure()
    timing.render(rows, console)
    profile_table.write(rows, out)
    drawing = profiles.item(rows).drawing
    assert drawing is not None
    with told(figure, "--out"):
        write_text(figure, f"{drawing.svg.rstrip()}\n{DRAWN}\n")
    console.print(f"Written: {out.resolve()}, {figure.resolve()}")


def _refuse_other_figure(path: Path) -> None:
    """Make sure that a figure may be written to a path, before anything is measured for it.

    Raises:
        UserError: something else stands there.
    """
    if not os.path.lexists(path):
        return
    try:
        ours = path.is_file() and path.read_bytes().rstrip().endswith(DRAWN.encode())
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror}. Choose another file with --out.") from error
    if not ours:
        raise UserError(
            f"'{path}' is another file: its last line is not '{DRAWN}'. The figure would take its place. "
            "Move it away, or choose another file with --out."
        )

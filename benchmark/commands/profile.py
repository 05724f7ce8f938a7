"""``profile``: where the time goes."""

from pathlib import Path
from typing import Annotated

import typer

from benchmark.commands.options import number, place
from benchmark.commands.output import console
from benchmark.core.errors import UserError

LARGEST_FEATURES = 4 * 2**30
"""Bytes of the features that ``profile layer`` convolves, at most; the paper's take 0.24 GiB."""


def profile_data(
    step_ms: Annotated[
        float | None,
        typer.Option(
            parser=number("--step-ms", 0.001, 1e6, whole=False),
            help="Milliseconds of a training step, to tell one worker's share of it; else measured at quick.",
        ),
    ] = None,
) -> None:
    """Time a training patch: cropped from the cache, against decoding the PNG it comes from, and against a step."""
    from benchmark import config
    from benchmark.profiling import patches

    step = step_ms or patches.step_milliseconds(*config.sizes("quick"))
    patches.render(patches.profile(step), console)
    console.print(f"A training step takes {step:.1f} ms; a share below 100% keeps one worker ahead of training.")


def profile_layer(
    out: Annotated[Path, typer.Option(parser=place("--out", made="file"), help="The CSV file to write.")] = Path(
        "layer-patches.csv"
    ),
    size: Annotated[
        int, typer.Option(parser=number("--size", 8, 8192), help="Height and width of the features in pixels.")
    ] = 1000,
    channels: Annotated[
        int, typer.Option(parser=number("--channels", 1, 1024), help="Channels into and out of the layer.")
    ] = 64,
    repeats: Annotated[
        int, typer.Option(parser=number("--repeats", 1, 1000), help="How often each is timed; the median counts.")
    ] = 7,
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

"""The pictures of test images that a run keeps: how they are written, and which of them are gone."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from benchmark.core.images import centre
from benchmark.core.runs import writing
from benchmark.core.runs.directory import Run, after_kind
from benchmark.streams.build import Benchmark

PICTURE = 256
"""Side in pixels of the centre crop that is kept of a test image."""
PICTURES = 8
"""Test images of a task of which pictures are kept; all are measured."""
FOLLOWED = 2
"""Test images of a task of which a picture is kept after every later task."""
INPUTS = ("clean", "degraded")
"""The pictures that are there before anything is learned."""


def keep(run: Run, benchmark: Benchmark, place: int, index: int, kind: str, pixels: np.ndarray) -> None:
    """Write the picture of one test image of the task at a place, from 1, if pictures are kept of that image."""
    if index >= PICTURES:
        return
    path = run.image(benchmark.tasks[place - 1].name, benchmark.test[place - 1].names[index], kind)
    picture = io.BytesIO()
    Image.fromarray(centre(pixels, PICTURE)).save(picture, "PNG")
    run.refuse_gone()
    writing.write_text(path, picture.getvalue())


def missing(run: Run, benchmark: Benchmark, outputs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The kinds of all pictures that a run has kept, as its rows of outputs tell, and that are not there any more."""
    gone = []
    for place, (task, images) in enumerate(zip(benchmark.tasks, benchmark.test, strict=True), 1):
        for index, name in enumerate(images.names[:PICTURES]):
            measured = [row["after"] for row in outputs if (row["place"], row["image"]) == (place, name)]
            kinds = _kept(place, index, measured, len(benchmark.tasks))
            gone += [kind for kind in kinds if not run.image(task.name, name, kind).exists()]
    return gone


def _kept(place: int, index: int, measured: Sequence[int], tasks: int) -> Iterator[str]:
    """The kinds of pictures of an image of the task at a place that was measured after so many tasks each."""
    yield from INPUTS
    learned = [after for after in measured if after >= place]
    yield from ["learned"] * bool(learned)
    yield from (after_kind(after) for after in learned[1:] if index < FOLLOWED and after < tasks)
    yield from ["final"] * (tasks in measured)

"""Two configurations seed by seed, and what a table has to say about its figures."""

from collections.abc import Iterable, Sequence

import numpy as np

from benchmark.reference.comparing import commit
from reports.groups import REFERENCE, Entry
from reports.results import Array, Quantity, Result, value
from reports.text import brief, listed, plain, seeds_told

MOST_NAMED = 4
"""Rows without all seeds that a note names; of more it tells how many there are."""

FEWEST = 3
"""Seeds from which on a page does not warn that there are few."""


def by_seed(one: Entry, other: Entry, quantity: Quantity) -> dict[int, Array]:
    """``one`` − ``other`` in one of the results' quantities, of its own shape, for every seed that both have."""
    theirs = {result.seed: value(result, quantity) for result in other.results}
    return {
        result.seed: np.asarray(value(result, quantity), dtype=float) - theirs[result.seed]
        for result in one.results
        if result.seed in theirs
    }


def paired(one: Entry, other: Entry, quantity: Quantity) -> Array:
    """The same as (S, ...) over the S seeds that both have."""
    return np.array(list(by_seed(one, other, quantity).values()), dtype=float)


def several(entries: Iterable[Entry | None]) -> bool:
    """Whether one of some entries has several seeds."""
    return any(entry is not None and len(entry.results) > 1 for entry in entries)


def facts(where: str, entries: Sequence[Entry], spread: str = "") -> str:
    """What a table has to say about its figures: metric, preset, images, seeds, and what ± is.

    Where a task has test images of its own they are told task by task, and where runs were not all computed on a like
    machine, that is told, too.

    Args:
        where: the preset, in words.
        entries: what the table shows.
        spread: what ± is, in a sentence; empty where it is half of the interval over seeds.
    """
    results = [result for entry in entries for result in entry.results]
    sentences = [
        *_protocols(results),
        f"{where[:1].upper()}{where[1:]}; {_images(results)}.",
        *_seeds(entries),
        spread or _interval(entries),
        *_machines(results),
    ]
    return " ".join(sentences)


def _protocols(results: Sequence[Result]) -> list[str]:
    """How PSNR was measured."""
    ways = sorted({text for result in results for text in result.protocols})
    told = [f"PSNR in dB: {'; '.join(ways) or 'protocol not stated'}."]
    if len(ways) > 1:
        told.append(f"These runs were measured in {len(ways)} different ways: do not compare their figures.")
    return told


def _seeds(entries: Sequence[Entry]) -> list[str]:
    """All seeds, and the rows that do not have all of them."""
    seeds = sorted({result.seed for entry in entries for result in entry.results})
    told = [f"{seeds_told(seeds).capitalize()}."]
    fewer = [entry for entry in entries if len(entry.results) < len(seeds)]
    if fewer:
        who = [f"{entry.label} ({listed([str(result.seed) for result in entry.results])})" for entry in fewer]
        named = brief(who, f"of {len(entries)} rows", MOST_NAMED)
        told.append(f"Not all rows have all of these, and means of other seeds differ by luck, too: {named}.")
    return told


def _interval(entries: Sequence[Entry]) -> str:
    if several(entries):
        return "Means ± half of their 95 % interval over seeds (Student’s t)."
    return "One seed has no interval: nothing is told apart."


def _machines(results: Sequence[Result]) -> list[str]:
    """Where the suite's own rows were computed, and that not all were computed alike."""
    told = []
    made = {
        f"{result.computed_on}, commit {plain(commit(result.run.environment))}"
        for result in results
        if result.reference
    }
    if made:
        told.append(f"Rows marked{REFERENCE} came with the suite (computed on {'; '.join(sorted(made))}).")
    machines = sorted({result.computed_on for result in results})
    if len(machines) > 1:
        told.append(
            f"Not all computed alike ({'; '.join(machines)}): differences may in part be those of rounding, which "
            "training enlarges."
        )
    return told


def _images(results: Sequence[Result]) -> str:
    """The test images, with the tasks they are of where tasks differ, and the training images."""
    tested: dict[str, dict[str, None]] = {}
    for result in results:
        for task, source in zip(result.config["order"], result.sources, strict=True):
            tested.setdefault(str(source.test), {})[plain(task)] = None
    apart = [f"{images} for {listed(list(tasks))}" for images, tasks in tested.items()]
    trained = sorted({str(source.train) for result in results for source in result.sources})
    tests = ", ".join(apart if len(apart) > 1 else tested)
    return f"test images: {tests}; training images: {', '.join(trained)}"

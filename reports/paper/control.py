"""What the comparison with and without sharing of knowledge holds, and the control that takes it apart.

With sharing (Eq. 4) a task starts from the kernels and biases of earlier tasks, and keeps using them; without, it
starts from nothing. Two things differ, then. The control, ``cmc.sharing=copy``, starts from the last kernel and bias,
too, but in entries of its own, and shares nothing afterwards: what is gained over it is what sharing itself brings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from benchmark.experiments.experiment import Combination
from reports.groups import Entry
from reports.paper.evidence import Evidence
from reports.results import Array, Result
from reports.text import fixed, plain, seeds_told

COMPARES = (
    "With sharing a task starts from the kernels and biases of earlier tasks, without it from nothing: the gap between "
    "the two, after the first epoch above all, includes that of the start."
)


def note(evidence: Evidence, rows: Sequence[Combination]) -> str:
    """What rows with and without sharing compare, and the control's figures beside theirs where it was run.

    Args:
        evidence: the runs.
        rows: what fills the rows, with sharing and without.
    """
    told = []
    for row in rows:
        entry = evidence.entry(_sharing(row, "copy"))
        if row.settings.get("cmc.sharing") != "fixed" or entry is None:
            continue
        order = [plain(task) for task in entry.results[0].config["order"]]
        final = ", ".join(
            f"{task} {fixed(float(psnr))}" for task, psnr in zip(order, entry.mean("final_psnr"), strict=True)
        )
        named = {"": entry} | {
            name: other
            for name, sharing in (("with sharing ", "fixed"), ("without ", "none"))
            if (other := evidence.entry(_sharing(row, sharing))) is not None
        }
        seeds, found = curves(named)
        every = [result.seed for result in entry.results]
        if not found or seeds != every:  # else they are told with the first epoch
            final += f", {seeds_told(every)}"
        if found:
            own, *others = [f"{name}{fixed(float(values[0]))}" for name, values in found.items()]
            beside = f" ({', '.join(others)})" if others else ""
            final += f"; {own} after the first epoch of {order[-1]}{beside}, {seeds_told(seeds)}"
        where = f"{row.settings['backbone.name']}, " if "backbone.name" in row.settings else ""
        told.append(f"{where}{100 * row.settings['cmc.fraction']:g} %: {final}")
    if not told:
        return COMPARES
    return (
        f"{COMPARES} Control (cmc.sharing=copy: a copy of the last kernel and bias to start from, nothing shared "
        f"afterwards), dB: {'. '.join(told)}."
    )


def _sharing(row: Combination, kind: str) -> Combination:
    return replace(row, settings=row.settings | {"cmc.sharing": kind})


def curves(entries: Mapping[str, Entry]) -> tuple[list[int], dict[str, Array]]:
    """Validation PSNR of the last task after each of its epochs, over the seeds that all entries have.

    Args:
        entries: by name, at least one.

    Returns:
        The seeds, and by name (E,) dB from epoch 1 on, the mean over them; nothing where no seed is common, or an entry
        has no epochs.
    """
    own = {name: {result.seed: curve(result) for result in entry.results} for name, entry in entries.items()}
    seeds = sorted(set.intersection(*(set(of) for of in own.values())))
    shortest = {name: min((len(of[seed]) for seed in seeds), default=0) for name, of in own.items()}
    if not all(shortest.values()):
        return [], {}
    means = {name: np.mean([of[seed][: shortest[name]] for seed in seeds], axis=0) for name, of in own.items()}
    return seeds, means


def curve(result: Result) -> Array:
    """(E,) dB, validation PSNR of the last task after each of its epochs, from 1 on."""
    frame = result.run.curves
    place = len(result.config["order"])
    rows = frame[(frame["place"] == place) & (frame["after"] == place) & (frame["epoch"] > 0)]
    return rows.sort_values("epoch")["psnr"].to_numpy(float)

"""What the comparison with and without sharing of knowledge holds, and the control that takes it apart.

With sharing (Eq. 4) a task starts from the kernels and biases of earlier tasks, and keeps using them; without, it
starts from nothing. Two things differ, then. The control, ``cmc.sharing=copy``, starts from the last kernel and bias,
too, but in entries of its own, and shares nothing afterwards: what is gained over it is what sharing itself brings.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmark.experiments.experiment import Combination
from reports.groups import Entry
from reports.paper.evidence import Evidence
from reports.results import Array
from reports.text import fixed, plain

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
        others = [
            f"{name} {fixed(first)}"
            for name, sharing in (("with sharing", "fixed"), ("without", "none"))
            if (first := first_epoch(evidence.entry(_sharing(row, sharing)))) is not None
        ]
        started = first_epoch(entry)
        if started is not None:
            compared = f" ({', '.join(others)})" if others else ""
            final += f"; {fixed(started)} after the first epoch of {order[-1]}{compared}"
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


def curve(entry: Entry) -> Array:
    """(E,) validation PSNR of the last task after each of its epochs from 1 on, the mean over seeds."""
    curves = []
    for result in entry.results:
        frame = result.run.curves
        place = len(result.config["order"])
        rows = frame[(frame["place"] == place) & (frame["after"] == place) & (frame["epoch"] > 0)]
        curves.append(rows.sort_values("epoch")["psnr"].to_numpy(float))
    shortest = min(len(curve) for curve in curves)
    return np.array(np.mean([curve[:shortest] for curve in curves], axis=0))


def first_epoch(entry: Entry | None) -> float | None:
    """Validation PSNR of the last task after its first epoch, in dB; None where there is none."""
    values = curve(entry) if entry is not None else np.empty(0)
    return float(values[0]) if len(values) else None

"""How far earlier tasks sink while another is learned, from the training curves of a run that followed them."""

import numpy as np
import pandas as pd

from benchmark.core.metrics import dip


def followed(curves: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``curves.csv`` on each task from the end of its own training on, in the order of training.

    The first row of a task is the end of its own training; those that follow were measured while later tasks were
    learned, with evaluation.stability_gap, or as it was trained again. A task without any has no row at all.
    """
    rows = curves.sort_values(["place", "after", "epoch"])
    learned = rows.groupby("place")["after"].transform("min")
    last = rows.groupby(["place", "after"])["epoch"].transform("max")
    kept = rows[(rows["after"] > learned) | (rows["epoch"] == last)]
    return kept[kept.groupby("place")["after"].transform("nunique") > 1]


def read_dips(curves: pd.DataFrame, tasks: int) -> np.ndarray:
    """(T,) dB by which each task sinks at most after it was learned; nan of those that were not followed."""
    dips = followed(curves).groupby("place")["psnr"].agg(dip)
    return dips.reindex(range(1, tasks + 1)).to_numpy(float)

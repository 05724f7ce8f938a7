"""What a network that is told the task is worth to someone who does not know it, read from a run."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.core.runs.schemas import IDENTIFIED, told

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Identification:
    """What a network that is told the task is worth to someone who does not know it, after the whole stream.

    Args:
        told: (T, T) dB; ``told[j, k]`` is the PSNR on task j under the label of task k.
        assigned: (T, T) share, from 0 to 1, of the test images of task j that the task identifier gives to task k.
        psnr: (T,) dB, each image under the label that it is given.
    """

    told: Array
    assigned: Array
    psnr: Array

    @property
    def accuracy(self) -> Array:
        """(T,) share of each task's test images that are given to their own task."""
        return np.diag(self.assigned)


def read_identification(metrics: pd.DataFrame, tasks: int) -> Identification | None:
    """From the rows after the last task; None unless there are those of an identifier."""
    rows = metrics[metrics["subject"] == IDENTIFIED]
    if rows.empty:
        return None
    found = Identification(np.full((tasks, tasks), np.nan), np.full((tasks, tasks), np.nan), np.full(tasks, np.nan))
    psnr = rows[rows["metric"] == "psnr"]
    found.psnr[psnr["place"].to_numpy(int) - 1] = psnr["value"]
    for k in range(tasks):
        rows = metrics[metrics["subject"] == told(k + 1)]
        psnr, assigned = (rows[rows["metric"] == name] for name in ("psnr", "assigned"))
        found.told[psnr["place"].to_numpy(int) - 1, k] = psnr["value"]
        found.assigned[assigned["place"].to_numpy(int) - 1, k] = assigned["value"] / assigned["images"]
    return found

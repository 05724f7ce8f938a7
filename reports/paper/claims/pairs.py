"""Two configurations beside each other, seed by seed, and what differs in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports.groups import Entry
from reports.paper.evidence import Evidence
from reports.results import Array
from reports.seeds import paired, significance
from reports.text import fixed, listed


@dataclass(frozen=True)
class Pair:
    """Two configurations with seeds in common.

    Args:
        one, other: the configurations.
        gains: (S, T) dB, the first's final PSNR over the second's for S seeds and T tasks.
    """

    one: Entry
    other: Entry
    gains: Array

    @property
    def mean(self) -> Array:
        """(T,) dB, the mean of the gains over the seeds."""
        return np.asarray(self.gains.mean(axis=0))


def compared(one: Entry | None, other: Entry | None) -> Pair | None:
    """Two configurations as a pair; None if one is missing or they have no seed in common."""
    if one is None or other is None:
        return None
    gains = paired(one, other, "final_psnr")
    return Pair(one, other, gains) if len(gains) else None


def with_and_without(evidence: Evidence, fraction: float, **where: str) -> Pair | None:
    """CMC with sharing, and without.

    Args:
        evidence: the runs.
        fraction: the share of the memory that a task owns.
        where: another stream or backbone, as :meth:`reports.paper.evidence.Evidence.find` takes them.
    """
    with_sharing, without = (
        evidence.find(fraction=fraction, sharing=sharing, **where) for sharing in ("fixed", "none")
    )
    return compared(with_sharing, without)


def members(pairs: Iterable[Pair]) -> list[Entry]:
    """All configurations of some pairs."""
    return [entry for pair in pairs for entry in (pair.one, pair.other)]


def rank_correlation(places: Sequence[float], values: Sequence[float]) -> float:
    """Spearman's rank correlation; equal values share their rank, and values that are all equal give 0."""
    ranks = [pd.Series(list(numbers)).rank().to_numpy() for numbers in (places, values)]
    if min(float(np.std(rank)) for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def gains(tasks: Sequence[str], values: Array) -> str:
    """What each task gains in dB, in words."""
    return listed([f"{task} {fixed(float(gain), sign=True)}" for task, gain in zip(tasks, values, strict=True)]) + " dB"


def share(fraction: float) -> str:
    """A share of the memory in words."""
    return f"{100 * fraction:g} %"


def p_value(differences: Array) -> str:
    """The p of a paired test of (S,) differences in words; empty where there are too few seeds for it."""
    p = significance(differences)
    return "" if np.isnan(p) else f" (p = {p:.2g})"

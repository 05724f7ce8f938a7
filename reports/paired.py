"""Paired comparisons: what differences of the same seed, task and images tell, and what they cannot.

A difference that was taken in S seeds has a mean and a 95 % interval by Student's t: mean ± t · s / √S, where s is the
standard deviation of the S paired differences (their *paired spread*) and t the quantile at 97.5 % with S − 1 degrees
of freedom. It is *told* from 0 where the interval lies on one side of 0, which is where the two-sided t-test has p <
0.05. One seed has no spread, and tells nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LEVEL = 0.05
"""p from which on a difference is not told from 0; one minus it is the share of intervals that hold the true mean."""

POWER = 0.8
"""How often a gap that is called within reach is told."""

MOST = 100
"""Seeds up to which it is worked out how many would decide a comparison."""

SAME = 1e-9
"""Differences that are nearer to each other than this, in dB, vary by rounding alone."""


@cache
def quantile(values: int, level: float = LEVEL) -> float:
    """Student's t for an interval over so many values, two and more; it leaves out half of the level on each side."""
    from scipy.special import stdtrit

    return float(stdtrit(values - 1, 1 - level / 2))


def half_width(values: Array, level: float = LEVEL) -> Array:
    """Half of the interval of the mean of (S, ...) values over the first axis, of shape (...); nan for S < 2."""
    count = len(values)
    if count < 2:
        return np.full(values.shape[1:], np.nan)
    return np.asarray(quantile(count, level) * values.std(axis=0, ddof=1) / math.sqrt(count))


@dataclass(frozen=True)
class Difference:
    """Paired differences of S seeds.

    Args:
        values: (S,) in dB, or another unit.
    """

    values: Array

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """The mean; nan without a seed."""
        return float(self.values.mean()) if self.seeds else math.nan

    @property
    def deviation(self) -> float:
        """The paired spread s, with S − 1 in the denominator; 0 where all are equal but for rounding, nan for S < 2."""
        if self.seeds < 2:
            return math.nan
        return 0.0 if np.ptp(self.values) < SAME else float(self.values.std(ddof=1))

    def margin(self, level: float = LEVEL) -> float:
        """Half of the interval; nan for S < 2."""
        return math.nan if self.seeds < 2 else quantile(self.seeds, level) * self.deviation / math.sqrt(self.seeds)

    @property
    def p(self) -> float:
        """p of the two-sided t-test that the true mean is 0; nan for S < 2.

        Differences that are all equal give 1 where they are 0, and 0 else.
        """
        if self.seeds < 2 or math.isnan(self.mean):
            return math.nan
        if self.deviation == 0:
            return float(abs(self.mean) < SAME)
        from scipy.special import stdtr

        return float(2 * stdtr(self.seeds - 1, -abs(self.mean) / self.deviation * math.sqrt(self.seeds)))

    def needed(self, level: float = LEVEL) -> int | None:
        """Seeds that would decide it at the present mean and spread; None where one seed has no spread.

        The smallest n of two and more with t(n − 1) · s / √n < |mean|: half of the interval that n seeds are expected
        to have is then smaller than the mean. MOST + 1 stands for more than MOST. Since mean and spread are estimates,
        about every second time it takes more.
        """
        if math.isnan(self.deviation):
            return None
        size = abs(self.mean)
        for count in range(2, MOST + 1) if size >= SAME else ():
            if quantile(count, level) * self.deviation / math.sqrt(count) < size:
                return count
        return MOST + 1


@dataclass(frozen=True)
class Every:
    """The statement that each of several true means is above 0.

    It can be told right where all means are above 0: each has to be told from 0 (an intersection-union test, whose p is
    the largest of all, with no correction for their number). It can be told wrong where one is not: that one has to be
    told from 0, with p times the number of means (Bonferroni), since the one was chosen among so many.

    Args:
        parts: the differences, at least one.
    """

    parts: Sequence[Difference]

    @property
    def right(self) -> bool:
        """Whether it can only be told right; else only wrong."""
        return all(part.mean > 0 for part in self.parts)

    @property
    def p(self) -> float:
        """p of what it can be told to be; nan where every part is of one seed. A part of one seed alone counts as 1."""
        values = [part.p for part in self.parts]
        if np.isnan(values).all():
            return math.nan
        if self.right:
            return max(1.0 if math.isnan(p) else p for p in values)
        against = [p for part, p in zip(self.parts, values, strict=True) if part.mean <= 0 and not math.isnan(p)]
        return min(1.0, len(self.parts) * min(against, default=1.0))

    def needed(self, level: float = LEVEL) -> int | None:
        """Seeds that would decide each part, as :meth:`Difference.needed` has them; None where that cannot be told.

        To be told right it takes all parts at once, so that it mostly takes more seeds than this.
        """
        if self.right:
            counts = [part.needed(level) for part in self.parts]
            return None if None in counts else max(count for count in counts if count is not None)
        against = [part.needed(level / len(self.parts)) for part in self.parts if part.mean <= 0]
        return min((count for count in against if count is not None), default=None)


def stated(needed: int | None) -> str:
    """How many seeds would decide something, as :meth:`Difference.needed` has it, in words."""
    if needed is None:
        return "unknown, as one seed has no spread"
    return f"more than {MOST}" if needed > MOST else str(needed)


def corrected(values: Sequence[float]) -> list[float]:
    """p values corrected for their number by the false discovery rate (Benjamini and Hochberg); nan stays nan.

    Of what is told where these are below LEVEL, at most that share is told by luck, in the mean.
    """
    given = np.array(values, dtype=float)
    known = ~np.isnan(given)
    if known.any():
        from scipy.stats import false_discovery_control

        given[known] = false_discovery_control(given[known])
    return [float(value) for value in given]


def left(values: Sequence[float], place: int, level: float = LEVEL) -> float:
    """The p below which one of several would be told by :func:`corrected`, the others as they are.

    Args:
        values: p of all, nan for what is not tested.
        place: which of them; it counts as tested in any case.
        level: what corrected values are held to.
    """
    lowest = [*values[:place], 0.0, *values[place + 1 :]]
    told = sum(p < level for p in corrected(lowest))
    return level * told / sum(not math.isnan(p) for p in lowest)


def missed(gap: float, deviation: float, seeds: int, level: float = LEVEL) -> float:
    """The chance that a true gap is not told.

    The t-statistic of n seeds has a noncentral t-distribution with n − 1 degrees of freedom and the noncentrality
    gap / deviation · √n; the gap is missed where it stays below the quantile of the two-sided test.

    Args:
        gap: the true mean difference, above 0, in dB.
        deviation: the paired spread, in dB.
        seeds: how many, two and more.
        level: of the test.
    """
    return 0.0 if deviation == 0 else _missed(gap / deviation * math.sqrt(seeds), seeds, level)


def within_reach(deviation: float, seeds: int, level: float = LEVEL) -> float:
    """The true gap, in dB, that so many seeds tell as often as POWER says; arguments are those of :func:`missed`."""
    return _noncentrality(seeds, level) * deviation / math.sqrt(seeds)


def _missed(noncentrality: float, seeds: int, level: float) -> float:
    from scipy.special import nctdtr

    chance = float(nctdtr(seeds - 1, noncentrality, quantile(seeds, level)))
    return 0.0 if math.isnan(chance) else chance  # scipy has no value far out, where it is below 1e-50


@cache
def _noncentrality(seeds: int, level: float) -> float:
    """The noncentrality at which so many seeds tell as often as POWER says."""
    from scipy.optimize import brentq

    return float(brentq(lambda value: 1 - _missed(value, seeds, level) - POWER, 0.0, 20 * quantile(seeds, level)))

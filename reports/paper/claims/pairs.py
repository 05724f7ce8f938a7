"""Two configurations beside each other, seed by seed, and what differs in words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmark.reference.comparing import alike
from reports.groups import Entry
from reports.paired import Difference
from reports.paper.claims.claim import BySeed
from reports.paper.evidence import Evidence
from reports.results import Array
from reports.seeds import by_seed
from reports.text import fixed, listed


@dataclass(frozen=True)
class Pair:
    """Two configurations with seeds in common.

    Args:
        one, other: the configurations, each with the runs of these seeds alone.
        gains: by seed (T,) dB, the first's final PSNR over the second's.
    """

    one: Entry
    other: Entry
    gains: Mapping[int, Array]

    @property
    def mean(self) -> Array:
        """(T,) dB, the mean of the gains over the seeds."""
        return np.mean(list(self.gains.values()), axis=0)

    def at(self, *places: int) -> dict[int, float]:
        """By seed the gain in dB on the task at a place, or the mean of those at several, from 0."""
        return {seed: float(gains[list(places)].mean()) for seed, gains in self.gains.items()}


def compared(one: Entry | None, other: Entry | None) -> Pair | None:
    """Two configurations as a pair; None if one is missing or they have no seed in common."""
    if one is None or other is None:
        return None
    return _of_seeds(one, other, by_seed(one, other, "final_psnr"))


def computed_alike(pair: Pair) -> Pair | None:
    """What of a pair was computed on one kind of machine, on which equal computations give equal bits; or None."""
    one, other = ({run.seed: run.run.environment for run in entry.results} for entry in (pair.one, pair.other))
    kept = {seed: gain for seed, gain in pair.gains.items() if alike(one[seed], other[seed])}
    return _of_seeds(pair.one, pair.other, kept)


def _of_seeds(one: Entry, other: Entry, gains: Mapping[int, Array]) -> Pair | None:
    """The pair of two configurations by the seeds of their gains; None if there are none."""
    one, other = (replace(entry, results=[run for run in entry.results if run.seed in gains]) for entry in (one, other))
    return Pair(one, other, gains) if gains else None


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


def final(entry: Entry, place: int) -> dict[int, float]:
    """Final PSNR of the task at a place, from 0, by seed."""
    return {result.seed: float(result.final_psnr[place]) for result in entry.results}


def common(values: Iterable[BySeed]) -> list[int]:
    """The seeds that all of some values have."""
    first, *others = (set(one) for one in values)
    return sorted(first.intersection(*others))


def shared(at: Mapping[float, BySeed]) -> dict[float, BySeed]:
    """The values at several places of the seeds that all of them have: those that a trend is told from."""
    seeds = common(at.values()) if at else []
    return {place: {seed: values[seed] for seed in seeds} for place, values in at.items()}


def slope(at: Mapping[float, BySeed]) -> dict[int, float]:
    """By seed the slope of the line through values at several places, by least squares.

    Args:
        at: place → the values there; seeds that one place lacks are left out.
    """
    seeds = common(at.values())
    values = np.array([[one[seed] for seed in seeds] for one in at.values()])
    if not seeds:
        return {}
    places = np.array(list(at)) - np.mean(list(at))
    return dict(zip(seeds, (places @ values / (places @ places)).tolist(), strict=True))


def words(values: BySeed, sign: bool = True, digits: int = 2) -> str:
    """A mean over seeds, with ± half of its 95 % interval where there are several."""
    difference = Difference(np.array(list(values.values()), dtype=float))
    margin = difference.margin()
    return fixed(difference.mean, digits, sign) + ("" if np.isnan(margin) else f" ± {fixed(margin, digits)}")


def gains(names: Sequence[str], values: Sequence[BySeed]) -> str:
    """What each task gains in dB, in words."""
    return listed([f"{name} {words(gain)}" for name, gain in zip(names, values, strict=True)]) + " dB"


def share(fraction: float) -> str:
    """A share of the memory in words."""
    return f"{100 * fraction:g} %"

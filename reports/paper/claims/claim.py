"""What a claim of the paper is, and what can become of it.

It holds, is contradicted or undecided, or was not measured, or is not judged. A claim about means is tested: it names
the differences that have to lie above 0 for it to be right, each with a value for every seed, and what becomes of it
follows from their intervals (:class:`reports.paired.Every`). Whatever the figures are, one seed leaves it undecided. A
claim that says of every single run what has to be so is exact: one run against it contradicts it, and seeds have no
part in it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from reports.groups import Entry
from reports.paired import LEVEL, Difference, Every, corrected, stated
from reports.paper.evidence import Evidence
from reports.results import SMOKE
from reports.text import NOTHING

HOLDS, CONTRADICTED, UNDECIDED, UNMEASURED = "holds", "contradicted", "undecided", "not measured"

UNJUDGED = "not judged"
"""What was measured on runs of the preset SMOKE, whose figures mean nothing."""

EQUAL = 0.005
"""dB; two PSNRs that are nearer are printed alike, and neither is called better."""

BySeed = Mapping[int, float]
"""A value for every seed."""


@dataclass(frozen=True)
class Measured:
    """What the evidence says of a claim.

    Args:
        figures: our figures in words.
        entries: the runs that they come from; none for a claim that is not about runs.
        above: of a claim about means, the differences that it says are above 0; each has at least one seed.
        exact: of an exact claim, whether it is so.
    """

    figures: str
    entries: Sequence[Entry] = ()
    above: Sequence[BySeed] = ()
    exact: bool | None = None


Check = Callable[[Evidence], Measured | None]
"""Measures a claim; None where the evidence has nothing to measure it on."""


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Args:
        key: a short name.
        text: the claim, as a report words it.
        rule: when it holds.
        source: where the paper makes it.
        paper: the paper's own figures.
        run: the table or figure to reproduce to have it measured.
        check: measures it.
    """

    key: str
    text: str
    rule: str
    source: str
    paper: str
    run: str
    check: Check

    def judge(self, evidence: Evidence) -> "Verdict":
        """What becomes of it by itself, see :func:`together`; runs of the preset SMOKE judge no claim."""
        measured = self.check(evidence)
        if measured is None:
            return Verdict(self, UNMEASURED, f"measure it with: reproduce {self.run}")
        entries = tuple(measured.entries)
        if entries and evidence.preset == SMOKE:
            return Verdict(self, UNJUDGED, measured.figures, entries, _seeds(measured))
        if measured.exact is not None:
            return Verdict(self, HOLDS if measured.exact else CONTRADICTED, measured.figures, entries, _seeds(measured))
        tested = Every([Difference(np.array(list(part.values()), dtype=float)) for part in measured.above])
        return Verdict(self, UNDECIDED, measured.figures, entries, _seeds(measured), tested)


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Args:
        claim: what was claimed.
        state: HOLDS, CONTRADICTED, UNDECIDED, UNMEASURED or UNJUDGED.
        measured: our figures in words; for what was not measured, how to measure it.
        entries: the runs behind the figures.
        seeds: the seeds behind them; those of both sides, where two are compared.
        tested: what was tested; None for what was not.
        corrected: p after correction for the number of claims; nan where nothing was tested.
        level: p from which on a claim is undecided.
    """

    claim: Claim
    state: str
    measured: str
    entries: tuple[Entry, ...] = ()
    seeds: tuple[int, ...] = ()
    tested: Every | None = None
    corrected: float = math.nan
    level: float = LEVEL

    @property
    def p(self) -> float:
        """p before the correction; nan where nothing was tested, or there is one seed alone."""
        return self.tested.p if self.tested else math.nan

    @property
    def taken_back(self) -> bool:
        """Whether it would be decided if it were the only claim."""
        return self.state == UNDECIDED and self.p < self.level

    @property
    def needed(self) -> str:
        """How many seeds would decide an undecided claim, in words; a dash for any other.

        It is asked for at the level that the correction leaves to this claim, as the others stand.
        """
        if self.state != UNDECIDED or self.tested is None:
            return NOTHING
        share = self.p / self.corrected if self.p > 0 and self.corrected > 0 else 1.0
        return stated(self.tested.needed(self.level * share))


def together(verdicts: Sequence[Verdict], level: float = LEVEL) -> list[Verdict]:
    """The verdicts of claims that are judged together: p is corrected for their number by the false discovery rate.

    Args:
        verdicts: of all claims, each by itself; those that were not tested stay as they are.
        level: p from which on a claim is undecided.
    """
    found = []
    for verdict, p in zip(verdicts, corrected([verdict.p for verdict in verdicts]), strict=True):
        state = verdict.state
        if verdict.tested is not None and p < level:
            state = HOLDS if verdict.tested.right else CONTRADICTED
        found.append(replace(verdict, state=state, corrected=p, level=level))
    return found


def _seeds(measured: Measured) -> tuple[int, ...]:
    if measured.above:
        return tuple(sorted({seed for part in measured.above for seed in part}))
    return tuple(sorted({result.seed for entry in measured.entries for result in entry.results}))


class _Decorator(Protocol):
    def __call__(self, check: Check) -> Claim: ...


def claim(key: str, text: str, *, rule: str, source: str, paper: str, run: str) -> _Decorator:
    """Make a claim of the function that measures it; the arguments are those of :class:`Claim`."""
    return lambda check: Claim(key, text, rule, source, paper, run, check)

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
from reports.paired import LEVEL, Difference, Every, corrected, left, stated
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
        exact: of an exact claim, whether it is so. Without this and differences the claim stays undecided, as where a
            measurement is less sure than what it is to tell.
        part: how many of the cells that the claim is about were measured, and how many there are; None where it is
            about no cells. Where some are missing it can be contradicted, and does not hold yet.
    """

    figures: str
    entries: Sequence[Entry] = ()
    above: Sequence[BySeed] = ()
    exact: bool | None = None
    part: tuple[int, int] | None = None

    @property
    def lacks(self) -> int:
        """How many cells are missing."""
        return self.part[1] - self.part[0] if self.part else 0

    @property
    def words(self) -> str:
        """Our figures, and how many of the cells they are where some are missing."""
        return (
            f"{self.figures}; measured in {self.part[0]} of {self.part[1]}"
            if self.part and self.lacks
            else self.figures
        )


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
            return Verdict(self, UNMEASURED, f"measure it with: {evidence.reproduce([self.run])}")
        entries = tuple(measured.entries)
        found = Verdict(self, UNDECIDED, measured.words, entries, _seeds(measured), lacks=measured.lacks)
        if entries and evidence.preset == SMOKE:
            return replace(found, state=UNJUDGED)
        if measured.exact is not None:
            return replace(found, state=found.outcome(measured.exact))
        if not measured.above:
            return found
        tested = Every([Difference(np.array(list(part.values()), dtype=float)) for part in measured.above])
        return replace(found, tested=tested)


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
        left: the p below which this claim would be decided, the others as they are.
        lacks: how many of the cells that the claim is about were not measured.
    """

    claim: Claim
    state: str
    measured: str
    entries: tuple[Entry, ...] = ()
    seeds: tuple[int, ...] = ()
    tested: Every | None = None
    corrected: float = math.nan
    level: float = LEVEL
    left: float = LEVEL
    lacks: int = 0

    def outcome(self, right: bool) -> str:
        """What becomes of the claim once it is told right or wrong: what lacks cells may still fail in these."""
        return CONTRADICTED if not right else UNDECIDED if self.lacks else HOLDS

    @property
    def waits(self) -> bool:
        """Whether all that was measured is decided and right, so that only missing cells leave the claim undecided."""
        told = self.tested is None or self.corrected < self.level
        return self.state == UNDECIDED and self.lacks > 0 and told

    @property
    def p(self) -> float:
        """p before the correction; nan where nothing was tested, or there is one seed alone."""
        return self.tested.p if self.tested else math.nan

    @property
    def taken_back(self) -> bool:
        """Whether it would be decided if it were the only claim."""
        alone = self.tested is not None and self.outcome(self.tested.right) != UNDECIDED
        return self.state == UNDECIDED and alone and self.p < self.level <= self.corrected

    @property
    def needed(self) -> str:
        """How many seeds would decide an undecided claim, in words; a dash for any other.

        It is asked for at the level that the correction leaves to this claim, as the others stand. Where cells are
        missing, no number of seeds can tell it right without them.
        """
        if self.waits:
            return "none; the missing runs"
        if self.state != UNDECIDED or self.tested is None:
            return NOTHING
        needed, withheld = self.tested.needed(self.left), self.outcome(self.tested.right) == UNDECIDED
        return stated(needed) + (" and the missing runs" if withheld and needed is not None else "")


def together(verdicts: Sequence[Verdict], level: float = LEVEL) -> list[Verdict]:
    """The verdicts of claims that are judged together: p is corrected for their number by the false discovery rate.

    Args:
        verdicts: of all claims, each by itself; those that were not tested stay as they are.
        level: p from which on a claim is undecided.
    """
    found = []
    values = [verdict.p for verdict in verdicts]
    for place, (verdict, p) in enumerate(zip(verdicts, corrected(values), strict=True)):
        state = verdict.state
        if verdict.tested is not None and p < level:
            state = verdict.outcome(verdict.tested.right)
        found.append(replace(verdict, state=state, corrected=p, level=level, left=left(values, place, level)))
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

"""What a claim of the paper is, and what can become of it: it holds, does not hold, was not measured, or not judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from reports.groups import Entry
from reports.paper.evidence import Evidence
from reports.results import SMOKE

HOLDS, FAILS, UNMEASURED = "holds", "does not hold", "not measured"

UNJUDGED = "not judged"
"""What was measured on runs of the preset SMOKE, whose figures mean nothing."""

EQUAL = 0.005
"""dB; two PSNRs that are nearer are printed alike, and neither is called better."""


@dataclass(frozen=True)
class Measured:
    """What the evidence says of a claim.

    Args:
        holds: whether the claim holds.
        figures: our figures in words.
        entries: the runs that they come from; none for a claim that is not about runs.
    """

    holds: bool
    figures: str
    entries: Sequence[Entry] = ()


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
        """What becomes of it; runs of the preset SMOKE judge no claim."""
        measured = self.check(evidence)
        if measured is None:
            return Verdict(self, UNMEASURED, f"measure it with: reproduce {self.run}", ())
        seeds = sorted({result.seed for entry in measured.entries for result in entry.results})
        state = HOLDS if measured.holds else FAILS
        if measured.entries and evidence.preset == SMOKE:
            state = UNJUDGED
        return Verdict(self, state, measured.figures, tuple(seeds))


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Args:
        claim: what was claimed.
        state: HOLDS, FAILS, UNMEASURED or UNJUDGED.
        measured: our figures in words; for what was not measured, how to measure it.
        seeds: the seeds behind the figures.
    """

    claim: Claim
    state: str
    measured: str
    seeds: tuple[int, ...]


class _Decorator(Protocol):
    def __call__(self, check: Check) -> Claim: ...


def claim(key: str, text: str, *, rule: str, source: str, paper: str, run: str) -> _Decorator:
    """Make a claim of the function that measures it; the arguments are those of :class:`Claim`."""
    return lambda check: Claim(key, text, rule, source, paper, run, check)

"""The paper's claims, each one decorated function of the evidence; here in the paper's order."""

from collections.abc import Sequence

from reports.paper.claims import methods, sharing, variations
from reports.paper.claims.claim import FAILS, HOLDS, UNJUDGED, UNMEASURED, Claim, Verdict
from reports.paper.evidence import Evidence

__all__ = ["CLAIMS", "FAILS", "HOLDS", "UNJUDGED", "UNMEASURED", "Claim", "Verdict", "judge"]

CLAIMS: Sequence[Claim] = tuple(
    one for theme in (sharing, methods, variations) for one in vars(theme).values() if isinstance(one, Claim)
)
"""Every claim, in the order of the files and of the functions in them."""


def judge(evidence: Evidence) -> list[Verdict]:
    """What becomes of every claim."""
    return [one.judge(evidence) for one in CLAIMS]

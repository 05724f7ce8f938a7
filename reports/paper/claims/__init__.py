"""The paper's claims, each one decorated function of the evidence; here in the paper's order."""

from collections.abc import Sequence

from reports.paired import LEVEL
from reports.paper.claims import methods, sharing, variations
from reports.paper.claims.claim import (
    CONTRADICTED,
    HOLDS,
    UNDECIDED,
    UNJUDGED,
    UNMEASURED,
    Claim,
    Verdict,
    together,
)
from reports.paper.evidence import Evidence

__all__ = ["CLAIMS", "CONTRADICTED", "HOLDS", "UNDECIDED", "UNJUDGED", "UNMEASURED", "Claim", "Verdict", "judge"]

CLAIMS: Sequence[Claim] = tuple(
    one for theme in (sharing, methods, variations) for one in vars(theme).values() if isinstance(one, Claim)
)
"""Every claim, in the order of the files and of the functions in them."""


def judge(evidence: Evidence, level: float = LEVEL) -> list[Verdict]:
    """What becomes of every claim.

    Args:
        evidence: the runs.
        level: p from which on a claim is undecided, after correction for the number of claims.
    """
    return together([one.judge(evidence) for one in CLAIMS], level)

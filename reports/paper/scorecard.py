"""The scorecard as a table: what became of the paper's claims."""

from collections.abc import Sequence

import pandas as pd

from benchmark.core.tables import TEXT, Column, Schema
from reports.paper.claims import Verdict
from reports.paper.evidence import Evidence

COLUMNS = Schema(
    (
        Column("claim", TEXT, "the claim, with the rule by which it is judged"),
        Column("verdict", TEXT, "HOLDS, FAILS, UNMEASURED or UNJUDGED"),
        Column("measured", TEXT, "our figures in words"),
        Column("paper", TEXT, "the paper's own figures"),
        Column("source", TEXT, "where the paper makes it"),
        Column("preset", TEXT, "the preset's name"),
        Column("images", TEXT, "the sources of the test images"),
        Column("seeds", TEXT, "the seeds, with blanks between"),
        Column("key", TEXT, "the claim's short name"),
    )
)
"""``scorecard.csv``: one row per evidence and claim."""


def frame(scored: Sequence[tuple[Evidence, Sequence[Verdict]]]) -> pd.DataFrame:
    """One row per evidence and claim."""
    rows = []
    for evidence, verdicts in scored:
        images = sorted({str(source.test) for result in evidence.results for source in result.sources})
        for verdict in verdicts:
            claim = verdict.claim
            about = [claim.source, evidence.preset, ", ".join(images), " ".join(str(seed) for seed in verdict.seeds)]
            values = [claim.text, verdict.state, verdict.measured, claim.paper, *about, claim.key]
            rows.append(dict(zip(COLUMNS.names, values, strict=True)))
    return COLUMNS.frame_of(rows)

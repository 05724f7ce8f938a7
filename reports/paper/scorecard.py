"""The scorecard as a table: what became of the paper's claims."""

from collections.abc import Sequence

import pandas as pd

from benchmark.core.tables import NUMBER, TEXT, Column, Schema
from reports.items import table
from reports.items.item import Item
from reports.items.table import Cell, Table
from reports.paper.claims import CONTRADICTED, HOLDS, UNJUDGED, UNMEASURED, Verdict
from reports.paper.evidence import Evidence
from reports.results import SMOKE
from reports.text import count, listed

NEEDED = "seeds that would decide it"

COLUMNS = Schema(
    (
        Column("claim", TEXT, "the claim"),
        Column("rule", TEXT, "when it holds"),
        Column("verdict", TEXT, "HOLDS, CONTRADICTED, UNDECIDED, UNMEASURED or UNJUDGED"),
        Column("measured", TEXT, "our figures in words, ± half of the 95 % interval over seeds"),
        Column("paper", TEXT, "the paper's own figures"),
        Column("source", TEXT, "where the paper makes it"),
        Column("preset", TEXT, "the preset's name; with a number where its runs differ in the images or the metrics"),
        Column("images", TEXT, "the sources of the test images"),
        Column("seeds", TEXT, "the seeds, with blanks between"),
        Column(NEEDED, TEXT, "of what is undecided, at the present mean and spread"),
        Column("p", NUMBER, "of the claim by itself; missing where it was not tested", optional=True),
        Column("p corrected", NUMBER, "after correction for the number of claims", optional=True),
        Column("key", TEXT, "the claim's short name"),
    )
)
"""``scorecard.csv``: one row per evidence and claim."""

Scored = Sequence[tuple[Evidence, Sequence[Verdict]]]
"""What became of the claims by each evidence."""


def frame(scored: Scored) -> pd.DataFrame:
    """One row per evidence and claim."""
    rows = []
    for evidence, verdicts in scored:
        images = sorted({str(source.test) for result in evidence.results for source in result.sources})
        for verdict in verdicts:
            claim = verdict.claim
            about = [
                claim.source,
                evidence.title.removeprefix("preset "),
                ", ".join(images),
                " ".join(str(seed) for seed in verdict.seeds),
            ]
            tested = [verdict.needed, verdict.p, verdict.corrected]
            values = [claim.text, claim.rule, verdict.state, verdict.measured, claim.paper, *about, *tested, claim.key]
            rows.append(dict(zip(COLUMNS.names, values, strict=True)))
    return COLUMNS.frame_of(rows)


def item(frame: pd.DataFrame, scored: Scored) -> Item:
    """The scorecard as files beside the page; the table leaves out what was not measured.

    Args:
        frame: that of :func:`frame`.
        scored: the same.
    """
    measured = frame[frame["verdict"] != UNMEASURED]
    names = ["claim", "paper", "measured", "verdict", "seeds", NEEDED]
    names[:0] = ["preset"] if measured["preset"].nunique() > 1 else []
    rows = [[Cell(text, text) for text in row] for row in measured[names].astype(str).itertuples(index=False)]
    heads = {"paper": "in the paper", "measured": "measured here, ± half of the 95 % interval"}
    columns = [table.Column(heads.get(name, name)) for name in names]
    notes = dict.fromkeys(
        (f"{evidence.title[:1].upper()}{evidence.title[1:]}: " if "preset" in names else "") + note(verdicts)
        for evidence, verdicts in scored
        if any(verdict.state != UNMEASURED for verdict in verdicts)
    )
    made = Table("The paper’s claims, checked on these runs", columns, rows, note=" ".join(notes), kind="words")
    return Item("scorecard", table=made if rows else None, data=frame)


def note(verdicts: Sequence[Verdict]) -> str:
    """How the claims were judged, how many of them, and which verdicts the correction for their number took back."""
    tested = [verdict for verdict in verdicts if verdict.p >= 0]
    if any(verdict.state == UNJUDGED for verdict in verdicts):
        return f"No claim is judged: runs of the preset {SMOKE} are too short to tell anything."
    if not tested:
        return "No claim about means was tested: that takes two seeds, three to tell much."
    back = [f"“{verdict.claim.text}”" for verdict in verdicts if verdict.taken_back]
    decided = [verdict for verdict in tested if verdict.state in (HOLDS, CONTRADICTED)]
    return (
        "Intervals are of 95 %, by Student’s t over the paired differences of the seeds. A claim holds where each "
        "interval that it is about lies on its side, and is contradicted where one lies on the other, at the level "
        f"divided by their number. {count(len(tested))} claims were tested together, at a false discovery rate of 5 "
        f"% (Benjamini and Hochberg), and {count(len(decided))} decided; the correction took back "
        f"{listed(back) or 'no verdict'}. The seeds that would decide a claim are the smallest n with t · s / √n < "
        "|mean| at the present mean and paired spread s of each of its intervals, at the level that the correction "
        "leaves to it. Of one interval, about every second time it takes more; a claim about several mostly does. A "
        "claim about many cells can be contradicted by one, and does not hold before all are measured."
    )

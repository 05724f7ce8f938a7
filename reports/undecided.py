"""What runs leave undecided: claims of the paper, and who is behind the best.

Whoever adds seeds until something is decided looks again and again, and each look may be deceived by luck. So more is
asked for before stopping than a report asks for afterwards: p below STOPPING, not below 0.05. Where there is no
difference at all, looking after each of 2 to 10 seeds then stops by luck in 5 of 100 cases; at 0.05 it would in 20.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from reports.groups import Collection, Entry
from reports.paired import stated
from reports.paper.claims import UNDECIDED, judge
from reports.paper.evidence import gather
from reports.tables.marks import behind
from reports.text import fixed

STOPPING = 0.01
"""p, corrected for the number of comparisons, from which on seeds are added."""


@dataclass(frozen=True)
class Open:
    """Something that is not decided.

    Args:
        text: what, with our figures and the seeds that would decide it, on one line.
        runs: directories of the runs that it is about, resolved.
    """

    text: str
    runs: frozenset[Path]


def claims(collection: Collection) -> list[Open]:
    """The claims of the paper that the runs measure and more seeds may decide; of the preset smoke there are none."""
    found = []
    for evidence in gather(collection):
        for verdict in judge(evidence, STOPPING):
            if verdict.state == UNDECIDED and verdict.tested is not None and not verdict.waits:
                text = f"{verdict.claim.text}: {verdict.measured}; seeds that would decide it: {verdict.needed}"
                found.append(Open(text, _directories(verdict.entries)))
    return found


def comparisons(collection: Collection) -> list[Open]:
    """What the runs of each group do not tell apart from the best: of those told the task, and of those not."""
    found = []
    for group in collection.groups:
        for one in behind(group.entries, [entry.told for entry in group.entries], STOPPING):
            if one.p < STOPPING:
                continue
            margin = one.gap.margin(STOPPING)
            gap = f"{fixed(one.gap.mean, sign=True)} dB"
            if margin >= 0:
                half = f"half of a {100 * (1 - STOPPING):g} % interval"
                gap = f"{fixed(one.gap.mean, sign=True)} ± {fixed(margin)} dB ({half})"
            over = f"{group.title}: {one.best.label} over {one.entry.label}: {gap}"
            text = f"{over}; seeds that would decide it: {stated(one.gap.needed(one.left))}"
            found.append(Open(text, _directories([one.best, one.entry])))
    return found


def _directories(entries: Iterable[Entry]) -> frozenset[Path]:
    return frozenset(result.run.path.resolve() for entry in entries for result in entry.results)

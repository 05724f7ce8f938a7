"""What a reader has to know before the figures of a group: where they mean nothing, or little."""

import math
from dataclasses import dataclass

from reports.configurations import configuration
from reports.groups import Entry, Group
from reports.results import SMOKE, mean
from reports.seeds import FEWEST
from reports.text import fixed, listed

MOST_NAMED = 6
"""Entries that a caveat names; of more it tells how many there are."""


@dataclass(frozen=True)
class Caveat:
    """One caveat.

    Args:
        text: in a sentence or two.
        grave: whether the figures mean nothing; else they mean less than they seem to.
    """

    text: str
    grave: bool


def caveats(group: Group) -> list[Caveat]:
    """What there is to say before the figures of a group, the gravest first."""
    found = []
    if group.preset == SMOKE:
        text = (
            "The preset smoke trains just long enough to show that everything runs. These figures tell nothing about "
            "the strategies, and no claim is judged by them."
        )
        found.append(Caveat(text, grave=True))
    degraded = mean(group.input("psnr"))
    scores = {entry.label: float(entry.mean("mean_psnr")) for entry in group.entries}
    below = [label for label, score in scores.items() if round(score, 2) < round(degraded, 2)]
    if below and len(below) == sum(math.isfinite(score) for score in scores.values()):
        text = (
            f"Every strategy ends below the degraded input ({fixed(degraded)} dB in the mean): what went in is better "
            "than what comes out, and what differs between strategies means nothing. Train for longer."
        )
        found.append(Caveat(text, grave=True))
    elif below:
        named = listed(below) if len(below) <= MOST_NAMED else f"{len(below)} of {len(scores)} strategies"
        text = (
            f"In the mean over the tasks {named} {'ends' if len(below) == 1 else 'end'} below the degraded input "
            f"({fixed(degraded)} dB)."
        )
        found.append(Caveat(text, grave=False))
    again = [f"{entry.label}, seed {result.seed}" for entry in group.entries for result in entry.again]
    if again:
        named = listed(again) if len(again) <= MOST_NAMED else f"{len(again)} runs"
        text = f"There more than once, and counted once: {named}. The table of runs has all of them."
        found.append(Caveat(text, grave=False))
    lost = [f"{entry.label}, seed {seed}" for entry in group.entries for seed in _diverged(entry, group)]
    if lost:
        named = listed(lost) if len(lost) <= MOST_NAMED else f"{len(lost)} runs"
        text = (
            f"Diverged, and so in no mean: {named}. Means over the other seeds make a strategy that may diverge look "
            "better than it is."
        )
        found.append(Caveat(text, grave=False))
    few = [entry.label for entry in group.entries if len(entry.results) < FEWEST]
    if few:
        who = "Every strategy" if len(few) == len(scores) else f"{len(few)} of {len(scores)} strategies"
        text = (
            f"{who} ran with fewer than three seeds: part of any difference is luck. One seed tells nothing apart, two "
            "only what is nine times their spread."
        )
        found.append(Caveat(text, grave=False))
    return found


def _diverged(entry: Entry, group: Group) -> list[int]:
    """The seeds in which an entry's configuration diverged and never finished."""
    finished, own = {result.seed for result in entry.results}, configuration(entry.results[0])
    lost = {one.seed for one in group.unfinished if one.state == "diverged" and configuration(one) == own}
    return sorted(lost - finished)

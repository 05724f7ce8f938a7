"""Claims about the sharing of knowledge and the order of the tasks: Table 1, Figure 4, Table 3 and Figure 6."""

import math
from collections.abc import Sequence

import numpy as np

from benchmark.experiments import paper
from reports.groups import Entry
from reports.paper.claims.claim import EQUAL, BySeed, Measured, claim
from reports.paper.claims.pairs import (
    Pair,
    common,
    computed_alike,
    final,
    gains,
    members,
    share,
    shared,
    slope,
    with_and_without,
    words,
)
from reports.paper.control import curve
from reports.paper.evidence import FOUR_TASKS, Evidence
from reports.text import fixed, listed

LATER = range(1, len(FOUR_TASKS))
"""Places of the tasks after the first."""


@claim(
    "sharing-helps",
    "Sharing of knowledge helps every task after the first, at every share of the memory",
    rule="the gain of sharing lies above 0 in every cell: on each of tasks 2 to 4, at every share of the memory "
    "in the table",
    source="section 4.2, Table 1",
    paper="+0.03 to +0.67 dB, better in 15 of 15",
    run="table1",
)
def sharing_helps(evidence: Evidence) -> Measured | None:
    """Gains of tasks 2 to 4 at each share; the claim is about every cell, so each has to be told from 0."""
    found = _at_each_share(evidence)
    if not found:
        return None
    above = [pair.at(place) for pair in found.values() for place in LATER]
    parts = [
        f"{share(fraction)}: {gains(FOUR_TASKS[1:], [pair.at(place) for place in LATER])}"
        for fraction, pair in found.items()
    ]
    better = sum(np.mean(list(cell.values())) > EQUAL for cell in above)
    parts.append(f"better in {better} of {len(above)}")
    return Measured("; ".join(parts), members(found.values()), above, part=(len(above), len(LATER) * len(_shares())))


@claim(
    "more-at-small",
    "It helps more where a task owns less of the memory (gain falls with the share, smallest above largest)",
    rule="the slope of the mean gain on tasks 2 to 4 lies above 0, in dB for each halving of the share, and so "
    "does the gain at the smallest share over that at the largest; takes two shares",
    source="section 4.2, Table 1",
    paper="mean gain 20 %: +0.08, 10 %: +0.19, 5 %: +0.25, 2.5 %: +0.48, 1.25 %: +0.40 dB",
    run="table1",
)
def more_at_small(evidence: Evidence) -> Measured | None:
    """The mean gain of tasks 2 to 4 against the share; the claim is about a trend, so each seed has one."""
    found = _at_each_share(evidence)
    mean = shared({fraction: pair.at(*LATER) for fraction, pair in found.items()})
    rise = slope({-math.log2(fraction): values for fraction, values in mean.items()}) if len(mean) > 1 else {}
    if not rise:
        return None
    figures = ", ".join(f"{share(fraction)}: {words(values)} dB" for fraction, values in mean.items())
    large, small = mean[max(mean)], mean[min(mean)]
    ends = {seed: small[seed] - large[seed] for seed in rise}
    return Measured(
        f"mean gain on tasks 2 to 4 at {figures}; for each halving of the share {words(rise, digits=3)} dB, "
        f"{share(min(mean))} over {share(max(mean))} {words(ends)} dB",
        members(found.values()),
        [rise, ends] if len(mean) > 2 else [rise],  # of two shares, both say the same
    )


@claim(
    "first-epoch",
    "With sharing the first epoch of the last task starts higher, and more so at 1.25 % than at 5 %",
    rule="the gap in validation PSNR after epoch 1 of the last task, with sharing over without, lies above 0 at 5 "
    "%, and what it is more at 1.25 % does, too",
    source="section 4.2, Figure 4",
    paper="about +3.5 dB at 5 %, +6 dB at 1.25 %",
    run="figure4",
)
def first_epoch(evidence: Evidence) -> Measured | None:
    """The gap after the first epoch of the last task at the figure's two shares, and by how much the two differ."""
    gaps: dict[float, BySeed] = {}
    pairs = []
    for fraction in paper.load("figure4").vary["cmc.fraction"]:
        pair = with_and_without(evidence, fraction)
        if pair is None:
            return None
        one, other = (_first_epoch(entry) for entry in (pair.one, pair.other))
        gaps[fraction] = {seed: one[seed] - other[seed] for seed in common([one, other])}
        pairs.append(pair)
    gaps = shared(gaps)
    large, small = gaps[max(gaps)], gaps[min(gaps)]
    more = {seed: small[seed] - large[seed] for seed in large}
    if not more:
        return None
    figures = ", ".join(f"{share(fraction)}: {words(gap)} dB" for fraction, gap in gaps.items())
    figures += f"; more at {share(min(gaps))} by {words(more)} dB"
    return Measured(f"gap after the first epoch of {FOUR_TASKS[-1]}, at {figures}", members(pairs), [large, more])


@claim(
    "later-is-better",
    "A task does better the later it is learned (PSNR rises with the place, for each task)",
    rule="the slope of PSNR over the place lies above 0 for each of the four tasks, in dB for each place",
    source="section 4.4.2, Table 3 and Figure 6",
    paper="derain 29.19 / 29.69 / 30.02 / 29.95; denoise 26.10 / 26.49 / 26.61 / 26.66; deblock 30.21 / 30.29 / "
    "30.42 / 30.46; deblur 27.92 / 28.35 / 28.52 / 28.52",
    run="figure6",
)
def later_is_better(evidence: Evidence) -> Measured | None:
    """The final PSNR of each task at its four places, and each seed's slope; the claim is about each of the tasks."""
    table = paper.load("table3")
    found = [evidence.entry(one) for one in table.combinations()]
    entries = [entry for entry in found if entry is not None]
    if len(entries) < len(found):
        return None
    parts, rises = [], []
    for task in FOUR_TASKS:
        at = shared(
            {
                float(order.index(task) + 1): final(entry, order.index(task))
                for order, entry in zip(paper.orders(table), entries, strict=True)
            }
        )
        rises.append(slope(at))
        if not rises[-1]:
            return None
        values = [fixed(float(np.mean(list(at[place].values())))) for place in sorted(at)]
        parts.append(f"{task} {' / '.join(values)} ({words(rises[-1], digits=3)} dB for each place)")
    return Measured(f"PSNR at place 1 / 2 / 3 / 4: {'; '.join(parts)}", entries, rises)


@claim(
    "first-is-equal",
    "The first task is equal with and without sharing",
    rule="no difference of 0.005 dB or more with and without sharing, at every share, in every seed of which both runs "
    "were made on one kind of machine (exact)",
    source="section 4.2, Table 1",
    paper="equal at every share",
    run="table1",
)
def first_is_equal(evidence: Evidence) -> Measured | None:
    """The largest difference on the first task.

    Exact: the first task has nothing to share, so that two runs of one seed compute the same there. No interval is
    asked for, and one pair of runs that differs is against it. Only of runs on one kind of machine: on another one the
    same run, too, ends elsewhere.
    """
    measured = _at_each_share(evidence)
    found = {fraction: pair for fraction, both in measured.items() if (pair := computed_alike(both))}
    if not found:
        return None
    apart = sum(len(pair.gains) for pair in measured.values()) - sum(len(pair.gains) for pair in found.values())
    largest = max(abs(gain) for pair in found.values() for gain in pair.at(0).values())
    at = listed([share(fraction) for fraction in found])
    figures = f"largest difference on the first task {fixed(largest, 3)} dB, at {at} of the memory"
    if apart:
        figures += f"; {apart} pair{'s' if apart > 1 else ''} of two kinds of machine left out"
    return Measured(figures, members(found.values()), exact=largest < EQUAL, part=(len(found), len(_shares())))


def _at_each_share(evidence: Evidence) -> dict[float, Pair]:
    """With sharing and without, at every share of the memory of Table 1 at which both were run, largest first."""
    return {fraction: pair for fraction in _shares() if (pair := with_and_without(evidence, fraction))}


def _shares() -> Sequence[float]:
    return paper.load("table1").vary["cmc.fraction"]


def _first_epoch(entry: Entry) -> dict[int, float]:
    """Validation PSNR of the last task after its first epoch, by seed."""
    return {result.seed: float(psnr[0]) for result in entry.results if len(psnr := curve(result))}

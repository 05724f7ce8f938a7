"""Claims about the sharing of knowledge and the order of the tasks: Table 1, Figure 4, Table 3 and Figure 6."""

import numpy as np

from benchmark.experiments import paper
from reports.groups import Entry
from reports.paper.claims.claim import EQUAL, Measured, claim
from reports.paper.claims.pairs import Pair, gains, members, p_value, rank_correlation, share, with_and_without
from reports.paper.evidence import FOUR_TASKS, Evidence
from reports.text import fixed


@claim(
    "sharing-helps",
    "Sharing of knowledge helps every task after the first, at every share of the memory",
    rule="better with sharing on tasks 2 to 4, at every share of the memory that was run",
    source="section 4.2, Table 1",
    paper="+0.03 to +0.67 dB, better in 15 of 15",
    run="table1",
)
def sharing_helps(evidence: Evidence) -> Measured | None:
    """Gains of tasks 2 to 4 at each share."""
    found = _at_each_share(evidence)
    if not found:
        return None
    later = np.array([pair.mean[1:] for pair in found.values()])
    parts = [
        f"{share(fraction)}: {gains(FOUR_TASKS[1:], pair.mean[1:])}{p_value(pair.gains[:, 1:].mean(axis=1))}"
        for fraction, pair in found.items()
    ]
    parts.append(f"better in {int((later > EQUAL).sum())} of {later.size}")
    return Measured(bool((later > EQUAL).all()), "; ".join(parts), members(found.values()))


@claim(
    "more-at-small",
    "It helps more where a task owns less of the memory (gain falls with the share, smallest above largest)",
    rule="the mean gain at the smallest share is above that at the largest, and falls with the share (rank correlation "
    "< 0); takes two shares",
    source="section 4.2, Table 1",
    paper="mean gain 20 %: +0.08, 10 %: +0.19, 5 %: +0.25, 2.5 %: +0.48, 1.25 %: +0.40 dB",
    run="table1",
)
def more_at_small(evidence: Evidence) -> Measured | None:
    """The mean gain of tasks 2 to 4 against the share."""
    found = _at_each_share(evidence)
    if len(found) < 2:
        return None
    mean = {fraction: float(pair.mean[1:].mean()) for fraction, pair in found.items()}
    values = list(mean.values())
    trend = rank_correlation(list(mean), values)
    figures = ", ".join(f"{share(fraction)}: {fixed(gain, sign=True)} dB" for fraction, gain in mean.items())
    return Measured(
        values[-1] > values[0] and trend < 0,
        f"mean gain on tasks 2 to 4 at {figures}; rank correlation {fixed(trend, sign=True)}",
        members(found.values()),
    )


@claim(
    "first-epoch",
    "With sharing the first epoch of the last task starts higher, and more so at 1.25 % than at 5 %",
    rule="validation PSNR after epoch 1 of the last task is above that without sharing at 5 %, and by more at 1.25 %",
    source="section 4.2, Figure 4",
    paper="about +3.5 dB at 5 %, +6 dB at 1.25 %",
    run="figure4",
)
def first_epoch(evidence: Evidence) -> Measured | None:
    """The gap after the first epoch of the last task, at the figure's two shares."""
    gaps: dict[float, float] = {}
    pairs = []
    for fraction in paper.load("figure4").vary["cmc.fraction"]:
        pair = with_and_without(evidence, fraction)
        if pair is None:
            return None
        one, other = (_epoch(entry, FOUR_TASKS[-1], 1) for entry in (pair.one, pair.other))
        common = sorted(set(one) & set(other))
        if not common:
            return None
        gaps[fraction] = float(np.mean([one[seed] - other[seed] for seed in common]))
        pairs.append(pair)
    figures = ", ".join(f"{share(fraction)}: {fixed(gap, sign=True)} dB" for fraction, gap in gaps.items())
    holds = gaps[min(gaps)] > gaps[max(gaps)] > 0
    return Measured(holds, f"gap after the first epoch of {FOUR_TASKS[-1]}, at {figures}", members(pairs))


@claim(
    "later-is-better",
    "A task does better the later it is learned (PSNR rises with the place, for each task)",
    rule="PSNR rises with the place for each of the four tasks (rank correlation > 0)",
    source="section 4.4.2, Table 3 and Figure 6",
    paper="derain 29.19 / 29.69 / 30.02 / 29.95; denoise 26.10 / 26.49 / 26.61 / 26.66; deblock 30.21 / 30.29 / "
    "30.42 / 30.46; deblur 27.92 / 28.35 / 28.52 / 28.52",
    run="figure6",
)
def later_is_better(evidence: Evidence) -> Measured | None:
    """The final PSNR of each task at its four places."""
    table = paper.load("table3")
    found = [evidence.entry(one) for one in table.combinations()]
    entries = [entry for entry in found if entry is not None]
    if len(entries) < len(found):
        return None
    parts, trends = [], []
    for task in FOUR_TASKS:
        at = {
            order.index(task) + 1: float(entry.mean("final_psnr")[order.index(task)])
            for order, entry in zip(paper.orders(table), entries, strict=True)
        }
        values = [at[place] for place in sorted(at)]
        trends.append(rank_correlation(sorted(at), values))
        parts.append(f"{task} {' / '.join(fixed(value) for value in values)}")
    rising = sum(trend > 0 for trend in trends)
    figures = f"PSNR at place 1 / 2 / 3 / 4: {'; '.join(parts)}; {rising} of {len(trends)} tasks rise with the place"
    return Measured(rising == len(trends), figures, entries)


@claim(
    "first-is-equal",
    "The first task is equal with and without sharing",
    rule="no difference with and without sharing, at every share, in every seed",
    source="section 4.2, Table 1",
    paper="equal at every share",
    run="table1",
)
def first_is_equal(evidence: Evidence) -> Measured | None:
    """The largest difference on the first task."""
    found = _at_each_share(evidence)
    if not found:
        return None
    largest = max(float(np.abs(pair.gains[:, 0]).max()) for pair in found.values())
    figures = f"largest difference on the first task {fixed(largest, 3)} dB, over {len(found)} shares of the memory"
    return Measured(largest < EQUAL, figures, members(found.values()))


def _at_each_share(evidence: Evidence) -> dict[float, Pair]:
    """With sharing and without, at every share of the memory of Table 1 at which both were run, largest first."""
    shares = paper.load("table1").vary["cmc.fraction"]
    return {fraction: pair for fraction in shares if (pair := with_and_without(evidence, fraction))}


def _epoch(entry: Entry, task: str, epoch: int) -> dict[int, float]:
    """Validation PSNR of a task after an epoch of its own training, by seed."""
    found = {}
    for result in entry.results:
        curves = result.run.curves
        place = list(result.config["order"]).index(task) + 1
        rows = curves[(curves["place"] == place) & (curves["after"] == place) & (curves["epoch"] == epoch)]
        if len(rows):
            found[result.seed] = float(rows["psnr"].iloc[0])
    return found

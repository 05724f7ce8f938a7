"""Claims about another stream, larger layers, other networks, and what a layer costs: Tables 4 to 7."""

from benchmark.experiments import paper
from reports.paper.claims.claim import Measured, claim
from reports.paper.claims.pairs import compared, gains, members, with_and_without
from reports.paper.evidence import FOUR_TASKS, NOISE_LEVELS, Evidence
from reports.text import fixed

PLAIN = ("3×3 kernel", "1 layer")
"""Variants of the layer that are the plain convolution."""


@claim(
    "noise-levels",
    "Harder noise levels and real noise profit from easier ones",
    rule="the gain of sharing lies above 0 on every level but the first",
    source="section 4.4.3, Table 4",
    paper="noise20 +0.31, noise30 +0.79, noise40 +0.70, real noise +0.73 dB",
    run="table4",
)
def noise_levels(evidence: Evidence) -> Measured | None:
    """Gains of sharing on each level; the claim is about each but the first."""
    table = paper.load("table4")
    pair = with_and_without(evidence, table.set["cmc.fraction"], stream=table.streams[0])
    if pair is None:
        return None
    levels = [pair.at(place) for place in range(len(NOISE_LEVELS))]
    return Measured(f"with sharing over without: {gains(NOISE_LEVELS, levels)}", members([pair]), levels[1:])


@claim(
    "larger-ends",
    "A larger memory in the first and the last layer helps every task",
    rule="the gain of CMC-10 in the first and last layer lies above 0 on each of the four tasks",
    source="section 4.4.4, Table 5",
    paper="derain +0.32, denoise +0.16, deblock +0.09, deblur +0.59 dB",
    run="table5",
)
def larger_ends(evidence: Evidence) -> Measured | None:
    """Gains of CMC-10 at both ends; the claim is about each task."""
    without, expanded = (evidence.entry(one) for one in paper.load("table5").combinations())
    pair = compared(expanded, without)
    if pair is None:
        return None
    tasks = [pair.at(place) for place in range(len(FOUR_TASKS))]
    return Measured(
        f"CMC-10 in the first and last layer over CMC-5: {gains(FOUR_TASKS, tasks)}", members([pair]), tasks
    )


@claim(
    "other-networks",
    "Sharing helps in other networks, too: residual dense and dense",
    rule="the gain of sharing lies above 0 on each of tasks 2 to 4, in each of the two networks",
    source="section 4.4.6, Table 7",
    paper="rdn: denoise +0.11, deblock +0.18, deblur +0.53 dB; dense: denoise +0.41, deblock +0.20, deblur +0.70 dB",
    run="table7",
)
def other_networks(evidence: Evidence) -> Measured | None:
    """Gains of sharing on tasks 2 to 4 in each network; the claim is about every cell."""
    table = paper.load("table7")
    pairs = {
        name: pair
        for name in table.vary["backbone.name"]
        if (pair := with_and_without(evidence, table.set["cmc.fraction"], backbone=name))
    }
    if not pairs:
        return None
    cells = {name: [pair.at(place) for place in range(1, len(FOUR_TASKS))] for name, pair in pairs.items()}
    figures = "; ".join(f"{name}: {gains(FOUR_TASKS[1:], values)}" for name, values in cells.items())
    above = [cell for values in cells.values() for cell in values]
    cells_of_all = (len(FOUR_TASKS) - 1) * len(table.vary["backbone.name"])
    return Measured(figures, members(pairs.values()), above, part=(len(above), cells_of_all))


@claim(
    "layer-cost",
    "CMC-20 costs under 2 % more time than CMC-5, while four times the parameters as a larger kernel or as more layers "
    "cost about four times the time (at least three times)",
    rule="CMC-20 takes less than 2 % more time than CMC-5; a 6×6 kernel and four layers at least three times that of "
    "one 3×3; each by more than equal layers differ in the same measurement, which has no seeds",
    source="section 4.4.5, Table 6",
    paper="CMC-20 +1.5 %; a 6×6 kernel 4.8 times, four layers 3.9 times",
    run="table6",
)
def layer_cost(evidence: Evidence) -> Measured | None:
    """The time of each way to have four times the parameters, as a multiple of the way's first.

    It is of times, not of runs, and has no seeds. How sure the times are is seen in the plain convolution, which is
    timed three times as three layers of its own: what these differ by is taken off each margin, and a figure that is
    nearer to its bound decides nothing.
    """
    times = {row.variant: row.base_ratio for row in evidence.layer}
    if not {"CMC-20", "6×6 kernel", "4 layers"} <= set(times):
        return None
    cmc, kernel, layers = times["CMC-20"], times["6×6 kernel"], times["4 layers"]
    base = evidence.layer[0]
    noise = max((abs(row.ratio - 1) for row in evidence.layer if row.variant in PLAIN), default=0.0)
    figures = (
        f"CMC-20 takes {fixed(100 * abs(cmc - 1), 1)} % {'more' if cmc >= 1 else 'less'} time than CMC-5, a 6×6 kernel "
        f"{fixed(kernel, 1)} times that of 3×3, four layers {fixed(layers, 1)} times that of one ({base.device}, "
        f"{base.size}×{base.size}); equal layers differ by {fixed(100 * noise, 1)} %"
    )
    least = min(kernel, layers)
    right = cmc + noise < 1.02 and least * (1 - noise) >= 3
    wrong = cmc - noise >= 1.02 or least * (1 + noise) < 3
    return Measured(figures, exact=right if right or wrong else None)

"""The paper's claims, checked on the results at hand: each holds, does not hold, or was not measured."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.core.runs.layer_table import Row
from benchmark.core.tables import TEXT, Column, Schema
from reports.groups import Entry
from reports.paper.evidence import DEFAULTS, FOUR_TASKS, NOISE_LEVELS, Family
from reports.paper.tables import EXPERIMENTS
from reports.results import Array
from reports.seeds import paired, significance
from reports.text import count, fixed, listed

HOLDS, FAILS, UNMEASURED = "holds", "does not hold", "not measured"

FRACTIONS = (0.2, 0.1, 0.05, 0.025, 0.0125)
"""Shares of the memory in Table 1, largest first."""

EQUAL = 0.005
"""dB; two PSNRs that are nearer are printed alike, and neither is called better."""

COLUMNS = Schema(
    (
        Column("claim", TEXT, "the claim, with the rule by which it is judged"),
        Column("verdict", TEXT, "HOLDS, FAILS or UNMEASURED"),
        Column("measured", TEXT, "our figures in words"),
        Column("paper", TEXT, "the paper's own figures"),
        Column("source", TEXT, "where the paper makes it"),
        Column("preset", TEXT, "the preset's name"),
        Column("images", TEXT, "the sources of the test images"),
        Column("seeds", TEXT, "the seeds, with blanks between"),
        Column("key", TEXT, "the claim's short name"),
    )
)
"""``scorecard.csv``: one row per family and claim."""

Finding = tuple[bool | None, str, Sequence[Entry]]
"""Whether a claim holds (None where it was not measured), the figures in words, and the runs they come from."""

MISSING: Finding = (None, "", ())


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Args:
        key: a short name.
        text: the claim, with the rule by which it is judged.
        source: where the paper makes it.
        paper: the paper's own figures.
        check: the figures of a family.
        run: what to run to have it measured.
    """

    key: str
    text: str
    source: str
    paper: str
    check: Callable[[Family], Finding]
    run: str


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Args:
        claim: what was claimed.
        state: HOLDS, FAILS or UNMEASURED.
        measured: our figures in words; for what was not measured, how to measure it.
        seeds: the seeds behind the figures.
    """

    claim: Claim
    state: str
    measured: str
    seeds: tuple[int, ...]


def judge(family: Family) -> list[Verdict]:
    """Every claim about runs, checked on a family."""
    return [_verdict(claim, claim.check(family)) for claim in CLAIMS]


def judge_layer(rows: Sequence[Row]) -> Verdict:
    """The claim about the cost of a layer, checked on its measurement; without rows it was not measured."""
    cmc, kernel, layers = (
        next((row.base_ratio for row in rows if row.variant == name), np.nan)
        for name in ("CMC-20", "6×6 kernel", "4 layers")
    )
    if np.isnan([cmc, kernel, layers]).any():
        return Verdict(_LAYER, UNMEASURED, f"measure it with: {_LAYER.run}", ())
    holds = cmc < 1.02 and min(kernel, layers) >= 3
    base = rows[0]
    measured = (
        f"CMC-20 takes {fixed(100 * abs(cmc - 1), 1)} % {'more' if cmc >= 1 else 'less'} time than CMC-5, a 6×6 kernel "
        f"{fixed(kernel, 1)} times that of 3×3, four layers {fixed(layers, 1)} times that of one ({base.device}, "
        f"{base.size}×{base.size})"
    )
    return Verdict(_LAYER, HOLDS if holds else FAILS, measured, ())


def frame(scored: Sequence[tuple[Family, Sequence[Verdict]]]) -> pd.DataFrame:
    """One row per family and claim."""
    rows = []
    for family, verdicts in scored:
        images = sorted({str(source.test) for result in family.results for source in result.sources})
        for verdict in verdicts:
            claim = verdict.claim
            about = [claim.source, family.preset, ", ".join(images), " ".join(str(seed) for seed in verdict.seeds)]
            values = [claim.text, verdict.state, verdict.measured, claim.paper, *about, claim.key]
            rows.append(dict(zip(COLUMNS.names, values, strict=True)))
    return COLUMNS.frame_of(rows)


def _verdict(claim: Claim, finding: Finding) -> Verdict:
    holds, measured, entries = finding
    if holds is None:
        return Verdict(claim, UNMEASURED, f"measure it with: {claim.run}", ())
    seeds = tuple(sorted({result.seed for entry in entries for result in entry.results}))
    return Verdict(claim, HOLDS if holds else FAILS, measured, seeds)


Pair = tuple[Entry, Entry, Array]
"""Two configurations, and the first's final PSNR over the second's in dB, (S, T) over their common seeds."""


def _compared(one: Entry | None, other: Entry | None) -> Pair | None:
    """Two configurations as a pair; None if one is missing or they have no seed in common."""
    if one is None or other is None:
        return None
    gains = paired(one, other, "final_psnr")
    return (one, other, gains) if len(gains) else None


def _shared(family: Family, fraction: float, **where: str) -> Pair | None:
    """CMC with sharing, and without."""
    return _compared(*(family.find(fraction=fraction, sharing=sharing, **where) for sharing in ("fixed", "none")))


def _at_each_share(family: Family) -> dict[float, Pair]:
    """With sharing and without, at every share of the memory at which both were run, largest first."""
    return {fraction: pair for fraction in FRACTIONS if (pair := _shared(family, fraction))}


def _sharing_helps(family: Family) -> Finding:
    found = _at_each_share(family)
    if not found:
        return MISSING
    gains = np.array([pair[2].mean(axis=0)[1:] for pair in found.values()])
    parts = [
        f"{_share(fraction)}: {_gains(FOUR_TASKS[1:], pair[2].mean(axis=0)[1:])}{_p(pair[2][:, 1:].mean(axis=1))}"
        for fraction, pair in found.items()
    ]
    parts.append(f"better in {int((gains > EQUAL).sum())} of {gains.size}")
    return bool((gains > EQUAL).all()), "; ".join(parts), _members(found.values())


def _more_at_small(family: Family) -> Finding:
    found = _at_each_share(family)
    if len(found) < 2:
        return MISSING
    gains = {fraction: float(pair[2].mean(axis=0)[1:].mean()) for fraction, pair in found.items()}
    values = list(gains.values())
    trend = _rank_correlation(list(gains), values)
    figures = ", ".join(f"{_share(fraction)}: {fixed(gain, sign=True)} dB" for fraction, gain in gains.items())
    holds = values[-1] > values[0] and trend < 0
    return (
        holds,
        f"mean gain on tasks 2 to 4 at {figures}; rank correlation {fixed(trend, sign=True)}",
        _members(found.values()),
    )


def _first_epoch(family: Family) -> Finding:
    gaps: dict[float, float] = {}
    entries: list[Entry] = []
    for fraction in (0.05, 0.0125):
        pair = _shared(family, fraction)
        if pair is None:
            return MISSING
        one, other = (_epoch(entry, FOUR_TASKS[-1], 1) for entry in pair[:2])
        common = sorted(set(one) & set(other))
        if not common:
            return MISSING
        gaps[fraction] = float(np.mean([one[seed] - other[seed] for seed in common]))
        entries += pair[:2]
    figures = ", ".join(f"{_share(fraction)}: {fixed(gap, sign=True)} dB" for fraction, gap in gaps.items())
    return gaps[0.0125] > gaps[0.05] > 0, f"gap after the first epoch of deblur, at {figures}", entries


def _later_is_better(family: Family) -> Finding:
    found = [family.find(order=order, fraction=0.0125, sharing="fixed") for order in EXPERIMENTS]
    entries = [entry for entry in found if entry is not None]
    if len(entries) < len(EXPERIMENTS):
        return MISSING
    parts, trends = [], []
    for task in FOUR_TASKS:
        at = {
            order.index(task) + 1: float(entry.mean("final_psnr")[order.index(task)])
            for order, entry in zip(EXPERIMENTS, entries, strict=True)
        }
        values = [at[place] for place in sorted(at)]
        trends.append(_rank_correlation(sorted(at), values))
        parts.append(f"{task} {' / '.join(fixed(value) for value in values)}")
    rising = sum(trend > 0 for trend in trends)
    text = f"PSNR at place 1 / 2 / 3 / 4: {'; '.join(parts)}; {rising} of {len(trends)} tasks rise with the place"
    return rising == len(trends), text, entries


def _first_is_equal(family: Family) -> Finding:
    found = _at_each_share(family)
    if not found:
        return MISSING
    largest = max(float(np.abs(pair[2][:, 0]).max()) for pair in found.values())
    text = f"largest difference on the first task {fixed(largest, 3)} dB, over {len(found)} shares of the memory"
    return largest < EQUAL, text, _members(found.values())


def _never_changes(family: Family) -> Finding:
    results = [result for result in family.results if result.strategy == "cmc" and result.changed is not None]
    compared = sum(result.changed[1] for result in results if result.changed)
    if not compared:
        return MISSING
    changed = sum(result.changed[0] for result in results if result.changed)
    runs = f"{len(results)} run{'s' if len(results) > 1 else ''} of CMC"
    text = f"{count(changed)} of {count(compared)} outputs on test images of earlier tasks changed, over {runs}"
    hashed = [result.owned for result in results if result.owned is not None]
    tensors, owned = sum(count for count, _ in hashed), sum(total for _, total in hashed)
    if hashed:
        text += f"; and {count(tensors)} of {count(owned)} tensors on which such outputs depend"
        text += f", in the {len(hashed)} where they were compared" if len(hashed) < len(results) else ""
    return changed == 0 and tensors == 0, text, [Entry("cmc", results)]


def _mas_forgets(family: Family) -> Finding:
    mas = family.find("mas")
    if mas is None:
        return MISSING
    lost = mas.mean("forgetting")[:-1]
    most = FOUR_TASKS[int(np.argmax(lost))]
    text = f"dB lost: {', '.join(f'{task} {fixed(float(v))}' for task, v in zip(FOUR_TASKS, lost, strict=False))}"
    return bool(lost.mean() > EQUAL and most == "derain"), text, [mas]


def _together_fails(family: Family) -> Finding:
    together = family.find("together")
    others = {name: family.find(name) for name in ("cmc", "packnet", "deform", "mas")}
    known = {name: entry for name, entry in others.items() if entry is not None}
    if together is None or not known:
        return MISSING
    place = FOUR_TASKS.index("denoise")
    ours = float(together.mean("final_psnr")[place])
    theirs = {name: float(entry.mean("final_psnr")[place]) for name, entry in known.items()}
    figures = ", ".join(f"{name} {fixed(value)}" for name, value in theirs.items())
    text = f"denoise: together, not told the task, {fixed(ours)} dB; {figures}"
    told = family.find("together_task_id")
    if told:
        text += f"; told the task, together reaches {fixed(float(told.mean('final_psnr')[place]))} dB"
    return ours < min(theirs.values()), text, [together, *known.values()]


def _cmc_leads(family: Family) -> Finding:
    pair = _compared(family.find("cmc"), family.find("packnet"))
    if pair is None:
        return MISSING
    gains = pair[2]
    places = [FOUR_TASKS.index(task) for task in ("derain", "denoise", "deblur")]
    mean = gains.mean(axis=0)
    text = "CMC over PackNet: " + ", ".join(
        f"{task} {fixed(float(mean[place]), sign=True)} dB{_p(gains[:, place])}"
        for place, task in enumerate(FOUR_TASKS)
    )
    return bool((mean[places] > EQUAL).all()), f"{text}{_capacity(*pair[:2])}{_at_equal_size(family)}", pair[:2]


def _capacity(cmc: Entry, packnet: Entry) -> str:
    """What the two train for a task, where their runs say."""
    sizes = {name: float(entry.mean("task_parameters")) for name, entry in (("CMC", cmc), ("PackNet", packnet))}
    if np.isnan(list(sizes.values())).any():
        return ""
    ratio = fixed(sizes["CMC"] / sizes["PackNet"], 1)
    return (
        f"; for a task CMC trains {count(sizes['CMC'])} parameters, {ratio} times PackNet’s {count(sizes['PackNet'])}"
    )


def _at_equal_size(family: Family) -> str:
    """The two where a task of CMC owns as many values of memory as one of PackNet keeps weights, if that was run."""
    packnet, rows = family.find("packnet"), DEFAULTS["cmc"]["t"]
    share = (packnet.results[0].config.get("settings") or {}).get("fraction") if packnet else None
    pair = _compared(family.find(fraction=share / rows), packnet) if isinstance(share, float) else None
    if not pair:
        return ""
    return (
        f"; at equal size (CMC-{rows} with {_share(share / rows)} of its memory{_capacity(*pair[:2])}): "
        f"{_gains(FOUR_TASKS, pair[2].mean(axis=0))}"
    )


def _noise_levels(family: Family) -> Finding:
    pair = _shared(family, 0.2, stream="noise_levels")
    if pair is None:
        return MISSING
    gains = pair[2].mean(axis=0)
    text = f"with sharing over without: {_gains(NOISE_LEVELS, gains)}"
    return bool((gains[1:] > EQUAL).all()), text, pair[:2]


def _larger_ends(family: Family) -> Finding:
    pair = _compared(family.find(fraction=0.0125, t_ends=10), family.find(fraction=0.0125))
    if pair is None:
        return MISSING
    gains = pair[2].mean(axis=0)
    text = f"CMC-10 in the first and last layer over CMC-5: {_gains(FOUR_TASKS, gains)}"
    return bool((gains > EQUAL).all()), text, pair[:2]


def _other_networks(family: Family) -> Finding:
    found = {name: pair for name in ("rdn", "dense") if (pair := _shared(family, 0.0125, backbone=name))}
    if not found:
        return MISSING
    gains = {name: pair[2].mean(axis=0)[1:] for name, pair in found.items()}
    text = "; ".join(f"{name}: {_gains(FOUR_TASKS[1:], gain)}" for name, gain in gains.items())
    return bool(all((gain > EQUAL).all() for gain in gains.values())), text, _members(found.values())


CLAIMS = (
    Claim(
        "sharing-helps",
        "Sharing of knowledge helps every task after the first, at every share of the memory",
        "section 4.2, Table 1",
        "+0.03 to +0.67 dB, better in 15 of 15",
        _sharing_helps,
        "reproduce table1",
    ),
    Claim(
        "more-at-small",
        "It helps more where a task owns less of the memory (gain falls with the share, smallest above largest)",
        "section 4.2, Table 1",
        "mean gain 20 %: +0.08, 10 %: +0.19, 5 %: +0.25, 2.5 %: +0.48, 1.25 %: +0.40 dB",
        _more_at_small,
        "reproduce table1",
    ),
    Claim(
        "first-epoch",
        "With sharing the first epoch of the last task starts higher, and more so at 1.25 % than at 5 %",
        "section 4.2, Figure 4",
        "about +3.5 dB at 5 %, +6 dB at 1.25 %",
        _first_epoch,
        "reproduce figure4",
    ),
    Claim(
        "later-is-better",
        "A task does better the later it is learned (PSNR rises with the place, for each task)",
        "section 4.4.2, Table 3 and Figure 6",
        "derain 29.19 / 29.69 / 30.02 / 29.95; denoise 26.10 / 26.49 / 26.61 / 26.66; deblock 30.21 / 30.29 / 30.42 / "
        "30.46; deblur 27.92 / 28.35 / 28.52 / 28.52",
        _later_is_better,
        "reproduce figure6",
    ),
    Claim(
        "first-is-equal",
        "The first task is equal with and without sharing",
        "section 4.2, Table 1",
        "equal at every share",
        _first_is_equal,
        "reproduce table1",
    ),
    Claim(
        "never-changes",
        "Outputs of old tasks never change",
        "sections 1 and 3.2.2",
        "by construction",
        _never_changes,
        "reproduce table1",
    ),
    Claim(
        "mas-forgets",
        "MAS forgets, and deraining the most",
        "section 4.3, Table 2",
        "dB lost: derain 10.56, denoise 6.43, deblock 1.72",
        _mas_forgets,
        "reproduce table2",
    ),
    Claim(
        "together-fails",
        "One network trained on all tasks together fails on denoising (it is below every other method)",
        "section 4.3, Table 2",
        "denoise: together 15.66 dB, CMC 27.53, PackNet 27.45, deform 27.26, MAS 18.99",
        _together_fails,
        "reproduce table2",
    ),
    Claim(
        "cmc-leads-packnet",
        "CMC leads PackNet on deraining, denoising and deblurring",
        "section 4.3, Table 2",
        "CMC over PackNet: derain +2.58, denoise +0.08, deblock −0.04, deblur +0.14 dB; CMC-5 with 10 % of its memory, "
        "PackNet with 12.5 % of the weights: CMC trains four times as many parameters for a task (“our model has more "
        "parameters”)",
        _cmc_leads,
        "reproduce table2",
    ),
    Claim(
        "noise-levels",
        "Harder noise levels and real noise profit from easier ones",
        "section 4.4.3, Table 4",
        "noise20 +0.31, noise30 +0.79, noise40 +0.70, real noise +0.73 dB",
        _noise_levels,
        "reproduce table4",
    ),
    Claim(
        "larger-ends",
        "A larger memory in the first and the last layer helps every task",
        "section 4.4.4, Table 5",
        "derain +0.32, denoise +0.16, deblock +0.09, deblur +0.59 dB",
        _larger_ends,
        "reproduce table5",
    ),
    Claim(
        "other-networks",
        "Sharing helps in other networks, too: residual dense and dense",
        "section 4.4.6, Table 7",
        "rdn: denoise +0.11, deblock +0.18, deblur +0.53 dB; dense: denoise +0.41, deblock +0.20, deblur +0.70 dB",
        _other_networks,
        "reproduce table7",
    ),
)
"""The claims about runs, in the paper's order."""

_LAYER = Claim(
    "layer-cost",
    "CMC-20 costs under 2 % more time than CMC-5, while four times the parameters as a larger kernel or as more layers "
    "cost about four times the time (at least three times)",
    "section 4.4.5, Table 6",
    "CMC-20 +1.5 %; a 6×6 kernel 4.8 times, four layers 3.9 times",
    lambda family: MISSING,
    "reproduce table6",
)


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


def _members(pairs: Iterable[Pair]) -> list[Entry]:
    return [entry for pair in pairs for entry in pair[:2]]


def _rank_correlation(places: Sequence[float], values: Sequence[float]) -> float:
    """Spearman's rank correlation; equal values share their rank, and values that are all equal give 0."""
    ranks = [pd.Series(list(numbers)).rank().to_numpy() for numbers in (places, values)]
    if min(float(np.std(rank)) for rank in ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _gains(tasks: Sequence[str], gains: Array) -> str:
    return listed([f"{task} {fixed(float(gain), sign=True)}" for task, gain in zip(tasks, gains, strict=True)]) + " dB"


def _share(fraction: float) -> str:
    return f"{100 * fraction:g} %"


def _p(differences: Array) -> str:
    """The p of a paired test where there are seeds for it."""
    p = significance(differences)
    return "" if np.isnan(p) else f" (p = {p:.2g})"

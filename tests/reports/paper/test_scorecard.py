"""Each claim of the paper on made results: in which it holds, is contradicted, is undecided, and was not measured."""

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from made_results import (
    HELPS,
    LEVEL,
    Results,
    by_fraction,
    close,
    ends,
    made,
    networks,
    noise,
    ordered,
    over_seeds,
    pair,
    replace_seed,
    started,
    table2,
    wide,
    with_gaps,
)

from benchmark.core.runs.directory import Run
from benchmark.experiments import paper
from reports.paired import half_width, stated
from reports.paper import claims, scorecard
from reports.paper.claims import CONTRADICTED, HOLDS, UNDECIDED, UNJUDGED, UNMEASURED, judge
from reports.paper.claims.pairs import slope
from reports.paper.evidence import Evidence
from reports.results import Result

Sets = list[Results]

CASES: dict[str, tuple[Sets, Sets, Sets, Sets]] = {
    "sharing-helps": (
        [close(by_fraction([0.1, 0.1, 0.2, 0.3, 0.4]))],
        [close(by_fraction([0.1, 0.1, 0.2, -0.1, 0.4])), close(pair(0.05, (0, 0.1, -0.1, 0.1)))],
        [
            close(pair(0.05, HELPS)),
            close(by_fraction([0.1, 0.1, 0.2, 0.3, 0.4])[2:]),
            by_fraction([0.1, 0.1, 0.2, 0.3, 0.4]),
            by_fraction([0.1, 0.1, 0.2, -0.1, 0.4]),
            wide(by_fraction([0.1, 0.1, 0.2, 0.3, 0.4])),
            over_seeds(pair(0.05, (0, 0.1, 0.0, 0.1)), 0.01),
            over_seeds(pair(0.05, (0, 0.1, 0.004, 0.1)), 0.01),
        ],
        [[], [made(fraction=0.05)], [*pair(0.05, HELPS)][1:]],
    ),
    "more-at-small": (
        [close(by_fraction([0.1, 0.15, 0.2, 0.3, 0.4])), close(by_fraction([0.1, 0.2, 0.3, 0.5, 0.4]))],
        [close(by_fraction([0.4, 0.3, 0.2, 0.15, 0.1])), close(by_fraction([0.3, 0.1, 0.4, 0.5, 0.2]))],
        [
            by_fraction([0.1, 0.15, 0.2, 0.3, 0.4]),
            over_seeds(by_fraction([0.1] * 5), 0.01),
            wide(by_fraction([0.1, 0.15, 0.2, 0.3, 0.4])),
        ],
        [[], pair(0.05, HELPS)],
    ),
    "first-epoch": (
        [close(started(3.5, 6.0))],
        [close(started(3.5, 3.0)), close(started(-0.5, 1.0))],
        [started(3.5, 6.0), over_seeds(started(3.5, 6.0), 4.0), close(started(3.5, 3.5))],
        [[], pair(0.05, HELPS)],
    ),
    "later-is-better": (
        [close(ordered([0, 0.1, 0.2, 0.3])), close(ordered([0, 0.3, 0.2, 0.4]))],
        [close(ordered([0.3, 0.2, 0.1, 0]))],
        [ordered([0, 0.1, 0.2, 0.3]), over_seeds(ordered([0, 0, 0, 0]), 0.1), wide(ordered([0, 0.1, 0.2, 0.3]))],
        [[], ordered([0, 0.1, 0.2, 0.3])[:3]],
    ),
    "first-is-equal": (
        [by_fraction([0.1] * 5)],
        [
            pair(0.05, (0.1, 0.1, 0.1, 0.1)),
            pair(0.05, (-0.1, 0.1, 0.1, 0.1)),
            [*by_fraction([0.1] * 5)[2:], *pair(0.2, (0.0051, 0, 0, 0))],
        ],
        [pair(0.05, HELPS)],
        [[], [made()]],
    ),
    "never-changes": (
        [[made(changed=(0, 12))]],
        [[made(changed=(0, 12)), made(changed=(1, 12), fraction=0.1)]],
        [],
        [[], [made()], [made("packnet", changed=(0, 12))]],
    ),
    "mas-forgets": (
        [close([made("mas", lost=(10, 6, 1, 0))])],
        [close([made("mas", lost=(1, 6, 2, 0))]), close([made("mas", lost=(-1, -6, -2, 0))])],
        [[made("mas", lost=(10, 6, 1, 0))], close([made("mas")]), over_seeds([made("mas", lost=(10, 6, 1, 0))], 8.0)],
        [[], [made()]],
    ),
    "together-fails": (
        [close(table2(together=(25, 15, 25, 25), cmc=LEVEL, mas=(20, 18, 20, 26), packnet=LEVEL, deform=LEVEL))],
        [close(table2(together=(25, 19, 25, 25), cmc=LEVEL, mas=(20, 18, 20, 26)))],
        [
            table2(together=(25, 15, 25, 25), cmc=LEVEL, mas=(20, 18, 20, 26), packnet=LEVEL, deform=LEVEL),
            close(table2(together=(25, 15, 25, 25), cmc=LEVEL, mas=(20, 18, 20, 26))),
            close(table2(together=LEVEL, cmc=LEVEL)),
            over_seeds(table2(together=(25, 15, 25, 25), cmc=LEVEL, mas=(20, 18, 20, 26)), 8.0),
        ],
        [[], table2(cmc=LEVEL), table2(together=LEVEL)],
    ),
    "cmc-leads-packnet": (
        [close(table2(cmc=LEVEL, packnet=(29, 24.9, 28.1, 25.9)))],
        [close(table2(cmc=LEVEL, packnet=(29, 25.1, 27, 25)))],
        [
            table2(cmc=LEVEL, packnet=(29, 24.9, 28.1, 25.9)),
            close(table2(cmc=LEVEL, packnet=LEVEL)),
            wide(table2(cmc=LEVEL, packnet=(29, 24.9, 28.1, 25.9))),
        ],
        [[], table2(cmc=LEVEL), table2(packnet=LEVEL), [made(seed=0), made("packnet", seed=1)]],
    ),
    "noise-levels": (
        [close(noise((0, 0.3, 0.7, 0.7, 0.7)))],
        [close(noise((0, 0.3, -0.1, 0.7, 0.7)))],
        [noise((0, 0.3, 0.7, 0.7, 0.7)), wide(noise((0, 0.3, 0.7, 0.7, 0.7)))],
        [[], pair(0.2, HELPS)],
    ),
    "larger-ends": (
        [close(ends((0.3, 0.1, 0.1, 0.5)))],
        [close(ends((0.3, 0.1, -0.1, 0.5)))],
        [ends((0.3, 0.1, 0.1, 0.5)), over_seeds(ends((0.3, 0.1, 0.0, 0.5)), 0.01), wide(ends((0.3, 0.1, 0.1, 0.5)))],
        [[], ends((0.3, 0.1, 0.1, 0.5))[:1]],
    ),
    "other-networks": (
        [close(networks({"rdn": HELPS, "dense": HELPS}))],
        [close(networks({"rdn": HELPS, "dense": (0, 0.1, -0.1, 0.1)}))],
        [networks({"rdn": HELPS}), close(networks({"rdn": HELPS})), wide(networks({"rdn": HELPS, "dense": HELPS}))],
        [[], pair(0.0125, HELPS)],
    ),
}
"""Key of a claim → runs in which it holds, is contradicted, is undecided, and by which it is not measured."""


def verdict(key: str, results: Results) -> claims.Verdict:
    """What becomes of a claim on some runs."""
    evidence = Evidence("paper-quick", "preset quick", "quick", list(results))
    return next(found for found in judge(evidence) if found.claim.key == key)


def test_every_claim_is_tried() -> None:
    """That about a layer, which is the last, has tests of its own below."""
    assert [*CASES, "layer-cost"] == [claim.key for claim in claims.CLAIMS]


def test_the_guide_tells_when_each_claim_holds() -> None:
    guide = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    rules = [line.rpartition(" | ")[2].removesuffix(" |") for line in guide.splitlines() if line.startswith("| ")]
    assert [claim.key for claim in claims.CLAIMS if claim.rule not in rules] == []


def test_every_claim_names_what_to_reproduce() -> None:
    assert {claim.run for claim in claims.CLAIMS} <= set(paper.names())


@pytest.mark.parametrize(
    ("key", "state", "results"),
    [
        pytest.param(key, state, results, id=f"{key}-{state}-{number}")
        for key, cases in CASES.items()
        for state, sets in zip((HOLDS, CONTRADICTED, UNDECIDED, UNMEASURED), cases, strict=True)
        for number, results in enumerate(sets)
    ],
)
def test_a_claim(key: str, state: str, results: Results) -> None:
    found = verdict(key, results)
    assert found.state == state, found.measured
    if state == UNMEASURED:
        assert found.measured == f"measure it with: python -m benchmark reproduce {found.claim.run} --preset quick"
        assert not found.seeds
    else:
        assert found.seeds == tuple(sorted({one.seed for one in results}))
    assert (found.needed == "–") == (state != UNDECIDED)


def test_figures_are_told_with_the_verdict() -> None:
    assert "1.25 %: denoise +0.40" in verdict("sharing-helps", by_fraction([0.1, 0.1, 0.2, 0.3, 0.4])).measured
    assert "5 %: +3.50 dB, 1.25 %: +6.00 dB" in verdict("first-epoch", started(3.5, 6.0)).measured
    rising = verdict("later-is-better", ordered([0, 0.1, 0.2, 0.3])).measured
    assert "derain 30.00 / 30.10 / 30.20 / 30.30 (+0.100 dB for each place)" in rising
    assert "0 of 12" in verdict("never-changes", [made(changed=(0, 12))]).measured


def test_an_interval_is_students_over_the_seeds() -> None:
    """By hand: 0.1, 0.2 and 0.3 dB have a spread of 0.1, and t(2) is 4.3027: ± 0.2484; not told from 0."""
    found = verdict("larger-ends", with_gaps(0.1, 0.2, 0.3))
    assert "derain +0.20 ± 0.25" in found.measured
    assert found.state == UNDECIDED
    assert found.needed == "4"  # t(3) · 0.1 / 2 = 0.159 is below 0.2
    assert verdict("larger-ends", with_gaps(0.1, 0.2, 0.3, 0.1, 0.3)).state == HOLDS
    assert verdict("larger-ends", with_gaps(-0.1, -0.11, -0.1)).state == CONTRADICTED
    assert verdict("larger-ends", with_gaps(0.1, 0.2)).state == UNDECIDED


def test_one_seed_decides_nothing_and_says_so() -> None:
    found = verdict("larger-ends", with_gaps(3.0))
    assert found.state == UNDECIDED
    assert "±" not in found.measured
    assert "one seed" in found.needed
    assert np.isnan(found.p)
    evidence = Evidence("paper-quick", "preset quick", "quick", list(with_gaps(3.0)))
    assert "takes two seeds" in scorecard.note(judge(evidence))


def test_a_pair_too_few_keeps_a_claim_of_many_cells_undecided() -> None:
    """At 5 % three seeds agree, at 2.5 % there is one; but a cell that is told to be below 0 is enough against it."""
    lonely = [one for one in close(pair(0.025, HELPS)) if one.seed == 0]
    found = verdict("sharing-helps", [*close(pair(0.05, HELPS)), *lonely])
    assert (found.state, "one seed" in found.needed) == (UNDECIDED, True)
    worse = verdict("sharing-helps", [*close(pair(0.05, (0, -0.1, 0.1, 0.1))), *lonely])
    assert worse.state == CONTRADICTED


def test_luck_does_not_rise_with_the_place() -> None:
    """Four places without a trend: ranks correlate in 46 of 100 cases, slopes over three seeds are told in 2 or 3."""
    places, values = np.arange(1.0, 5.0), np.random.default_rng(1).normal(0, 0.2, (3, 4, 4000))
    ranks = values.mean(axis=0).argsort(axis=0).argsort(axis=0)
    assert 0.43 < np.mean((places - 2.5) @ ranks > 0) < 0.49
    rises = (places - 2.5) @ values / 5
    told = (rises.mean(axis=0) > half_width(rises)).mean()
    assert 0.015 < told < 0.035
    one = slope({place: dict(enumerate(values[:, i, 0])) for i, place in enumerate(places)})
    assert [one[seed] for seed in range(3)] == pytest.approx(rises[:, 0])


def test_many_claims_are_corrected_for_their_number() -> None:
    """A claim whose p is 0.04 holds alone; beside three of which nothing can be told it is taken back, and named."""
    alone = with_gaps(0.1, 0.24, 0.2)
    assert 0.03 < verdict("larger-ends", alone).p < 0.05
    assert verdict("larger-ends", alone).state == HOLDS
    others = [
        *over_seeds(noise((0.0, 0.0, 0.0, 0.0, 0.0)), 0.3),
        *over_seeds(networks({"rdn": (0, 0, 0, 0)}), 0.3),
        *over_seeds(table2(packnet=LEVEL, together=LEVEL), 0.3),
    ]
    found = judge(Evidence("paper-quick", "preset quick", "quick", [*alone, *others]))
    beside = next(one for one in found if one.claim.key == "larger-ends")
    tested = [one for one in found if one.p >= 0]
    assert len(tested) == 4
    assert (beside.state, beside.taken_back) == (UNDECIDED, True)
    assert beside.corrected == pytest.approx(beside.p * len(tested))
    assert int(beside.needed) > 3, "at the level that the correction leaves"
    note = scorecard.note(found)
    assert f"took back “{beside.claim.text}”" in note
    assert "4 claims were tested together" in note
    assert sum(one.taken_back for one in found) == 1


def test_smoke_judges_no_claim_and_tests_none() -> None:
    evidence = Evidence("paper-smoke", "preset smoke", "smoke", list(close(pair(0.05, HELPS))))
    found = next(one for one in judge(evidence) if one.claim.key == "sharing-helps")
    assert (found.state, found.tested) == (UNJUDGED, None)
    note = scorecard.note(judge(evidence))
    assert "preset smoke are too short" in note
    assert "two seeds" not in note


def test_seeds_are_asked_for_at_the_level_at_which_the_claim_would_be_decided() -> None:
    """Of four claims none is decided: one that were would have to be below a quarter of the level."""
    runs = [*with_gaps(0.1, 0.24, 0.2), *over_seeds(noise((0.0, 0.0, 0.0, 0.0, 0.0)), 0.3)]
    runs += [*over_seeds(networks({"rdn": (0, 0, 0, 0)}), 0.3), *over_seeds(table2(packnet=LEVEL, together=LEVEL), 0.3)]
    found = [one for one in judge(Evidence("paper-quick", "preset quick", "quick", runs)) if one.tested]
    assert [one.state for one in found] == [UNDECIDED] * 4
    assert [one.left for one in found] == [0.05 / 4] * 4
    for one in found:
        assert one.tested is not None
        withheld = one.lacks and one.tested.right
        assert one.needed == stated(one.tested.needed(0.05 / 4)) + (" and the missing runs" if withheld else "")


def sized(result: Result, parameters: float) -> Result:
    """The same run with a number of parameters that a task trains."""
    return replace(result, task_parameters=parameters)


def test_what_each_trains_stands_beside_the_claim_that_compares_them() -> None:
    """And the two at equal size, where a task of CMC-5 has a fifth of PackNet's share, if that was run."""
    runs = [sized(made("cmc", (30.5, 25.5, 28.5, 26.5)), 1000), sized(made("packnet"), 200)]
    found = verdict("cmc-leads-packnet", runs)
    assert found.state == UNDECIDED
    assert "CMC trains 1\u202f000 parameters, 5.0 times PackNet’s 200" in found.measured
    assert "equal size" not in found.measured
    small = sized(made("cmc", (29.0, 25.1, 28.0, 26.0), fraction=0.04), 210)
    found = verdict("cmc-leads-packnet", [*runs, small])
    alone = verdict("cmc-leads-packnet", runs)
    assert (found.seeds, found.measured.partition("; at")[0]) == (alone.seeds, alone.measured), "of the paper's shares"
    assert "CMC-5 with 4 % of its memory" in found.measured
    assert "derain −1.00, denoise +0.10" in found.measured
    assert "trains" not in verdict("cmc-leads-packnet", [made("cmc"), made("packnet")]).measured


def test_a_claim_about_many_cells_does_not_hold_before_all_are_measured() -> None:
    """What was measured may be told right; no seed of it decides the rest, so none is asked for."""
    every = close(by_fraction([0.1, 0.1, 0.2, 0.3, 0.4]))
    assert "measured in" not in verdict("sharing-helps", every).measured
    some = [one for one in every if one.config["settings"]["fraction"] > 0.02]
    found = verdict("sharing-helps", some)
    assert found.measured.endswith("; better in 12 of 12; measured in 12 of 15")
    assert (found.state, found.waits, found.needed) == (UNDECIDED, True, "none; the missing runs")
    assert not found.taken_back
    wide_ = verdict("sharing-helps", wide(some))
    assert (wide_.state, wide_.waits) == (UNDECIDED, False)
    assert wide_.needed.isdigit(), "a cell lies below 0, and seeds alone may tell that it does"
    near = verdict("sharing-helps", over_seeds(some, 0.05))
    assert (near.state, near.waits) == (UNDECIDED, False)
    assert re.fullmatch(r"\d+ and the missing runs", near.needed), "seeds alone would not tell it right"
    equal = verdict("first-is-equal", some)
    assert equal.measured.endswith("at 20 %, 10 %, 5 % and 2.5 % of the memory; measured in 4 of 5")
    assert (equal.state, equal.waits, equal.needed) == (UNDECIDED, True, "none; the missing runs")


def test_the_correction_takes_no_verdict_back_that_missing_cells_withhold() -> None:
    """Three cells of six are told right at p = 0.04, which decides nothing, be it the only claim or one of several."""
    gaps = enumerate((0.1, 0.24, 0.2))
    rdn = [replace_seed(one, seed, 0.0) for seed, gap in gaps for one in networks({"rdn": (0, gap, gap, gap)})]
    alone = verdict("other-networks", rdn)
    assert 0.01 < alone.p < 0.05
    assert (alone.state, alone.waits) == (UNDECIDED, True)
    others = [*over_seeds(noise((0.0,) * 5), 0.3), *over_seeds(table2(packnet=LEVEL, cmc=LEVEL), 0.3)]
    found = judge(Evidence("paper-quick", "preset quick", "quick", [*rdn, *others]))
    beside = next(one for one in found if one.claim.key == "other-networks")
    assert beside.corrected >= 0.05
    assert not beside.taken_back
    assert "took back no verdict" in scorecard.note(found)


def test_better_is_what_differs_in_print() -> None:
    assert "better in 3 of 3" in verdict("sharing-helps", pair(0.05, (0, 0.0051, 0.0051, 0.0051))).measured
    assert "better in 0 of 3" in verdict("sharing-helps", pair(0.05, (0, 0.0049, 0.0049, 0.0))).measured


def test_two_shares_make_a_trend() -> None:
    """From 20 to 5 % the share is halved twice, and the gain rises by 0.2 dB."""
    found = verdict("more-at-small", close([*pair(0.2, HELPS), *pair(0.05, (0, 0.3, 0.3, 0.3))]))
    assert found.state == HOLDS
    assert "for each halving of the share +0.100" in found.measured
    assert "5 % over 20 % +0.20" in found.measured


@pytest.mark.parametrize(
    ("key", "runs", "of_more_seeds"),
    [
        ("later-is-better", ordered([0, 0.1, 0.2, 0.3]), ordered([0, 0.1, 0.2, 0.3])[:1]),
        ("more-at-small", by_fraction([0.1, 0.15, 0.2, 0.3, 0.4]), pair(0.2, (0, 9, 9, 9))),
    ],
)
def test_a_trend_is_told_in_figures_of_the_seeds_that_it_is_tested_on(
    key: str, runs: Results, of_more_seeds: Results
) -> None:
    """One place of the trend has another seed, 5 dB better, which has no part in the trend and none in its figures."""
    further = [replace_seed(one, 1, 5.0) for one in of_more_seeds]
    alone, among = verdict(key, runs), verdict(key, [*runs, *further])
    assert among.seeds == alone.seeds == (0,)
    assert among.measured == alone.measured


def test_gaps_after_the_first_epoch_are_those_of_the_seeds_that_are_tested() -> None:
    """At 5 % there is a second seed, whose gap is 13.5 dB: it has no part in what is 1.25 % over 5 %."""
    further = [replace_seed(one, 1, 0.0) for one in started(13.5, 6.0) if one.config["settings"]["fraction"] == 0.05]
    alone, among = verdict("first-epoch", started(3.5, 6.0)), verdict("first-epoch", [*started(3.5, 6.0), *further])
    assert among.seeds == alone.seeds == (0,)
    assert among.measured == alone.measured


def test_seeds_that_one_side_alone_has_stand_behind_no_claim_about_both() -> None:
    pairs = by_fraction([0.1, 0.1, 0.2, 0.3, 0.4])
    further = [replace_seed(one, 1, 0.0) for one in pairs if one.config["settings"]["sharing"] == "fixed"]
    assert verdict("first-is-equal", [*pairs, *further]).seeds == (0,)


def test_runs_on_two_kinds_of_machine_tell_nothing_of_whether_the_first_task_is_equal() -> None:
    """There the same run, too, ends elsewhere, as sums are rounded in another order."""
    pairs = by_fraction([0.1] * 5)
    apart = []
    for one, capability in zip(pair(0.05, (0.1, 0.1, 0.1, 0.1)), ("AVX2", "AVX512"), strict=True):
        run = SimpleNamespace(**vars(one.run) | {"environment": {"capability": capability}})
        apart.append(replace(replace_seed(one, 1, 0.0), run=cast(Run, run)))
    found = verdict("first-is-equal", [*pairs, *apart])
    assert (found.state, found.seeds) == (HOLDS, (0,))
    assert found.measured.endswith("; 1 pair of two kinds of machine left out")
    assert verdict("first-is-equal", apart).state == UNMEASURED


def test_the_first_epoch_is_the_first() -> None:
    """A gap that closes in the second epoch counts as it was after the first; epoch 0 is before any training."""
    runs = []
    for one in started(3.5, 6.0):
        curves = one.run.curves.copy()
        curves.loc[curves["epoch"] != 1, "psnr"] = 30.0
        runs.append(replace(one, run=replace_curves(curves)))
    assert "5 %: +3.50 dB, 1.25 %: +6.00 dB" in verdict("first-epoch", runs).measured


def replace_curves(curves: pd.DataFrame) -> Run:
    """What stands for a run's directory, with these curves."""
    return cast(Run, SimpleNamespace(curves=curves, status={}, environment={}))


def test_seeds_are_paired() -> None:
    """Runs of one seed only on one side do not count; what both sides have in common is no spread."""
    noisy = [
        replace_seed(one, seed, seed * 0.5 + jitter)
        for seed, jitter in enumerate((0.0, 0.01, -0.01))
        for one in pair(0.05, HELPS)
    ]
    lonely = replace_seed(made(final=(0, 0, 0, 0), fraction=0.05, sharing="none"), 7, 0.0)
    found = verdict("sharing-helps", [*noisy, lonely])
    assert (found.state, found.needed) == (UNDECIDED, "none; the missing runs")
    assert found.seeds == (0, 1, 2)
    assert "denoise +0.10 ± 0.00" in found.measured
    assert found.p == 0


def test_what_others_have_over_joint_training_stands_beside_figures_of_the_same_seeds() -> None:
    runs = table2(together=(25, 21, 25, 25), cmc=(25, 22, 25, 25))
    found = verdict("together-fails", [*runs, replace_seed(runs[1], 1, 5.0)])
    assert "together, not told the task, 21.00 dB" in found.measured
    assert "cmc 22.00 (+1.00)" in found.measured


def test_other_settings_than_the_papers_do_not_count() -> None:
    assert verdict("sharing-helps", pair(0.05, HELPS, t=10)).state == UNMEASURED
    assert verdict("sharing-helps", pair(0.05, HELPS, start=0.3)).state == UNMEASURED
    assert verdict("sharing-helps", pair(0.03, HELPS)).state == UNMEASURED


def test_a_stream_of_ones_own_under_the_papers_name_does_not_count() -> None:
    """Tasks that are called as the paper's, and easier. Those that ship count, as do those of runs that tell none."""
    tasks = [task.model_dump(mode="json") for task in paper.stream("four_tasks").tasks]
    easier = [*tasks[:1], tasks[1] | {"train": {"std": 5}, "test": {"std": 5}}, *tasks[2:]]
    for given, state in ((tasks, HOLDS), (tasks[::-1], HOLDS), (None, HOLDS), (easier, UNMEASURED)):
        runs = close(ends((0.3, 0.1, 0.1, 0.5)))
        for one in runs:
            one.config["tasks"] = given
        assert verdict("larger-ends", runs).state == state


def test_the_most_common_training_counts() -> None:
    """A longer run beside a table's runs takes no part in it."""
    longer = made(final=(90, 90, 90, 90), fraction=0.05, sharing="none")
    longer.config["training"] = {**longer.config["training"], "epochs": 99}
    found = verdict("sharing-helps", [longer, *pair(0.05, HELPS)])
    assert found.measured == verdict("sharing-helps", pair(0.05, HELPS)).measured
    assert "denoise +0.10" in found.measured

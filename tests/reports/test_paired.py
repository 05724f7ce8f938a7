"""Paired comparisons against independent computation: by hand, by scipy's own tests, and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from reports.paired import (
    LEVEL,
    MOST,
    Difference,
    Every,
    corrected,
    half_width,
    left,
    missed,
    quantile,
    stated,
    within_reach,
)
from reports.undecided import STOPPING


def of(*values: float) -> Difference:
    return Difference(np.array(values, dtype=float))


def test_by_hand() -> None:
    """0.1, 0.2 and 0.3: spread 0.1, t(2) = 4.3027, half of the interval 4.3027 · 0.1 / √3; p from t = 2 √3."""
    one = of(0.1, 0.2, 0.3)
    assert (one.seeds, one.mean, one.deviation) == (3, pytest.approx(0.2), pytest.approx(0.1))
    assert one.margin() == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    t = 2 * math.sqrt(3)
    assert one.p == pytest.approx(1 - t / math.sqrt(2 + t**2)), "Student's t with 2 degrees of freedom in closed form"


@pytest.mark.parametrize("seeds", [2, 3, 5, 12])
def test_as_scipy_has_it(seeds: int) -> None:
    values = np.random.default_rng(seeds).normal(0.1, 0.2, seeds)
    ours, theirs = Difference(values), stats.ttest_1samp(values, 0.0)
    low, high = theirs.confidence_interval(1 - LEVEL)
    assert (ours.mean - ours.margin(), ours.mean + ours.margin()) == pytest.approx((low, high))
    low, high = theirs.confidence_interval(1 - STOPPING)
    assert (ours.mean - ours.margin(STOPPING), ours.mean + ours.margin(STOPPING)) == pytest.approx((low, high))
    assert ours.p == pytest.approx(theirs.pvalue)
    assert (ours.p < LEVEL) == (abs(ours.mean) > ours.margin()), "told where the interval lies on one side"
    assert half_width(np.stack([values, 2 * values], axis=1)) == pytest.approx([ours.margin(), 2 * ours.margin()])


def test_one_seed_tells_nothing() -> None:
    assert math.isnan(of(5.0).p)
    assert math.isnan(of(5.0).margin())
    assert of(5.0).needed() is None
    assert "one seed" in stated(None)
    assert np.isnan(half_width(np.ones((1, 4)))).all()
    assert half_width(np.ones((1, 4))).shape == (4,)


def test_equal_differences_have_no_width() -> None:
    assert (of(0.3, 0.3, 0.3).p, of(0.3, 0.3, 0.3).margin(), of(0.3, 0.3).needed()) == (0.0, 0.0, 2)
    assert (of(0.0, 0.0).p, of(0.0, 0.0).needed()) == (1.0, MOST + 1)
    rounded = of(1e-12, 2e-12)
    assert (rounded.p, rounded.margin(), rounded.needed()) == (1.0, 0.0, MOST + 1), "as 0 but for rounding"
    assert (of(0.3, 0.1 + 0.2).p, of(0.3, 0.1 + 0.2).margin()) == (0.0, 0.0)
    assert stated(MOST + 1) == f"more than {MOST}"
    assert math.isnan(of(0.1, math.nan).p)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    values = np.random.default_rng(0).normal(0.2, 0.3, (3, 40_000))
    held = np.abs(values.mean(axis=0) - 0.2) <= half_width(values)
    assert held.mean() == pytest.approx(0.95, abs=0.005)


@pytest.mark.parametrize("gap", [0.5, 0.2, 0.1])
def test_seeds_that_would_decide(gap: float) -> None:
    """The smallest number whose expected half interval is below the mean; one fewer does not do."""
    one = Difference(gap + np.array([-0.3, 0.0, 0.3]))
    count = one.needed()
    assert count is not None
    widths = {n: stats.t.ppf(0.975, n - 1) * 0.3 / math.sqrt(n) for n in (count - 1, count)}
    assert widths[count] < gap <= widths[count - 1]
    assert Difference(-one.values).needed() == count
    strict = one.needed(0.01)
    assert strict is not None
    assert strict > count


def test_as_many_seeds_as_are_tried_are_told_and_one_more_is_too_many() -> None:
    values = np.array([-0.3, 0.0, 0.3])
    least, too_little = (1.0001 * stats.t.ppf(0.975, n - 1) * 0.3 / math.sqrt(n) for n in (MOST, MOST + 1))
    assert Difference(values + least).needed() == MOST
    assert Difference(values + too_little).needed() == MOST + 1


def test_a_true_gap_of_half_a_decibel_is_mostly_missed_by_three_seeds() -> None:
    """At a paired spread of 0.3 dB the two-sided test misses it in 63 of 100 cases; a one-sided one would in 41."""
    assert missed(0.5, 0.3, 3) == pytest.approx(0.633, abs=0.001)
    assert missed(0.5, 0.3, 3, level=2 * LEVEL) == pytest.approx(0.408, abs=0.001)
    values = np.random.default_rng(0).normal(0.5, 0.3, (3, 40_000))
    told = values.mean(axis=0) > half_width(values)
    assert 1 - told.mean() == pytest.approx(missed(0.5, 0.3, 3), abs=0.01)
    assert missed(0.5, 0.0, 3) == 0.0


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_a_gap_within_reach_is_told_four_times_in_five(seeds: int) -> None:
    gap = within_reach(0.3, seeds)
    assert missed(gap, 0.3, seeds) == pytest.approx(0.2)
    assert within_reach(0.6, seeds) == pytest.approx(2 * gap)
    assert within_reach(0.3, seeds + 1) < gap


def test_there_is_a_gap_within_reach_of_any_seeds_and_comparisons() -> None:
    """Far out scipy's distribution has no value: of six seeds and one comparison, of ten seeds and five."""
    for seeds in range(2, 41):
        for comparisons in (1, 2, 4, 5, 7, 10, 30):
            level = LEVEL / comparisons
            assert missed(within_reach(1.0, seeds, level), 1.0, seeds, level) == pytest.approx(0.2)
    assert missed(50.0, 0.3, 10) == 0.0


def test_every_one_of_several() -> None:
    """It is told right by its weakest part, and told wrong by its strongest times their number."""
    strong, weak, below = of(1.0, 1.1, 0.9), of(0.1, 0.2, 0.3), of(-0.5, -0.52, -0.49)
    assert Every([strong, weak]).right
    assert Every([strong, weak]).p == weak.p
    assert Every([strong, weak]).needed() == weak.needed()
    against = Every([strong, weak, below])
    assert not against.right
    assert against.p == pytest.approx(3 * below.p)
    assert against.needed() == below.needed(LEVEL / 3)
    vague = of(-0.2, -0.02, -0.12)
    assert Every([strong, weak, vague]).p == pytest.approx(3 * vague.p), "what is above 0 is no evidence"
    assert Every([strong, weak, vague]).needed() == vague.needed(LEVEL / 3)
    assert vague.needed(LEVEL / 3) not in (vague.needed(), strong.needed(), None, MOST + 1)
    assert Every([strong, below, vague]).needed() == below.needed(LEVEL / 3) != vague.needed(LEVEL / 3)
    assert Every([of(1.0), strong]).p == 1.0, "of one seed nothing is told, so not of all"
    assert Every([of(1.0), strong]).needed() is None
    assert math.isnan(Every([of(1.0), of(2.0)]).p)
    assert Every([strong, weak, of(-0.3, 0.1, 0.0)]).p == 1.0, "three times the p of nearly nothing is no chance"


def test_luck_seldom_decides_what_is_about_every_one() -> None:
    """Fifteen true means of 0: either verdict is by luck alone, and comes in 5 of 100 cases at most."""
    values = np.random.default_rng(0).normal(0, 0.2, (1000, 15, 3))
    decided = [Every([Difference(part) for part in parts]).p < LEVEL for parts in values]
    assert np.mean(decided) <= 0.06
    assert np.mean(decided) > 0.02, "and it is no test that never decides"


def test_correction_by_hand() -> None:
    """Benjamini and Hochberg: the k-th smallest of m times m / k, and none above the next larger one."""
    assert corrected([0.01, 0.04, math.nan, 0.03]) == pytest.approx([0.03, 0.04, math.nan, 0.04], nan_ok=True)
    assert corrected([0.02]) == [0.02]
    assert corrected([]) == []
    assert np.isnan(corrected([math.nan])).all()


def test_looking_again_and_again_takes_a_stricter_level() -> None:
    """Without any difference, after each of 2 to 10 seeds."""
    values = np.random.default_rng(0).normal(0, 1, (10, 20_000))

    def stopped(level: float) -> float:
        told = np.zeros(values.shape[1], dtype=bool)
        for seeds in range(2, 11):
            some = values[:seeds]
            told |= np.abs(some.mean(axis=0)) > half_width(some, level)
        return float(told.mean())

    assert stopped(LEVEL) == pytest.approx(0.2, abs=0.01)
    assert stopped(STOPPING) == pytest.approx(0.05, abs=0.01)
    assert quantile(3, STOPPING) > quantile(3)


@pytest.mark.parametrize(
    ("values", "place", "share"),
    [
        ([0.04], 0, 1),
        ([0.04, 0.5, 0.6], 0, 1 / 3),
        ([0.9, 0.001, 0.6], 0, 2 / 3),
        ([0.9, 0.001, 0.03], 0, 1),
        ([0.9, 0.04, 0.6], 0, 1 / 3),
        ([math.nan, 0.5, math.nan], 0, 1 / 2),
        ([math.nan, 0.5, math.nan], 1, 1),
    ],
)
def test_the_level_that_is_left_is_where_one_of_several_begins_to_be_told(
    values: list[float], place: int, share: float
) -> None:
    """Benjamini and Hochberg by hand: it would be told at its rank of what is told then."""
    level = left(values, place)
    assert level == pytest.approx(LEVEL * share)
    for p, told in ((level * 0.999, True), (level * 1.001, False)):
        tried = [*values[:place], p, *values[place + 1 :]]
        assert (corrected(tried)[place] < LEVEL) == told


def test_the_level_that_is_left_counts_what_is_told_at_the_level_that_is_asked_for() -> None:
    """Corrected, the others are 0.03 and 0.6, so that one of them is told at 0.05, and none at 0.01."""
    assert left([0.9, 0.02, 0.6], 0) == pytest.approx(LEVEL * 2 / 3)
    assert left([0.9, 0.02, 0.6], 0, STOPPING) == pytest.approx(STOPPING / 3)

"""The claim about what a layer costs, on made measurements."""

from collections.abc import Sequence

import pytest

from benchmark.core.runs.layer_table import Row
from reports import undecided
from reports.groups import Collection
from reports.paper import claims
from reports.paper.claims import CONTRADICTED, HOLDS, UNDECIDED, UNMEASURED, judge
from reports.paper.evidence import Evidence


def rows(**ratios: float) -> list[Row]:
    """A measurement of a layer with these times, as multiples of each method's first."""
    names = {
        "six": "6×6 kernel",
        "four": "4 layers",
        "cmc5": "CMC-5",
        "cmc20": "CMC-20",
        "kept": "CMC-20, task learned",
        "plain": "3×3 kernel",
        "one": "1 layer",
    }
    return [
        Row("made", names[name], 1, 1, float("nan"), 1.0, 100 * ratio, ratio, ratio, 64, 1000, 7, "CPU", 2)
        for name, ratio in ratios.items()
    ]


def of_a_layer(measured: Sequence[Row]) -> claims.Verdict:
    """What becomes of the claim about a layer."""
    evidence = Evidence("paper-layer", "a layer by itself", "", [], measured)
    return next(found for found in judge(evidence) if found.claim.key == "layer-cost")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, HOLDS),
        ({"cmc20": 1.021}, CONTRADICTED),
        ({"cmc20": 1.019}, HOLDS),
        ({"six": 2.99}, CONTRADICTED),
        ({"four": 2.99}, CONTRADICTED),
        ({"six": 3.01, "four": 3.01}, HOLDS),
        ({"kept": 5.0}, HOLDS),
    ],
)
def test_the_claim_about_a_layer(changes: dict[str, float], state: str) -> None:
    usual = {"six": 4.0, "four": 4.0, "cmc5": 1.0, "cmc20": 1.01, "kept": 1.0}
    found = of_a_layer(rows(**(usual | changes)))
    assert found.state == state, found.measured
    assert "CPU, 1000×1000" in found.measured


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({"cmc20": 1.01, "plain": 1.005}, HOLDS),
        ({"cmc20": 1.01, "plain": 1.015}, UNDECIDED),
        ({"cmc20": 1.01, "one": 0.985}, UNDECIDED),
        ({"cmc20": 1.039, "plain": 0.925}, UNDECIDED),
        ({"cmc20": 1.039, "plain": 1.01}, CONTRADICTED),
        ({"six": 3.1, "plain": 1.05}, UNDECIDED),
        ({"four": 2.9, "one": 1.05}, UNDECIDED),
        ({"four": 2.6, "one": 1.05}, CONTRADICTED),
    ],
)
def test_what_equal_layers_differ_by_decides_nothing(changes: dict[str, float], state: str) -> None:
    usual = {"six": 4.0, "four": 4.0, "cmc5": 1.0, "cmc20": 0.95, "plain": 1.0, "one": 1.0}
    found = of_a_layer(rows(**(usual | changes)))
    assert (found.state, found.needed) == (state, "–"), found.measured
    assert "; equal layers differ by " in found.measured


def test_no_seed_is_added_for_a_layer_that_was_timed_too_roughly() -> None:
    measured = rows(six=4.0, four=4.0, cmc5=1.0, cmc20=1.01, plain=1.05)
    assert of_a_layer(measured).state == UNDECIDED
    assert not undecided.claims(Collection([], [], [], measured, [], ""))


def test_without_its_measurement_the_claim_about_a_layer_is_open() -> None:
    assert of_a_layer([]).state == UNMEASURED
    assert of_a_layer(rows(cmc20=1.0)).state == UNMEASURED

"""Claims about several cells: any one of these that lies on the other side contradicts the claim, and no other does."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from made_results import HELPS, LEVEL, Results, close, ends, made, networks, noise, pair, table2
from made_runs import ORDER

from benchmark.experiments import paper
from reports.paper.claims import CLAIMS, CONTRADICTED, HOLDS, Verdict, together
from reports.paper.evidence import Evidence


def verdict(key: str, results: Results) -> Verdict:
    """What becomes of a claim by itself."""
    evidence = Evidence("paper-quick", "preset quick", "quick", list(results))
    (found,) = together([claim.judge(evidence) for claim in CLAIMS if claim.key == key])
    return found


def but(gains: Sequence[float], place: int) -> list[float]:
    """The gains with that at a place below 0."""
    return [-0.2 if other == place else gain for other, gain in enumerate(gains)]


def over_packnet(gains: Sequence[float]) -> Results:
    """CMC and PackNet, with these gains of the one over the other."""
    return table2(cmc=LEVEL, packnet=[level - gain for level, gain in zip(LEVEL, gains, strict=True)])


def falling(fallen: str) -> Results:
    """Every order of Table 3, in which one task does worse the later it is learned, and the others better."""
    levels = dict(zip(ORDER, LEVEL, strict=True))
    return [
        made(
            final=[levels[task] + (-0.1 if task == fallen else 0.1) * place for place, task in enumerate(order)],
            order=order,
            fraction=0.0125,
        )
        for order in paper.orders(paper.load("table3"))
    ]


CASES: dict[str, list[Results]] = {
    "sharing-helps": [pair(0.05, but(HELPS, place)) for place in (1, 2, 3)],
    "later-is-better": [falling(task) for task in ORDER],
    "mas-forgets": [[made("mas", lost=lost)] for lost in ((5, 6, 1, 0), (5, 1, 6, 0))],
    "together-fails": [
        table2(together=LEVEL, **{name: (30, 24 if name == worse else 26, 28, 26) for name in names})
        for names in (("cmc", "packnet", "deform", "mas"),)
        for worse in names
    ],
    "cmc-leads-packnet": [over_packnet(but((0.1, 0.1, 0.1, 0.1), place)) for place in (0, 1, 3)],
    "noise-levels": [noise(but((0.0, 0.3, 0.7, 0.7, 0.7), place)) for place in (1, 2, 3, 4)],
    "larger-ends": [ends(but((0.3, 0.3, 0.3, 0.3), place)) for place in range(4)],
    "other-networks": [networks({"rdn": HELPS, "dense": but(HELPS, place)}) for place in (1, 2, 3)],
}
"""Key of a claim → runs of which one cell after the other is against it."""


@pytest.mark.parametrize("key", CASES)
def test_any_cell_contradicts_a_claim_about_each(key: str) -> None:
    assert [verdict(key, close(runs)).state for runs in CASES[key]] == [CONTRADICTED] * len(CASES[key])


@pytest.mark.parametrize(
    ("key", "runs"),
    [
        ("cmc-leads-packnet", over_packnet(but((0.1, 0.1, 0.1, 0.1), 2))),
        ("noise-levels", noise(but((0.0, 0.3, 0.7, 0.7, 0.7), 0))),
        ("later-is-better", falling("")),
    ],
)
def test_what_a_claim_is_not_about_does_not(key: str, runs: Results) -> None:
    assert verdict(key, close(runs)).state == HOLDS


def test_a_tensor_that_changed_is_against_the_claim_that_none_does_also_where_no_output_did() -> None:
    for owned, state in (((0, 40), HOLDS), ((1, 40), CONTRADICTED)):
        found = verdict("never-changes", [replace(made(changed=(0, 12)), owned=owned)])
        assert found.state == state
        assert f"{owned[0]} of 40 tensors" in found.measured

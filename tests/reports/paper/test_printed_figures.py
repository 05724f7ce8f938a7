"""The paper's own figures in its claims, computed again from its tables as they were typed in."""

from statistics import mean

import pytest

from benchmark.experiments import paper
from reports.paper import claims

PAPER = {claim.key: claim.paper for claim in claims.CLAIMS}
TASKS = ("derain", "denoise", "deblock", "deblur")


def rows(name: str) -> list[list[str]]:
    """The cells of a table as printed."""
    said = paper.load(name).printed
    assert said is not None
    return [row.cells for row in said.rows]


def figures(cells: list[str]) -> list[float]:
    """The PSNRs of a row, in dB; its first cell names it."""
    return [float(cell.partition("/")[0]) for cell in cells[1:] if "." in cell]


def gains(name: str) -> list[list[float]]:
    """Each second row over the one before it, in dB by column."""
    found = [figures(row) for row in rows(name)]
    return [
        [round(b - a, 2) for a, b in zip(one, other, strict=True)]
        for one, other in zip(found[::2], found[1::2], strict=True)
    ]


def listed(names: tuple[str, ...], values: list[float]) -> str:
    return ", ".join(f"{name} {value:+.2f}".replace("-", "−") for name, value in zip(names, values, strict=True))


def test_table_1_has_the_gains_of_its_claims() -> None:
    found = gains("table1")
    assert {gain[0] for gain in found} == {0.0}
    later = [gain for row in found for gain in row[1:]]
    assert PAPER["sharing-helps"] == f"{min(later):+.2f} to {max(later):+.2f} dB, better in 15 of {len(later)}"
    assert min(later) > 0
    shares = [row[0] for row in rows("table1")[::2]]
    means = [f"{share} %: {round(mean(row[1:]), 2):+.2f}" for share, row in zip(shares, found, strict=True)]
    assert PAPER["more-at-small"] == f"mean gain {', '.join(means)} dB"


def test_table_2_has_the_figures_of_its_claims() -> None:
    by_method = {row[0].partition(" ")[0]: figures(row) for row in rows("table2")}
    denoise = {name: values[1] for name, values in by_method.items()}
    said = PAPER["together-fails"]
    for name, ours in {
        "Together": "together",
        "CMC-5": "CMC",
        "Pruning": "PackNet",
        "Deform": "deform",
        "MAS": "MAS",
    }.items():
        assert f"{ours} {denoise[name]:.2f}" in said
    assert min(denoise, key=denoise.__getitem__) == "Together"
    over = [a - b for a, b in zip(by_method["CMC-5"], by_method["Pruning"], strict=True)]
    assert PAPER["cmc-leads-packnet"].startswith(f"CMC over PackNet: {listed(TASKS, over)} dB;")
    note = paper.load("table2").printed.notes[-1]  # type: ignore[union-attr]
    for reached, now, task in ((34.36, 0, "derain"), (25.42, 1, "denoise"), (30.11, 2, "deblock")):
        assert f"from {reached} to {by_method['MAS'][now]:.2f} dB" in note
        assert f"{task} {reached - by_method['MAS'][now]:.2f}" in PAPER["mas-forgets"]


def test_tables_1_and_2_agree() -> None:
    """CMC in Table 2 is Table 1's row at 10 % with sharing; Table 3 starts and ends at Table 1's figures."""
    by_row = {(row[0], row[1]): figures(row) for row in rows("table1")}
    assert figures(rows("table2")[-1]) == by_row["10", "✓"]
    places = [dict(zip(row[1::2], figures(row[::2]), strict=True)) for row in rows("table3")]
    assert [at["1"] for at in places] == by_row["1.25", "✗"]
    assert [row[2] for row in rows("table3")] == [f"{value:.2f}" for value in by_row["1.25", "✓"]]
    printed = [
        f"{task} {' / '.join(f'{at[place]:.2f}' for place in '1234')}" for task, at in zip(TASKS, places, strict=True)
    ]
    assert PAPER["later-is-better"] == "; ".join(printed)


def test_tables_4_and_5_have_the_gains_of_their_claims() -> None:
    (noise,) = gains("table4")
    assert noise[0] == 0
    assert PAPER["noise-levels"] == f"{listed(('noise20', 'noise30', 'noise40', 'real noise'), noise[1:])} dB"
    (larger,) = gains("table5")
    assert PAPER["larger-ends"] == f"{listed(TASKS, larger)} dB"
    first = {row[:2] == ["1.25", "✓"]: figures(row) for row in rows("table1")}[True]
    assert figures(rows("table5")[0])[:3] == first[:3], "all but deblur, of which the note tells"


def test_table_7_has_the_gains_of_its_claim() -> None:
    found = dict(zip(("rdn", "dense"), gains("table7"), strict=True))
    assert {gain[0] for gain in found.values()} == {0.0}
    parts = [f"{name}: {listed(TASKS[1:], gain[1:])} dB" for name, gain in found.items()]
    assert PAPER["other-networks"] == "; ".join(parts)


@pytest.mark.parametrize(("variant", "times"), [("6×6 kernel", "4.8"), ("4 layers", "3.9")])
def test_table_6_has_the_times_of_its_claim(variant: str, times: str) -> None:
    said = paper.load("table6").printed
    assert said is not None
    spent = {(row.ours or {})["variant"]: float(row.cells[-1].removesuffix(" ms")) for row in said.rows}
    assert f"{times} times" in PAPER["layer-cost"]
    assert f"{spent[variant] / spent['3×3 kernel']:.1f}" == times
    assert f"CMC-20 {100 * (spent['CMC-20'] / spent['CMC-5'] - 1):+.1f} %" in PAPER["layer-cost"]

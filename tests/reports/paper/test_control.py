"""The control for what sharing of knowledge brings: where its figures stand, and where they must not."""

from pathlib import Path

import pytest
from made_runs import LEARNED, ORDER, made_run

from reports.groups import collect
from reports.items import exports
from reports.items.item import Item
from reports.paper.claims import judge
from reports.paper.evidence import Evidence, gather
from reports.paper.figures import figure4
from reports.paper.tables import by_row

CMC = {"fraction": 0.05, "t": 5, "t_ends": None, "sharing": "fixed", "start": None, "exhausted": "error"}
SHIFTS = {"fixed": 1.0, "none": 0.0, "copy": 0.75}


def evidence_of(folder: Path, *sharings: str) -> Evidence:
    """Runs at 5 % with these kinds of sharing, that differ by SHIFTS in dB; the last task starts 2 dB lower."""
    for sharing in sharings:
        made_run(folder / "runs", shift=SHIFTS[sharing], settings=CMC | {"sharing": sharing})
    (found,) = gather(collect([folder / "runs"]))
    return found


@pytest.fixture(scope="module")
def with_control(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return evidence_of(tmp_path_factory.mktemp("control"), "fixed", "none", "copy")


def table_1(evidence: Evidence) -> Item:
    found = by_row.table("table1")(evidence)
    assert found is not None
    return found


def test_table_1_tells_what_it_compares_and_the_controls_figures(with_control: Evidence) -> None:
    note = table_1(with_control).table.note
    assert "includes that of the start" in note
    final = [f"{task} {psnr + 0.75:.2f}" for task, psnr in zip(ORDER, LEARNED, strict=True)]
    assert (
        f"5 %: {', '.join(final)}; 22.75 after the first epoch of deblur (with sharing 23.00, without 22.00), seed 0"
        in note
    )


def test_the_control_is_no_row_of_the_paper(with_control: Evidence, tmp_path: Path) -> None:
    frame = exports.frame(table_1(with_control).table)
    ours = frame[frame["derain (measured here)"] != "–"]
    measured = dict(zip(ours["Knowledge Sharing"], ours["derain (measured here)"].astype(float), strict=True))
    assert measured == pytest.approx({"✓": LEARNED[0] + 1.0, "✗": LEARNED[0]})
    assert with_control.find(fraction=0.05).results[0].config["settings"]["sharing"] == "fixed", (
        "what is asked for without a word on sharing"
    )
    alone = evidence_of(tmp_path, "copy")
    assert by_row.table("table1")(alone) is None
    assert figure4.item(alone) is None


def test_it_changes_no_verdict(with_control: Evidence, tmp_path: Path) -> None:
    without = evidence_of(tmp_path, "fixed", "none")
    for one, other in zip(judge(with_control), judge(without), strict=True):
        if one.claim.key != "never-changes":
            assert (one.state, one.measured) == (other.state, other.measured)


def test_figure_4_has_its_curve_where_it_was_run(with_control: Evidence, tmp_path: Path) -> None:
    drawn = figure4.item(with_control)
    assert drawn is not None
    assert "includes that of the start" in drawn.drawing.caption
    assert "copy of the last kernel" in drawn.drawing.caption
    assert drawn.drawing.description == "5 %: gap +1.00 dB, from a copy +0.75 dB"
    plain = figure4.item(evidence_of(tmp_path, "fixed", "none"))
    assert plain is not None
    assert "includes that of the start" in plain.drawing.caption
    assert "copy" not in plain.drawing.caption
    assert plain.drawing.description == "5 %: gap +1.00 dB"


def test_without_the_control_the_note_still_tells_what_is_compared(tmp_path: Path) -> None:
    note = table_1(evidence_of(tmp_path, "fixed", "none")).table.note
    assert "includes that of the start" in note
    assert "cmc.sharing=copy" not in note


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """With sharing in three seeds, the later ones 3 dB better by luck; without in two, and the control in one."""
    folder = tmp_path_factory.mktemp("uneven")
    for sharing, seeds in {"fixed": (0, 1, 2), "none": (0, 1), "copy": (1,)}.items():
        for seed in seeds:
            shift = SHIFTS[sharing] + 3.0 * (seed > 0)
            made_run(folder, shift=shift, seed=seed, settings=CMC | {"sharing": sharing})
    (found,) = gather(collect([folder]))
    return found


def test_curves_are_compared_over_the_seeds_that_all_have(uneven: Evidence) -> None:
    drawn = figure4.item(uneven)
    assert drawn is not None
    assert drawn.drawing.description == "5 %: gap +1.00 dB, from a copy +0.75 dB"
    assert "seeds that all curves of a panel have (5 %: 1)" in drawn.drawing.caption
    assert (
        "25.75 after the first epoch of deblur (with sharing 26.00, without 25.00), seed 1"
        in table_1(uneven).table.note
    )


def test_the_note_names_the_seeds_of_all_of_its_figures(tmp_path: Path) -> None:
    """Of two seeds of the control one has both others beside it; the finals are means over two, the epochs of one."""
    for sharing, seeds in {"fixed": (0, 1), "none": (1,), "copy": (1, 2)}.items():
        for seed in seeds:
            made_run(tmp_path, shift=SHIFTS[sharing] + seed, seed=seed, settings=CMC | {"sharing": sharing})
    (found,) = gather(collect([tmp_path]))
    told = table_1(found).table.note.partition("deblur ")[2]
    assert told.startswith(f"{LEARNED[3] + 2.25:.2f}, seeds 1 and 2; 23.75 after the first epoch of deblur")
    assert "(with sharing 24.00, without 23.00), seed 1" in told


def test_rows_of_one_strategy_are_told_apart_by_what_is_printed(uneven: Evidence) -> None:
    """In the note on missing seeds, too; and spreads of all blocks count, not of the last alone."""
    assert "by luck, too: % Params 5, Knowledge Sharing ✗ (0 and 1)" in table_1(uneven).table.note


def test_the_median_spread_is_that_of_all_rows(tmp_path: Path) -> None:
    for fraction, spread in {0.2: 0.1, 0.05: 0.1, 0.0125: 2.0}.items():
        for seed in range(3):
            made_run(tmp_path, seed=seed, settings=CMC | {"fraction": fraction, "sharing": "none"})
            shift = 5.0 + spread * (seed - 1)
            made_run(tmp_path, seed=seed, shift=shift, settings=CMC | {"fraction": fraction})
    (found,) = gather(collect([tmp_path]))
    assert "median paired spread found here (0.10 dB in the mean over the tasks, 3 seeds)" in table_1(found).table.note

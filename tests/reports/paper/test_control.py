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
    assert f"5 %: {', '.join(final)}; 22.75 after the first epoch of deblur (with sharing 23.00, without 22.00)" in note


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

"""The scorecard as a table, beside the page and in a terminal."""

import io

from made_results import HELPS, by_fraction, close, networks, with_gaps
from rich.console import Console

from reports.paper import claims, scorecard
from reports.paper.claims import HOLDS, UNMEASURED, judge
from reports.paper.evidence import Evidence
from reports.terminal import show_scorecard


def test_the_scorecard_as_a_table() -> None:
    evidence = Evidence("paper-quick", "preset quick", "quick", list(close(by_fraction([0.1, 0.1, 0.2, 0.3, 0.4]))))
    scored = [(evidence, judge(evidence))]
    frame = scorecard.frame(scored)
    assert list(frame.columns) == scorecard.COLUMNS.names
    row = frame.set_index("key").loc["sharing-helps"]
    assert row["verdict"] == HOLDS
    assert row["preset"] == "quick"
    assert row["images"] == "embedded"
    assert row["seeds"] == "0 1 2"
    assert 0 <= row["p"] <= row["p corrected"] < 0.05
    files = scorecard.item(frame, scored).files()
    text = str(files["tables/scorecard.md"])
    (line,) = [line for line in text.splitlines() if line.startswith("| Sharing of knowledge")]
    for part in (row["paper"], row["measured"], HOLDS, "0 1 2"):
        assert part in line
    assert UNMEASURED not in text
    assert "false discovery rate" in text
    tex = str(files["tables/scorecard.tex"])
    assert tex.isascii()
    assert r"\footnotesize" in tex


def test_without_a_measured_claim_the_scorecard_is_data_alone() -> None:
    evidence = Evidence("paper-quick", "preset quick", "quick", [])
    scored = [(evidence, judge(evidence))]
    assert set(scorecard.item(scorecard.frame(scored), scored).files()) == {"tables/scorecard.csv"}


def two_evidences() -> list[tuple[Evidence, list[claims.Verdict]]]:
    """One preset with images from two places, each with one claim that the other does not measure."""
    runs = {"preset quick": with_gaps(0.1, 0.2, 0.3), "preset quick (2)": close(networks({"rdn": HELPS}))}
    found = [
        Evidence(f"paper-{number}", title, "quick", list(results))
        for number, (title, results) in enumerate(runs.items())
    ]
    return [(one, judge(one)) for one in found]


def test_evidences_of_one_preset_are_told_apart() -> None:
    scored = two_evidences()
    frame = scorecard.frame(scored)
    assert list(frame["preset"].unique()) == ["quick", "quick (2)"]
    table = scorecard.item(frame, scored).table
    assert table is not None
    assert {row[0].text for row in table.rows} == {"quick", "quick (2)"}
    assert "Preset quick (2): " in table.note


def test_what_no_evidence_measured_is_counted_once() -> None:
    frame = scorecard.frame(two_evidences())
    console = Console(width=200, record=True, file=io.StringIO())
    show_scorecard(frame, console)
    told = console.export_text()
    assert "The paper's claims, preset quick (2)" in told
    measured = {row.key for row in frame.itertuples() if row.verdict != UNMEASURED}
    assert f"{len(claims.CLAIMS) - len(measured)} claims were not measured" in told

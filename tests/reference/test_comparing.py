"""A run beside its record: equal, near enough on another machine, or different."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_runs import made_run

from benchmark.core.runs.directory import Run
from benchmark.core.runs.schemas import METRICS, OUTPUTS
from benchmark.core.runs.writing import write_table
from benchmark.reference.comparing import EQUAL, FAILED, KIND, NEAR, compare

HERE = dict.fromkeys(KIND, "the same") | {"threads": 1, "processes": 1}


@pytest.fixture
def record(tmp_path: Path) -> Run:
    return made(tmp_path / "record")


def made(folder: Path, environment: dict[str, Any] = HERE, **changes: Any) -> Run:
    run = made_run(folder, keeps=False, **changes)
    (run.path / "environment.json").write_text(json.dumps({"format": 3, **environment}))
    return run


def shifted(run: Run, off: float, **chosen: Any) -> Run:
    """The run with some of its measurements shifted."""
    rows = run.rows("metrics.csv")
    for row in rows:
        if all(row[name] == value for name, value in chosen.items()):
            row["value"] += off
    write_table(run.path / "metrics.csv", rows, METRICS)
    return run


def test_the_same_is_equal_wherever_it_was_made(record: Run, tmp_path: Path) -> None:
    for environment in (HERE, HERE | {"capability": "AVX512"}, {}):
        found = compare(record, made(tmp_path / "again", environment))
        assert (found.verdict, found.largest, found.problems) == (EQUAL, {"dB": 0.0, "": 0.0}, [])
        assert found.measurements == len(record.rows("metrics.csv"))


def test_on_the_same_kind_of_machine_the_last_bit_counts(record: Run, tmp_path: Path) -> None:
    again = shifted(made(tmp_path / "again"), 1e-12, after=4, place=2, metric="psnr")
    assert compare(record, again).verdict == FAILED
    rows = record.rows("outputs.csv")
    write_table(record.path / "outputs.csv", [rows[0] | {"sha256": "1" * 64}, *rows[1:]], OUTPUTS)
    assert compare(record, made(tmp_path / "other")).verdict == FAILED


@pytest.mark.parametrize(
    ("off", "chosen", "verdict"),
    [
        (0.4, {"after": 2, "place": 2, "metric": "psnr"}, NEAR),
        (-0.6, {"after": 2, "place": 2, "metric": "psnr"}, FAILED),
        (1.5, {"after": 4, "place": 1, "metric": "psnr"}, NEAR),
        (2.5, {"after": 4, "place": 1, "metric": "psnr"}, FAILED),
        (0.04, {"after": 2, "place": 2, "metric": "ssim"}, NEAR),
        (0.06, {"after": 2, "place": 2, "metric": "ssim"}, FAILED),
        (0.15, {"after": 4, "place": 1, "metric": "ssim"}, NEAR),
        (0.25, {"after": 4, "place": 1, "metric": "ssim"}, FAILED),
        (0.009, {"subject": "input", "metric": "psnr"}, NEAR),
        (0.011, {"subject": "input", "metric": "psnr"}, FAILED),
        (1, {"after": 4, "place": 1, "metric": "outputs_changed"}, FAILED),
    ],
)
def test_on_another_machine_the_tolerance_counts(
    record: Run, tmp_path: Path, off: float, chosen: dict[str, Any], verdict: str
) -> None:
    found = compare(record, shifted(made(tmp_path / "again", HERE | {"threads": 2}), off, **chosen))
    assert found.verdict == verdict
    assert found.machines == ["threads is 1 in the record and 2 here"]
    assert bool(found.problems) == (verdict == FAILED)
    if verdict == NEAR and chosen["metric"] == "psnr":
        assert found.largest["dB"] == pytest.approx(abs(off))
        assert found.where["dB"].startswith("psnr of ")


def test_what_is_protected_is_held_to_what_was_learned(tmp_path: Path) -> None:
    verdicts = []
    for protects in (False, True):
        folder = tmp_path / str(protects)
        record = made(folder / "record")
        traits = dict.fromkeys(("needs_task_id", "stores_data", "grows"), False) | {"protects_exactly": protects}
        status = record.status | {"traits": traits}
        (record.path / "status.json").write_text(json.dumps(status))
        again = shifted(made(folder / "again", HERE | {"threads": 2}), 1.5, after=4, place=1, metric="psnr")
        verdicts.append(compare(record, again).verdict)
    assert verdicts == [NEAR, FAILED]


def test_what_was_not_learned_yet_is_protected_by_nothing(tmp_path: Path) -> None:
    record = made(tmp_path / "record")
    traits = dict.fromkeys(("needs_task_id", "stores_data", "grows"), False) | {"protects_exactly": True}
    (record.path / "status.json").write_text(json.dumps(record.status | {"traits": traits}))
    again = shifted(made(tmp_path / "again", HERE | {"threads": 2}), 1.5, after=1, place=3, metric="psnr")
    assert compare(record, again).verdict == NEAR


def test_what_was_not_measured_is_not_equal(record: Run, tmp_path: Path) -> None:
    again = made(tmp_path / "again", HERE | {"threads": 2})
    write_table(again.path / "metrics.csv", again.rows("metrics.csv")[:-1], METRICS)
    found = compare(record, again)
    assert found.verdict == FAILED
    assert [problem.endswith("was not measured") for problem in found.problems] == [True]


def test_another_protocol_is_no_comparison(record: Run, tmp_path: Path) -> None:
    again = made(tmp_path / "again", {})
    rows = [row | {"protocol": "in grey"} for row in again.rows("metrics.csv")]
    write_table(again.path / "metrics.csv", rows, METRICS)
    found = compare(record, again)
    assert found.verdict == FAILED
    assert "was not measured in the same way" in found.problems[0]
    assert len(found.problems) < 10


def test_what_the_record_did_not_know_is_left_alone(record: Run, tmp_path: Path) -> None:
    again = made(tmp_path / "again")
    rows = again.rows("metrics.csv")
    write_table(again.path / "metrics.csv", [*rows, rows[-1] | {"metric": "lpips"}], METRICS)
    without = [{name: row[name] for name in row if name != "ssim_y"} for row in record.rows("outputs.csv")]
    write_table(record.path / "outputs.csv", without, OUTPUTS)
    assert compare(record, again).verdict == EQUAL


def test_what_was_learned_at_once_was_all_learned_last(tmp_path: Path) -> None:
    """Joint training is first measured when all is learned: none of its tasks had a later one to suffer from."""
    found = []
    for folder, shift in (("there", 0.0), ("here", -1.0)):
        run = made_run(tmp_path / folder, "together")
        rows = [row for row in run.rows("metrics.csv") if row["after"] in (0, 4)]
        for row in rows:
            if (row["subject"], row["metric"], row["place"]) == ("output", "psnr", 1):
                row["value"] += shift
        write_table(run.path / "metrics.csv", rows, METRICS)
        found.append(run)
    assert any("derain" in problem for problem in compare(*found).problems)

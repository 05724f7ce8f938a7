"""What is read of a run."""

from pathlib import Path

from made_runs import ORDER, made_run

from benchmark.core.runs.schemas import METRICS
from benchmark.core.runs.writing import write_table
from reports.results import read


def test_of_memory_the_largest_over_tasks_counts_and_of_all_else_the_last(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    with (run.path / "ledger.csv").open("a") as file:
        file.writelines(f"{i},{task},data_bytes,{100 - i}.0,B\n" for i, task in enumerate(ORDER, 1))
    run.update_status(peak_memory={"1": 5e6, "2": 9e6, "3": 7e6, "4": 6e6})
    found = read(run)
    assert (found.cost("peak_memory"), found.cost("data_bytes")) == (9e6, 96)


def test_what_older_runs_hold_above_100_db_is_read_as_that(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    rows = run.rows("metrics.csv")
    for row in rows:
        row["value"] += 100.0 * (row["place"] == 2 and row["metric"] == "psnr")
    write_table(run.path / "metrics.csv", rows, METRICS)
    found = read(run)
    assert (found.final_psnr[1], found.input_psnr[1]) == (100, 100)
    assert found.final_psnr[0] < 100

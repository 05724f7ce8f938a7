"""What is read of a run."""

from pathlib import Path

from made_runs import ORDER, made_run

from reports.results import read


def test_of_memory_the_largest_over_tasks_counts_and_of_all_else_the_last(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    with (run.path / "ledger.csv").open("a") as file:
        file.writelines(f"{i},{task},data_bytes,{100 - i}.0,B\n" for i, task in enumerate(ORDER, 1))
    run.update_status(peak_memory={"1": 5e6, "2": 9e6, "3": 7e6, "4": 6e6})
    found = read(run)
    assert (found.cost("peak_memory"), found.cost("data_bytes")) == (9e6, 96)

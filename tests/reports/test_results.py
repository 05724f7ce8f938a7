"""What is read of a run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_results import made
from made_runs import ORDER, made_run

from benchmark.core.errors import UserError
from benchmark.core.runs.schemas import CURVES, METRICS
from benchmark.core.runs.writing import write_table
from reports.results import Result, mean, read


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


def with_psnr(matrix: list[list[float]], inputs: list[float]) -> Result:
    """A made result with this PSNR after each task, in dB."""
    order = ORDER[: len(matrix)]
    return replace(
        made(order=order, final=matrix[-1]), outputs={"psnr": np.array(matrix)}, inputs={"psnr": np.array(inputs)}
    )


def test_figures_of_a_matrix_by_hand() -> None:
    """Task 1 gains 1 dB and then loses 3, task 2 gains half a dB; a column is a task, a row what was learned last."""
    one = with_psnr([[30.0, 14.0, 27.0], [31.0, 25.0, 26.0], [28.0, 25.5, 29.0]], [24.0, 15.0, 24.0])
    nan = np.nan
    assert np.array_equal(one.change, [[0, nan, nan], [1, 0, nan], [-2, 0.5, 0]], equal_nan=True)
    assert one.gain.tolist() == [4.0, 10.5, 5.0]
    assert (one.mean_psnr, one.mean_gain) == pytest.approx((82.5 / 3, 19.5 / 3))
    assert (one.mean_forgetting, one.backward_transfer) == pytest.approx(((3 - 0.5) / 2, (-2 + 0.5) / 2))
    assert one.forward_transfer == pytest.approx(((14 - 15) + (26 - 24)) / 2)


def test_a_run_that_has_not_finished_has_learned_what_was_measured_at_least_in_part() -> None:
    nan = np.nan
    part = with_psnr([[30.0, 14.0, 27.0], [31.0, nan, nan], [nan, nan, nan]], [24.0, 15.0, 24.0])
    assert part.learned == 2
    assert with_psnr([[nan, nan], [30.0, 20.0]], [24.0, 15.0]).learned == 2, "whatever is missing before"
    assert with_psnr([[nan, nan], [nan, nan]], [24.0, 15.0]).learned == 0
    assert np.isnan(part.mean_psnr)


def test_what_is_unknown_takes_no_part_in_a_mean() -> None:
    assert mean(np.array([np.nan, 1.0, 2.0])) == 1.5
    assert np.isnan(mean(np.array([np.nan])))


def test_only_what_the_last_task_changed_counts(tmp_path: Path) -> None:
    """Of four tasks, three earlier ones with two images each; a table counts the same after every task."""
    assert read(made_run(tmp_path, keeps=False)).changed == (6, 6)
    assert read(made_run(tmp_path)).changed == (0, 6)
    assert read(made_run(tmp_path, done=3)).changed is None


@pytest.mark.parametrize("change", [{"place": 0}, {"place": 5}, {"after": 5}])
@pytest.mark.parametrize(("file", "what"), [("metrics.csv", "measurement"), ("curves.csv", "training curve")])
def test_rows_outside_of_the_stream_are_refused(tmp_path: Path, file: str, what: str, change: dict[str, int]) -> None:
    run = made_run(tmp_path)
    rows = run.rows(file)
    rows[-1] |= change
    write_table(run.path / file, rows, METRICS if file == "metrics.csv" else CURVES)
    with pytest.raises(UserError, match=rf"a {what} lies outside the 4 tasks of the stream"):
        read(run)

"""In every column of the comparison and the summary the better figure is the one in bold."""

from pathlib import Path

import pytest
from made_runs import made_run

from benchmark.core.runs.schemas import LEDGER, METRICS
from benchmark.core.runs.writing import write_table
from reports.groups import Group, collect
from reports.items.table import Cell, Column, Table
from reports.tables import comparison, summary
from reports.tables.marks import mark_best


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Group:
    """One strategy that keeps what it learned, and one that forgets, stores more and hurts tasks to come."""
    folder: Path = tmp_path_factory.mktemp("best")
    made_run(folder, "mas", shift=1.0, settings={})
    worse = made_run(folder, "ewc", keeps=False, settings={})
    rows = [{**row, "value": 100 * row["value"]} for row in worse.rows("ledger.csv")]
    write_table(worse.path / "ledger.csv", rows, LEDGER)
    measured = [
        {**row, "value": row["value"] - 1.0 * (row["place"] > row["after"] > 0)} for row in worse.rows("metrics.csv")
    ]
    write_table(worse.path / "metrics.csv", measured, METRICS)
    (found,) = collect([folder]).groups
    return found


def bold(table: Table | None, head: str) -> dict[str, bool]:
    assert table is not None
    place = next(index for index, column in enumerate(table.columns) if column.head == head)
    return {row[0].text: row[place].best for row in table.rows if row[0].text in ("mas", "ewc")}


@pytest.mark.parametrize("head", ["forgetting", "BWT", "FWT", "mean"])
def test_of_the_comparison(group: Group, head: str) -> None:
    assert bold(comparison.table(group), head) == {"mas": True, "ewc": False}


@pytest.mark.parametrize("unknown", [0, 1])
def test_nothing_is_best_where_all_known_figures_are_equal(unknown: int) -> None:
    """Whether or not other rows have none, such as the degraded input."""
    equal, dash = [Cell("0.00", 0.0)], [Cell("–")]
    rows = mark_best([Column("forgetting", best=-1)], [equal, equal, *[dash] * unknown])
    assert not any(cell.best for row in rows for cell in row)
    rows = mark_best([Column("forgetting", best=-1)], [equal, [Cell("0.10", 0.1)], *[dash] * unknown])
    assert [row[0].best for row in rows] == [True, False, *[False] * unknown]


@pytest.mark.parametrize("head", ["mean PSNR", "gain", "stored"])
def test_of_the_summary(group: Group, head: str) -> None:
    found = summary.item(group)
    assert found is not None
    assert bold(found.table, head) == {"mas": True, "ewc": False}

"""A metric is one declaration: a run records it, and a report compares by it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run

import reports
from benchmark.core import metrics
from benchmark.core.metrics import Metric
from benchmark.core.runs.schemas import OUTPUTS
from benchmark.engine.local import execute
from benchmark.engine.setup import resolve
from benchmark.planning import plan
from reports.groups import collect

MAE = Metric(
    "mae",
    "MAE",
    lambda restored, clean: float(np.abs(restored.astype(int) - clean).mean()),
    unit="grey levels",
    higher_is_better=False,
    digits=1,
)


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean absolute error among the metrics."""
    monkeypatch.setattr(metrics, "METRICS", (*metrics.METRICS, MAE))


@pytest.mark.slow
@pytest.mark.usefixtures("declared")
def test_a_new_metric_is_recorded_compared_and_shown(tmp_path: Path) -> None:
    planned = plan("finetune,cmc", "four_tasks", "smoke", "0", "derain,deblock", None, None, [])
    runs = execute([resolve(config) for config in planned], tmp_path / "runs")
    rows = pd.read_csv(runs[0].path / "metrics.csv")
    recorded = rows[rows["metric"] == "mae"]
    assert recorded.groupby("subject").size().to_dict() == {"input": 2, "output": 4}
    assert set(recorded["unit"]) == {"grey levels"}
    assert recorded["value"].between(0, 255, inclusive="neither").all()

    made = reports.build([tmp_path / "runs"], tmp_path / "report")
    (key,) = (group.key for group in made.collection.groups)
    comparison = pd.read_csv(tmp_path / "report" / "tables" / f"{key}-comparison.csv").set_index("label")
    last = recorded[(recorded["after"] == 2) & (recorded["place"] == 1)]["value"].item()
    assert comparison.loc["finetune", "derain mae"] == last
    assert "mae" in pd.read_csv(tmp_path / "report" / "tables" / f"{key}-matrix.csv").columns

    table = next(item.table for item in made.items if item.key == f"{key}-comparison")
    assert table is not None
    places = [place for place, column in enumerate(table.columns) if "MAE (grey levels)" in (column.head, column.over)]
    assert places
    assert all(table.columns[place].best == -1 for place in places)
    finetune = next(row for row in table.rows if row[0].text == "finetune")
    assert f"{last:.1f}" in [finetune[place].text for place in places]
    assert "MAE (grey levels)" in made.index.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("declared")
def test_runs_from_before_a_metric_are_compared_without_it(tmp_path: Path) -> None:
    made_run(tmp_path / "runs")
    (group,) = collect([tmp_path / "runs"]).groups
    assert np.isnan(group.entries[0].results[0].outputs["mae"]).all()
    made = reports.build([tmp_path / "runs"], tmp_path / "report")
    table = pd.read_csv(made.index.parent / "tables" / f"{group.key}-comparison.csv")
    assert table["derain mae"].isna().all()
    assert table["derain psnr"].notna().all()


def test_the_table_of_outputs_may_lack_a_metric(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    whole = pd.read_csv(run.path / "outputs.csv")
    whole.drop(columns="ssim_y").to_csv(run.path / "outputs.csv", index=False)
    assert list(run.outputs.columns) == OUTPUTS.names
    assert run.outputs["ssim_y"].isna().all()
    assert run.outputs["psnr"].equals(whole["psnr"])
    assert run.rows("outputs.csv")[0]["ssim_y"] is None

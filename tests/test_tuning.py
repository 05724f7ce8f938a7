"""Fair tuning: what is tried, how it is scored, and what is kept of it."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmark import config
from benchmark.errors import UserError
from benchmark.experiments import tuning
from benchmark.runs import find_runs
from strategies import registry

TABLE = tuning.GRID.with_name("tuning-quick.csv")


def test_every_value_is_accepted_by_its_strategy() -> None:
    for strategy, setting, value in tuning.grid():
        kind = registry.load(strategy)
        assert getattr(registry.settings(kind, {setting: value}), setting) == value


def test_a_strategy_without_a_grid_is_told() -> None:
    with pytest.raises(UserError, match="finetune"):
        tuning.grid(["cmc", "finetune"])


def test_the_score_is_the_mean_validation_psnr_after_the_last_task(smoke_runs: Path) -> None:
    run = find_runs([smoke_runs])[0]
    scores = tuning.score(run)
    rows = run.metrics[(run.metrics["after"] == 4) & (run.metrics["subject"] == "validation")]
    assert list(scores) == ["derain", "denoise", "deblock", "deblur"]
    assert scores == dict(zip(rows["task"], rows["value"], strict=True))


def test_the_table_is_extended_and_sorted(smoke_runs: Path, tmp_path: Path) -> None:
    cmc, finetune = find_runs([smoke_runs])
    path = tmp_path / "table.csv"
    tuning.write(path, [(("cmc", "fraction", 0.1), finetune), (("cmc", "fraction", 0.2), cmc)])
    tuning.write(path, [(("mas", "weight", 1.0), finetune)])
    table = pd.read_csv(path)
    assert list(table["strategy"]) == ["cmc", "cmc", "mas"]
    assert table["score"][0] >= table["score"][1]
    mean = sum(tuning.score(finetune).values()) / 4
    assert table["score"][2] == pytest.approx(mean, abs=5e-4)
    tuning.write(path, [(("cmc", "fraction", 0.3), cmc)])
    assert list(pd.read_csv(path)["value"]) == [0.3, 1.0], "a strategy's rows are replaced"


def test_the_preset_has_the_best_values_that_were_found() -> None:
    """Except where the preset says why it has another: cmc leaves room for a fifth task."""
    table = pd.read_csv(TABLE)
    preset = yaml.safe_load((config.PRESETS / "quick.yaml").read_text())
    tried = {(row.strategy, row.setting, float(row.value)) for row in table.itertuples()}
    assert tried == {(strategy, setting, float(value)) for strategy, setting, value in tuning.grid()}
    for strategy, rows in table.groupby("strategy"):
        best = rows.loc[rows["score"].idxmax()]
        setting = best["setting"]
        default = registry.settings(registry.load(str(strategy)), {})
        used = preset.get(strategy, {}).get(setting, getattr(default, setting))
        assert used == (0.2 if strategy == "cmc" else best["value"]), strategy

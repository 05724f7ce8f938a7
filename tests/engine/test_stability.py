"""Earlier tasks are followed while others are learned, and nothing else of the run changes for it."""

from pathlib import Path

import numpy as np
import pytest
from made_runs import LEARNED, ORDER, made_run

from benchmark.core.metrics import dip
from benchmark.core.runs.directory import Run
from benchmark.core.runs.schemas import CURVES
from benchmark.core.runs.writing import write_table
from benchmark.engine import job, setup
from benchmark.planning import plan
from reports.figures import curves, stability
from reports.groups import collect
from reports.stability import read_dips
from reports.tables import comparison
from strategies import registry

TINY = ["training.epochs=2", "backbone.width=3", "data.dead_leaves=0", "data.test_size=32", "data.validation_size=32"]
TOLD = {name for name, entry in registry.entries().items() if entry.traits and entry.traits.needs_task_id}
"""Strategies with another network for each task, so that a look at an old one in between could leave a trace."""
OTHERS = {"finetune", "cumulative", "together", "kr", "generative_replay"}
FOLLOWED = "evaluation.stability_gap=true"


def learn(place: Path, strategy: str, order: str, *settings: str) -> Run:
    (config,) = plan(strategy, "four_tasks", "smoke", "0", order, None, None, [*TINY, *settings])
    return job.run(setup.resolve(config), place)


@pytest.mark.parametrize("strategy", sorted(TOLD | OTHERS))
def test_following_changes_nothing_else(strategy: str, tmp_path: Path) -> None:
    order = "denoise,deblock,deblur" if strategy == "packnet" else "denoise,deblur"
    plain, followed = (learn(tmp_path / str(len(more)), strategy, order, *more) for more in ([], [FOLLOWED]))
    for name in ("metrics.csv", "outputs.csv", "owned.csv", "ledger.csv"):
        assert (plain.path / name).read_bytes() == (followed.path / name).read_bytes(), name
    usual, more = (run.curves.set_index(list(CURVES.key)) for run in (plain, followed))
    assert more.loc[usual.index].equals(usual)
    added = more.drop(usual.index)
    trained = {after for after, *_ in usual.index}
    earlier = {(after, place, epoch) for after in trained for place in range(1, after) for epoch in range(3)}
    assert set(added.index) == earlier.difference(usual.index), "those that are trained again or together are there"
    assert added["loss"].isna().all()
    ends = followed.metrics.query("subject == 'validation'").set_index(["after", "place"])["value"]
    for after, place, epoch in added.index[added.index.get_level_values("epoch") == 2]:
        assert added.loc[(after, place, epoch), "psnr"] == ends[after, place], "the last epoch is the end of the task"


def test_it_is_a_run_of_its_own() -> None:
    (usual,), (followed,) = (
        plan("cmc", "four_tasks", "smoke", "0", None, None, None, more) for more in ([], [FOLLOWED])
    )
    assert usual.identity != followed.identity


def test_a_dip_is_the_deepest_fall_below_the_first_value() -> None:
    assert dip(np.array([30.0, 26.5, 24.0, 29.0])) == pytest.approx(6.0)
    assert dip(np.array([30.0, 31.0, 30.5])) == pytest.approx(-0.5)
    assert np.isnan(dip(np.array([30.0])))


def with_valley(folder: Path, strategy: str, depth: float, seed: int = 0) -> Run:
    """A run of which task 1 falls by ``depth`` dB in the first epoch of task 2 and comes back."""
    run = made_run(folder, strategy, seed=seed, evaluation={"stability_gap": True})
    rows = run.rows("curves.csv")
    for after in (2, 3, 4):
        for epoch in range(3):
            fallen = depth if (after, epoch) == (2, 1) else 0.0
            about = {"after": after, "place": 1, "task": ORDER[0], "epoch": epoch, "update": 100 * epoch}
            rows.append({**about, "loss": None, "psnr": LEARNED[0] - fallen, "learning_rate": 0.002})
    write_table(run.path / "curves.csv", rows, CURVES)
    return run


def test_the_report_shows_the_deepest_fall(tmp_path: Path) -> None:
    for seed, depth in ((0, 3.0), (1, 5.0)):
        with_valley(tmp_path, "cmc", depth, seed)
    made_run(tmp_path, "packnet")
    (group,) = collect([tmp_path]).groups
    table = comparison.table(group)
    dips = {row[0].text: row[[column.head for column in table.columns].index("dip")] for row in table.rows}
    assert dips["cmc"].value == pytest.approx(4.0)
    assert dips["packnet"].text == "–"
    found = stability.item(group)
    assert found is not None
    assert found.data is not None
    first = found.data[found.data["seed"] == 0]
    assert list(first["moment"]) == [1.0, *(after + epoch / 2 for after in (1, 2, 3) for epoch in range(3))]
    assert len(curves.frame(group)) == 3 * 12, "the curves of learning are those of the task that is learned"


def test_without_it_a_report_has_neither(tmp_path: Path) -> None:
    run = made_run(tmp_path, "cmc")
    (group,) = collect([tmp_path]).groups
    assert stability.item(group) is None
    assert "dip" not in [column.head for column in comparison.table(group).columns]
    assert np.isnan(read_dips(run.curves, 4)).all()

"""Earlier tasks are followed while others are learned, and nothing else of the run changes for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avalanche.core import SupervisedPlugin
from made_runs import LEARNED, ORDER, made_run

from benchmark.core.metrics import dip
from benchmark.core.runs.directory import Run
from benchmark.core.runs.schemas import CURVES
from benchmark.core.runs.writing import write_table
from benchmark.engine import job, setup
from benchmark.engine.events import Event, Listener, Updated, ignore
from benchmark.planning import plan
from benchmark.sections import Evaluation
from reports.figures import curves, stability
from reports.groups import collect
from reports.page.settings import settings
from reports.stability import read_dips
from reports.tables import comparison
from strategies import registry

TINY = ["training.epochs=2", "backbone.width=3", "data.dead_leaves=0", "data.test_size=32", "data.validation_size=32"]
TOLD = {name for name, entry in registry.entries().items() if entry.traits and entry.traits.needs_task_id}
"""Strategies with another network for each task, so that a look at an old one in between could leave a trace."""
OTHERS = {"finetune", "cumulative", "together", "kr", "generative_replay"}
FOLLOWED = "evaluation.stability_gap=true"


def learn(
    place: Path,
    strategy: str,
    order: str,
    *settings: str,
    on_event: Listener = ignore,
    plugins: tuple[SupervisedPlugin, ...] = (),
) -> Run:
    (config,) = plan(strategy, "four_tasks", "smoke", "0", order, None, None, [*TINY, *settings])
    return job.run(setup.resolve(config), place, on_event, plugins=plugins)


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


class Noise(SupervisedPlugin):
    """Draws from torch's own generator, as plugins of others may."""

    def before_forward(self, template: Any, *args: Any, **kwargs: Any) -> None:
        template.mbatch[0] = template.mbatch[0] + 0.1 * torch.rand(template.mbatch[0].shape)


def test_plugins_that_draw_from_torch_draw_the_same(tmp_path: Path) -> None:
    plain, followed = (
        learn(tmp_path / str(len(more)), "finetune", "denoise,deblur", *more, plugins=(Noise(),))
        for more in ([], [FOLLOWED])
    )
    assert (plain.path / "metrics.csv").read_bytes() == (followed.path / "metrics.csv").read_bytes()


def test_it_goes_on_within_a_task(tmp_path: Path) -> None:
    updates = 0

    def stop(event: Event) -> None:
        nonlocal updates
        updates += isinstance(event, Updated)
        if updates == 10:  # of 6 in each of three tasks
            raise KeyboardInterrupt

    order = "denoise,deblock,deblur"
    whole = learn(tmp_path / "whole", "lwf", order, FOLLOWED)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "cut", "lwf", order, FOLLOWED, on_event=stop)
    resumed = learn(tmp_path / "cut", "lwf", order, FOLLOWED)
    for name in ("curves.csv", "metrics.csv"):
        assert (whole.path / name).read_bytes() == (resumed.path / name).read_bytes()


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


def test_only_those_that_were_followed_have_a_line(tmp_path: Path) -> None:
    with_valley(tmp_path, "cmc", 3.0)
    with_valley(tmp_path, "lwf", 3.0).update_status(state="interrupted")
    for number in range(14):
        made_run(tmp_path, f"other{number}", shift=1.0 + number)
    (group,) = collect([tmp_path]).groups
    found = stability.item(group)
    assert found is not None
    assert found.drawing is not None
    assert found.data is not None
    assert set(found.data["label"]) == {"cmc"}
    assert "cmc" in found.drawing.svg
    assert "other" not in found.drawing.svg


def test_a_curve_of_a_task_that_is_not_in_the_stream_is_a_damaged_run(tmp_path: Path) -> None:
    run = with_valley(tmp_path, "cmc", 3.0)
    rows = run.rows("curves.csv")
    write_table(run.path / "curves.csv", [*rows, {**rows[-1], "after": 5}], CURVES)
    (bad,) = collect([tmp_path]).unreadable
    assert "a training curve lies outside the 4 tasks" in bad.reason


@pytest.mark.parametrize("section", [None, {}, Evaluation().model_dump()])
def test_runs_from_before_there_was_a_choice_measured_nothing_of_it(section: Any, tmp_path: Path) -> None:
    made_run(tmp_path, "cmc")
    made_run(tmp_path, "cmc", seed=1, evaluation=section)
    (group,) = collect([tmp_path]).groups
    (entry,) = group.entries
    assert len(entry.results) == 2
    assert entry.results[0].config["evaluation"] == Evaluation().model_dump()


def test_the_command_of_a_run_measures_it_again(tmp_path: Path) -> None:
    with_valley(tmp_path, "cmc", 3.0)
    (group,) = collect([tmp_path]).groups
    assert "--set evaluation.stability_gap=true" in settings(group).variants[0].command


def test_without_it_a_report_has_neither(tmp_path: Path) -> None:
    run = made_run(tmp_path, "cmc")
    (group,) = collect([tmp_path]).groups
    assert stability.item(group) is None
    assert "dip" not in [column.head for column in comparison.table(group).columns]
    assert np.isnan(read_dips(run.curves, 4)).all()

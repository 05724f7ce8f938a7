"""Fair tuning: what is tried, how it is scored, which value is chosen, and what is kept of it."""

import math
import shutil
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pandas as pd
import pytest
import yaml

from benchmark import config
from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import Run, find_runs
from benchmark.engine.executors.execute import Failure, Results, RunsFailed
from benchmark.experiments import tuning
from benchmark.experiments.tuning import Trial
from benchmark.planning import plan
from strategies import registry

TABLE = tuning.GRID.with_name("tuning-quick.csv")


def made(scores: dict[tuple[float, int], float], setting: str = "mas.weight") -> pd.DataFrame:
    """A table of what was tried, from (value, seed) → score."""
    rows = [("mas", setting, value, seed, score) for (value, seed), score in scores.items()]
    return pd.DataFrame(rows, columns=tuning.COLUMNS.names)


def test_every_trial_is_a_run_that_can_be_planned() -> None:
    for one in tuning.grid():
        (planned,) = plan(one.strategy, "four_tasks", "quick", "0", one.order, None, None, [one.assignment])
        section, _, field = one.setting.partition(".")
        kind = registry.load(one.strategy)
        given = registry.settings(kind, planned.settings) if section == one.strategy else getattr(planned, section)
        assert getattr(given, field) == one.value


def test_learning_rates_are_tried_on_a_task_alone() -> None:
    orders = {one.order for one in tuning.grid(["finetune"])}
    assert orders == {"derain"}


def test_values_stand_in_rising_order() -> None:
    for settings in tuning.grids().values():
        for tried in settings.values():
            assert tried.values == sorted(set(tried.values))


def test_a_strategy_without_a_grid_is_told() -> None:
    with pytest.raises(UserError, match="anchor"):
        tuning.grid(["cmc", "anchor"])


def test_the_score_is_the_mean_validation_psnr_after_the_last_task(smoke_runs: Path) -> None:
    run = find_runs([smoke_runs])[0]
    scores = tuning.score(run)
    rows = run.metrics[(run.metrics["after"] == 4) & (run.metrics["subject"] == "validation")]
    assert list(scores) == ["derain", "denoise", "deblock", "deblur"]
    assert scores == dict(zip(rows["task"], rows["value"], strict=True))


def test_the_table_is_extended_and_sorted(smoke_runs: Path, tmp_path: Path) -> None:
    cmc, finetune = find_runs([smoke_runs])
    path = tmp_path / "table.csv"
    small, large = Trial("cmc", "cmc.fraction", 0.1), Trial("cmc", "cmc.fraction", 0.2)
    tuning.write(path, [(small, finetune), (large, cmc)])
    tuning.write(path, [(Trial("mas", "mas.weight", 1.0), finetune)])
    table = tuning.read(path)
    assert list(table["strategy"]) == ["cmc", "cmc", "mas"]
    assert table["score"][0] >= table["score"][1]
    assert table["score"][2] == pytest.approx(sum(tuning.score(finetune).values()) / 4, abs=5e-4)
    tuning.write(path, [(small, cmc)])
    again = tuning.read(path)
    assert len(again) == 3, "the row of the same trial and seed is replaced, and the others are kept"
    assert again["score"][0] == again["score"][1] == pytest.approx(sum(tuning.score(cmc).values()) / 4, abs=5e-4)


def test_another_kind_of_table_is_not_extended(smoke_runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("name,score\nme,1\n")
    with pytest.raises(UserError, match="lacks the columns strategy"):
        tuning.write(path, [(Trial("mas", "mas.weight", 1.0), find_runs([smoke_runs])[0])])
    assert path.read_text() == "name,score\nme,1\n"


def test_a_table_of_another_preset_or_stream_is_refused_before_anything_is_trained(
    smoke_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    tuning.write(path, [(Trial("mas", "mas.weight", 1.0), find_runs([smoke_runs])[0])], "four_tasks")
    monkeypatch.setattr(tuning, "_try", lambda *_: pytest.fail("something is trained"))
    kept = path.read_bytes()
    tuning.check_table(path, "smoke", "four_tasks")
    (tmp_path / "mine.yaml").write_text("tasks: [{name: denoise, degradation: noise}]")
    for preset, stream, told in (
        ("quick", "four_tasks", "scores of smoke on four_tasks, and those of quick on four_tasks"),
        ("smoke", str(tmp_path / "mine.yaml"), "scores of smoke on four_tasks, task derain, task deblock"),
    ):
        with pytest.raises(UserError, match=told):
            tuning.search(["mas"], [0], preset, stream, tmp_path, path)
    assert path.read_bytes() == kept
    path.write_text("strategy,setting,value,seed,score,snow\nmas,mas.weight,1.0,0,20.0,20.0\n")
    with pytest.raises(UserError, match="task snow"):
        tuning.check_table(path, "smoke", "four_tasks")


def test_streams_of_one_name_and_other_tasks_have_tables_of_their_own(tmp_path: Path) -> None:
    tables = []
    for place, text in enumerate(("{name: a, degradation: noise}", "{name: a, degradation: rain}")):
        for folder in (f"{place}", f"{place} again"):
            file = tmp_path / folder / "mine.yaml"
            file.parent.mkdir()
            file.write_text(f"tasks: [{text}]")
            tables.append(tuning.usual_table("quick", str(file)))
    assert tables[0] == tables[1] != tables[2] == tables[3]
    assert all(table.name.startswith("tuning-quick-mine-") for table in tables)
    assert tuning.usual_table("quick", "four_tasks") == Path("tuning-quick-four_tasks.csv")


def test_the_two_best_values_go_on_to_the_other_seeds() -> None:
    scores = {0.01: 20.0, 0.1: 23.0, 1: 22.0, 10: 25.0, 100: 24.0, 1000: 21.0, 10_000: 19.0}
    table = made({(value, 0): score for value, score in scores.items()})
    kept = tuning.finalists(table, tuning.grid(["mas"]))
    assert [one.value for one in kept if one.setting == "mas.weight"] == [10, 100]


def test_a_search_tries_all_with_the_first_seed_and_its_two_best_with_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the table has of other seeds from before has no part in who goes on."""
    trials = [Trial("mas", "mas.weight", value) for value in (1.0, 10.0, 100.0)]
    table = made({(1.0, 4): 24.0, (10.0, 4): 25.0, (100.0, 4): 23.0} | {(1.0, 9): 10.0, (100.0, 9): 40.0})
    asked = []
    monkeypatch.setattr(tuning, "grid", lambda strategies: trials)
    monkeypatch.setattr(tuning, "_try", lambda tried, seeds, *_: asked.append((tried, list(seeds))) or table)
    for seeds in ([4], [4, 5, 6]):
        tuning.search(["mas"], seeds, "quick", "four_tasks", tmp_path, tmp_path / "table.csv")
    assert asked[:2] == [(trials, [4])] * 2
    assert asked[2:] == [([trials[1], trials[0]], [5, 6])]


def test_a_value_that_diverges_has_lost_and_the_others_go_on(
    smoke_runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    finished = find_runs([smoke_runs])[0]
    lost = Run(tmp_path / "lost")
    shutil.copytree(finished.path, lost.path)
    lost.update_status(state="diverged")
    asked = []

    def execute(configs: list[RunConfig], *_: Any) -> Results:
        """Values from 1 on diverge; the others have the score of a finished run."""
        values = [config.settings["weight"] for config in configs]
        asked.append([(value, config.seed) for value, config in zip(values, configs, strict=True)])
        runs = [lost if value >= 1 else finished for value in values]
        return Results(runs, [Failure(lost, UserError("no number"), bug=False) for run in runs if run is lost])

    trials = [Trial("mas", "mas.weight", value) for value in (0.1, 0.5, 1.0, 10.0)]
    monkeypatch.setattr(tuning, "grid", lambda strategies: trials)
    monkeypatch.setattr("benchmark.engine.executors.execute.execute", execute)
    path = tmp_path / "table.csv"
    table, results = tuning.search(["mas"], [0, 1], "smoke", "four_tasks", tmp_path, path)
    assert asked == [[(0.1, 0), (0.5, 0), (1.0, 0), (10.0, 0)], [(0.1, 1), (0.5, 1)]]
    with pytest.raises(RunsFailed, match="2 of 2 runs failed"):
        results.check()
    assert list(table[table["score"] == -math.inf]["value"]) == [1.0, 10.0]
    assert tuning.read(path)["score"].tolist() == table["score"].tolist()
    (choice,) = tuning.choices(table)
    assert (choice.value, choice.second) == (0.1, 0.5)


def test_a_value_that_diverged_with_any_seed_is_not_chosen_and_was_tried() -> None:
    lost = -math.inf
    table = made({(1.0, 0): 24.0, (10.0, 0): 25.0, (100.0, 0): 26.0} | {(10.0, 1): 24.0, (100.0, 1): lost})
    (choice,) = tuning.choices(table)
    assert (choice.value, choice.second, choice.open_end) == (10.0, 1.0, False)
    assert math.isfinite(choice.margin)
    assert tuning.choices(made({(1.0, 0): lost, (10.0, 0): lost})) == []
    (alone,) = tuning.choices(made({(1.0, 0): lost, (10.0, 0): 20.0, (100.0, 0): lost}))
    assert (alone.value, alone.second, alone.open_end) == (10.0, None, False)


def test_searches_that_extend_one_table_at_once_lose_no_row(
    smoke_runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each reads the table, waits until the others have had the time to read it, too, and writes it."""
    finished, path = find_runs([smoke_runs])[0], tmp_path / "table.csv"
    write_table = tuning.write_table

    def slowly(*given: Any) -> None:
        time.sleep(0.05)
        write_table(*given)

    monkeypatch.setattr(tuning, "write_table", slowly)
    monkeypatch.setattr(
        "benchmark.engine.executors.execute.execute", lambda configs, *_: Results([finished] * len(configs), [])
    )
    monkeypatch.setattr(tuning, "grid", lambda names: [Trial("mas", "mas.weight", float(names[0]))])
    searches = [
        Thread(target=tuning.search, args=([str(value)], [0], "smoke", "four_tasks", tmp_path, path))
        for value in range(1, 4)
    ]
    for one in searches:
        one.start()
    for one in searches:
        one.join()
    assert sorted(tuning.read(path)["value"]) == [1.0, 2.0, 3.0]


def test_the_choice_is_made_on_the_seeds_that_both_finalists_have() -> None:
    lucky, steady, poor = 1.0, 10.0, 100.0
    table = made(
        {(lucky, 0): 26.0, (steady, 0): 25.0, (poor, 0): 20.0}
        | {(lucky, 1): 22.0, (steady, 1): 25.0}
        | {(lucky, 2): 23.0, (steady, 2): 24.0}
    )
    (choice,) = tuning.choices(table)
    assert (choice.value, choice.second, choice.seeds) == (steady, lucky, 3)
    assert choice.margin == pytest.approx(1.0)  # −1, 3 and 1 dB
    assert choice.spread == pytest.approx(2.0)
    assert not choice.open_end


def test_a_value_is_not_chosen_for_being_alone_in_having_more_seeds() -> None:
    table = made({(1.0, 0): 24.0, (10.0, 0): 25.0, (100.0, 0): 23.0} | {(1.0, 1): 29.0, (1.0, 2): 29.0})
    (choice,) = tuning.choices(table)
    assert (choice.value, choice.second, choice.seeds) == (10.0, 1.0, 1)


def test_a_value_that_was_left_out_and_is_better_on_common_seeds_is_told() -> None:
    """Two searches, with seeds 0, 1, 2 and with 3, 4: on seeds 0 and 3, which all have, 10 is better by half a dB."""
    first = {(1.0, 0): 20.0, (10.0, 0): 19.0, (100.0, 0): 19.8} | {(1.0, 1): 20.0, (100.0, 1): 19.8}
    (alone,) = tuning.choices(made(first | {(1.0, 2): 20.0, (100.0, 2): 19.8}))
    assert (alone.value, list(alone.rivals)) == (1.0, [])
    second = {(1.0, 3): 18.0, (10.0, 3): 20.0, (100.0, 3): 17.0}
    (choice,) = tuning.choices(made(first | {(1.0, 2): 20.0, (100.0, 2): 19.8} | second | {(10.0, 4): 20.0}))
    assert (choice.value, choice.second, choice.seeds, list(choice.rivals)) == (1.0, 100.0, 4, [10.0])


def test_one_seed_tells_no_spread() -> None:
    (choice,) = tuning.choices(made({(0.1, 0): 20.0, (1.0, 0): 22.0, (10.0, 0): 21.0}))
    assert choice.seeds == 1
    assert math.isnan(choice.spread)


@pytest.mark.parametrize(("best", "open_end"), [(0.01, True), (1.0, False), (100.0, True)])
def test_a_best_value_at_an_end_is_told(best: float, open_end: bool) -> None:
    table = made({(value, 0): 25.0 if value == best else 20.0 for value in (0.01, 1.0, 100.0)})
    assert tuning.choices(table)[0].open_end is open_end


def test_an_end_that_cannot_be_passed_is_no_open_end() -> None:
    table = made({(0.1, 0): 24.0, (0.2, 0): 25.0, (0.25, 0): 26.0}).assign(strategy="cmc", setting="cmc.fraction")
    assert not tuning.choices(table)[0].open_end, "a quarter of the memory is all that four tasks can have each"
    table = made({(0.1, 0): 24.0, (0.2, 0): 25.0}).assign(strategy="cmc", setting="cmc.fraction")
    assert tuning.choices(table)[0].open_end, "a run with a quarter failed, so that nothing is known beyond a fifth"
    table = made({(200, 0): 26.0, (800, 0): 25.0}).assign(strategy="replay", setting="replay.patches")
    assert not tuning.choices(table)[0].open_end, "a smaller memory is another budget"


def test_what_was_tried_is_what_the_grid_says() -> None:
    tried = {(row.strategy, row.setting, row.value) for row in tuning.read(TABLE).itertuples()}
    assert tried == {(one.strategy, one.setting, float(one.value)) for one in tuning.grid()}


def test_every_best_value_lies_inside_of_what_was_tried() -> None:
    assert [(one.strategy, one.setting, one.value) for one in tuning.choices(tuning.read(TABLE)) if one.open_end] == []


def test_the_preset_has_the_best_values_that_were_found() -> None:
    """Except where the guide says why it has another."""
    other = {
        ("cmc", "training.learning_rate"): (0.002, 0.004),
        ("packnet", "packnet.fraction"): (0.25, 0.2),
        ("replay", "replay.patches"): (800, 200),
        ("si", "si.weight"): (1, 10),
    }
    preset = yaml.safe_load((config.PRESETS / "quick.yaml").read_text(encoding="utf-8"))
    for one in tuning.choices(tuning.read(TABLE)):
        section, _, field = one.setting.partition(".")
        if section == "training":
            used = preset["training"][field]
        else:
            used = preset.get(section, {}).get(field, getattr(registry.settings(registry.load(section), {}), field))
        assert (one.value, used) == other.get((one.strategy, one.setting), (one.value, one.value)), one

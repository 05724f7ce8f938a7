"""What counts: each seed once, settings that change nothing for nothing, and only what a row of the paper asks for."""

from pathlib import Path

import pytest
from made_runs import config, made_records, made_run

from benchmark import presets as shipped
from benchmark.reference.records import Records
from reports.groups import Group, collect
from reports.page.caveats import caveats
from reports.page.findings import finding
from reports.paper.claims import judge
from reports.paper.evidence import Evidence, gather
from reports.seeds import facts
from reports.tables import comparison
from reports.tables.runs import item as table_of_runs

CMC = {"fraction": 0.2, "sharing": "fixed", "t": 5}


def group(*folders: Path) -> Group:
    (found,) = collect(folders).groups
    return found


def evidence(*folders: Path, reference: Path | None = None) -> Evidence:
    (found,) = gather(collect(folders, Records(reference) if reference else None))
    return found


def test_a_seed_that_is_there_twice_counts_once_and_is_told(tmp_path: Path) -> None:
    for folder in ("here", "copy"):
        for seed, shift in enumerate((0.0, 0.4)):
            made_run(tmp_path / folder, shift=shift, seed=seed)
    once, twice = group(tmp_path / "here"), group(tmp_path / "here", tmp_path / "copy")
    (alone,), (entry,) = once.entries, twice.entries
    assert [result.seed for result in entry.results] == [0, 1]
    assert entry.margin("mean_psnr") == alone.margin("mean_psnr")
    told = [caveat.text for caveat in caveats(twice)]
    assert (
        "There more than once, and counted once: cmc, seed 0 and cmc, seed 1. The table of runs has all of them."
        in told
    )
    listed = table_of_runs(collect([tmp_path])).data
    assert sorted(listed["label"]) == ["cmc", "cmc", "cmc (again)", "cmc (again)"]


def test_runs_that_differ_in_how_often_they_are_saved_are_seeds_of_one_configuration(tmp_path: Path) -> None:
    for seed, seconds in enumerate((5, 5, 30, 30)):
        made_run(tmp_path, seed=seed, settings=CMC, training={**config()["training"], "save_seconds": seconds})
    (entry,) = group(tmp_path).entries
    assert (entry.label, len(entry.results)) == ("cmc", 4)
    found = evidence(tmp_path).find(fraction=0.2)
    assert found is not None
    assert len(found.results) == 4


def test_settings_that_were_asked_for_fill_no_row_that_does_not_ask_for_them(tmp_path: Path) -> None:
    usual = made_run(tmp_path, "mas", settings={"weight": 100})
    usual.update_status(settings_from="tuned")
    for seed in range(3):
        variant = made_run(tmp_path, "mas", shift=5.0, seed=seed, settings={"weight": 10})
        variant.update_status(settings_from="weight as asked for, else tuned")
    found = evidence(tmp_path)
    row, asked = found.find("mas"), found.find("mas", weight=10)
    assert row is not None
    assert asked is not None
    assert [result.config["settings"]["weight"] for result in row.results] == [100]
    assert len(asked.results) == 3


def test_the_presets_own_training_fills_the_rows_where_there_is_any_of_it(tmp_path: Path) -> None:
    sizes = shipped.sizes("quick")
    sizes["backbone"]["name"] = "resnet"
    for seed in range(3):
        made_run(tmp_path, "mas", seed=seed, **{**sizes, "training": {**sizes["training"], "epochs": 1}}, settings={})
    assert len(evidence(tmp_path).find("mas").results) == 3
    made_run(tmp_path, "mas", shift=1.0, **sizes, settings={})
    assert [result.config["training"]["epochs"] for result in evidence(tmp_path).find("mas").results] == [16]


def test_runs_that_learn_backwards_say_nothing_of_the_papers_module(tmp_path: Path) -> None:
    made_run(tmp_path, settings={"fraction": 0.2, "sharing": "fixed", "backward": 0})
    made_run(tmp_path, keeps=False, settings={"fraction": 0.2, "sharing": "fixed", "backward": 800})
    (verdict,) = [one for one in judge(evidence(tmp_path)) if one.claim.key == "never-changes"]
    assert verdict.state == "holds"
    assert "over 1 run of CMC" in verdict.measured


def test_ones_own_run_stands_before_the_records_that_came_with_the_suite(tmp_path: Path) -> None:
    theirs = [made_run(tmp_path / "theirs", seed=seed, settings=CMC) for seed in range(3)]
    made_run(tmp_path / "own", shift=3.0, seed=7, settings=CMC)
    found = evidence(tmp_path / "own", reference=made_records(tmp_path / "records", *theirs)).find(fraction=0.2)
    assert found is not None
    assert [result.seed for result in found.results] == [7]


def test_a_note_names_the_rows_that_lack_seeds(tmp_path: Path) -> None:
    for seed in range(2):
        made_run(tmp_path, "cmc", seed=seed)
    made_run(tmp_path, "lora", seed=1, settings={})
    words = "Not all rows have all of these, and means of other seeds differ by luck, too: lora (1)."
    assert words in facts("preset quick", group(tmp_path).entries)
    assert "Not all rows" not in facts("preset quick", group(tmp_path).entries[:1])


@pytest.mark.parametrize("column", ["mean", "denoise"])
def test_rows_of_one_seed_are_not_told_apart_also_among_themselves(tmp_path: Path, column: str) -> None:
    for seed, shift in enumerate((0.0, 0.1, 0.2)):
        made_run(tmp_path, "cmc", shift=shift, seed=seed)
    for strategy, shift in (("ewc", -1.0), ("finetune", -2.0)):
        made_run(tmp_path, strategy, shift=shift, settings={})
    table = comparison.table(group(tmp_path))
    place = [heading.head for heading in table.columns].index(column)
    rows = {row[0].text: row[place] for row in table.rows}
    assert rows["ewc"].best
    assert rows["finetune"].level


def test_the_first_sentence_corrects_within_a_kind_as_the_table_does(tmp_path: Path) -> None:
    """PackNet is behind CMC with p = 0.04: told apart from it, however many of those not told the task are level."""
    for seed, gap in enumerate((0.1, 0.24, 0.2)):
        made_run(tmp_path, "cmc", shift=1.0, seed=seed)
        made_run(tmp_path, "packnet", shift=1.0 - gap, seed=seed, settings={})
    for number, strategy in enumerate(("mas", "ewc", "lwf", "si")):
        for seed, gap in enumerate((0.03, -0.02, 0.01)):
            made_run(tmp_path, strategy, shift=number * gap, seed=seed, settings={})
    found = group(tmp_path)
    table = comparison.table(found)
    place = [heading.head for heading in table.columns].index("mean")
    assert not {row[0].text: row[place] for row in table.rows}["packnet"].level
    sentence = finding(found)
    assert "cmc is not told apart" not in sentence
    assert "is not told apart from 3 others" in sentence or "not told apart from ewc" in sentence

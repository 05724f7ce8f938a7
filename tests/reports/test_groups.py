"""Which runs may be compared, what they are called, and what their table says of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_results import made
from made_runs import ORDER, config, made_run

import reports
from reports.groups import Entry, Group, collect, setting, tasks
from reports.items import style
from reports.labels import labels
from reports.page.settings import settings
from reports.paper.contents import CONTENTS
from reports.paper.evidence import gather
from reports.results import Result, Source
from reports.tables import comparison as comparisons


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": "other"},
        {"preset": "smoke"},
        {"data": {"source": "DIV2K"}},
        {"data": {"source": "embedded", "photographs": "all"}},
        {"order": ORDER[::-1]},
        {"tasks": [{"name": task, "degradation": "noise", "train": {"std": 25}} for task in ORDER]},
        {"sources": [{"train": {"name": "embedded"}, "test": {"name": "CBSD68", "release": "68 images"}}] * 4},
        {"sources": [{"train": {"name": "DIV2K", "release": "800 images"}, "test": {"name": "embedded"}}] * 4},
        {"sources": [{"train": {"name": "embedded"}, "test": {"name": "embedded", "digest": "other pixels"}}] * 4},
        {"revisions": {"training": 2, "strategy": 1}},
    ],
)
def test_what_makes_runs_incomparable(tmp_path: Path, changes: dict) -> None:
    made_run(tmp_path)
    made_run(tmp_path, **changes)
    assert len(collect([tmp_path]).groups) == 2


def test_what_defines_a_task_decides_what_is_compared_and_what_it_is_called_does_not() -> None:
    def told(**changes: Any) -> list[Any]:
        task = {"name": "a", "degradation": "noise", "train": {"std": 25}, "test": {"std": 25}, "again": ""}
        result = made()
        return tasks(replace(result, config={**result.config, "tasks": [{**task, **changes}] * len(ORDER)}))

    changes = [{"degradation": "blur"}, {"train": {"std": 5}}, {"test": {"std": 5}}, {"again": "b"}, {"name": "b"}]
    assert len({json.dumps(told(**one)) for one in [{}, *changes]}) == 1 + len(changes)
    assert told() == told(title="Noise") == told(dataset={"train": "div2k"})


def test_the_size_of_tiles_makes_no_runs_incomparable() -> None:
    found = []
    for tile in (512, 2048):
        result = made()
        found.append(setting(replace(result, config={**result.config, "data": {"tile": tile, "test_size": 64}})))
    assert found[0] == found[1]


def test_what_changed_is_counted_over_all_seeds_or_not_at_all() -> None:
    known, other, unknown = made(changed=(1, 12)), made(seed=1, changed=(2, 12)), made(seed=2)
    assert Entry("cmc", [known, other]).changed == (3, 24)
    assert Entry("cmc", [known, other, unknown]).changed is None


def test_the_degraded_input_is_the_mean_of_what_runs_have_measured() -> None:
    def measured(seed: int, *psnr: float) -> Result:
        return replace(made(seed=seed), inputs={"psnr": np.array(psnr)})

    runs = [measured(0, 24, 15, np.nan, 20), measured(1, 26, 15, 27, 20)]
    group = Group("a", 0, "four_tasks", ORDER, "quick", {}, (Source(),) * 4, [Entry("cmc", runs)])
    assert group.input("psnr").tolist() == [25, 15, 27, 20]


def test_workers_do_not_make_runs_incomparable(tmp_path: Path) -> None:
    made_run(tmp_path, data={"source": "embedded", "workers": 0})
    made_run(tmp_path, seed=1, data={"source": "embedded", "workers": 4})
    (group,) = collect([tmp_path]).groups
    assert [len(entry.results) for entry in group.entries] == [2]


def test_a_setting_that_came_later_makes_no_other_entry(tmp_path: Path) -> None:
    made_run(tmp_path, settings={"fraction": 0.1})
    made_run(tmp_path, seed=1, settings={"fraction": 0.1, "backward": 0})
    made_run(tmp_path, settings={"fraction": 0.1, "backward": 64})
    (group,) = collect([tmp_path]).groups
    assert {entry.label: len(entry.results) for entry in group.entries} == {
        "cmc (backward=0)": 2,
        "cmc (backward=64)": 1,
    }


def test_runs_from_before_there_was_a_choice_of_photographs_had_the_few(tmp_path: Path) -> None:
    made_run(tmp_path, data={"source": "embedded", "dead_leaves": 12})
    made_run(tmp_path, seed=1, data={"source": "embedded", "dead_leaves": 12, "photographs": "few"})
    (group,) = collect([tmp_path]).groups
    assert [len(entry.results) for entry in group.entries] == [2]
    found = settings(group)
    assert found.shared["data.photographs"] == "few"
    assert len(found.variants) == 1
    assert "--set data.photographs=few" in found.variants[0].command


def test_the_choice_of_photographs_is_none_where_every_image_is_of_a_dataset(tmp_path: Path) -> None:
    snow = {"name": "snow", "release": "2 pairs", "digest": "a"}
    for seed, choice in enumerate(("few", "all")):
        sources = [{"train": snow, "test": snow}] * 4
        made_run(tmp_path, seed=seed, data={"source": "datasets", "photographs": choice}, sources=sources)
    (group,) = collect([tmp_path]).groups
    assert [len(entry.results) for entry in group.entries] == [2]


def test_labels_name_only_what_differs() -> None:
    configs = [
        {"strategy": "cmc", "settings": {"fraction": 0.1, "sharing": "none"}, "training": {"epochs": 3}},
        {"strategy": "cmc", "settings": {"fraction": 0.1, "sharing": "fixed"}, "training": {"epochs": 3}},
        {"strategy": "mas", "settings": {"weight": 1}, "training": {"epochs": 3}},
    ]
    assert labels(configs) == ["cmc (sharing=none)", "cmc (sharing=fixed)", "mas"]
    configs[2]["training"] = {"epochs": 9}
    assert labels(configs)[2] == "mas (epochs=9)"


def test_what_comes_with_the_suite_is_not_labelled_with_the_plugin_that_it_does_not_have() -> None:
    own = {"strategy": "cmc", "backbone": {"name": "unet"}, "backbone_plugin": "unet.py#1"}
    ships = {"strategy": "cmc", "backbone": {"name": "resnet"}}
    named = "cmc (backbone plugin=unet.py#1, backbone=unet)"
    assert labels([own, ships]) == [named, "cmc (backbone=resnet)"]
    assert labels([own] * 4 + [ships])[4] == "cmc (backbone plugin=none, backbone=resnet)"


def test_groups_with_the_same_names_are_told_apart(tmp_path: Path) -> None:
    made_run(tmp_path)
    made_run(tmp_path, data={"source": "DIV2K"})
    first, second = collect([tmp_path]).groups
    assert (first.key, second.key) == ("four_tasks-quick", "four_tasks-quick-2")
    assert first.title != second.title


def test_every_label_has_a_look_of_its_own() -> None:
    names = [f"strategy {i}" for i in range(20)]
    looks = style.looks(names)
    assert len({(look.colour, look.dash) for look in looks.values()}) == 20


@pytest.mark.slow
def test_sources_stand_beside_the_tasks_unless_all_are_embedded(tmp_path: Path) -> None:
    embedded = {"name": "embedded", "release": "3 photographs"}
    bsd = {"name": "CBSD68", "release": "68 test images", "digest": "abc"}
    sources = [{"train": embedded, "test": bsd if task == "denoise" else embedded, "leaks": 0} for task in ORDER]
    made_run(tmp_path / "runs", "cmc")
    made_run(tmp_path / "runs", "packnet", sources=[{"train": embedded, "test": embedded, "leaks": 0}] * 4)
    made_run(tmp_path / "runs", "finetune", sources=sources)
    plain_group, mixed = collect([tmp_path / "runs"]).groups
    assert [entry.label for entry in plain_group.entries] == ["cmc", "packnet"], "older runs keep their place"
    assert plain_group.headings == ORDER
    assert mixed.headings == ["derain (embedded)", "denoise (CBSD68)", "deblock (embedded)", "deblur (embedded)"]
    assert [column.head for column in comparisons.table(mixed).columns if column.view == "PSNR"][1:] == mixed.headings
    page = reports.build([tmp_path / "runs"], tmp_path / "report").index.read_text()
    assert "CBSD68 (68 test images)" in page
    assert "Where the images come from" in page
    note = comparisons.table(mixed).note
    assert "test images: embedded (3 photographs) for derain, deblock and deblur, CBSD68 (68 test images)" in note
    assert "for denoise; training images: embedded (3 photographs)." in note
    made_run(tmp_path / "alone", "together", sources=sources)
    (evidence,) = gather(collect([tmp_path / "alone"]))
    (item,) = [item for make in CONTENTS if (item := make(evidence))]
    assert item.name == "table2"
    assert "CBSD68 (68 test images) for denoise" in item.table.note


def test_runs_from_before_the_choice_of_algorithms_are_of_the_same_configuration(tmp_path: Path) -> None:
    before = config()["training"]
    made_run(tmp_path, seed=0, training=before)
    made_run(tmp_path, seed=1, training={**before, "deterministic": True})
    made_run(tmp_path, seed=2, training={**before, "deterministic": False})
    (group,) = collect([tmp_path]).groups
    assert [[result.seed for result in entry.results] for entry in group.entries] == [[2], [0, 1]]
    assert group.entries[0].label == "cmc (deterministic=false)"


def test_a_table_tells_where_its_runs_were_not_computed_alike(tmp_path: Path) -> None:
    made_run(tmp_path / "runs", "cmc")
    other = made_run(tmp_path / "runs", "mas")
    (group,) = collect([tmp_path / "runs"]).groups
    assert "computed alike" not in comparisons.table(group).note
    for change in ({"threads": 1}, {"device": "NVIDIA H100"}, {"torch": "2.16.0"}):
        environment = {"torch": "2.15.0", "threads": 2, "device": "cpu"} | change
        (other.path / "environment.json").write_text(json.dumps(environment))
        (group,) = collect([tmp_path / "runs"]).groups
        note = comparisons.table(group).note
        assert "Not all computed alike (" in note
        assert str(next(iter(change.values()))) in note
        assert "threads: 2" in note

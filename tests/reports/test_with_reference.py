"""Reference runs beside one's own: only what may be compared, marked, and without pictures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT
from made_runs import made_records, made_run

import reports
from benchmark.core.errors import UserError
from benchmark.core.runs import layer_table
from benchmark.core.runs.directory import LAYER_PROFILE, Run
from benchmark.core.runs.layer_table import Row
from benchmark.core.runs.schemas import METRICS
from benchmark.core.runs.writing import write_table
from benchmark.reference import records
from benchmark.reference.packing import keep_layer
from benchmark.reference.records import Records
from reports.figures.leading import leading
from reports.groups import REFERENCE, collect
from reports.leaderboard import page
from reports.report import Report


def computed(run: Run, **changes: Any) -> Run:
    environment = json.loads((run.path / "environment.json").read_text())
    (run.path / "environment.json").write_text(json.dumps(environment | changes))
    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records: two that may stand beside the runs of ``mine``, and one for each reason why one may not."""
    place = tmp_path_factory.mktemp("records")
    elsewhere = place / "made"
    in_grey = made_run(elsewhere, "in_grey")
    rows = [row | {"protocol": "in grey"} for row in in_grey.rows("metrics.csv")]
    write_table(in_grey.path / "metrics.csv", rows, METRICS)
    return made_records(
        place,
        computed(made_run(elsewhere, "cmc", shift=0.5), capability="AVX512", git="c0ffee" + "0" * 34),
        computed(made_run(elsewhere, "cmc", shift=0.6, seed=1), capability="AVX512", git="c0ffee" + "0" * 34),
        made_run(elsewhere, "mas", keeps=False),
        made_run(elsewhere, "other_stream", stream="recurring"),
        made_run(elsewhere, "other_order", order=["denoise", "derain", "deblock", "deblur"]),
        made_run(elsewhere, "other_images", data={"source": "embedded", "dead_leaves": 3}),
        made_run(elsewhere, "other_photographs", data={"source": "embedded", "photographs": "all"}),
        made_run(elsewhere, "other_code", revisions={"training": 2, "strategy": 1}),
        made_run(elsewhere, "other_preset", preset="standard"),
        in_grey,
    )


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    place = tmp_path_factory.mktemp("mine")
    made_run(place / "runs", "mine", seed=7)
    return reports.build([place / "runs"], place / "page", reference=folder)


def test_only_what_may_be_compared_stands_beside(report: Report) -> None:
    (group,) = report.collection.groups
    assert {entry.label: len(entry.results) for entry in group.entries} == {
        f"cmc{REFERENCE}": 2,
        f"mas{REFERENCE}": 1,
        "mine": 1,
    }
    told = report.collection.beside
    assert told.startswith("3 reference runs stand beside the others")
    for left in (
        "1 of another stream",
        "4 with other images, order or code",
        "1 measured in another way",
        "all of the preset standard",
    ):
        assert left in told


def test_every_table_and_the_page_mark_them(report: Report) -> None:
    comparison = pd.read_csv(report.index.parent / "tables" / "four_tasks-quick-comparison.csv").set_index("label")
    assert set(comparison.index) == {"degraded input", "mine", f"cmc{REFERENCE}", f"mas{REFERENCE}"}
    assert comparison.loc[f"cmc{REFERENCE}", "mean psnr"] == pytest.approx(27.25 + 0.55)
    note = comparison.loc["mine", "note"]
    assert f"Rows marked{REFERENCE} came with the suite" in note
    assert "AVX512" in note
    assert "commit c0ffee0" in note
    assert "Not all computed alike" in note
    runs = pd.read_csv(report.index.parent / "tables" / "runs.csv")
    assert sum(runs["label"].str.endswith(REFERENCE)) == 3
    assert f"MAS [3]{REFERENCE}" in (report.index.parent / "tables" / "paper-quick-table2.csv").read_text()
    text = report.index.read_text(encoding="utf-8")
    assert report.collection.beside in text
    assert f"cmc{REFERENCE}" in text


def test_pictures_are_those_of_the_own_run_alone(report: Report) -> None:
    text = report.index.read_text(encoding="utf-8")
    assert 'data-label="mine"' in text
    assert f'data-label="cmc{REFERENCE}"' not in text
    assert "no usable picture" not in text


def test_seeds_of_ones_own_stay_apart_and_no_run_stands_twice(folder: Path, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", "cmc", seed=5)
    with Records(folder) as held:
        (group,) = collect([tmp_path / "runs"], held).groups
        labels = {entry.label: [result.seed for result in entry.results] for entry in group.entries}
        assert (labels["cmc"], labels[f"cmc{REFERENCE}"]) == ([5], [0, 1])
        own = collect([held.place("quick")], held)
        assert sum(len(one.results) for one in own.groups) == 9
        assert "No reference run is of" in own.beside
        assert "9 that are among the runs" in own.beside


def test_an_unfinished_run_takes_no_records_place(folder: Path, tmp_path: Path) -> None:
    with Records(folder) as held:
        made_run(tmp_path / "runs", "mine", seed=7)
        begun = made_run(tmp_path / "runs", "cmc", state="running", done=2)
        (group,) = collect([tmp_path / "runs"], held).groups
        seeds = {entry.label: [result.seed for result in entry.results] for entry in group.entries}
        assert seeds[f"cmc{REFERENCE}"] == [0, 1]
        assert begun.name in {result.run.name for entry in group.entries for result in entry.results}
        assert [result.run.name for result in group.unfinished] == [begun.name]


def test_what_is_damaged_is_left_out(folder: Path, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", "mine", seed=7)
    held = records.unpack(folder, "quick")
    name = next(name for name, files in held.items() if b"strategy: mas" in files["config.yaml"])
    held[name]["metrics.csv"] += b"\n"
    records.pack(tmp_path / "records", "quick", held)
    with Records(tmp_path / "records") as damaged:
        found = collect([tmp_path / "runs"], damaged)
    assert [entry.label for entry in found.groups[0].entries] == [f"cmc{REFERENCE}", "mine"]
    assert "1 that cannot be read" in found.beside


def test_nothing_stands_beside_where_it_was_not_asked_for(tmp_path: Path) -> None:
    made_run(tmp_path / "runs")
    made = collect([tmp_path / "runs"])
    assert made.beside == ""
    assert [entry.label for entry in made.groups[0].entries] == ["cmc"]


def test_a_figure_shows_the_own_runs_first(folder: Path, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", "mine", shift=-9, seed=7)
    with Records(folder) as held:
        (group,) = collect([tmp_path / "runs"], held).groups
    assert [entry.label for entry in leading(group.entries, 1)] == ["mine"]


@pytest.mark.slow
def test_it_takes_no_torch(folder: Path, tmp_path: Path) -> None:
    made_run(tmp_path / "runs", "mine", seed=7)
    code = (
        "import sys, reports; from pathlib import Path\n"
        "reports.build([Path(sys.argv[1])], Path(sys.argv[2]), reference=Path(sys.argv[3]))\n"
        "sys.exit('torch' in sys.modules)"
    )
    words = [sys.executable, "-c", code, *map(str, (tmp_path / "runs", tmp_path / "page", folder))]
    assert subprocess.run(words, cwd=ROOT, check=False).returncode == 0


def test_the_page_of_results_ranks_what_was_kept(tmp_path: Path) -> None:
    assert "No run has been kept yet." in page(tmp_path)
    runs = [made_run(tmp_path / "runs", name, shift=shift) for name, shift in (("worst", -1), ("best", 1), ("mid", 0))]
    made_records(tmp_path, *runs, made_run(tmp_path / "runs", "only_smoke", preset="smoke"))
    text = page(tmp_path)
    assert text.index("| best |") < text.index("| mid |") < text.index("| worst |")
    assert "28.25" in text
    assert "4 min" in text
    assert "one seed, so part of any difference is luck" in text
    assert "only\\_smoke" not in text


def test_the_page_of_results_tells_how_long_a_run_takes_in_the_mean_over_seeds(tmp_path: Path) -> None:
    runs = [made_run(tmp_path / "runs", seed=seed) for seed in (0, 1)]
    for run, seconds in zip(runs, (120.0, 240.0), strict=True):
        run.update_status(seconds=seconds)
    assert "| 3 min | 0, 1 |" in page(made_records(tmp_path, *runs))


def test_the_page_of_results_has_what_a_layer_costs_once_and_its_claim_with_every_preset(tmp_path: Path) -> None:
    runs = [made_run(tmp_path / "runs", preset=preset) for preset in ("quick", "standard")]
    folder = made_records(tmp_path / "records", *runs)
    assert "### Table 6" not in page(folder)
    names = {"3×3 kernel": 1.0, "6×6 kernel": 4.0, "4 layers": 4.0, "CMC-20": 1.01}
    rows = [Row("made", name, 1, 1, 1e6, 1.0, 9.0, by, by, 64, 1000, 7, "CPU", 2) for name, by in names.items()]
    layer_table.write(rows, tmp_path / LAYER_PROFILE)
    keep_layer(tmp_path / LAYER_PROFILE, folder)
    text = page(folder)
    assert text.count("### Table 6") == 1
    assert text.count("CMC-20 takes 1.0 % more time than CMC-5") == 2


@pytest.mark.parametrize(("channels", "size"), [(64, 500), (16, 1000)])
def test_a_layer_of_another_size_than_the_papers_is_not_kept(channels: int, size: int, tmp_path: Path) -> None:
    row = Row("base", "3×3 kernel", 1, 1, 1e6, 1.0, 9.0, 1.0, 1.0, channels, size, 7, "CPU", 2)
    layer_table.write([row], tmp_path / LAYER_PROFILE)
    with pytest.raises(UserError, match=rf"{channels} channels on {size}×{size}.* 64 on 1000×1000.*profile layer"):
        keep_layer(tmp_path / LAYER_PROFILE, tmp_path / "records")
    assert not (tmp_path / "records" / LAYER_PROFILE).exists()

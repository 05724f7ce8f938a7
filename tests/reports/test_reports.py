"""Reports: the figures equal what can be computed by hand, and nothing from a file gets to act."""

import io
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import INPUTS, LEARNED, ORDER, made_run, psnr
from rich.console import Console

import reports
from benchmark.core.errors import UserError
from benchmark.core.runs import layer_table
from benchmark.core.runs.directory import find_runs
from benchmark.core.runs.layer_table import Row
from reports import terminal
from reports.figures import forgetting, matrix
from reports.groups import collect
from reports.items import style
from reports.page.findings import finding
from reports.page.settings import command
from reports.results import read
from reports.tables import comparison as comparisons
from reports.tables import summary
from strategies.traits import Traits

HOSTILE = "<script>alert('x')</script> $\\frac{"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a strategy that keeps (two seeds), one that forgets, one with a hostile name, and a failed run."""
    folder = tmp_path_factory.mktemp("report")
    made_run(folder / "runs", "cmc", keeps=True, seed=0)
    made_run(folder / "runs", "cmc", keeps=True, seed=1, shift=0.2)
    made_run(folder / "runs", "finetune", keeps=False, settings={})
    made_run(folder / "runs", HOSTILE, keeps=True, shift=-1.0, settings={"note": "<img src=x onerror=alert(1)>"})
    made_run(folder / "runs", "packnet", state="failed", done=2)
    made_run(folder / "runs", "mas", preset="smoke")
    damaged = made_run(folder / "runs", "damaged", preset="other")
    (damaged.path / "metrics.csv").write_text("not,a,table\n1,2,3\n")
    return reports.build([folder / "runs"], folder / "out").index


@pytest.fixture(scope="module")
def page(report: Path) -> str:
    return report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def comparison(report: Path) -> pd.DataFrame:
    return pd.read_csv(report.parent / "tables" / "four_tasks-quick-comparison.csv").set_index("label")


@pytest.mark.slow
def test_final_values_are_means_over_seeds(comparison: pd.DataFrame) -> None:
    row = comparison.loc["cmc"]
    assert row["seeds"] == 2
    for j, task in enumerate(ORDER):
        assert row[f"{task} psnr"] == pytest.approx(LEARNED[j] + 0.1)
        assert row[f"{task} psnr std"] == pytest.approx(0.2 / np.sqrt(2))
        assert row[f"{task} gain"] == pytest.approx(LEARNED[j] + 0.1 - INPUTS[j])
    assert row["mean psnr"] == pytest.approx(np.mean(LEARNED) + 0.1)
    assert (row["outputs changed"], row["outputs compared"]) == (0, 12)
    assert row["stored parameters"] == 4000


def test_what_was_forgotten(comparison: pd.DataFrame) -> None:
    keeps, forgets = comparison.loc["cmc"], comparison.loc["finetune"]
    assert keeps["mean forgetting"] == pytest.approx(0)
    assert [forgets[f"{task} forgetting"] for task in ORDER[:3]] == pytest.approx([6, 4, 2])
    assert forgets["mean forgetting"] == pytest.approx(4)
    assert forgets["backward transfer"] == pytest.approx(-4)
    assert forgets["forward transfer"] == pytest.approx(-1)
    assert (forgets["outputs changed"], forgets["outputs compared"]) == (6, 6)


def test_first_row_is_the_degraded_input(comparison: pd.DataFrame) -> None:
    assert comparison.index[0] == "degraded input"
    assert [comparison.iloc[0][f"{task} psnr"] for task in ORDER] == INPUTS


def test_matrix_holds_every_moment(report: Path) -> None:
    frame = pd.read_csv(report.parent / "tables" / "four_tasks-quick-matrix.csv")
    frame = frame[frame["label"] == "finetune"].set_index(["after", "place"])
    assert len(frame) == 16
    for (after, place), row in frame.iterrows():
        assert row["psnr"] == pytest.approx(psnr(after - 1, place - 1, keeps=False))
        expected = -2.0 * (after - place) if after >= place else np.nan
        assert row["change"] == pytest.approx(expected, nan_ok=True)


def test_finding_is_computed(page: str) -> None:
    assert "cmc has the highest mean PSNR after the whole stream, 27.35 dB (4.60 dB over the degraded input)" in page
    assert "finetune forgot the most, 4.00 dB on average" in page


@pytest.mark.slow
def test_those_told_the_task_and_those_not_are_ranked_by_themselves(tmp_path: Path) -> None:
    for shift, name in enumerate(["finetune", "together", "packnet", "cmc"]):
        made_run(tmp_path / "runs", name, shift=shift)
    (group,) = collect([tmp_path / "runs"]).groups
    sentence = finding(group)
    assert sentence.startswith("Of the strategies told the task at test time, cmc has the highest mean PSNR")
    assert "; of those not told, together, 28.25 dB" in sentence
    item = summary.item(group)
    assert item is not None
    for table, best in ((comparisons.table(group), "derain"), (item.table, "mean PSNR")):
        assert table is not None
        heads = [column.head for column in table.columns]
        rows = {row[0].text: dict(zip(heads, row, strict=False)) for row in table.rows[1:]}
        assert {label: row["told the task"].text for label, row in rows.items()} == {
            **{"cmc": "yes", "finetune": "no", "packnet": "yes", "together": "no"}
        }
        assert [label for label, row in rows.items() if row[best].best] == ["cmc", "together"]
    page = reports.build([tmp_path / "runs"], tmp_path / "page").index
    assert sentence in page.read_text(encoding="utf-8")
    for ending in ("csv", "md", "tex"):
        assert "told the task" in (page.parent / f"tables/four_tasks-quick-comparison.{ending}").read_text("utf-8")


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([True, True], "All are told the task at test time: "),
        ([False, False], "None is told the task at test time: "),
        ([True, None], "Of the strategies told the task at test time, one has"),
        ([None, None], "two has the highest mean PSNR"),
        ([True], "one, told the task at test time, ends with"),
        ([None], "one ends with"),
    ],
)
def test_who_is_told_the_task_is_taken_from_the_run(tmp_path: Path, told: list[bool | None], words: str) -> None:
    """Of strategies that are not built in; None is a run from before runs said so."""
    for place, answer in enumerate(told):
        run = made_run(tmp_path, ["one", "two"][place], shift=place)
        if answer is not None:
            run.update_status(traits={**asdict(Traits()), "needs_task_id": answer})
    (group,) = collect([tmp_path]).groups
    assert finding(group).startswith(words)
    assert {entry.told for entry in group.entries} == {{True: "yes", False: "no", None: "unknown"}[one] for one in told}


def test_what_a_task_trains_stands_beside_the_plain_network(tmp_path: Path) -> None:
    """The mean over the tasks; an older run that pruned does not say, one that did not has what was trainable."""
    trained = {
        "cmc": {"task_parameters": [60, 50, 50, 40], "trainable_parameters": [80, 70, 60, 50]},
        "finetune": {"trainable_parameters": [200, 200, 200, 200]},
        "packnet": {"trainable_parameters": [200, 150, 100, 50]},
    }
    for name, quantities in trained.items():
        run = made_run(tmp_path, name)
        with (run.path / "ledger.csv").open("a") as file:
            for quantity, values in quantities.items():
                file.writelines(f"{i + 1},{ORDER[i]},{quantity},{value}.0,count\n" for i, value in enumerate(values))
        if name == "cmc":
            run.update_status(backbone_parameters=200)
    (group,) = collect([tmp_path]).groups
    item = summary.item(group)
    assert item is not None
    assert item.table is not None
    table = item.table
    place = [column.head for column in table.columns].index("parameters per task")
    cells = {row[0].text: (row[place].text, row[place].small) for row in table.rows[1:]}
    assert cells == {"cmc": ("0.25×", "50"), "finetune": ("200", ""), "packnet": ("–", "")}
    frame = comparisons.frame(group).set_index("label")
    assert frame.loc["cmc", ["trained per task", "trained per task in plain backbones"]].tolist() == [50, 0.25]


def test_groups_are_not_mixed(report: Path, comparison: pd.DataFrame) -> None:
    assert "mas" not in comparison.index
    other = pd.read_csv(report.parent / "tables" / "four_tasks-smoke-comparison.csv")
    assert list(other["label"]) == ["degraded input", "mas"]


def test_failed_and_damaged_runs_are_listed(report: Path, page: str) -> None:
    runs = pd.read_csv(report.parent / "tables" / "runs.csv").set_index("state")
    assert runs.loc["failed", "tasks measured"] == 2
    assert "lacks the columns" in runs.loc["unreadable", "error"]
    assert "RuntimeError: the loss is not finite" in page
    assert "derain 28.00" not in page
    assert "derain 30.00, denoise 25.00" in page  # what the failed run had measured when it failed
    assert "Unreadable runs" in page


@pytest.mark.parametrize(
    "name", ["environment.json", "status.json", "config.yaml", "curves.csv", "outputs.csv", "ledger.csv"]
)
def test_any_damaged_file_makes_a_run_unreadable_and_no_more(tmp_path: Path, name: str) -> None:
    (made_run(tmp_path).path / name).write_bytes(b"\xff{[")
    made_run(tmp_path, seed=1)
    collection = collect([tmp_path])
    assert [bad.run.name for bad in collection.unreadable] == ["run-00-seed0"]
    assert [len(group.entries) for group in collection.groups] == [1]


def test_command_names_every_setting(tmp_path: Path) -> None:
    text = command([read(made_run(tmp_path, "cmc", seed=3, data={"source": "a b; rm"}))])
    assert text.startswith("python -m benchmark run --strategy cmc --stream four_tasks --preset quick ")
    assert "--order derain,denoise,deblock,deblur --seed 3 " in text
    assert "--set 'data.source=a b; rm'" in text
    assert "--set cmc.fraction=0.1" in text
    assert "--set backbone.image_skip=false" in text


def test_a_report_on_unfinished_runs_only(tmp_path: Path) -> None:
    made_run(tmp_path / "runs", state="running", done=0)
    text = reports.build([tmp_path / "runs"], tmp_path / "out").index.read_text(encoding="utf-8")
    assert "No run of this comparison has finished yet." in text
    assert "nothing was measured" in text


@pytest.mark.slow
def test_a_run_measured_only_at_its_end(tmp_path: Path) -> None:
    """Joint training learns the stream at once: it has a last row and nothing before."""
    run = made_run(tmp_path / "runs", "together")
    metrics = run.metrics
    metrics[metrics["after"].isin([0, 4])].to_csv(run.path / "metrics.csv", index=False)
    index = reports.build([tmp_path / "runs"], tmp_path / "out").index
    row = pd.read_csv(index.parent / "tables" / "four_tasks-quick-comparison.csv").iloc[1]
    assert row["mean psnr"] == pytest.approx(np.mean(LEARNED))
    assert np.isnan(row["mean forgetting"])


def test_figures_are_text_and_repeat_exactly(report: Path) -> None:
    group, *_ = collect([report.parent.parent / "runs"]).groups
    again = matrix.matrices(group).svg
    stored = (report.parent / "figures" / "four_tasks-quick-matrix.svg").read_text(encoding="utf-8")
    assert again == stored
    assert "<text" in stored
    assert "finetune" in stored


def test_inline_figures_follow_the_theme(report: Path) -> None:
    group, *_ = collect([report.parent.parent / "runs"]).groups
    drawn = forgetting.item(group)
    assert drawn is not None
    assert drawn.drawing is not None
    inline = drawn.drawing.inline(drawn.key)
    assert inline.startswith("<svg")
    assert "var(--ink)" in inline
    assert style.INK not in inline
    assert "metadata" not in inline


@pytest.mark.slow
def test_the_paper_stands_beside_its_own_stream_only(tmp_path: Path, page: str) -> None:
    assert "The paper’s claims" in page
    assert "Table 2" in page
    made_run(tmp_path / "runs", strategy="finetune", stream="noise_levels")
    other = reports.build([tmp_path / "runs"], tmp_path / "out").index.read_text(encoding="utf-8")
    assert "The paper’s claims" not in other
    assert "Table 2" not in other


@pytest.mark.slow
def test_what_a_layer_costs_stands_once_and_is_judged_with_every_preset(tmp_path: Path) -> None:
    measured = [
        Row("CMC-n", name, 1, 1, float("nan"), 1.0, 100.0, 1.0, ratio, 64, 1000, 7, "CPU", 2)
        for name, ratio in {"CMC-5": 1.0, "CMC-20": 1.01, "6×6 kernel": 4.0, "4 layers": 4.0}.items()
    ]
    made_run(tmp_path / "runs", "mas", preset="smoke")
    made_run(tmp_path / "runs", "cmc")
    layer_table.write(measured, tmp_path / "runs" / "layer-profile.csv")
    made = reports.build([tmp_path / "runs"], tmp_path / "page")
    assert [item.key for item in made.items if item.name == "table6"] == ["table6"]
    scored = made.scorecard[made.scorecard["key"] == "layer-cost"]
    assert dict(zip(scored["preset"], scored["verdict"], strict=True)) == {"smoke": "holds", "quick": "holds"}
    assert made.index.read_text(encoding="utf-8").count('id="table6"') == 1


def test_what_a_layer_costs_is_evidence_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "layer-profile.csv"
    with pytest.raises(UserError, match="layer-profile"):
        reports.build([path], tmp_path / "page")
    layer_table.write([Row("base", "3×3 kernel", 1, 1, 1e6, 1.0, 9.0, 1.0, 1.0, 64, 1000, 7, "CPU", 2)], path)
    made = reports.build([path], tmp_path / "page")
    assert "published-table6" in {item.key for item in made.items}
    assert "3×3 kernel" in made.index.read_text(encoding="utf-8")
    assert set(made.scorecard["verdict"]) == {"not measured"}


def test_terminal_prints_one_run(report: Path) -> None:
    stream = io.StringIO()
    run = next(run for run in find_runs([report.parent.parent / "runs"]) if read(run).strategy == "finetune")
    terminal.show(run, Console(file=stream, width=120))
    text = stream.getvalue()
    assert "24.00 (−6.00)" in text
    assert "6 of 6 outputs changed" in text
    assert "mean forgetting 4.00 dB" in text


def test_terminal_names_settings_as_commands_take_them_and_says_what_each_task_is(tmp_path: Path) -> None:
    run = made_run(tmp_path, "mas", settings={"weight": 7.5, "r": None}, tasks=[{"degradation": "rain"}] * 4)
    stream = io.StringIO()
    terminal.show(run, Console(file=stream, width=160))
    lines = [" ".join(line.replace("│", " ").split()) for line in stream.getvalue().splitlines()]
    assert {"mas.weight 7.5", "mas.r null"} <= set(lines)
    assert "--strategy mas" in lines
    assert any(line.startswith("task 1: derain degradation=rain; trained on ") for line in lines)
    assert not any(line.startswith(("settings.", "tasks ", "sources ", "plugin ")) for line in lines)


def test_terminal_takes_brackets_as_text(tmp_path: Path) -> None:
    stream = io.StringIO()
    terminal.show(made_run(tmp_path, "[bold red]x[/nothing]"), Console(file=stream, width=120))
    assert "[bold red]x[/nothing]" in stream.getvalue()


def test_out_that_cannot_be_written(tmp_path: Path) -> None:
    made_run(tmp_path / "runs", state="running", done=0)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="Cannot write the report"):
        reports.build([tmp_path / "runs"], tmp_path / "file")


@pytest.mark.slow
def test_builds_without_torch(tmp_path: Path) -> None:
    made_run(tmp_path / "runs")
    code = (
        "import sys, json, pathlib, reports\n"
        "early = [m for m in ('matplotlib', 'seaborn', 'jinja2', 'PIL') if m in sys.modules]\n"
        f"reports.build([pathlib.Path({str(tmp_path / 'runs')!r})], pathlib.Path({str(tmp_path / 'out')!r}))\n"
        "print(json.dumps([early, [m for m in ('torch', 'avalanche') if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], []]

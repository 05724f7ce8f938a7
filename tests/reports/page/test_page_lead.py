"""What a page says first, how it warns, and what it leaves to those who unfold it."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from browser import chromium
from made_runs import INPUTS, LEARNED, ORDER, config, made_run

import reports
from benchmark.core.runs.schemas import METRICS
from benchmark.core.runs.writing import write_table
from benchmark.core.shell import steers
from reports.groups import Group, collect
from reports.items.exports import latex, markdown
from reports.page.caveats import caveats
from reports.page.html import Section
from reports.page.settings import settings
from reports.paper.claims import CONTRADICTED, HOLDS, UNJUDGED, UNMEASURED
from reports.results import SMOKE
from reports.tables import comparison, summary

CMC = {"fraction": 0.1, "t": 5, "t_ends": None, "sharing": "fixed", "start": None, "exhausted": "error"}


def built(folder: Path) -> str:
    """The page of the runs in a folder."""
    return reports.build([folder / "runs"], folder / "out").index.read_text(encoding="utf-8")


def group(folder: Path) -> Group:
    """The one group in a folder."""
    (found,) = collect([folder]).groups
    return found


@pytest.mark.slow
def test_what_was_run_comes_before_the_paper(tmp_path: Path) -> None:
    made_run(tmp_path / "runs", settings=CMC)
    made_run(tmp_path / "runs", "finetune", keeps=False)
    page = built(tmp_path)
    body = page[page.index("<main") :]
    marks = ['id="four_tasks-quick-summary"', 'id="four_tasks-quick-comparison"', 'id="four_tasks-quick-matrix"']
    marks += ['id="four_tasks-quick-pictures"', 'id="paper-quick"', 'id="runs"']
    places = [body.index(mark) for mark in marks]
    assert places == sorted(places)
    assert "<table" not in body[: places[0]]


def test_the_first_table_says_how_good_and_at_what_cost(tmp_path: Path) -> None:
    made_run(tmp_path, settings=CMC)
    made_run(tmp_path, "finetune", keeps=False)
    item = summary.item(group(tmp_path))
    assert item is not None
    assert item.table is not None
    heads = [column.head for column in item.table.columns]
    degraded, cmc, finetune = ({h: c.text for h, c in zip(heads, row, strict=True)} for row in item.table.rows)
    assert degraded["mean PSNR"] == "22.75"
    gain = (sum(LEARNED) - sum(INPUTS)) / len(ORDER)
    assert (cmc["mean PSNR"], cmc["gain"], cmc["forgetting"]) == ("27.25", f"+{gain:.2f}", "0.00")
    assert (finetune["forgetting"], finetune["outputs changed"], finetune["told the task"]) == ("4.00", "6 of 6", "no")
    assert (cmc["outputs changed"], cmc["stored"], cmc["told the task"]) == ("0 of 6", "16 KiB", "yes")
    assert "parameters per task" in heads


def test_the_line_above_the_figures_names_the_seeds_that_stand_behind_them(tmp_path: Path) -> None:
    made_run(tmp_path, seed=3, state="running", done=1)
    assert "seed" not in Section(group(tmp_path), []).about
    made_run(tmp_path, seed=0)
    made_run(tmp_path, seed=5, state="failed", done=2)
    assert "; seed 0; " in Section(group(tmp_path), []).about


def test_figures_that_were_measured_in_two_ways_are_told_wherever_they_go(tmp_path: Path) -> None:
    """Those of a run that did not finish stand beside no others."""
    made_run(tmp_path, "cmc")
    made_run(tmp_path, "mas")
    other = [made_run(tmp_path, "packnet", state="failed", done=2)]
    for count in (1, 2):
        rows = [row | {"protocol": "in grey"} for row in other[-1].rows("metrics.csv")]
        write_table(other[-1].path / "metrics.csv", rows, METRICS)
        found = group(tmp_path)
        assert len(Section(found, []).protocols) == count
        for one in (latex(comparison.table(found), "x"), markdown(comparison.table(found))):
            assert ("measured in 2 different ways" in one) == (count == 2)
        other.append(made_run(tmp_path, "finetune"))


def test_data_of_the_summary_have_one_unit_in_a_column(tmp_path: Path) -> None:
    for name in ("cmc", "finetune", "together"):
        run = made_run(tmp_path, name, keeps=name == "cmc")
        with (run.path / "ledger.csv").open("a") as file:
            file.writelines(f"{i + 1},{task},task_parameters,50.0,count\n" for i, task in enumerate(ORDER))
        if name == "cmc":
            run.update_status(backbone_parameters=200)
        if name == "together":
            write_table(run.path / "metrics.csv", [r for r in run.rows("metrics.csv") if r["unit"] != "count"], METRICS)
    item = summary.item(group(tmp_path))
    assert item is not None
    assert item.data is not None
    frame = item.data.set_index("strategy")
    assert frame["outputs changed"].to_dict() == {"degraded input": "–", "cmc": 0, "finetune": 6, "together": "–"}
    assert frame["outputs compared"].to_dict() == {"degraded input": "–", "cmc": 6, "finetune": 6, "together": "–"}
    assert frame["parameters per task"].tolist() == ["–", 50, 50, 50]
    assert frame["parameters per task in plain backbones"].tolist() == ["–", 0.25, "–", "–"]
    assert frame.loc["cmc", "stored bytes"] == 16384


def test_nothing_is_summed_up_before_a_run_has_finished(tmp_path: Path) -> None:
    made_run(tmp_path, state="running", done=1)
    assert summary.item(group(tmp_path)) is None
    assert caveats(group(tmp_path)) == []


@pytest.mark.slow
def test_smoke_has_a_banner_and_judges_nothing(tmp_path: Path) -> None:
    for seed in range(3):
        made_run(tmp_path / "runs", preset=SMOKE, seed=seed, settings=CMC)
    (only,) = caveats(group(tmp_path / "runs"))
    assert only.grave
    report = reports.build([tmp_path / "runs"], tmp_path / "out")
    assert set(report.scorecard["verdict"]) == {UNJUDGED, UNMEASURED}
    page = report.index.read_text(encoding="utf-8")
    assert only.text in page
    assert page.index('class="banner"') < page.index('class="lead"') < page.index("<table")
    assert "No claim is judged by runs of the preset smoke" in page
    assert f"verdict {HOLDS}" not in page


def test_means_below_the_degraded_input_have_a_banner(tmp_path: Path) -> None:
    for seed in range(3):
        made_run(tmp_path, seed=seed, shift=-20)
    (only,) = caveats(group(tmp_path))
    assert only.grave
    assert "Every strategy ends below the degraded input (22.75 dB in the mean)" in only.text
    made_run(tmp_path, "finetune")
    named, seeds = caveats(group(tmp_path))
    assert not named.grave
    assert "cmc ends below the degraded input" in named.text
    assert "1 of 2 strategies ran with fewer than three seeds" in seeds.text


def test_seeds_that_diverged_are_told_before_the_means_of_the_others(tmp_path: Path) -> None:
    """Of the same configuration alone, and not where the seed finished all the same."""
    for seed in range(3):
        made_run(tmp_path, seed=seed)
    made_run(tmp_path, seed=2, state="diverged", done=1)
    made_run(tmp_path, seed=5, state="failed", done=1)
    made_run(tmp_path, seed=6, state="diverged", done=1, settings={"fraction": 0.2})
    assert caveats(group(tmp_path)) == []
    for seed in (4, 3):
        made_run(tmp_path, seed=seed, state="diverged", done=1)
    (only,) = caveats(group(tmp_path))
    assert not only.grave
    assert only.text.startswith("Diverged, and so in no mean: cmc, seed 3 and cmc, seed 4.")


@pytest.mark.slow
def test_few_seeds_have_a_note_and_enough_none(tmp_path: Path) -> None:
    for seed in range(2):
        made_run(tmp_path / "runs", seed=seed)
    (only,) = caveats(group(tmp_path / "runs"))
    assert not only.grave
    assert f'<p class="warning">{only.text}</p>' in built(tmp_path)
    made_run(tmp_path / "runs", seed=2)
    assert caveats(group(tmp_path / "runs")) == []
    assert 'class="banner"' not in built(tmp_path)


@pytest.mark.slow
def test_claims_without_a_measurement_take_one_line(tmp_path: Path) -> None:
    made_run(tmp_path / "runs", settings=CMC)
    report = reports.build([tmp_path / "runs"], tmp_path / "out")
    page = report.index.read_text(encoding="utf-8")
    verdicts = report.scorecard["verdict"].tolist()
    missing = verdicts.count(UNMEASURED)
    assert (verdicts.count(HOLDS), verdicts.count(CONTRADICTED)) == (1, 0)
    (line,) = re.findall(r"<p>(\d+) more claims can be measured with <code>(.*)</code>", page)
    assert int(line[0]) == missing
    assert line[1].startswith("python -m benchmark reproduce table1 figure4 ")
    assert page.count('class="verdict') == len(verdicts) - missing
    assert (
        f"Of the paper’s {len(verdicts)} claims 1 was measured: 1 holds here, 0 are contradicted, 0 are undecided."
        in page
    )
    assert "not measured" not in page[page.index("<main") :]


@pytest.mark.slow
def test_rows_of_the_paper_without_a_run_are_folded_away(tmp_path: Path) -> None:
    made_run(tmp_path / "runs", settings=CMC)
    page = built(tmp_path)
    start = page.index('<h3 id="paper-quick-table1"')
    shown, folded = page[start : page.index("</details>", start)].split("<details")
    assert '<span class="name">10</span>' in shown
    assert '<span class="name">1.25</span>' not in shown
    assert '<span class="name">1.25</span>' in folded
    assert "9 rows without a run of ours" in folded
    exported = (tmp_path / "out" / "tables" / "paper-quick-table1.md").read_text(encoding="utf-8")
    assert "| 1.25 |" in exported, "what is folded on the page is whole elsewhere"


def test_the_comparison_has_its_evidence_first_and_a_spread_on_every_mean(tmp_path: Path) -> None:
    for seed in range(2):
        made_run(tmp_path, seed=seed, shift=0.2 * seed)
    table = comparison.table(group(tmp_path))
    assert [column.head for column in table.columns[:3]] == ["strategy", "outputs changed", "forgetting"]
    assert table.views == ["PSNR", "gain", "SSIM"]
    for view in table.views:
        shown = table.view(view)
        assert [column.head for column in shown.columns[3:]] == ["mean", *ORDER, "BWT", "FWT", "told the task"]
        assert all(cell.spread for cell in shown.rows[1][2:-1])
    psnr, gain = (table.view(view).rows[1][4].value for view in ("PSNR", "gain"))
    assert isinstance(psnr, float)
    assert isinstance(gain, float)
    assert psnr - gain == pytest.approx(INPUTS[0])


def test_a_document_has_a_table_for_each_view(tmp_path: Path) -> None:
    made_run(tmp_path)
    table = comparison.table(group(tmp_path))
    text, tex = markdown(table), latex(table, "x")
    assert text.count("| strategy |") == tex.count(r"\begin{tabular}") == len(table.views)
    assert len(set(re.findall(r"\\label\{(.*)\}", tex))) == len(table.views)


@pytest.mark.slow
def test_the_switch_changes_what_is_shown_and_paper_shows_psnr(tmp_path: Path) -> None:
    """With and without a script."""
    made_run(tmp_path / "runs")
    made_run(tmp_path / "runs", "finetune", keeps=False)
    index = reports.build([tmp_path / "runs"], tmp_path / "out").index
    heads = (
        "[...document.querySelectorAll('.over')].filter((head) => head.checkVisibility())"
        ".map((head) => head.textContent).filter((text) => !/here|paper/.test(text))"
    )
    named = ["PSNR (dB)", "gain over the degraded input (dB)", "SSIM"]
    with chromium() as browser:
        for script in (True, False):
            browser.open(index, width=800, script=script)
            assert browser.run(heads) == named[:1]
            browser.run("document.querySelector('.views input').focus()")
            for name in (*named[1:], named[0]):
                browser.press("ArrowRight", 39)
                assert browser.run(heads) == [name]
        browser.press("ArrowRight", 39)
        browser.send("Emulation.setEmulatedMedia", media="print", features=[])
        assert browser.run(heads) == named[:1]


@pytest.mark.slow
@pytest.mark.parametrize("width", [800, 1400])
def test_the_first_tables_fit_without_a_scrollbar(tmp_path: Path, width: int) -> None:
    for seed in range(3):
        for name in ("cmc", "together_task_id", "finetune"):
            made_run(tmp_path / "runs", name, keeps=name != "finetune", seed=seed, shift=0.1 * seed)
        made_run(tmp_path / "runs", seed=seed, settings={**CMC, "sharing": "none"})
    index = reports.build([tmp_path / "runs"], tmp_path / "out").index
    wide = (
        "[...document.querySelectorAll('.table > .scroll')].slice(0, 2).map((box) => box.scrollWidth - box.clientWidth)"
    )
    with chromium() as browser:
        browser.open(index, width=width)
        assert browser.run(wide) == [0, 0]
        browser.open(index, width=688)  # A4 with margins of 14 mm
        browser.send("Emulation.setEmulatedMedia", media="print", features=[])
        sides = browser.run(
            "[...document.querySelectorAll('.table table')].slice(0, 2)"
            ".map((table) => table.getBoundingClientRect().right <= innerWidth)"
        )
        assert sides == [True, True]


@pytest.mark.slow
def test_settings_that_all_share_stand_once_by_the_names_of_commands(tmp_path: Path) -> None:
    for seed in range(3):
        made_run(tmp_path / "runs", seed=seed, settings={"fraction": 0.1})
    longer = config()["training"] | {"epochs": 4}
    made_run(tmp_path / "runs", "mas", settings={"weight": 7}, training=longer)
    found = settings(group(tmp_path / "runs"))
    assert found.shared["--stream"] == "four_tasks"
    assert found.shared["data.source"] == "embedded"
    assert found.shared["training.batch_size"] == "8"
    assert not {"training.epochs", "cmc.fraction", "mas.weight"} & set(found.shared)
    assert found.machine["torch"] == "2.15.0"
    cmc, mas = found.variants
    assert (cmc.seeds, mas.seeds) == ([0, 1, 2], [0])
    assert cmc.differing == {
        "--strategy": "cmc",
        "training.epochs": "2",
        "cmc.fraction": "0.1",
        "cmc.backward": "0",  # which came later
    }
    assert mas.differing == {"--strategy": "mas", "training.epochs": "4", "mas.weight": "7"}
    assert "--seed 0,1,2 " in cmc.command
    page = built(tmp_path)
    assert page.count("<dt>training.batch_size</dt>") == 1
    assert "<code>cmc.fraction=0.1</code>" in page
    assert "training.batch_size=8" in page, "a command names every setting"


def pasted(folder: Path) -> list[str]:
    """The words of the command that makes the runs below a folder again, as a shell takes them."""
    (variant,) = settings(group(folder)).variants
    return shlex.split(variant.command.replace("\\\n", ""))


def test_the_command_of_a_run_names_its_plugins_and_the_file_of_its_stream(tmp_path: Path) -> None:
    theirs = [str(tmp_path / "my nets.py"), "their.module"]
    made_run(tmp_path / "a", "cmc", imports=theirs, stream="night rain")
    words = pasted(tmp_path / "a")
    assert [words[place + 1] for place, word in enumerate(words) if word == "--plugin"] == theirs
    assert words[words.index("--stream") + 1] == "night rain.yaml"
    made_run(tmp_path / "b", "cmc")
    words = pasted(tmp_path / "b")
    assert "--plugin" not in words
    assert words[words.index("--stream") + 1] == "four_tasks"


@pytest.mark.parametrize(
    "root", ["写真\u3000夜", "a\u00a0b", "e\u0301t\u00e9's", "\u0646\u0645\u06cc\u200c\u0634", "x" * 3000, " a  b "]
)
def test_the_command_of_a_run_leads_to_the_same_folder(root: str, tmp_path: Path) -> None:
    made_run(tmp_path, data={"source": "datasets", "root": f"/data/{root}"})
    assert f"data.root=/data/{root}" in pasted(tmp_path)


def test_the_command_of_a_run_names_no_setting_that_would_be_refused(tmp_path: Path) -> None:
    training = config()["training"] | {"schedule": "cosine", "halve_every": 7}
    made_run(tmp_path / "a", training=training, data={"source": "datasets", "root": "/d", "dead_leaves": 7})
    made_run(tmp_path / "b", training=training | {"schedule": "halving"}, data={"source": "embedded", "dead_leaves": 7})
    on_disk, embedded = pasted(tmp_path / "a"), pasted(tmp_path / "b")
    assert not {"training.halve_every=7", "data.dead_leaves=7"} & set(on_disk)
    assert {"training.halve_every=7", "data.dead_leaves=7"} <= set(embedded)
    made_run(tmp_path / "c", "mas", settings={"weight": 0.0, "samples": 7})
    made_run(tmp_path / "d", "mas", settings={"weight": 1.0, "samples": 7})
    assert "mas.samples=7" not in pasted(tmp_path / "c")
    assert "mas.samples=7" in pasted(tmp_path / "d")


@pytest.mark.skipif(os.name == "nt", reason="no such shell there")
def test_the_command_of_a_run_steers_no_terminal_and_means_what_it_says(tmp_path: Path) -> None:
    root = "/a\x1b[2J\n\u202e'\\b"
    made_run(tmp_path, data={"source": "datasets", "root": root})
    (variant,) = settings(group(tmp_path)).variants
    assert not any(map(steers, variant.command.replace("\n", "")))
    words = subprocess.run(["bash", "-c", f"printf '%s\\0' {variant.command}"], capture_output=True, check=True).stdout
    assert f"data.root={root}".encode() in words.split(b"\0")


def test_runs_on_different_machines_are_told_apart(tmp_path: Path) -> None:
    made_run(tmp_path, seed=0)
    other = made_run(tmp_path, seed=1)
    text = (other.path / "environment.json").read_text(encoding="utf-8")
    (other.path / "environment.json").write_text(text.replace("2.15.0", "2.16.0"), encoding="utf-8")
    found = settings(group(tmp_path))
    assert [(one.seeds, one.differing) for one in found.variants] == [
        ([0], {"torch": "2.15.0"}),
        ([1], {"torch": "2.16.0"}),
    ]
    assert "torch" not in found.machine
    assert "cmc.fraction" in found.shared


@pytest.mark.slow
def test_datasets_are_not_named_where_embedded_pictures_were_used(tmp_path: Path) -> None:
    tasks = [{"name": task, "dataset": {"train": "div2k", "test": "bsd68"}, "degradation": "noise"} for task in ORDER]
    embedded = {"name": "embedded", "release": "3 photographs"}
    made_run(tmp_path / "runs", tasks=tasks, sources=[{"train": embedded, "test": embedded, "leaks": 0}] * 4)
    page = built(tmp_path)
    assert "div2k" not in page
    assert "bsd68" not in page
    assert "tested on embedded (3 photographs)" in page


@pytest.mark.slow
def test_a_long_name_may_break_where_its_words_end(tmp_path: Path) -> None:
    made_run(tmp_path / "runs", "together_task_id")
    assert '<span class="name">' in built(tmp_path)
    assert "together_<wbr>task_<wbr>id</span>" in built(tmp_path)

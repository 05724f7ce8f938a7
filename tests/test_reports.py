"""Reports: the figures equal what can be computed by hand, and nothing from a file gets to act."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import INPUTS, LEARNED, ORDER, made_run, psnr
from PIL import Image
from rich.console import Console

import reports
from benchmark.errors import UserError
from benchmark.runs import find_runs
from reports import figures, frames, html, pictures, published, style, terminal
from reports.labels import labels
from reports.results import collect, read

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
    return reports.build([folder / "runs"], folder / "out")


@pytest.fixture(scope="module")
def page(report: Path) -> str:
    return report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def comparison(report: Path) -> pd.DataFrame:
    return pd.read_csv(report.parent / "tables" / "four_tasks-quick-comparison.csv").set_index("label")


class Page(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


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


def test_groups_are_not_mixed(report: Path, comparison: pd.DataFrame) -> None:
    assert "mas" not in comparison.index
    other = pd.read_csv(report.parent / "tables" / "four_tasks-smoke-comparison.csv")
    assert list(other["label"]) == ["degraded input", "mas"]


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": "other"},
        {"preset": "smoke"},
        {"data": {"source": "DIV2K"}},
        {"order": ORDER[::-1]},
        {"tasks": [{"sigma": 25}]},
    ],
)
def test_what_makes_runs_incomparable(tmp_path: Path, changes: dict) -> None:
    made_run(tmp_path)
    made_run(tmp_path, **changes)
    assert len(collect([tmp_path]).groups) == 2


def test_workers_do_not_make_runs_incomparable(tmp_path: Path) -> None:
    made_run(tmp_path, data={"source": "embedded", "workers": 0})
    made_run(tmp_path, seed=1, data={"source": "embedded", "workers": 4})
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
    text = html.command(read(made_run(tmp_path, "cmc", seed=3, data={"source": "a b; rm"})))
    assert text.startswith("python -m benchmark run --strategy cmc --stream four_tasks --preset quick --seed 3 ")
    assert "--order derain,denoise,deblock,deblur" in text
    assert "--set 'data.source=a b; rm'" in text
    assert "--set cmc.fraction=0.1" in text
    assert "--set backbone.image_skip=false" in text


def test_a_report_on_unfinished_runs_only(tmp_path: Path) -> None:
    made_run(tmp_path / "runs", state="running", done=0)
    text = reports.build([tmp_path / "runs"], tmp_path / "out").read_text(encoding="utf-8")
    assert "No run of this comparison has finished yet." in text
    assert "nothing was measured" in text


def test_a_run_measured_only_at_its_end(tmp_path: Path) -> None:
    """Joint training learns the stream at once: it has a last row and nothing before."""
    run = made_run(tmp_path / "runs", "together")
    metrics = run.metrics
    metrics[metrics["after"].isin([0, 4])].to_csv(run.path / "metrics.csv", index=False)
    index = reports.build([tmp_path / "runs"], tmp_path / "out")
    row = pd.read_csv(index.parent / "tables" / "four_tasks-quick-comparison.csv").iloc[1]
    assert row["mean psnr"] == pytest.approx(np.mean(LEARNED))
    assert np.isnan(row["mean forgetting"])


def test_hostile_names_do_nothing(page: str) -> None:
    tags = Page(page).tags
    assert sum(tag == "script" for tag, _ in tags) == 1
    assert not [attributes for _, attributes in tags if any(name.startswith("on") for name in attributes)]
    assert "&lt;script&gt;alert(" in page
    assert "<img src=x" not in page


def test_page_loads_nothing(page: str) -> None:
    for tag, attributes in Page(page).tags:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            value = attributes.get(name) or ""
            assert not re.match(r"\s*(https?:|//|file:|javascript:)", value, re.IGNORECASE), (tag, value)
    assert not re.search(r"url\(\s*['\"]?\s*(https?:)?//|@import", page)
    policies = [a["content"] for tag, a in Page(page).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert str(policies[0]).startswith("default-src 'none'")


def test_page_is_one_document(page: str) -> None:
    assert page.startswith("<!doctype html>")
    ids = [attributes["id"] for _, attributes in Page(page).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [a["href"][1:] for tag, a in Page(page).tags if tag == "a" and (a.get("href") or "").startswith("#")]
    assert set(targets) <= set(ids)


def test_files_beside_the_page_exist(report: Path, page: str) -> None:
    links = [
        a["href"] for tag, a in Page(page).tags if tag == "a" and re.match(r"(tables|figures)/", a.get("href") or "")
    ]
    assert len(links) > 6
    assert all((report.parent / link).is_file() for link in links)


def test_tables_are_inside_the_page_too(report: Path, page: str) -> None:
    inside = {a["download"]: a["href"] for tag, a in Page(page).tags if tag == "a" and "download" in a}
    name = "four_tasks-quick-comparison.csv"
    content = base64.b64decode(inside[name].partition("base64,")[2])
    assert content == (report.parent / "tables" / name).read_bytes()


def test_figures_are_text_and_repeat_exactly(report: Path) -> None:
    (group, *_), looks = (c := collect([report.parent.parent / "runs"])).groups, style.looks(c.labels)
    again = figures.matrices(group, looks).svg
    stored = (report.parent / "figures" / "four_tasks-quick-matrix.svg").read_text(encoding="utf-8")
    assert again == stored
    assert "<text" in stored
    assert "finetune" in stored


def test_inline_figures_follow_the_theme(report: Path) -> None:
    (group, *_), looks = (c := collect([report.parent.parent / "runs"])).groups, style.looks(c.labels)
    inline = figures.retention(group, frames.matrix(group), looks).inline()
    assert inline.startswith("<svg")
    assert "var(--ink)" in inline
    assert style.INK not in inline
    assert "metadata" not in inline


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


def test_pictures(report: Path) -> None:
    group = collect([report.parent.parent / "runs"]).groups[0]
    strips = pictures.strips(group)
    assert len(strips) == len(ORDER) * 2
    strip = strips[0]
    assert (strip.pictures[0].label, strip.pictures[-1].label) == ("degraded", "clean")
    by_label = {p.label: p.psnr for p in strip.pictures}
    assert by_label["cmc"] == pytest.approx(10 * np.log10(255**2 / 10**2), abs=0.5)  # noise of 10 grey levels
    assert by_label["finetune"] < by_label["cmc"]
    assert by_label["clean"] == np.inf
    assert {p.crop.shape for p in strip.pictures} == {(13, 13, 3)}


def test_pictures_stay_within_their_budget(report: Path) -> None:
    strips = pictures.strips(collect([report.parent.parent / "runs"]).groups[0])
    coded, quality = pictures.encode(strips, budget=20_000)
    assert quality == pictures.QUALITIES[-1]
    assert len(coded) < len(strips)
    assert sum(len(uri) for strip in coded for pair in strip for uri in pair) * 3 / 4 < 20_000 + 1000


def test_a_picture_that_is_too_large_is_not_opened(tmp_path: Path) -> None:
    Image.new("L", (4000, 1200)).save(tmp_path / "large.png")
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    Image.new("RGB", (4, 4)).save(tmp_path / "disguised.png", "JPEG")
    for name in ("large", "damaged", "disguised", "absent"):
        assert pictures.open_picture(tmp_path / f"{name}.png") is None


def test_published_figures() -> None:
    assert published.names() == [f"table{n}" for n in range(1, 8)]
    tables = {name: published.load(name) for name in published.names()}
    assert all(len(row) == len(table.columns) for table in tables.values() for row in table.rows)
    assert tables["table2"].rows[-1] == ["CMC-5", "32.14", "27.53", "30.96", "29.64"]
    assert tables["table3"].rows[0][1:3] == ["1", "29.19"]
    assert tables["table4"].rows[1][-1] == "37.63"
    assert tables["table6"].rows[6][4] == "36.864"
    with pytest.raises(UserError, match="Did you mean"):
        published.load("tabel2")


def test_published_disagreements_are_noted() -> None:
    one, five, seven = (published.load(f"table{n}") for n in (1, 5, 7))
    assert one.rows[-1][-1] == "28.52"
    assert five.rows[0][-1] == "28.13"
    assert any("28.13" in note for note in one.notes)
    assert any("28.52" in note for note in five.notes)
    assert seven.columns[2:4] == ["denoise", "derain"]
    assert any("swapped" in note for note in seven.notes)


def test_the_paper_stands_beside_its_own_stream_only(tmp_path: Path, page: str) -> None:
    assert "not comparable in absolute terms" in page
    made_run(tmp_path / "runs", stream="noise_levels")
    other = reports.build([tmp_path / "runs"], tmp_path / "out").read_text(encoding="utf-8")
    assert "not comparable in absolute terms" not in other


def test_terminal_prints_one_run(report: Path) -> None:
    stream = io.StringIO()
    run = next(run for run in find_runs([report.parent.parent / "runs"]) if read(run).strategy == "finetune")
    terminal.show(run, Console(file=stream, width=120))
    text = stream.getvalue()
    assert "24.00 (−6.00)" in text
    assert "6 of 6 outputs changed" in text
    assert "mean forgetting 4.00 dB" in text


def test_terminal_takes_brackets_as_text(tmp_path: Path) -> None:
    stream = io.StringIO()
    terminal.show(made_run(tmp_path, "[bold red]x[/nothing]"), Console(file=stream, width=120))
    assert "[bold red]x[/nothing]" in stream.getvalue()


def test_out_that_cannot_be_written(tmp_path: Path) -> None:
    made_run(tmp_path / "runs", state="running", done=0)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="Cannot write the report"):
        reports.build([tmp_path / "runs"], tmp_path / "file")


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


def test_sorting_in_a_browser(report: Path, page: str, tmp_path: Path) -> None:
    assert 'aria-sort="none"' in page
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("No Chromium to open the page in. Install one with: apt-get install chromium")
    probe = (
        "<script>const t=document.querySelector('table.sortable');"
        "const names=()=>[...t.tBodies[0].rows].map(r=>r.cells[0].childNodes[0].nodeType===1?"
        "r.cells[0].childNodes[1].textContent:r.cells[0].childNodes[0].textContent);"
        "const head=t.tHead.rows[t.tHead.rows.length-1].cells[10];"
        "head.querySelector('button').click();"
        "document.title=JSON.stringify([names(), head.getAttribute('aria-sort')]);</script></body>"
    )
    # The probe is foreign to the page's policy, so it runs in a copy without one.
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace("</body>", probe)
    (tmp_path / "probe.html").write_text(open_page, encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"
    arguments = [
        browser,
        *flags.split(),
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
    ]
    probed = subprocess.run([*arguments, str(tmp_path / "probe.html")], capture_output=True, text=True, timeout=60)
    title = re.search(r"<title>(.*?)</title>", probed.stdout)
    assert title is not None
    names, direction = json.loads(title[1].replace("&lt;", "<").replace("&gt;", ">"))
    assert direction == "descending"
    assert names[:2] == ["degraded input", "finetune"]  # the input stays on top; finetune forgot the most
    shown = subprocess.run([*arguments, str(report)], capture_output=True, text=True, timeout=60)
    assert "CONSOLE" not in shown.stderr

"""What a report is made of, and the files that it leaves."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run
from matplotlib.figure import Figure

import reports
from reports import report
from reports.groups import Group, collect
from reports.items.drawing import Drawing, drawing
from reports.items.item import Item
from reports.items.table import Cell, Column, Table

TABLE = Table("caption", [Column("name"), Column("dB", best=1)], [[Cell("cmc"), Cell("30.12", 30.123)]], note="note")
DRAWING = Drawing("caption", "description", "<svg/>", b"png")
DATA = pd.DataFrame({"psnr": [30.0, 31.0]})


def test_a_table_comes_in_three_formats() -> None:
    files = Item("one", "group", "Title", table=TABLE).files()
    assert list(files) == ["tables/group-one.csv", "tables/group-one.md", "tables/group-one.tex"]
    assert files["tables/group-one.csv"] == "name,dB,note\ncmc,30.123,note\n"
    assert r"\label{tab:group-one}" in str(files["tables/group-one.tex"])


def test_the_data_of_a_table_may_be_more_than_it_shows() -> None:
    assert Item("one", table=TABLE, data=DATA).files()["tables/one.csv"] == "psnr\n30.0\n31.0\n"


def test_a_drawing_comes_in_two_formats_and_with_its_data() -> None:
    assert list(Item("one", "group", drawing=DRAWING).files()) == ["figures/group-one.svg", "figures/group-one.png"]
    files = Item("one", drawing=DRAWING, data=DATA).files()
    assert files == {"tables/one.csv": "psnr\n30.0\n31.0\n", "figures/one.svg": "<svg/>", "figures/one.png": b"png"}


def test_letters_that_the_font_lacks_are_in_the_svg_and_no_warnings() -> None:
    names = "東京 🌹 ༀ"

    def draw(figure: Figure) -> None:
        figure.subplots().set_title(names)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = drawing("c", "d", (2, 2), draw)
    assert names in drawn.svg


def test_data_alone_is_not_shown() -> None:
    item = Item("runs", data=DATA)
    assert list(item.files()) == ["tables/runs.csv"]
    assert not item.shown
    assert Item("one", table=TABLE).shown
    assert Item("one", drawing=DRAWING).shown


@pytest.mark.slow
def test_a_new_table_is_a_function_of_a_group_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def worst(group: Group) -> Item | None:
        if len(group.entries) < 2:
            return None
        rows = [[Cell(entry.label), Cell(f"{np.min(entry.mean('final_psnr')):.1f}")] for entry in group.entries]
        return Item(
            "worst", group.key, "The worst task of each", table=Table("Worst", [Column("a"), Column("b")], rows)
        )

    monkeypatch.setattr(report, "CONTENTS", (*report.CONTENTS, worst))
    made_run(tmp_path / "runs", "cmc")
    assert "worst" not in {item.name for item in reports.build([tmp_path / "runs"], tmp_path / "out").items}
    made_run(tmp_path / "runs", "finetune", keeps=False)
    made = reports.build([tmp_path / "runs"], tmp_path / "out")
    page = made.index.read_text(encoding="utf-8")
    assert 'id="four_tasks-quick-worst"' in page
    assert "The worst task of each" in page
    text = (tmp_path / "out" / "tables" / "four_tasks-quick-worst.csv").read_text(encoding="utf-8")
    assert text == "a,b\ncmc,25.0\nfinetune,21.0\n"


@pytest.mark.slow
def test_a_report_tells_what_it_wrote(tmp_path: Path) -> None:
    made_run(tmp_path / "runs")
    broken = made_run(tmp_path / "runs")
    (broken.path / "metrics.csv").write_text("nonsense")
    made = reports.build([tmp_path / "runs"], tmp_path / "out")
    assert made.index == tmp_path / "out" / "index.html"
    assert [bad.run.name for bad in made.collection.unreadable] == [broken.name]
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").glob("*/*")}
    assert written == {name for item in made.items for name in item.files()}
    assert len({item.key for item in made.items}) == len(made.items)


@pytest.mark.slow
def test_every_item_of_a_group_is_its_own(tmp_path: Path) -> None:
    made_run(tmp_path)
    (group,) = collect([tmp_path]).groups
    found = [item for make in report.CONTENTS if (item := make(group))]
    assert {item.scope for item in found} == {group.key}
    assert len({item.name for item in found}) == len(found)

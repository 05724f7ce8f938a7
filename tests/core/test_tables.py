"""Tables keep what was written: no text becomes a number, no count a fraction, and damage is told where it stands."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import made_run
from PIL import Image

import reports
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import Run, find_runs
from benchmark.core.runs.schemas import METRICS, OUTPUTS
from benchmark.core.runs.seals import seal
from benchmark.core.runs.writing import refuse_other, write_table
from benchmark.core.tables import INTEGER, NUMBER, TEXT, Column, Schema, csv_text, frame_text, rows_of
from benchmark.engine.local import execute
from benchmark.engine.setup import resolve
from benchmark.experiments import tuning
from benchmark.experiments.tuning import Trial
from benchmark.planning import plan
from reports.groups import collect
from reports.items import exports
from reports.items.table import Cell, Table
from reports.items.table import Column as Heading
from reports.tables import comparison, matrix

HOSTILE = [
    *(
        "007",
        "1e7",
        "0x1F",
        "1_000",
        "NA",
        "nan",
        "NULL",
        "None",
        "N/A",
        "false",
        "TRUE",
        "-inf",
        "-",
        "",
        " ",
        "  x ",
        "#7",
    ),
    *(
        "=1+1",
        "a,b",
        'say "hi"',
        '"',
        "two\nlines",
        "old\rmac",
        "dos\r\n",
        "tab\t",
        "é",
        "e\u0301",
        "東京",
        "🙂",
        "\udcff",
    ),
]
THINGS = Schema(
    (
        Column("name", TEXT, "any text"),
        Column("count", INTEGER, "of them"),
        Column("size", NUMBER, "of each"),
        Column("age", NUMBER, "if it is known", optional=True),
    ),
    key=("name",),
)
MEND = "Make it again."


def written(tmp_path: Path, rows: list[dict]) -> Path:
    write_table(tmp_path / "things.csv", rows, THINGS)
    return tmp_path / "things.csv"


def test_any_text_survives(tmp_path: Path) -> None:
    rows = [{"name": name, "count": 1, "size": 0.5, "age": None} for name in HOSTILE]
    path = written(tmp_path, rows)
    assert rows_of(THINGS.read(path, MEND)) == rows
    assert list(THINGS.frame(THINGS.read(path, MEND))["name"]) == HOSTILE


def test_numbers_come_back_as_what_they_were(tmp_path: Path) -> None:
    sizes = [0, 0.0, -0.0, 3, 3.0, 0.1 + 0.2, 5e-324, 1e22, float("inf"), -float("inf"), 2**53 + 1, np.float64(1 / 3)]
    rows = [{"name": str(i), "count": i, "size": size, "age": None} for i, size in enumerate(sizes)]
    path = written(tmp_path, rows)
    read = rows_of(THINGS.read(path, MEND))
    assert [repr(row["size"]) for row in read] == [repr(s if isinstance(s, int) else float(s)) for s in sizes]
    assert [row["count"] for row in read] == list(range(len(sizes)))
    assert written(tmp_path / "again", read).read_bytes() == path.read_bytes()


def test_frames_have_the_declared_types_whatever_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path, [{"name": "1", "count": 2, "size": 3}, {"name": "", "count": 4, "size": 5.5, "age": 6}])
    frame = THINGS.frame(THINGS.read(path, MEND))
    assert [str(kind) for kind in frame.dtypes] == ["object", "int64", "float64", "float64"]
    assert list(frame["name"]) == ["1", ""]
    assert np.isnan(frame["age"][0])
    assert [str(kind) for kind in THINGS.frame_of([]).dtypes] == [str(kind) for kind in frame.dtypes]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,count,size,age\na,1,2,\nb,1,fast,\n", ["row 2", "line 3", "'size'", "'fast'"]),
        ('name,count,size,age\n"a\nb",1,2,\nb,1,,\n', ["row 2", "line 4", "'size'", "nothing"]),
        ("name,count,size,age\na,1.0,2,\n", ["row 1", "'count'", "'1.0'", "whole number"]),
        ("name,count,size,age\na,1,nan,\n", ["row 1", "'size'", "'nan'"]),
        ("name,count,size,age\na,1,1_0,\n", ["'size'", "'1_0'"]),
        ("name,count,size,age\na,1, 10,\n", ["'size'", "' 10'"]),
        (f"name,count,size,age\na,{10**30},1,\n", ["'count'"]),
        ("name,count,size,age\na,1,2,\nb,1\n", ["row 2", "2 cells", "4 columns"]),
        ("name,count,size,age\na,1,2,\nb,1,2,3,4\n", ["row 2", "5 cells"]),
        ("name,count,size,age\na,1,2,\nb,1,2.5,3.12", ["cut off"]),
        ("name,count,size,age\na,1,2,\nb,1,2,\na,3,4,\n", ["row 3", "a second row of name a"]),
        ('name,count,size,age\n"a,1,2,\n', ["end of data"]),
        ("name,size,age\na,1,2\n", ["lacks the columns count"]),
        ("name,count,size,age,size\na,1,2,3,4\n", ["two columns are called size"]),
        ("", ["empty"]),
    ],
)
def test_damage_is_told_with_its_place(tmp_path: Path, text: str, told: list[str]) -> None:
    path = tmp_path / "things.csv"
    path.write_bytes(text.encode())
    with pytest.raises(UserError) as error:
        THINGS.read(path, MEND)
    for part in [*told, str(path), MEND]:
        assert part in str(error.value)


def test_further_columns_and_other_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "things.csv"
    path.write_bytes("\ufeffage,mine,name,size,count\r\n,x,007,1,2\r\n\r\n".encode())
    assert rows_of(THINGS.read(path, MEND)) == [{"name": "007", "count": 2, "size": 1, "age": None}]


@pytest.mark.parametrize("text", ["2E-05", "-2E-05", "2.5E-05", "2E+30", "2E5"])
def test_a_number_that_a_spreadsheet_saved_is_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "things.csv"
    path.write_bytes(f"name,count,size,age\r\na,1,{text},{text}\r\n".encode())
    (row,) = rows_of(THINGS.read(path, MEND))
    assert row["size"] == row["age"] == float(text)


def test_a_table_is_known_by_its_headings_however_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "things.csv"
    for heads in (
        '"name","count","size","age"\r\n',
        '\ufeff"name",count,"size",age,"a, b"\n',
        "\n\nname,count,size,age\n",
        "",
    ):
        path.write_bytes(heads.encode())
        refuse_other(path, THINGS.names, "--out")


@pytest.mark.parametrize(
    "text", ["my notes\n", '"name,count,size,age"\n', "\n\nmy notes\n", "\0" * 5, "a" * 200_000, " \n"]
)
def test_another_file_is_not_taken_for_a_table(text: str, tmp_path: Path) -> None:
    path = tmp_path / "things.csv"
    path.write_text(text)
    with pytest.raises(UserError, match="is another file"):
        refuse_other(path, THINGS.names, "--out")


def test_a_table_of_one_column_keeps_its_empty_rows() -> None:
    assert csv_text(["name"], [[""], ["a"]]) == 'name\n""\na\n'


@pytest.mark.parametrize(
    ("file", "spoil", "told"),
    [
        ("metrics.csv", lambda text: text.replace(",30.0,", ",thirty,", 1), "'value' holds 'thirty'"),
        ("metrics.csv", lambda text: text.replace(",30.0,", ",,", 1), "'value' holds nothing"),
        ("outputs.csv", lambda text: text + text.splitlines()[-1] + "\n", "second row"),
        ("curves.csv", lambda text: text[:-4], "cut off"),
        ("ledger.csv", lambda text: text.replace("1,derain,", "1.5,derain,", 1), "'after' holds '1.5'"),
    ],
)
def test_a_damaged_table_of_a_run_is_told_in_the_report(
    tmp_path: Path, file: str, spoil: Callable[[str], str], told: str
) -> None:
    path = made_run(tmp_path).path / file
    path.write_text(spoil(path.read_text()))
    (bad,) = collect([tmp_path]).unreadable
    assert file in bad.reason
    assert told in bad.reason


@pytest.mark.slow
def test_names_like_numbers_join_with_their_pictures(tmp_path: Path) -> None:
    """A run whose test images are called by numbers has the pictures of one whose images have words for names."""
    counts = []
    for number, images in enumerate((["0010", "NA"], ["chelsea", "china"])):
        run = made_run(tmp_path / str(number))
        rows = run.rows("outputs.csv")
        for row in rows:
            row["image"] = images[["chelsea", "china"].index(row["image"])]
        write_table(run.path / "outputs.csv", rows, OUTPUTS)
        for old, new in zip(("chelsea", "china"), images, strict=True):
            for path in list((run.path / "images").glob(f"*--{old}--*")):
                task, _, kind = path.stem.split("--")
                path.rename(run.image(task, new, kind))
        page = reports.build([tmp_path / str(number)], tmp_path / f"page{number}").index.read_text(encoding="utf-8")
        counts.append(page.count("image/webp"))
        assert all(f'data-image="{image}"' in page for image in images)
    assert counts[0] == counts[1] > 8


@pytest.mark.slow
def test_counts_in_the_reports_tables_stay_whole_beside_missing_ones(tmp_path: Path) -> None:
    made_run(tmp_path / "runs", keeps=False)
    (made_run(tmp_path / "runs", seed=3).path / "config.yaml").write_text("[]")
    page = reports.build([tmp_path / "runs"], tmp_path / "page").index
    runs = pd.read_csv(page.parent / "tables" / "runs.csv", dtype=str, keep_default_na=False).set_index("state")
    assert list(runs.loc["finished", ["seed", "tasks measured", "tasks"]]) == ["0", "4", "4"]
    assert list(runs.loc["unreadable", ["seed", "tasks"]]) == ["", ""]
    table = pd.read_csv(next((page.parent / "tables").glob("*-comparison.csv")), dtype=str, keep_default_na=False)
    assert list(table["seeds"]) == ["", "1"]
    assert list(table["outputs changed"]) == ["", "6"]


def test_an_exported_cell_keeps_its_type() -> None:
    table = Table("", [Heading("name"), Heading("n")], [[Cell("001", "001"), Cell("3", 3)], [Cell("b"), Cell("–")]])
    assert frame_text(exports.frame(table)) == "name,n\n001,3\nb,–\n"


def test_a_task_may_be_called_like_a_column(tmp_path: Path) -> None:
    order = ["mean", "denoise", "score", "seed"]
    made_run(tmp_path, order=order)
    (group,) = collect([tmp_path]).groups
    row = comparison.frame(group).iloc[1]
    assert row["mean at place 1 psnr"] == 30.0
    assert row["mean psnr"] == pytest.approx(np.mean([30.0, 25.0, 28.0, 26.0]))


@pytest.mark.slow
def test_a_task_with_a_long_name_keeps_it_and_its_pictures(tmp_path: Path) -> None:
    order = ["a" * 80 + "_1", "a" * 80 + "_2"]
    made_run(tmp_path / "runs", order=order)
    (group,) = collect([tmp_path / "runs"]).groups
    assert set(matrix.frame(group)["task"]) == set(order)
    page = reports.build([tmp_path / "runs"], tmp_path / "page").index.read_text(encoding="utf-8")
    assert page.count('class="strip"') == 4


def test_the_table_of_tuning_keeps_what_was_tried(tmp_path: Path) -> None:
    first, second = made_tuned(tmp_path / "a"), made_tuned(tmp_path / "b", ["seed", "denoise"])
    path = tmp_path / "tuning.csv"
    tuning.write(path, [(Trial("mas", "mas.weight", 2.5e-7), first), (Trial("mas", "mas.weight", 7), first)])
    before = path.read_text().splitlines()
    tuning.write(path, [(Trial("NA", "007", 1e300), second)], "four_tasks")
    lines = path.read_text().splitlines()
    assert lines[0] == "strategy,setting,value,seed,score,preset,stream,task seed,denoise,derain"
    assert lines[1] == "NA,007,1e+300,0,30.5,quick,four_tasks,31.0,30.0,"
    assert [line.split(",")[:5] for line in lines[2:]] == [line.split(",")[:5] for line in before[1:]]
    assert [line.split(",")[2] for line in lines[2:]] == ["2.5e-07", "7"]
    path.write_text(path.read_text().replace("30.5", "high"))
    with pytest.raises(UserError, match="'score' holds 'high'"):
        tuning.write(path, [(Trial("cmc", "cmc.fraction", 0.1), first)])


def made_tuned(folder: Path, order: list[str] | None = None) -> Run:
    """A run with validation measurements of 30 dB on its last task and one more on each before."""
    order = order or ["denoise", "derain"]
    run = made_run(folder, order=order)
    rows = [
        {"after": 2, "after_task": order[1], "place": j + 1, "task": task, "subject": "validation", "metric": "psnr"}
        | {"value": 31.0 - j, "unit": "dB", "images": 1}
        for j, task in enumerate(order)
    ]
    write_table(run.path / "metrics.csv", [*run.rows("metrics.csv"), *rows], METRICS)
    seal(run.path)
    return run


@pytest.mark.slow
@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_run_that_went_on_after_any_task_has_the_same_bytes(tmp_path: Path, done: int) -> None:
    """Three tasks on pairs that are called by numbers: counts of 0, empty losses and names like 010 all come back."""
    whole = {name: (resumable(tmp_path).path / name).read_bytes() for name in TABLE_FILES}
    (run,) = find_runs([tmp_path / "runs"])
    run.update_status(state="interrupted", tasks_done=done)
    again = resumable(tmp_path)
    assert again.finished
    assert {name: (again.path / name).read_bytes() for name in TABLE_FILES} == whole
    assert len(again.status["seconds_per_task"]) == 3
    assert sorted(again.status["peak_memory"]) == ["1", "2", "3"]
    assert {row["image"] for row in again.rows("outputs.csv")} == {"010", "1e1"}


TABLE_FILES = ["metrics.csv", "curves.csv", "outputs.csv", "ledger.csv"]


def resumable(folder: Path) -> Run:
    """A smoke run of finetune on three tasks with a small data set of pairs below the folder."""
    if not (folder / "data").exists():
        draw = np.random.default_rng(7)
        for side, names in (("train", ["p", "q", "r"]), ("test", ["010", "1e1"])):
            for name in names:
                clean = draw.integers(40, 220, (40, 44, 3)).astype("u1")
                for kind, pixels in (("target", clean), ("input", clean // 2)):
                    path = folder / "data" / "shades" / side / kind / f"{name}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(path)
        tasks = [f"{{name: {name}, dataset: shades, degradation: noise}}" for name in ("nan", "two", "null_")]
        (folder / "shades.yaml").write_text(f"tasks: [{', '.join(tasks)}]".replace("name: nan", "name: 'nan'"))
    words = ["data.source=datasets", f"data.root={folder / 'data'}"]
    planned = plan("finetune", str(folder / "shades.yaml"), "smoke", "0", None, None, None, words)
    return execute([resolve(config) for config in planned], folder / "runs")[0]

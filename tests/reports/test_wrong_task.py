"""The wrong-task matrix and its table, on made runs whose figures can be computed by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import LEARNED, ORDER, PROTOCOL, made_run

from benchmark.core.runs.directory import Run
from benchmark.core.runs.schemas import METRICS
from benchmark.core.runs.writing import write_table
from reports.figures import wrong_task
from reports.groups import Group, collect
from reports.items.exports import frame as exported
from reports.items.exports import latex, markdown
from reports.tables import identification

IMAGES = 2
TASKS = len(ORDER)


def told_psnr(j: int, k: int, shift: float) -> float:
    """PSNR on task j told task k, both from 0: 3 dB for every step between them."""
    return LEARNED[j] + shift - 3.0 * abs(j - k)


def with_identifier(run: Run, confused: int, shift: float = 0.0) -> Run:
    """Add what an identifier would have measured that takes one of two images of a task for one of the task before."""
    rows = run.rows("metrics.csv")
    for j, task in enumerate(ORDER):
        about = {"after": TASKS, "after_task": ORDER[-1], "place": j + 1, "task": task, "images": IMAGES}
        about |= {"unit": "dB", "protocol": PROTOCOL}
        wrong = int(j == confused)
        for k in range(TASKS):
            assigned = wrong if k == j - 1 else IMAGES - wrong if k == j else 0
            rows.append({**about, "subject": f"told {k + 1}", "metric": "psnr", "value": told_psnr(j, k, shift)})
            rows.append({**about, "subject": f"told {k + 1}", "metric": "assigned", "value": assigned, "unit": "count"})
        identified = LEARNED[j] + shift - 3.0 * wrong / IMAGES
        rows.append({**about, "subject": "identified", "metric": "psnr", "value": identified})
        rows.append({**about, "subject": "identified", "metric": "accuracy", "value": 1 - wrong / IMAGES, "unit": ""})
    write_table(run.path / "metrics.csv", rows, METRICS)
    return run


@pytest.fixture
def group(tmp_path: Path) -> Group:
    """Two seeds of cmc with an identifier, of which the second is 1 dB better, and a run without."""
    on: dict[str, Any] = {"evaluation": {"identify": True}}
    with_identifier(made_run(tmp_path, "cmc", seed=0, **on), confused=1)
    with_identifier(made_run(tmp_path, "cmc", seed=1, shift=1.0, **on), confused=2, shift=1.0)
    made_run(tmp_path, "finetune", keeps=False)
    return collect([tmp_path]).groups[0]


def test_the_table_tells_accuracy_told_identified_and_wrong(group: Group) -> None:
    item = identification.item(group)
    assert item is not None
    assert item.table is not None
    found = {row[1].text: row for row in item.table.rows}
    assert list(found) == [*ORDER, "all, mean"]
    for j, task in enumerate(ORDER):
        confused = j in (1, 2)  # in one of two seeds, by one of two images
        told = LEARNED[j] + 0.5
        steps = [abs(j - k) for k in range(TASKS) if k != j]
        expected = [
            0.75 if confused else 1.0,
            told,
            told - 0.75 * confused,
            -0.75 * confused,
            told - 3 * np.mean(steps),
        ]
        assert [cell.value for cell in found[task][2:]] == pytest.approx(expected)
    assert found["derain"][2].text == "100 %"
    assert found["deblur"][3].spread == "6.35", "of two seeds 1 dB apart: 12.706 times 0.5"
    means = [cell.value for cell in found["all, mean"][2:]]
    assert means[:4] == pytest.approx([0.875, np.mean(LEARNED) + 0.5, np.mean(LEARNED) + 0.125, -0.375])
    assert "finetune" not in {row[0].text for row in item.table.rows}
    for text in (markdown(item.table), latex(item.table, item.key)):
        assert "all, mean" in text
    written = exported(item.table)
    assert len(written) == TASKS + 1


def test_the_matrix_is_tidy_and_drawn(group: Group) -> None:
    item = wrong_task.item(group)
    assert item is not None
    assert item.drawing is not None
    data = item.data
    assert isinstance(data, pd.DataFrame)
    assert len(data) == 2 * TASKS**2
    first = data[(data["seed"] == 0) & (data["task"] == "denoise")].set_index("told")
    assert first["psnr"].to_dict() == {task: told_psnr(1, k, 0) for k, task in enumerate(ORDER)}
    assert first["assigned"].to_dict() == {"derain": 0.5, "denoise": 0.5, "deblock": 0.0, "deblur": 0.0}
    drawn = item.drawing.svg
    assert f">{LEARNED[0] + 0.5 - 9:.2f}<" in drawn, "task 1 told task 4, the mean over seeds"
    assert drawn.count(">25 %<") == 2
    assert drawn.count(">75 %<") == 2
    assert ">finetune<" not in drawn
    said = "cmc: 88 % of the images are given to their own task, in the mean over the tasks"
    assert said in item.drawing.description, "no share of all images, where tasks have different numbers of them"
    assert "come back" not in item.drawing.caption
    assert item.drawing.png.startswith(b"\x89PNG")


def test_of_a_task_that_comes_back_it_is_said_that_nothing_tells_it_from_itself(tmp_path: Path) -> None:
    tasks = [{"name": name, "again": "derain" if name == "deblur" else ""} for name in ORDER]
    with_identifier(made_run(tmp_path, "cmc", evaluation={"identify": True}, tasks=tasks), confused=1)
    (found,) = collect([tmp_path]).groups
    table, figure = identification.item(found), wrong_task.item(found)
    assert table is not None
    assert table.table is not None
    assert figure is not None
    assert figure.drawing is not None
    for text in (table.table.note, figure.drawing.caption):
        assert "deblur is derain come back: nothing tells the two apart" in text


def test_without_an_identifier_there_is_neither(tmp_path: Path) -> None:
    made_run(tmp_path)
    (group,) = collect([tmp_path]).groups
    assert wrong_task.item(group) is None
    assert identification.item(group) is None


def test_runs_with_and_without_are_two_entries_and_those_from_before_are_without(tmp_path: Path) -> None:
    made_run(tmp_path, seed=0)
    made_run(tmp_path, seed=1, evaluation={"identify": False})
    with_identifier(made_run(tmp_path, seed=0, evaluation={"identify": True}), confused=0)
    (group,) = collect([tmp_path]).groups
    assert {entry.label: len(entry.results) for entry in group.entries} == {
        "cmc (identify=false)": 2,
        "cmc (identify=true)": 1,
    }
    assert [entry.label for entry in identification.entries(group)] == ["cmc (identify=true)"]


def test_what_an_unfinished_run_has_measured_is_in_the_data(tmp_path: Path) -> None:
    run = with_identifier(made_run(tmp_path, state="interrupted"), confused=0)
    rows = [row for row in run.rows("metrics.csv") if row["subject"] != "told 2"]
    write_table(run.path / "metrics.csv", rows, METRICS)
    item = wrong_task.item(collect([tmp_path]).groups[0])
    assert item is not None
    assert item.drawing is None
    assert item.data is not None
    assert item.data["psnr"].isna().sum() == TASKS

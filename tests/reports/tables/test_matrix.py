"""PSNR on every task after every task, on a made run that forgets 2 dB with each task."""

from pathlib import Path

import pytest
from made_runs import INPUTS, ORDER, made_run, psnr

from reports.groups import Group, collect
from reports.tables import matrix


@pytest.fixture
def group(tmp_path: Path) -> Group:
    made_run(tmp_path, "finetune", keeps=False)
    return collect([tmp_path]).groups[0]


def test_a_gain_is_over_the_input_of_the_evaluated_task(group: Group) -> None:
    frame = matrix.frame(group).set_index(["after", "place"])
    places = [(i, j) for i in range(len(ORDER)) for j in range(len(ORDER))]
    expected = {(i + 1, j + 1): psnr(i, j, keeps=False) - INPUTS[j] for i, j in places}
    assert frame["gain"].to_dict() == pytest.approx(expected)


def test_the_table_tells_the_change_since_a_task_was_learned(group: Group) -> None:
    first, *rows = matrix.table(group, group.entries[0]).rows
    assert [cell.value for cell in first[1:]] == INPUTS
    assert [[cell.small for cell in row[1:]] for row in rows] == [
        ["learned", "not learned yet", "not learned yet", "not learned yet"],
        ["−2.00", "learned", "not learned yet", "not learned yet"],
        ["−4.00", "−2.00", "learned", "not learned yet"],
        ["−6.00", "−4.00", "−2.00", "learned"],
    ]
    assert [cell.text for cell in rows[-1][1:]] == ["24.00", "21.00", "26.00", "26.00"]

"""Who beats whom: shares, gaps and what is told apart, by hand on made runs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_results import made, replace_seed
from made_runs import ORDER, made_run
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from scipy.stats import false_discovery_control, ttest_1samp

from reports.figures import wins
from reports.figures.leading import MOST_LINES
from reports.groups import Group, collect, entries
from reports.items.drawing import Drawing
from reports.items.item import Item
from reports.paper.evidence import gather
from reports.paper.figures import ranking
from strategies.built_in import BUILT_IN

CMC = {"fraction": 0.2, "t": 5, "t_ends": None, "sharing": "fixed", "start": None, "exhausted": "error"}


def group(folder: Path, shifts: dict[str, tuple[float, ...]]) -> Group:
    """Runs of these strategies, with so many dB more in one seed after the other."""
    for name, values in shifts.items():
        for seed, shift in enumerate(values):
            made_run(folder, name, shift=shift, seed=seed, settings=CMC if name == "cmc" else {})
    (found,) = collect([folder]).groups
    return found


def compared(shifts: dict[str, tuple[float, ...]]) -> Item:
    """The item of results without directories, with so many dB more in one seed after the other."""
    results = [
        replace(replace_seed(made(name), seed, shift), traits=BUILT_IN[name].traits)
        for name, values in shifts.items()
        for seed, shift in enumerate(values)
    ]
    found = wins.made(entries(results), "wins", "mine", "caption", "preset quick", wins.TITLE)
    assert found is not None
    return found


def test_shares_gaps_and_what_is_told_apart(tmp_path: Path) -> None:
    """PackNet is 0.1, 0.2 and 0.3 dB behind LwF, which three seeds do not tell; finetune 2 dB, which they do."""
    found = wins.item(group(tmp_path, {"lwf": (1.0, 1.0, 1.0), "mas": (0.9, 0.8, 0.7), "si": (-1.0, -1.1, -1.0)}))
    assert found is not None
    assert found.data is not None
    rows = found.data.set_index(["one", "other"])
    assert list(rows.index) == [("lwf", "mas"), ("lwf", "si"), ("mas", "si")]
    near, far = rows.loc[("lwf", "mas")], rows.loc[("lwf", "si")]
    assert (near["seeds"], near["pairs"], near["wins"]) == (3, 3 * len(ORDER), 1.0)
    assert (near["gap"], near["gap ±"]) == (pytest.approx(0.2), pytest.approx(4.302653 * 0.1 / np.sqrt(3)))
    assert (near["told apart"], far["told apart"]) == ("no", "yes")
    tested = [ttest_1samp(gaps, 0).pvalue for gaps in ((0.1, 0.2, 0.3), (2.0, 2.1, 2.0), (1.9, 1.9, 1.7))]
    assert rows["p"].tolist() == pytest.approx(tested)
    assert rows["p corrected"].tolist() == pytest.approx(false_discovery_control(tested))
    cells = {row[0].text: row[1:] for row in found.table.rows}  # type: ignore[union-attr]
    assert [cell.text for cell in cells["lwf"]] == ["–", "100 %, +0.20", "100 %, +2.03"]
    assert [cell.text for cell in cells["si"]] == ["0 %, −2.03", "0 %, −1.83", "–"]
    assert [cell.best for cell in cells["lwf"]] == [False, False, True]
    assert cells["lwf"][1].spread == "0.25"


def test_the_figure_has_wins_and_gap_of_a_row_over_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """CMC is told the task, so that a line is below and beside it; MAS is 2 dB behind LwF, which is told apart."""
    figure, draw_as_ever = Figure(), wins.drawing

    def drawing(caption: str, description: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> Drawing:
        draw(figure)
        return draw_as_ever(caption, description, size, draw)

    monkeypatch.setattr(wins, "drawing", drawing)
    found = compared({"lwf": (1.0, 1.1, 1.0), "mas": (-1.0, -0.9, -1.0), "cmc": (0.8, 1.4, 0.6)})
    assert found.drawing is not None
    axis = figure.axes[0]
    written: dict[tuple[int, int], list[tuple[str, str]]] = {}
    for text in axis.texts:
        column, row = (int(place) for place in text.get_position())
        written.setdefault((row, column), []).append((text.get_text(), str(text.get_fontweight())))
    assert [label.get_text() for label in axis.get_yticklabels()] == ["cmc", "lwf", "mas"]
    assert written.keys() == {(row, column) for row in range(3) for column in range(3) if row != column}
    assert written[1, 2] == [("100 %", "bold"), ("+2.00", "bold")]
    assert written[2, 1] == [("0 %", "bold"), ("−2.00", "bold")]
    assert written[0, 1] == [("33 %", "normal"), ("−0.10", "normal")]
    (mesh,) = [one for one in axis.collections if isinstance(one, QuadMesh)]
    colours = np.ma.filled(mesh.get_array(), np.nan).reshape(3, 3)
    assert [colours[1, 2], colours[2, 1], colours[0, 1]] == pytest.approx([1.0, -1.0, -0.1])
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines]
    assert lines == [([0, 3], [1, 1]), ([1, 1], [0, 3])]
    assert "2 of 3 are" in found.drawing.caption


def test_of_two_the_better_one_stands_first_also_where_it_is_told_less() -> None:
    found = compared({"cmc": (0.0,), "together": (1.0,)})
    assert found.data is not None
    assert found.data[["one", "other", "wins"]].to_numpy().tolist() == [["together", "cmc", 1.0]]
    assert found.data["gap"].tolist() == [pytest.approx(1.0)]


def test_what_is_equal_counts_half(tmp_path: Path) -> None:
    found = wins.item(group(tmp_path, {"lwf": (0.0, 1.0), "mas": (0.0, 0.0)}))
    assert found is not None
    assert found.data is not None
    assert found.data["wins"].tolist() == [0.75]


def test_seeds_of_one_side_alone_do_not_count(tmp_path: Path) -> None:
    found = wins.item(group(tmp_path, {"lwf": (0.0, 1.0, 9.0), "mas": (0.0, 0.5)}))
    assert found is not None
    assert found.data is not None
    assert found.data[["seeds", "pairs"]].to_numpy().tolist() == [[2, 2 * len(ORDER)]]
    assert found.data["gap"].tolist() == [pytest.approx(0.25)]


def test_one_seed_tells_nothing_apart(tmp_path: Path) -> None:
    found = wins.item(group(tmp_path, {"lwf": (5.0,), "mas": (0.0,)}))
    assert found is not None
    assert found.drawing is not None
    assert "none is told apart" in found.drawing.caption
    assert "nothing is told apart" in found.table.note  # type: ignore[union-attr]
    assert found.data is not None
    assert set(found.data["told apart"]) == {"no"}
    assert wins.item(group(tmp_path / "alone", {"lwf": (5.0,)})) is None


def test_those_told_the_task_stand_by_themselves(tmp_path: Path) -> None:
    found = wins.item(group(tmp_path, {"together": (9.0,), "cmc": (0.0,), "packnet": (1.0,), "finetune": (8.0,)}))
    assert found is not None
    assert [row[0].text for row in found.table.rows] == ["packnet", "cmc", "together", "finetune"]  # type: ignore[union-attr]
    assert found.drawing is not None
    assert "told the task and not told the task" in found.drawing.caption


def test_no_more_than_a_figure_has_room_for(tmp_path: Path) -> None:
    many = wins.item(group(tmp_path, {f"strategy_{number}": (0.1 * number,) for number in range(MOST_LINES + 3)}))
    assert many is not None
    assert len(many.table.rows) == MOST_LINES  # type: ignore[union-attr]
    assert f"{MOST_LINES} of {MOST_LINES + 3}" in many.table.note  # type: ignore[union-attr]


def test_table_2_has_its_own_without_other_shares(tmp_path: Path) -> None:
    group(tmp_path, {"cmc": (0.5, 0.6), "packnet": (0.0, 0.1), "together": (0.3, 0.3)})
    made_run(tmp_path, "cmc", shift=3.0, settings=CMC | {"fraction": 0.05})
    (evidence,) = gather(collect([tmp_path]))
    found = ranking.item(evidence)
    assert found is not None
    assert found.key == "paper-quick-ranking"
    names = [row[0].text for row in found.table.rows]  # type: ignore[union-attr]
    assert names == ["cmc", "together"], "packnet was run with another share than the preset's"
    assert {name.rpartition(".")[2] for name in found.files()} == {"csv", "md", "tex", "svg", "png"}

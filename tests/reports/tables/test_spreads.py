"""What stands beside a mean in the comparison and the summary: ± and †, by hand on three seeds of two strategies."""

from dataclasses import replace

import numpy as np
import pytest
from made_results import LEVEL, made, replace_seed
from made_runs import INPUTS, ORDER

from reports.groups import Group, entries
from reports.items.table import Cell, Column, Table
from reports.results import Source
from reports.tables import comparison, summary
from reports.tables.marks import mark

T_OF_THREE = 4.302652729911275
"""Student's t at 97.5 % with two degrees of freedom."""
LUCK = (0.0, 0.1, 0.3)
"""dB that every seed has more, of either strategy."""
GAPS = ((1.0, 1.1, 1.0), (2.0, -2.0, 0.5), (1.0, 1.0, 1.1), (2.0, -2.0, 0.4))
"""dB by which EWC is behind MAS on each task, in one seed after the other: told on the first and the third alone."""


@pytest.fixture(scope="module")
def group() -> Group:
    results = []
    for seed, luck in enumerate(LUCK):
        behind = [level - gaps[seed] for level, gaps in zip(LEVEL, GAPS, strict=True)]
        for one in (made("mas", LEVEL, lost=(1, 1, 1, 0)), made("ewc", behind, lost=(3, 3 + 0.1 * seed, 3, 0))):
            inputs = {**one.inputs, "psnr": np.array(INPUTS)}
            results.append(replace(replace_seed(one, seed, luck), inputs=inputs))
    return Group("four_tasks-quick", 0, "four_tasks", ORDER, "quick", {}, (Source(),) * 4, entries(results))


def columns(table: Table) -> dict[str, dict[str, Cell]]:
    """By heading and name of a row; of the comparison those of PSNR."""
    shown = table.view("PSNR") if table.views else table
    heads = [column.head for column in shown.columns]
    return {head: {row[0].text: row[place] for row in shown.rows} for place, head in enumerate(heads)}


def test_an_interval_is_students_over_the_seeds(group: Group) -> None:
    shown, item = columns(comparison.table(group)), summary.item(group)
    assert item is not None
    assert item.table is not None
    deviation = float(np.std(LUCK, ddof=1))
    margin = f"{T_OF_THREE * deviation / np.sqrt(3):.2f}"
    assert margin != f"{deviation:.2f}"
    for head in ("mean", *ORDER):
        assert shown[head]["mas"].spread == margin
    assert columns(item.table)["mean PSNR"]["mas"].spread == margin
    row = comparison.frame(group).set_index("label").loc["mas"]
    for name in ("mean psnr", *(f"{task} psnr" for task in ORDER)):
        assert row[f"{name} std"] == pytest.approx(deviation)
        assert row[f"{name} ±"] == pytest.approx(T_OF_THREE * deviation / np.sqrt(3))


def test_every_mean_and_interval_that_is_shown_stands_in_the_data(group: Group) -> None:
    shown, rows = comparison.table(group), comparison.frame(group).set_index("label")
    names = {"PSNR": "psnr", "gain": "gain", "SSIM": "ssim"}
    assert set(shown.views) == set(names)
    for view, name in names.items():
        places = {column.head: place for place, column in enumerate(shown.columns) if column.view == view}
        assert set(places) == {"mean", *ORDER}
        for cells in shown.rows[1:]:
            row = rows.loc[cells[0].text]
            for head, place in places.items():
                assert row[f"{head} {name}"] == pytest.approx(cells[place].value)
                if name != "gain" or head == "mean":
                    assert f"{row[f'{head} {name} ±']:.{3 if name == 'ssim' else 2}f}" == cells[place].spread


def test_what_is_not_told_apart_is_marked_in_its_own_column_alone(group: Group) -> None:
    shown, item = columns(comparison.table(group)), summary.item(group)
    assert item is not None
    assert item.table is not None
    assert {head: shown[head]["ewc"].level for head in ("forgetting", "mean", *ORDER)} == {
        **{"forgetting": False, "mean": True, "derain": False, "denoise": True, "deblock": False, "deblur": True}
    }
    summed = columns(item.table)
    assert [summed[head]["ewc"].level for head in ("mean PSNR", "gain", "forgetting")] == [True, True, False]
    assert not any(shown[head]["mas"].level for head in ("forgetting", "mean", *ORDER))


def test_of_equally_good_rows_the_one_with_the_most_seeds_is_compared() -> None:
    """Two that forget nothing, of which the first has one seed: the other's three tell apart what forgets."""
    keep = [made(name, LEVEL, seed=seed) for name, seeds in (("cmc", 1), ("packnet", 3)) for seed in range(seeds)]
    several = entries([*keep, *(made("mas", LEVEL, lost=(1, 1.1 + 0.1 * seed, 1, 0), seed=seed) for seed in range(3))])
    figure = comparison.FORGETTING
    rows = [[Cell(entry.label), figure.cell(entry)] for entry in several]
    marked = mark([Column("strategy"), figure.column], rows, several, [""] * 3, [(figure.quantity, 1, None)])
    assert {row[0].text: (row[1].best, row[1].level) for row in marked} == {
        **{"cmc": (True, False), "packnet": (True, False), "mas": (False, False)}
    }


def test_the_gain_in_the_file_is_that_of_the_table(group: Group) -> None:
    """Inputs of one entry differ from the others', as those of another machine may; its gain is over its own."""
    mas, ewc = sorted(group.entries, key=lambda entry: entry.label, reverse=True)
    moved = [replace(one, inputs={**one.inputs, "psnr": one.inputs["psnr"] + 0.5}) for one in ewc.results]
    mixed = replace(group, entries=[replace(ewc, results=moved), mas])
    heads = comparison.table(mixed).view("gain").columns
    rows = {row[0].text: row for row in comparison.table(mixed).view("gain").rows}
    file = comparison.frame(mixed).set_index("label")
    for label in ("mas", "ewc"):
        for task in ORDER:
            shown = rows[label][[column.head for column in heads].index(task)]
            assert file.loc[label, f"{task} gain"] == pytest.approx(shown.value)


def test_the_degraded_input_stands_above_each_task(group: Group) -> None:
    shown = columns(comparison.table(group))
    assert [shown[task]["degraded input"].value for task in ORDER] == INPUTS
    assert shown["mean"]["degraded input"].value == np.mean(INPUTS)

"""Image by image: gains over the best, paired over images, by hand; and what is left out."""

import math
from pathlib import Path
from typing import Any

import pytest
from made_runs import APART, IMAGES, made_run

from benchmark.core.runs.directory import Run
from benchmark.core.runs.schemas import OUTPUTS
from benchmark.core.runs.writing import write_table
from reports.groups import Group, collect
from reports.items.item import Item
from reports.items.table import Cell
from reports.tables import images

T_OF_THREE = 4.302652729911275
"""Student's t at 97.5 % with two degrees of freedom."""


def with_images(run: Run, shifts: dict[str, float], **changes: Any) -> Run:
    """The run with one row per image in place of each of the first image, shifted by so many dB."""
    rows = [
        {**row, "image": image, "psnr": row["psnr"] - APART[0] + shift, **changes}
        for row in run.rows("outputs.csv")
        if row["image"] == IMAGES[0]
        for image, shift in shifts.items()
    ]
    write_table(run.path / "outputs.csv", rows, OUTPUTS)
    return run


def table(folder: Path) -> tuple[Group, Item | None]:
    (group,) = collect([folder]).groups
    return group, images.item(group)


def cells(item: Item | None) -> dict[str, list[Cell]]:
    assert item is not None
    assert item.table is not None
    return {row[0].text: row[1:] for row in item.table.rows}


def test_exported_names_are_those_of_the_run(tmp_path: Path) -> None:
    """Long names that differ at their ends alone, and letters that no line may hold, are kept for other tables."""
    names = ["S2A_" + "x" * 80 + f"_{number}.png" for number in range(2)] + ["a\tb", "a b"]
    for strategy, shift in (("cmc", 2.0), ("packnet", 1.0)):
        with_images(made_run(tmp_path, strategy, shift=shift), dict.fromkeys(names, 0.0))
    group, found = table(tmp_path)
    assert found is not None
    assert found.data is not None
    assert sorted(found.data["image"]) == sorted(names * len(group.order) * 2)


def test_gains_are_paired_over_images_after_the_mean_over_seeds(tmp_path: Path) -> None:
    """What images have of their own, many dB, cancels, and so does what the seeds have."""
    own, gains = {"a": -9.0, "b": 0.0, "c": 9.0}, {"a": -1.0, "b": 0.5, "c": -0.4}
    for seed, luck in enumerate((-0.1, 0.1)):
        with_images(made_run(tmp_path, "cmc", seed=seed, shift=2.0), own)
        shifts = {name: own[name] + gain + 1.0 + luck for name, gain in gains.items()}
        with_images(made_run(tmp_path, "packnet", seed=seed, shift=1.0), shifts)
    group, found = table(tmp_path)
    ((label, (best, *gained)),) = cells(found).items()
    assert (label, best.text) == ("packnet", "cmc")
    margin = T_OF_THREE * math.sqrt((0.7**2 + 0.8**2 + 0.1**2) / 2 / 3)
    assert len(gained) == 1 + len(group.order)
    for cell in gained:
        assert cell.value == pytest.approx(-0.3)
        assert (cell.spread, cell.small) == (f"{margin:.2f}", "1 of 3")


def test_what_is_sure_over_images_has_no_dagger(tmp_path: Path) -> None:
    with_images(made_run(tmp_path, "cmc", shift=2.0), {"a": -9.0, "b": 0.0, "c": 9.0})
    with_images(made_run(tmp_path, "packnet", shift=1.9), {"a": -9.9, "b": 0.8, "c": 9.0})
    with_images(made_run(tmp_path, "deform", shift=1.0), {"a": -9.01, "b": 0.01, "c": 9.0})
    _, found = table(tmp_path)
    rows = cells(found)
    assert list(rows) == ["deform", "packnet"]
    assert [(cell.level, cell.small) for cell in rows["deform"][1:]] == [(False, "0 of 3")] * 5
    assert [(cell.level, cell.small) for cell in rows["packnet"][1:]] == [(True, "1 of 3")] * 5


def test_those_told_the_task_and_those_not_each_have_their_best(tmp_path: Path) -> None:
    for name, shift in {"cmc": 1.0, "packnet": 0.5, "mas": 0.3, "ewc": 0.1}.items():
        made_run(tmp_path, name, shift=shift, settings={})
    _, found = table(tmp_path)
    assert {label: row[0].text for label, row in cells(found).items()} == {"packnet": "cmc", "ewc": "mas"}


def test_the_data_has_every_image_in_the_mean_over_seeds(tmp_path: Path) -> None:
    for seed in (0, 1):
        with_images(made_run(tmp_path, "cmc", seed=seed, shift=seed), {"a": 0.0, "b": 3.0})
    with_images(made_run(tmp_path, "packnet"), {"a": 0.0, "b": 3.0})
    group, found = table(tmp_path)
    assert found is not None
    assert found.data is not None
    data = found.data.set_index(["label", "place", "image"])
    assert len(data) == 2 * len(group.order) * 2
    finals = group.entries[0].results[0].final_psnr
    for place, task in enumerate(group.order, 1):
        row = data.loc[("cmc", place, "b")]
        assert (row["task"], row["seeds"]) == (task, 2)
        assert row["psnr"] == pytest.approx(finals[place - 1] + 3.0 + 0.5)


def test_tasks_with_images_of_their_own_have_no_mean_over_tasks(tmp_path: Path) -> None:
    for name, shift in {"cmc": 1.0, "packnet": 0.5}.items():
        run = made_run(tmp_path, name, shift=shift)
        rows = [{**row, "image": f"{row['task']} {row['image']}"} for row in run.rows("outputs.csv")]
        write_table(run.path / "outputs.csv", rows, OUTPUTS)
    group, found = table(tmp_path)
    (row,) = cells(found).values()
    assert len(row) == 1 + len(group.order)
    assert [cell.small for cell in row[1:]] == ["0 of 2"] * len(group.order)


def test_images_of_one_name_in_different_test_sets_are_different_images(tmp_path: Path) -> None:
    sources = [
        {"train": {"name": "mine"}, "test": {"name": f"set{place}", "release": "2 images"}} for place in range(4)
    ]
    for name, shift in {"cmc": 1.0, "packnet": 0.5}.items():
        made_run(tmp_path, name, shift=shift, sources=sources)
    group, found = table(tmp_path)
    (row,) = cells(found).values()
    assert len(row) == 1 + len(group.order)


def test_entries_without_a_common_seed_have_a_dash(tmp_path: Path) -> None:
    made_run(tmp_path, "cmc", shift=2.0)
    made_run(tmp_path, "packnet", shift=1.0)
    made_run(tmp_path, "deform", shift=1.0, seed=1)
    _, found = table(tmp_path)
    rows = cells(found)
    assert [cell.value for cell in rows["deform"][1:]] == [None] * 5
    assert [cell.value for cell in rows["packnet"][1:]] == pytest.approx([-1.0] * 5)


@pytest.mark.parametrize("reason", ["one entry", "one image", "no figures of images"])
def test_there_is_no_table_where_nothing_can_be_compared(tmp_path: Path, reason: str) -> None:
    with_images(made_run(tmp_path, "cmc"), {"a": 0.0, "b": 1.0} if reason != "one image" else {"a": 0.0})
    if reason == "one image":
        with_images(made_run(tmp_path, "packnet"), {"a": 0.0})
    elif reason == "no figures of images":
        with_images(made_run(tmp_path, "packnet"), {"a": 0.0, "b": 1.0}, psnr=None)
    _, found = table(tmp_path)
    assert found is None


def test_of_one_common_image_nothing_is_told_apart(tmp_path: Path) -> None:
    with_images(made_run(tmp_path, "cmc", shift=2.0), {"a": 0.0, "b": 1.0, "c": 0.5})
    with_images(made_run(tmp_path, "packnet", shift=1.0), {"a": -0.1, "b": 0.1, "c": 0.3})
    lonely = with_images(made_run(tmp_path, "deform", shift=0.0), {"a": 0.0, "b": 1.0, "c": 0.5})
    kept = [row for row in lonely.rows("outputs.csv") if row["place"] != 1 or row["image"] == "a"]
    write_table(lonely.path / "outputs.csv", kept, OUTPUTS)
    _, found = table(tmp_path)
    first = cells(found)["deform"][1 + (len(cells(found)["deform"]) > 5)]
    assert (first.small, first.level) == ("0 of 1", True)


def test_the_note_names_who_has_no_figures_of_images(tmp_path: Path) -> None:
    for name, shift in {"packnet": 2.0, "deform": 1.0}.items():
        with_images(made_run(tmp_path, name, shift=shift, settings={}), {"a": 0.0, "b": 1.0})
    _, found = table(tmp_path)
    assert found is not None
    assert "not in here" not in found.table.note
    with_images(made_run(tmp_path, "cmc", shift=9.0, settings={}), {"a": 0.0, "b": 1.0}, psnr=math.nan)
    _, found = table(tmp_path)
    assert found is not None
    assert cells(found)["deform"][0].text == "packnet"
    assert "Without figures of single images, and so not in here: cmc." in found.table.note

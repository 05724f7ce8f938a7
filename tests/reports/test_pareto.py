from pathlib import Path

import numpy as np
import pytest
from made_runs import ORDER, made_run

from benchmark.core.runs.directory import Run
from reports.figures.pareto import front, item, locator, spread, trained
from reports.groups import Group, collect
from reports.items.drawing import Drawing
from reports.items.table import Table
from reports.tables import comparison, costs


def test_the_front_is_what_nothing_beats() -> None:
    """By definition: a point is beaten if another costs no more and gains no less, and is not its equal."""
    rng = np.random.default_rng(0)
    costs, gains = rng.integers(0, 12, 30).astype(float), rng.integers(0, 12, 30).astype(float)
    kept = front(costs, gains)
    points = set(zip(costs.tolist(), gains.tolist(), strict=True))
    unbeaten = {
        (cost, gain)
        for cost, gain in points
        if not any((c <= cost and g >= gain and (c, g) != (cost, gain)) for c, g in points)
    }
    assert {(costs[place], gains[place]) for place in kept} == unbeaten
    assert len(kept) == len(unbeaten)
    assert all(np.diff(costs[kept]) > 0)
    assert all(np.diff(gains[kept]) > 0)


@pytest.mark.parametrize("count", [1, 2, 7, 14, 40])
def test_labels_keep_their_order_and_their_distance(count: int) -> None:
    wanted = np.random.default_rng(count).beta(0.3, 0.3, count).tolist()
    placed = spread(wanted, 0.058)
    order = np.argsort(wanted, kind="stable")
    heights = np.array(placed)[order]
    assert 0 <= heights.min() <= heights.max() <= 1
    assert (np.diff(heights) >= min(0.058, 1 / max(1, count - 1)) - 1e-9).all()


def test_labels_with_room_stay_where_they_belong() -> None:
    assert spread([0.9, 0.1, 0.5], 0.058) == pytest.approx([0.9, 0.1, 0.5])


@pytest.mark.parametrize("over", [1.5625, 2, 4.9, 5.1, 30, 79, 81, 1e5])
def test_an_axis_has_some_ticks_and_room_for_their_labels(over: float) -> None:
    for left in (0.7, 357.0, 1800.0, 9e4):
        ticks = np.array(locator(left, over * left).tick_values(left, over * left))
        assert 1 <= ((ticks >= left) & (ticks <= over * left)).sum() <= 6


@pytest.mark.slow
def test_every_strategy_is_named_once_in_each_panel(tmp_path: Path) -> None:
    names = [f"method{number}" for number in range(9)]
    for number, name in enumerate(names):
        made_run(tmp_path, name, shift=number / 10)
    (group,) = collect([tmp_path]).groups
    drawing = drawn(group)
    assert all(drawing.svg.count(f">{name}<") == 2 for name in names)
    assert drawing.png.startswith(b"\x89PNG")


def test_nothing_is_drawn_without_costs(tmp_path: Path) -> None:
    run = made_run(tmp_path)
    lines = (run.path / "ledger.csv").read_text().splitlines()
    (run.path / "ledger.csv").write_text(lines[0] + "\n")
    (group,) = collect([tmp_path]).groups
    assert item(group) is None


def drawn(group: Group) -> Drawing:
    found = item(group)
    assert found is not None
    assert found.drawing is not None
    return found.drawing


def shown(group: Group) -> Table:
    found = costs.item(group)
    assert found is not None
    assert found.table is not None
    return found.table


def kept(run: Run, **quantities: float) -> None:
    """Add rows to a run's ledger, after its last task."""
    with (run.path / "ledger.csv").open("a") as file:
        file.writelines(f"4,deblur,{name},{value},B\n" for name, value in quantities.items())


def test_images_that_are_needed_again_are_a_cost(tmp_path: Path) -> None:
    """The made checkpoint has 16 KiB; what keeps all images costs no less than they take."""
    kept(made_run(tmp_path, "finetune"), data_bytes=0.0)
    kept(made_run(tmp_path, "cumulative", shift=1.0), data_bytes=2.0**20)
    kept(made_run(tmp_path, "replay", shift=0.5), exemplar_bytes=4096.0)  # in the checkpoint already
    (group,) = collect([tmp_path]).groups
    stored = {entry.label: entry.mean("kept_bytes") for entry in group.entries}
    assert stored == {"finetune": 2**14, "cumulative": 2**14 + 2**20, "replay": 2**14}
    told = {row[0].text: [cell.text for cell in row] for row in shown(group).rows}
    assert "1.02 MiB" in told["cumulative"]
    assert comparison.frame(group).set_index("label").loc["cumulative", "stored with data"] == 2**14 + 2**20


def test_what_costs_nothing_is_left_out_and_named(tmp_path: Path) -> None:
    """A logarithmic axis has no place for a strategy that trains nothing after the first task."""
    for name, trains in (("cmc", 400), ("packnet", 300), ("frozen", 0)):
        run = made_run(tmp_path, name)
        lines = (run.path / "ledger.csv").read_text().splitlines(keepends=True)
        lines = [line for line in lines if "task_parameters" not in line]
        lines += [f"{k},task{k},task_parameters,{trains if k > 1 else 500},count\n" for k in range(1, 5)]
        (run.path / "ledger.csv").write_text("".join(lines))
    (group,) = collect([tmp_path]).groups
    found = trained(group)
    assert found is not None
    assert found.drawing is not None
    assert ">frozen<" not in found.drawing.svg
    assert found.drawing.caption.endswith(" Left out, since no logarithmic axis has a place for 0: frozen.")


def test_what_older_runs_keep_is_not_counted_rather_than_nothing(tmp_path: Path) -> None:
    for name in ("finetune", "cmc", "together"):
        made_run(tmp_path, name)
    (group,) = collect([tmp_path]).groups
    told = {row[0].text: [cell.text for cell in row] for row in shown(group).rows}
    assert "not counted" in told["together"]
    assert "not counted" not in told["cmc"] + told["finetune"]
    drawing = drawn(group)
    assert ">together<" not in drawing.svg
    assert "counted: together." in drawing.caption


@pytest.mark.slow
def test_those_told_the_task_have_a_front_of_their_own(tmp_path: Path) -> None:
    for shift, name in enumerate(("cmc", "packnet", "finetune", "replay")):
        kept(made_run(tmp_path, name, shift=shift), data_bytes=1024.0 * shift)
    (group,) = collect([tmp_path]).groups
    assert "The solid line joins what nothing else beats" in drawn(group).caption
    assert ", the dashed one among those that are not told" in drawn(group).caption


@pytest.mark.slow
def test_a_caption_tells_of_no_line_that_is_not_drawn(tmp_path: Path) -> None:
    """A single point makes no line."""
    for shift, name in enumerate(("cmc", "finetune")):
        made_run(tmp_path, name, shift=shift)
    (group,) = collect([tmp_path]).groups
    assert " line " not in drawn(group).caption
    kept(made_run(tmp_path, "replay", shift=9), data_bytes=1024.0)
    (group,) = collect([tmp_path]).groups
    assert "The dashed line joins" in drawn(group).caption
    assert "solid" not in drawn(group).caption


@pytest.mark.slow
def test_what_a_further_task_trains_leaves_the_first_task_out(tmp_path: Path) -> None:
    for name, first, further in (("lora", 5000, 800), ("dan", 5000, 400), ("finetune", 5000, 5000)):
        run = made_run(tmp_path, name)
        path = run.path / "ledger.csv"
        path.write_text(path.read_text().splitlines()[0] + "\n")
        with path.open("a") as file:
            for after, task in enumerate(ORDER, 1):
                file.write(f"{after},{task},task_parameters,{first if after == 1 else further + 100 * after},count\n")
    (group,) = collect([tmp_path]).groups
    found = {entry.label: entry.mean("later_parameters") for entry in group.entries}
    assert found == {"lora": 800 + 300, "dan": 400 + 300, "finetune": 5300}
    figure = trained(group)
    assert figure is not None
    assert figure.drawing is not None
    assert all(figure.drawing.svg.count(f">{name}<") == 1 for name in found)
    assert item(group) is None, "these runs told nothing of bytes"

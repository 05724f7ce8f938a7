"""Table 3 and Figures 5 and 6: each task at each place, on made runs of the four orders."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_results import LEVEL, made, ordered
from made_runs import ORDER, made_run
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from benchmark.experiments import paper
from reports.groups import collect
from reports.items.drawing import Drawing
from reports.paper.evidence import Evidence, gather
from reports.paper.figures import figure5, figure6
from reports.paper.figures.sharing import WITHOUT
from reports.paper.tables import table3

GAINS = (0.0, 0.1, 0.3, 0.2)
"""dB that a task has more at each place; most at the third."""
ORDERS = paper.orders(paper.load("table3"))
CMC = {"fraction": 0.0125, "t": 5, "t_ends": None, "sharing": "fixed", "start": None, "exhausted": "error"}


@pytest.fixture
def evidence() -> Evidence:
    return Evidence("paper-quick", "preset quick", "quick", list(ordered(GAINS)))


def test_table_3_tells_a_tasks_place_and_figure_in_each_experiment(evidence: Evidence) -> None:
    item = table3.item(evidence)
    assert item is not None
    assert item.table is not None
    for task, level, (name, *cells) in zip(ORDER, LEVEL, item.table.rows, strict=True):
        places = [order.index(task) for order in ORDERS]
        assert name.text == task
        assert [cell.value for cell in cells[::3]] == [place + 1 for place in places]
        assert [cell.value for cell in cells[1::3]] == pytest.approx([level + GAINS[place] for place in places])
        assert [cell.best for cell in cells[1::3]] == [place == 2 for place in places]
    printed = [[cell.text for cell in row[3::3]] for row in item.table.rows]
    assert printed[0] == ["29.19", "29.95", "30.02", "29.69"]
    assert [[cell.text for cell in row[3::3] if cell.best] for row in item.table.rows] == [
        ["30.02"],
        ["26.66"],
        ["30.46"],
        ["28.52", "28.52"],
    ]


def test_figure_6_tells_each_task_by_its_place(evidence: Evidence) -> None:
    item = figure6.item(evidence)
    assert item is not None
    assert item.drawing is not None
    told = "; ".join(
        f"{task} {' / '.join(f'{level + gain:.2f}' for gain in GAINS)}"
        for task, level in zip(ORDER, LEVEL, strict=True)
    )
    assert item.drawing.description == f"PSNR at place 1 / 2 / 3 / 4: {told}"
    assert figure6.item(Evidence("paper-quick", "preset quick", "quick", evidence.results[1:])) is None


def test_figure_6_draws_the_spread_over_seeds_and_the_level_without_sharing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seeds that are 0.2 and 0.6 dB apart from the first make a standard deviation of 0.31 dB at every place."""
    shifts = (0.0, 0.2, 0.6)
    results = [
        replace(one, config={**one.config, "seed": seed}, outputs={**one.outputs, "psnr": one.psnr + shift})
        for seed, shift in enumerate(shifts)
        for one in [*ordered(GAINS), made(final=[18, 19, 20, 21], fraction=0.0125, sharing="none")]
    ]
    figure, draw_as_ever = Figure(), figure6.drawing

    def drawing(caption: str, description: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> Drawing:
        draw(figure)
        return draw_as_ever(caption, description, size, draw)

    monkeypatch.setattr(figure6, "drawing", drawing)
    item = figure6.item(Evidence("paper-quick", "preset quick", "quick", results))
    assert item is not None
    assert item.drawing is not None
    assert "one standard deviation over seeds. Dashed:" in item.drawing.caption
    assert "learned without sharing, seeds 0, 1 and 2." in item.drawing.caption
    assert "seeds of the orders by the place of derain: 0 1 2 / 0 1 2 / 0 1 2 / 0 1 2" in item.drawing.caption
    for place, axis in enumerate(figure.axes):
        (bars,) = [one for one in axis.collections if isinstance(one, LineCollection)]
        lengths = [abs(segment[1][1] - segment[0][1]) / 2 for segment in bars.get_segments()]
        assert lengths == pytest.approx([np.std(shifts, ddof=1)] * 4)
        (level,) = [line for line in axis.lines if len(set(line.get_ydata())) == 1 and list(line.get_xdata()) == [0, 1]]
        assert level.get_ydata()[0] == pytest.approx(18 + place + np.mean(shifts))


def test_figure_5_is_of_a_seed_that_both_sides_have_and_says_which(tmp_path: Path) -> None:
    """Without sharing there is no seed 0; pictures of two seeds beside each other would differ by luck, too."""
    for seed in (0, 1):
        for order in ORDERS:
            made_run(tmp_path, order=order, settings=CMC, seed=seed)
    made_run(tmp_path, settings=CMC | {"sharing": "none"}, seed=1)
    (evidence,) = gather(collect([tmp_path]))
    seeds = {run.config["seed"] for scene in figure5.scenes(evidence) for run in scene.runs.values()}
    assert seeds == {1}
    item = figure5.item(evidence)
    assert item is not None
    assert item.drawing is not None
    assert "(seed 1). Of a large image the middle is shown" in item.drawing.caption


def test_figure_5_names_both_seeds_where_none_is_common(tmp_path: Path) -> None:
    for order in ORDERS:
        made_run(tmp_path, order=order, settings=CMC, seed=2)
    made_run(tmp_path, settings=CMC | {"sharing": "none"}, seed=1)
    (evidence,) = gather(collect([tmp_path]))
    item = figure5.item(evidence)
    assert item is not None
    assert item.drawing is not None
    assert "(seed 1 / 2)" in item.drawing.caption


def test_figure_5_shows_each_task_by_the_run_that_learned_it_last(tmp_path: Path) -> None:
    for order in ORDERS:
        made_run(tmp_path, order=order, settings=CMC)
    made_run(tmp_path, settings=CMC | {"sharing": "none"})
    (evidence,) = gather(collect([tmp_path]))
    scenes = figure5.scenes(evidence)
    assert [scene.task for scene in scenes] == ORDER
    for scene in scenes:
        alone, last = scene.runs.values()
        assert next(iter(scene.runs)) == WITHOUT
        assert alone.config["settings"]["sharing"] == "none"
        assert (last.config["order"][-1], last.config["settings"]["sharing"]) == (scene.task, "fixed")

"""Lines of PSNR: what they are made of, and where they are drawn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import ORDER, made_run, psnr
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.core.runs.schemas import CURVES
from benchmark.core.runs.writing import write_table
from reports.figures import curves, forgetting, matrix, pareto
from reports.figures.panels import Lines
from reports.groups import Group, collect
from reports.items.item import Item
from reports.items.style import SERIES, looks, told_apart


def test_a_task_is_followed_from_the_moment_it_was_learned(tmp_path: Path) -> None:
    made_run(tmp_path, "finetune", keeps=False)
    (group,) = collect([tmp_path]).groups
    found = forgetting._since_learned(group).set_index(["place", "after"])["psnr"]
    tasks = range(1, len(ORDER) + 1)
    expected = {(j, i): psnr(i - 1, j - 1, keeps=False) for j in tasks for i in tasks if i >= j}
    assert found.to_dict() == pytest.approx(expected)


def test_a_line_is_the_mean_over_seeds_with_a_band_of_one_deviation() -> None:
    """Of two seeds 1 dB apart, of which one was measured twice at a moment."""
    first = [("cmc", 0, 1, 1, 19.0), ("cmc", 0, 1, 1, 21.0), ("cmc", 0, 1, 2, 22.0)]
    second = [("cmc", 1, 1, 1, 21.0), ("cmc", 1, 1, 2, 23.0)]
    frame = pd.DataFrame([*first, *second], columns=["label", "seed", "place", "after", "psnr"])
    axis = Figure().subplots()
    Lines(frame, "after", looks(["cmc"]), []).draw(axis, 1)
    (line,), (band,) = axis.lines, axis.collections
    np.testing.assert_allclose(line.get_xydata(), [[1, 20.5], [2, 22.5]])
    edges = pd.DataFrame(band.get_paths()[0].vertices).groupby(0)[1].agg(["min", "max"])
    np.testing.assert_allclose(edges.loc[1], 20.5 + np.sqrt([0.5, 0.5]) * [-1, 1])
    np.testing.assert_allclose(edges.loc[2], 22.5 + np.sqrt([0.5, 0.5]) * [-1, 1])


def test_seeds_in_directories_of_one_name_are_several(tmp_path: Path) -> None:
    """As where each seed has a folder of its own, and the run in it is called alike."""
    for seed, shift in enumerate((0.0, 1.0, 2.0)):
        run = made_run(tmp_path / str(seed), "cmc", seed=seed, shift=shift)
        run.path.rename(run.path.with_name("run"))
    (group,) = collect([tmp_path]).groups
    for x, frame in (("after", forgetting._since_learned(group)), ("epoch", curves.frame(group))):
        axis = Figure().subplots()
        Lines(frame, x, looks(["cmc"]), []).draw(axis, 1)
        (band,) = axis.collections
        edges = pd.DataFrame(band.get_paths()[0].vertices).groupby(0)[1].agg(["min", "max"])
        np.testing.assert_allclose(edges["max"] - edges["min"], 2.0)


@pytest.mark.parametrize("make", [matrix.item, pareto.item])
def test_a_figure_of_means_over_seeds_says_so(make: Callable[[Group], Item | None], tmp_path: Path) -> None:
    made_run(tmp_path, "cmc")
    made_run(tmp_path, "packnet")
    for seed in (0, 1):
        (group,) = collect([tmp_path]).groups
        item = make(group)
        assert item is not None
        assert item.drawing is not None
        assert ("means over the seeds" in item.drawing.caption) == (seed == 1)
        made_run(tmp_path, "packnet", seed=1)


def test_lines_without_markers_differ_in_colour_or_dash() -> None:
    """Though all twelve that a figure draws of very many have one colour; the first ones keep it."""
    labels = [str(number) for number in range(12 * len(SERIES))]
    every = looks(labels)
    chosen = labels[:: len(SERIES)]
    assert len({every[label].colour for label in chosen}) == 1
    drawn = told_apart(chosen, every)
    assert list(drawn) == chosen
    assert len({(look.colour, look.dash) for look in drawn.values()}) == len(chosen)
    assert [drawn[label].colour for label in chosen[:4]] == [every[label].colour for label in chosen[:4]]


def test_an_axis_of_curves_leaves_out_few_points_that_lie_far_below() -> None:
    near = np.linspace(24, 26, 19)
    assert curves.shown(pd.Series(near)) is None
    assert curves.shown(pd.Series([22.0, *near])) is None
    limits = curves.shown(pd.Series([8.0, np.nan, *near]))
    assert limits is not None
    assert 23 < limits[0] < near.min()
    assert near.max() < limits[1] < 27
    assert curves.shown(pd.Series([8.0] * 5 + list(near))) is None  # as many are no exception
    assert curves.shown(pd.Series([8.0] + 19 * [25.0])) is None  # nothing to tell apart
    assert curves.shown(pd.Series([np.nan])) is None


def test_a_figure_of_curves_says_what_it_leaves_out(tmp_path: Path) -> None:
    for number in range(12):
        run = made_run(tmp_path, f"strategy_{number}", shift=0.01 * number)
        rows = run.curves.assign(psnr=lambda frame: 25.0 + frame["epoch"])
        rows.loc[(rows["epoch"] == 0) & (rows["place"] == 2), "psnr"] = 25.5 if number else 7.0
        write_table(run.path / "curves.csv", rows.to_dict("records"), CURVES)
    found = curves.item(collect([tmp_path]).groups[0])
    assert found is not None
    assert found.drawing is not None
    assert curves.CUT in found.drawing.caption
    assert found.data is not None
    assert found.data["psnr"].min() == 7.0


def test_a_legend_shows_markers_only_where_lines_have_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_run(tmp_path, "cmc")
    (group,) = collect([tmp_path]).groups
    shown: list[str] = []
    draw = Figure.legend

    def legend(self: Figure, handles: list[Line2D], *rest: Any, **options: Any) -> Any:
        shown.append(str(handles[0].get_marker()))
        return draw(self, handles, *rest, **options)

    monkeypatch.setattr(Figure, "legend", legend)
    assert curves.item(group)
    assert forgetting.item(group)
    assert shown == ["None", "o"]


def test_what_colour_is_has_room_beside_matrices_of_one_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("independent", "cmc"):
        made_run(tmp_path, name, order=ORDER[:1])
    (group,) = collect([tmp_path]).groups
    bars: list[Colorbar] = []
    draw = Figure.colorbar
    monkeypatch.setattr(Figure, "colorbar", lambda self, *a, **k: bars.append(draw(self, *a, **k)) or bars[0])
    matrix.matrices(group)
    (bar,) = bars
    figure = bar.ax.figure
    assert isinstance(figure, Figure)
    inside, label = figure.bbox, bar.ax.yaxis.label.get_window_extent()
    assert inside.y0 <= label.y0 < label.y1 <= inside.y1

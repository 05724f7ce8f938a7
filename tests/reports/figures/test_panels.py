"""Lines of PSNR: what they are made of, and where they are drawn."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import ORDER, made_run, psnr
from matplotlib.figure import Figure

from reports.figures import forgetting
from reports.figures.panels import Lines
from reports.groups import collect
from reports.items.style import looks


def test_a_task_is_followed_from_the_moment_it_was_learned(tmp_path: Path) -> None:
    made_run(tmp_path, "finetune", keeps=False)
    (group,) = collect([tmp_path]).groups
    found = forgetting._since_learned(group).set_index(["place", "after"])["psnr"]
    tasks = range(1, len(ORDER) + 1)
    expected = {(j, i): psnr(i - 1, j - 1, keeps=False) for j in tasks for i in tasks if i >= j}
    assert found.to_dict() == pytest.approx(expected)


def test_a_line_is_the_mean_over_seeds_with_a_band_of_one_deviation() -> None:
    """Of two seeds 1 dB apart, of which one was measured twice at a moment."""
    first = [("cmc", "first", 1, 1, 19.0), ("cmc", "first", 1, 1, 21.0), ("cmc", "first", 1, 2, 22.0)]
    second = [("cmc", "second", 1, 1, 21.0), ("cmc", "second", 1, 2, 23.0)]
    frame = pd.DataFrame([*first, *second], columns=["label", "run", "place", "after", "psnr"])
    axis = Figure().subplots()
    Lines(frame, "after", looks(["cmc"]), []).draw(axis, 1)
    (line,), (band,) = axis.lines, axis.collections
    np.testing.assert_allclose(line.get_xydata(), [[1, 20.5], [2, 22.5]])
    edges = pd.DataFrame(band.get_paths()[0].vertices).groupby(0)[1].agg(["min", "max"])
    np.testing.assert_allclose(edges.loc[1], 20.5 + np.sqrt([0.5, 0.5]) * [-1, 1])
    np.testing.assert_allclose(edges.loc[2], 22.5 + np.sqrt([0.5, 0.5]) * [-1, 1])

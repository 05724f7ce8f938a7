"""A report on 200 runs: its page stays small, and it is made without torch. Its time is for `time` to tell."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from made_runs import made_run

from reports.figures import wins
from reports.figures.leading import CHOICE, MOST_LINES, MOST_PANELS, leading
from reports.groups import collect
from reports.items.drawing import shorts, wrapped
from reports.page.html import LARGEST

RUNS = 200


@pytest.mark.slow
def test_two_hundred_runs(tmp_path: Path) -> None:
    """A hundred configurations of one strategy, and a hundred runs of twenty strategies with five seeds each."""
    for number in range(RUNS // 2):
        shift = 0.01 * number
        made_run(tmp_path / "runs", "cmc", shift=shift, settings={"fraction": round(0.001 * (number + 1), 4)})
        made_run(tmp_path / "runs", f"strategy_{number % 20}", seed=number // 20, shift=shift, keeps=number % 2 == 0)
    code = (
        "import sys, reports; from pathlib import Path\n"
        "reports.build([Path(sys.argv[1])], Path(sys.argv[2]))\n"
        "sys.exit('torch' in sys.modules)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "runs"), str(tmp_path / "page")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "page" / "index.html"
    assert page.stat().st_size < LARGEST
    text = page.read_text(encoding="utf-8")
    (group,) = collect([tmp_path / "runs"]).groups
    assert len(group.entries) == 120
    assert f"{MOST_PANELS} of 120, {CHOICE}" in text
    assert f"{MOST_LINES} of 120, {CHOICE}" in text
    assert "strategy_19" in text


def test_the_leading_entries_keep_their_order(tmp_path: Path) -> None:
    for number, shift in enumerate((0.3, 0.1, 0.4, 0.2)):
        made_run(tmp_path, f"s{number}", shift=shift)
    (group,) = collect([tmp_path]).groups
    assert [entry.label for entry in leading(group.entries, 2)] == ["s0", "s2"]
    assert leading(group.entries, 9) == group.entries


def test_every_strategy_leads_before_variants_of_one(tmp_path: Path) -> None:
    for number, shift in enumerate((0.3, 0.4, 0.5)):
        made_run(tmp_path, "cmc", shift=shift, settings={"fraction": 0.1 * (number + 1)})
    made_run(tmp_path, "finetune", keeps=False)
    (group,) = collect([tmp_path]).groups
    means = [float(entry.mean("mean_psnr")) for entry in leading(group.entries, 2)]
    every = sorted(float(entry.mean("mean_psnr")) for entry in group.entries)
    assert sorted(means) == [every[0], every[-1]]


def test_a_long_title_takes_three_lines_at_most() -> None:
    assert wrapped(["short"], 2.0) == ["short"]
    assert wrapped(["cmc (fraction=0.0125, sharing=none)"], 2.0) == ["cmc (fraction=0.0125,\nsharing=none)"]
    (title,) = wrapped(["cmc (fraction=0.0125, sharing=none, backbone=dense, epochs=8)"], 1.5)
    assert title.count("\n") == 2
    assert title.endswith("…")


LONG = "cmc (fraction=0.0125, sharing=none, backbone=dense, batch_size=4, epochs={})"


@pytest.mark.parametrize("cut", [shorts, lambda texts: wrapped(texts, 1.5)], ids=["shorts", "wrapped"])
def test_names_that_differ_do_so_after_they_are_cut(cut: Callable[[list[str]], list[str]]) -> None:
    """Whether they differ at the start, at the end or in the middle; equal ones stay equal."""
    ends, starts = [LONG.format(8), LONG.format(16)], [f"{one}{LONG}" for one in "ab"]
    middles = [f"{'x' * 60}{one}{'y' * 60}" for one in "ab"]
    for texts in (ends, starts, middles, [*ends, *starts, "mas", *middles]):
        found = cut(texts)
        assert len(set(found)) == len(texts)
        assert cut([*texts, *texts]) == [*found, *found]
    for found in (cut(ends), cut(starts)):
        assert max(len(one) for one in found) < 50
        assert all(one.count("\n") <= 2 and "…" in one for one in found)


def test_a_figure_names_no_two_strategies_alike(tmp_path: Path) -> None:
    for fraction, sharing in ((0.0125, "none"), (0.0125, "fixed"), (0.1, "fixed")):
        made_run(tmp_path, "cmc", settings={"fraction": fraction, "sharing": sharing})
    (group,) = collect([tmp_path]).groups
    assert len({entry.label[:24] for entry in group.entries}) < len(group.entries)
    found = wins.item(group)
    assert found is not None
    assert found.drawing is not None
    words = re.sub(r"\s+", "", "".join(re.findall(r">([^<]*)<", found.drawing.svg)))
    for entry in group.entries:
        assert words.count(re.sub(r"\s+", "", entry.label)) == 2

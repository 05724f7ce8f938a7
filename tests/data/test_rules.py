"""``data check`` and a run refuse the same pictures, by the same rules, before anything is trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_datasets import brighter, picture, write
from made_runs import made_run
from PIL import ExifTags, Image

from benchmark.config import Data, patch_sizes
from benchmark.core.errors import UserError
from benchmark.core.metrics import CEILING, backward_transfer, counted, dip, forgetting, forward_transfer, recorded
from benchmark.core.runs.schemas import METRICS
from benchmark.core.runs.writing import write_table
from benchmark.data.checks.check import check
from benchmark.streams import sources
from benchmark.streams.definition import Task
from reports.groups import collect

SIZE = (60, 50)
Root = Path


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """Pairs under snow, 4 to train on and 2 to test on, and rain pairs as many."""
    for name, clean_side, degraded_side in (("snow", "target", "input"), ("Rain100L", "norain", "rain")):
        for side, count in (("train", 4), ("test", 2)):
            for number in range(1, count + 1):
                pixels = picture(f"{name} {side} {number}", SIZE)
                write(tmp_path / f"data/{name}/{side}/{clean_side}/{number}.png", pixels)
                write(tmp_path / f"data/{name}/{side}/{degraded_side}/{number}.png", brighter(pixels))
    return tmp_path / "data"


def pair(folder: Path, name: str, pixels: np.ndarray, degraded: np.ndarray | None = None) -> None:
    write(folder / f"target/{name}.png", pixels)
    write(folder / f"input/{name}.png", brighter(pixels) if degraded is None else degraded)


def narrow(root: Root) -> None:
    pair(root / "snow/test", "narrow", picture(1, (300, 10)))


def low(root: Root) -> None:
    pair(root / "snow/test", "low", picture(1, (10, 300)))


def twins(root: Root) -> None:
    pair(root / "snow/test", "twins", picture(1, SIZE), picture(1, SIZE))


def trained_twins(root: Root) -> None:
    pair(root / "snow/train", "trained_twins", picture(1, SIZE), picture(1, SIZE))


def cut_short(root: Root) -> None:
    pair(root / "snow/train", "cut_short", picture(1, SIZE))
    whole = root / "snow/train/input/cut_short.png"
    whole.write_bytes(whole.read_bytes()[:200])


def unequal(root: Root) -> None:
    pair(root / "snow/test", "unequal", picture(1, SIZE), picture(1, (50, 60)))


def crossed(root: Root) -> None:
    """The same pixels lie in both files, but the JPEG says that it is to be turned by half."""
    pair(root / "snow/train", "crossed", picture(1, SIZE))
    (root / "snow/train/input/crossed.png").unlink()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    Image.fromarray(brighter(picture(1, SIZE))).save(root / "snow/train/input/crossed.jpg", exif=exif)


def dangling(root: Root) -> None:
    for side in ("input", "target"):
        (root / f"snow/test/{side}/dangling.png").symlink_to(root / "nowhere.png")


def single(root: Root) -> None:
    for number in (2, 3, 4):
        for side in ("input", "target"):
            (root / f"snow/train/{side}/{number}.png").unlink()


FAULTS = [narrow, low, twins, trained_twins, cut_short, unequal, crossed, dangling, single]


def prepare(root: Root, dataset: str, patch_size: int | None = None) -> Any:
    sources._survey.cache_clear()
    task = Task(name="one", degradation="rain", dataset=dataset)
    return sources.prepare([task], Data(source="datasets", root=str(root)), patch_size=patch_size)


def test_what_is_right_is_refused_by_neither(root: Root) -> None:
    assert [problem for problem in check(root).problems if "are expected" not in problem] == []
    prepare(root, "snow", 50)
    prepare(root, "Rain100L", 50)


@pytest.mark.parametrize("spoil", FAULTS)
@pytest.mark.parametrize("memory", [sources.IN_MEMORY, 0])
def test_both_name_what_is_wrong(root: Root, spoil: Callable[[Root], None], memory: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(sources, "IN_MEMORY", memory)
    spoil(root)
    name = spoil.__name__
    assert [problem for problem in check(root).problems if name in problem]
    with pytest.raises(UserError, match=name):
        prepare(root, "snow")


@pytest.mark.parametrize("side", ["train", "test"])
def test_both_see_that_the_sides_are_exchanged(root: Root, side: str) -> None:
    folder = root / "Rain100L" / side
    (folder / "rain").rename(folder / "other")
    (folder / "norain").rename(folder / "rain")
    (folder / "other").rename(folder / "norain")
    assert [problem for problem in check(root).problems if "sides may be exchanged" in problem]
    with pytest.raises(UserError, match="sides may be exchanged"):
        prepare(root, "rain100l")


def test_all_that_is_wrong_is_named_at_once(root: Root) -> None:
    for spoil in (narrow, low, twins):
        spoil(root)
    with pytest.raises(UserError, match=r"(?s)low.*narrow.*twins"):
        prepare(root, "snow")


def test_a_picture_without_room_for_a_patch(root: Root) -> None:
    """A run refuses it before training; the check, which knows no patch size, tells which presets would."""
    with pytest.raises(UserError, match=r"'1' is 60×50; patches need 51×51"):
        prepare(root, "snow", 51)
    (note,) = [note for note in check(root, patch_sizes()).notes if "too small" in note and note.startswith("snow")]
    assert "4 training images too small for preset paper, whose patches need 128×128; '1' is 60×50" in note


def test_the_real_command_leaves_nothing_behind(root: Root, tmp_path: Path, command: Callable[..., Any]) -> None:
    twins(root)
    stream = tmp_path / "mine.yaml"
    stream.write_text("tasks: [{name: one, degradation: rain, dataset: snow}]")
    runs = tmp_path / "runs"
    words = ["--strategy", "finetune", "--preset", "smoke", "--stream", str(stream), "--data-root", str(root)]
    refused = command("run", *words, "--out", str(runs))
    assert refused.returncode == 2
    assert "twins" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not runs.exists()


class TestInfinitePSNR:
    """A PSNR counts for 100 dB at most, so that neither a mean nor a difference of means is lost."""

    def test_no_difference_is_undefined(self) -> None:
        without_error = np.full((3, 3), np.inf)
        assert forgetting(without_error)[:2].tolist() == [0, 0]
        assert backward_transfer(without_error) == 0
        assert forward_transfer(without_error, np.full(3, np.inf)) == 0
        assert forgetting(np.array([[np.inf, 20], [30, 40]]))[0] == CEILING - 30
        assert dip(np.array([np.inf, np.inf])) == 0
        assert dip(np.array([np.inf, 30, np.inf])) == CEILING - 30

    def test_what_is_below_stays_as_it_is(self) -> None:
        values = np.array([3.25, 99.999, np.nan])
        assert np.array_equal(counted(values), values, equal_nan=True)
        assert counted(float("inf")) == counted(130.0) == CEILING

    def test_an_output_that_equals_its_target_is_recorded_as_it_counts(self) -> None:
        clean = np.full((16, 16, 3), 40, np.uint8)
        measured = recorded(clean / 255, clean)
        assert measured["psnr"] == measured["psnr_y"] == CEILING

    def test_a_run_that_has_recorded_an_infinite_one_is_read_as_it_counts(self, tmp_path: Path) -> None:
        run = made_run(tmp_path)
        rows = run.metrics.astype(object).where(run.metrics.notna(), None).to_dict("records")
        changed = [
            {**row, "value": float("inf")} if row["metric"] == "psnr" and row["task"] == "denoise" else row
            for row in rows
        ]
        write_table(run.path / "metrics.csv", changed, METRICS)
        ((result,),) = [[entry.results[0] for entry in group.entries] for group in collect([tmp_path]).groups]
        assert np.isfinite(result.psnr).all()
        assert result.psnr[1, 1] == result.input_psnr[1] == CEILING
        assert np.isfinite(result.forgetting[:-1]).all()
        assert np.isfinite([result.backward_transfer, result.forward_transfer]).all()

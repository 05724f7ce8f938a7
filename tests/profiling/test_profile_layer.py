"""What a layer costs: counts against hand-computed ones, the file, and the real command on small features."""

import io
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT, Command
from rich.console import Console

from benchmark.config import Backbone, Training
from benchmark.core import clock
from benchmark.core.clock import duration
from benchmark.core.errors import UserError
from benchmark.core.runs import layer_table
from benchmark.core.runs.layer_table import Row
from benchmark.profiling import layer
from benchmark.profiling.patches import step_milliseconds
from strategies.cmc.estimate import Product

CHANNELS, SIZE = 8, 10
KERNEL = CHANNELS * CHANNELS * 9


@pytest.fixture(scope="module")
def rows(monkeypatch_module: pytest.MonkeyPatch) -> dict[str, Row]:
    """A measurement on tiny features; the processes that measure memory are left out."""
    monkeypatch_module.setattr(layer, "_peak_memory", lambda *_: float("nan"))
    return {f"{row.method} {row.variant}": row for row in layer.measure(CHANNELS, SIZE, repeats=2, device="cpu")}


@pytest.fixture(scope="module")
def monkeypatch_module() -> "object":
    """A monkeypatch that lasts for the module."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def convolutions(kernel: int, layers: int = 1) -> float:
    """Multiply-accumulates by definition, in billions: each output value sums over the kernel's inputs."""
    out = SIZE + 2 - kernel + 1
    return layers * CHANNELS * CHANNELS * kernel**2 * out**2 / 1e9


def test_parameters(rows: dict[str, Row]) -> None:
    bias = CHANNELS
    plain = KERNEL + bias
    expected = {
        "base 3×3 kernel": (plain, plain),
        "Type-1 4×4 kernel": (CHANNELS**2 * 16 + bias,) * 2,
        "Type-1 6×6 kernel": (CHANNELS**2 * 36 + bias,) * 2,
        "Type-2 4 layers": (4 * plain,) * 2,
        "CMC-n CMC-5": (5 * KERNEL + 5 + bias, plain),
        "CMC-n CMC-20": (20 * KERNEL + 20 + bias, plain),
    }
    for name, (trainable, kernel) in expected.items():
        assert (rows[name].trainable_parameters, rows[name].kernel_parameters) == (trainable, kernel), name


def test_computation(rows: dict[str, Row]) -> None:
    """The estimation of a CMC kernel is one product for each value that the task owns; a learned task needs none."""
    assert rows["base 3×3 kernel"].gmac == pytest.approx(convolutions(3))
    assert rows["Type-1 4×4 kernel"].gmac == pytest.approx(convolutions(4))
    assert rows["Type-2 2 layers"].gmac == pytest.approx(convolutions(3, layers=2))
    assert rows["CMC-n CMC-20"].gmac == pytest.approx(convolutions(3) + int(layer.FRACTION * 20 * KERNEL) / 1e9)
    assert rows["CMC-n CMC-20, task learned"].gmac == pytest.approx(convolutions(3))


def test_computation_is_that_of_the_paper() -> None:
    """Table 6 as printed, in its setting; the estimate's share, which it counts otherwise, is in the last digit."""
    printed = {"3×3 kernel": 36.86, "4×4 kernel": 65.4, "6×6 kernel": 146.57, "2 layers": 73.73, "4 layers": 147.46}
    printed |= {"CMC-5": 36.864, "CMC-10": 36.87, "CMC-20": 36.88}
    for variant in layer.VARIANTS:
        if variant.name in printed:
            counted = layer.gmac(variant.make(64), 64, 1000)
            assert counted == pytest.approx(printed[variant.name], abs=0.02), variant.name


def test_a_kernel_is_estimated_in_every_timed_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a task in training; the kernel of a learned one is kept."""
    estimated: list[str] = []
    times = Product.times
    monkeypatch.setattr(Product, "times", lambda *given: (estimated.append("once"), times(*given))[1])
    features = torch.rand(1, CHANNELS, SIZE, SIZE)
    for variant in layer.VARIANTS:
        ready = layer._ready(variant, CHANNELS, features.device)
        estimated.clear()
        for _ in range(3):
            assert layer._milliseconds(ready, features) > 0
        in_training = variant.method == "CMC-n" and "learned" not in variant.name
        assert len(estimated) == (3 if in_training else 0), variant.name
        assert not ready(features).requires_grad


def test_ratios_are_to_the_plain_convolution_and_to_the_methods_first(rows: dict[str, Row]) -> None:
    assert rows["base 3×3 kernel"].ratio == 1.0
    for method in ("Type-1", "Type-2", "CMC-n"):
        first = next(row for row in rows.values() if row.method == method)
        assert first.base_ratio == 1.0
    assert all(row.milliseconds > 0 for row in rows.values())


def test_how_long_it_takes_is_told_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """With passes that take as long as they compute, and one of the plain layer a second: counted by hand."""
    cost = {variant.name: layer.gmac(variant.make(CHANNELS), CHANNELS, SIZE) for variant in layer.VARIANTS}
    passes = sum(cost.values()) / cost["3×3 kernel"] + 1  # the plain layer is in the table twice
    told = layer.expected_seconds(1000.0, CHANNELS, SIZE, repeats=3)
    assert told == pytest.approx(passes * (3 + 1 + 1))
    printed = io.StringIO()
    monkeypatch.setattr(layer, "_peak_memory", lambda *_: float("nan"))
    monkeypatch.setattr(layer, "_milliseconds", lambda *_: 1000.0)
    layer.measure(CHANNELS, SIZE, repeats=3, device="cpu", console=Console(file=printed, width=100))
    assert printed.getvalue().startswith(f"11 layers, each timed 3 times: about {duration(told)}.")


def test_processes_that_could_not_be_started_are_told_before_anything_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * 100)
    monkeypatch.setattr(layer, "_milliseconds", None)
    with pytest.raises(UserError, match=r"101 bytes.*TMPDIR"):
        layer.measure(CHANNELS, SIZE, repeats=1, device="cpu")


def test_a_clock_that_stands_still_divides_nothing_by_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: 5.0)
    monkeypatch.setattr(layer, "_peak_memory", lambda *_: float("nan"))
    assert {row.ratio for row in layer.measure(CHANNELS, SIZE, repeats=2, device="cpu")} == {1.0}
    assert step_milliseconds(Training(batch_size=1, patch_size=8), Backbone(width=1, blocks=0), torch.device("cpu")) > 0


def test_the_file_holds_every_digit(rows: dict[str, Row], tmp_path: Path) -> None:
    path = tmp_path / "layer.csv"
    given = [replace(row, peak_memory=1e9 / 3) for row in rows.values()]
    layer_table.write(given, path)
    assert layer_table.read(path) == given


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (lambda frame: frame.drop(columns="gmac"), "gmac"),
        (lambda frame: frame.iloc[:0], "no rows"),
        (lambda frame: frame.assign(milliseconds="fast"), "fast"),
    ],
)
def test_a_damaged_file_is_told(rows: dict[str, Row], tmp_path: Path, spoil: object, part: str) -> None:
    path = tmp_path / "layer.csv"
    layer_table.write(list(rows.values()), path)
    assert callable(spoil)
    spoil(pd.read_csv(path)).to_csv(path, index=False)
    with pytest.raises(UserError, match=part) as error:
        layer_table.read(path)
    assert "profile layer" in str(error.value)


@pytest.mark.slow
def test_reading_needs_no_torch() -> None:
    code = "import sys, reports.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_the_command_and_the_table_in_a_report(command: Command, smoke_runs: Path, tmp_path: Path) -> None:
    """Memory is measured in processes of their own; Table 6 then stands in a report on runs beside the file."""
    path = tmp_path / "layer-profile.csv"
    words = ["--size", "16", "--channels", "4", "--repeats", "1", "--out", str(path)]
    done = command("profile", "layer", *words)
    assert done.returncode == 0, done.stderr
    assert "CMC-20" in done.stdout
    measured = layer_table.read(path)
    assert [row.variant for row in measured] == [variant.name for variant in layer.VARIANTS]
    assert all(row.peak_memory > 1e6 for row in measured)
    shutil.copytree(smoke_runs, tmp_path / "runs")
    done = command("report", str(tmp_path), "--out", str(tmp_path / "page"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page" / "tables" / "table6.tex").exists()
    scores = pd.read_csv(tmp_path / "page" / "tables" / "scorecard.csv").set_index("key")
    assert scores.loc["layer-cost", "verdict"] != "not measured"

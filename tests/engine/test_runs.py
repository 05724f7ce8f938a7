"""Runs end to end, in this process: reproducible to the byte, resumable, and safe when something goes wrong."""

import mmap
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.core.clock import duration
from benchmark.core.runs.directory import Run, find_runs
from benchmark.core.runs.writing import write_table
from benchmark.core.tables import NUMBER, Column, Schema
from benchmark.engine import ledger
from benchmark.engine.endings import Diverged
from benchmark.engine.local import execute
from benchmark.engine.recorder import Recorder
from benchmark.engine.setup import choose_algorithms, resolve
from benchmark.engine.template import RestorationTemplate, learning_rate
from benchmark.planning import plan
from benchmark.streams.build import build

FILES = ["metrics.csv", "curves.csv", "outputs.csv", "owned.csv", "ledger.csv", "config.yaml"]


def smoke(strategy: str, out: Path, *assignments: str, order: str = "derain,deblock", force: bool = False) -> Run:
    planned = plan(strategy, "four_tasks", "smoke", "0", order, None, None, list(assignments))
    return execute([resolve(config) for config in planned], out, force=force)[0]


def content(run: Run, names: list[str] = FILES) -> dict[str, bytes]:
    return {name: (run.path / name).read_bytes() for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["cmc", "finetune"])
def test_the_same_run_twice_gives_the_same_bytes(strategy: str, tmp_path: Path) -> None:
    first = smoke(strategy, tmp_path / "a")
    torch.rand(3)  # the state of the global generator must not matter
    second = smoke(strategy, tmp_path / "b")
    assert content(first) == content(second)
    assert first.checkpoint(2).read_bytes() == second.checkpoint(2).read_bytes()
    other = smoke(strategy, tmp_path / "c", "training.learning_rate=0.001")
    assert content(other)["outputs.csv"] != content(first)["outputs.csv"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What torch was asked for, without asking it."""
    told: dict[str, Any] = {}
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda mode, **more: told.update(mode=mode, **more))
    monkeypatch.setattr(torch.backends, "cudnn", SimpleNamespace(deterministic=None, benchmark=None, allow_tf32=True))
    return told


def test_a_gpu_is_asked_for_deterministic_algorithms_before_it_is_used(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = torch.device("cuda")
    choose_algorithms(gpu, False)
    assert asked["mode"] is False
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (False, False)
    assert not torch.backends.cudnn.allow_tf32, "float32 is to be float32"
    choose_algorithms(gpu, True)
    assert asked == {"mode": True, "warn_only": True}
    assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG") == ":4096:8"
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (True, False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    choose_algorithms(gpu, True)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8", "the user's own"


@pytest.mark.parametrize("deterministic", [True, False])
def test_every_run_chooses_its_algorithms_and_nothing_is_asked_on_a_cpu(
    asked: dict[str, Any], deterministic: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = []

    def noted(device: torch.device, wanted: bool) -> None:
        chosen.append((device.type, wanted))
        choose_algorithms(device, wanted)

    monkeypatch.setattr("benchmark.engine.setup.choose_algorithms", noted)
    word = f"training.deterministic={str(deterministic).lower()}"
    smoke("finetune", tmp_path, word, "training.device=cpu", order="derain")
    assert chosen == [("cpu", deterministic)]
    assert asked == {}
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


@pytest.mark.slow
def test_results_do_not_depend_on_data_workers(tmp_path: Path) -> None:
    alone, helped = smoke("cmc", tmp_path / "0"), smoke("cmc", tmp_path / "2", "data.workers=2")
    results = [name for name in FILES if name != "config.yaml"]
    assert content(alone, results) == content(helped, results)
    assert alone.name == helped.name


@pytest.mark.slow
@pytest.mark.parametrize(
    "assignments",
    [
        [],
        ["cmc.sharing=adaptive"],
        ["cmc.sharing=none"],
        ["cmc.sharing=copy"],
        ["cmc.fraction=0.8", "cmc.exhausted=expand"],
    ],
)
def test_an_interrupted_run_goes_on_and_ends_as_if_it_never_stopped(
    assignments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = "derain,deblock,denoise"
    whole = smoke("cmc", tmp_path / "whole", *assignments, order=order)
    learn = RestorationTemplate.learn

    def interrupted(template: Any, experience: Any, *rest: Any) -> None:
        learn(template, experience, *rest)
        if experience.current_experience == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(RestorationTemplate, "learn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        smoke("cmc", tmp_path / "cut", *assignments, order=order)
    (cut,) = find_runs([tmp_path / "cut"])
    assert cut.status["state"] == "interrupted"
    assert cut.status["tasks_done"] == 1
    assert set(cut.metrics["after"]) == {0, 1}, "what was finished is readable"

    begun: list[int] = []

    def counted(template: Any, experience: Any, *rest: Any) -> None:
        begun.append(experience.current_experience)
        learn(template, experience, *rest)

    monkeypatch.setattr(RestorationTemplate, "learn", counted)
    resumed = smoke("cmc", tmp_path / "cut", *assignments, order=order)
    assert begun == [1, 2]
    assert content(resumed) == content(whole)
    assert resumed.checkpoint(3).read_bytes() == whole.checkpoint(3).read_bytes()


@pytest.mark.slow
def test_a_failing_strategy_is_recorded_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("in the middle")

    monkeypatch.setattr(Recorder, "measure_cost", fail)
    with pytest.raises(ZeroDivisionError):
        smoke("finetune", tmp_path)
    (run,) = find_runs([tmp_path])
    assert run.status["state"] == "failed"
    assert "in the middle" in run.status["error"]
    assert set(run.metrics["after"]) == {0, 1}


@pytest.mark.slow
def test_the_ledger_tells_masks_and_exemplars_from_parameters(tmp_path: Path) -> None:
    """For one run each of a strategy with masks, one with stored images, and one with neither."""
    stored = {}
    for name in ("finetune", "packnet", "replay"):
        run = smoke(name, tmp_path / name)
        last = run.costs[run.costs["after"] == run.costs["after"].max()].set_index("quantity")["value"]
        stored[name] = last
        assert last["stored_bytes"] == 4 * last["stored_parameters"] + last["mask_bytes"] + last["exemplar_bytes"]
        assert last["peak_memory"] > last["stored_bytes"], "the process holds more than its checkpoint"
        assert "peak_memory" not in (run.path / "ledger.csv").read_text(), "which is the same whenever it is run"
    assert stored["finetune"]["mask_bytes"] == stored["finetune"]["exemplar_bytes"] == 0
    assert stored["packnet"]["mask_bytes"] > stored["packnet"]["exemplar_bytes"] == 0
    assert stored["replay"]["exemplar_bytes"] > stored["replay"]["mask_bytes"] == 0


def resident() -> int:
    """Bytes that this process holds at present."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak cannot be reset")
def test_the_peak_of_memory_is_in_bytes_and_begins_anew() -> None:
    cpu, size = torch.device("cpu"), 2**26
    ledger.reset_peak_memory(cpu)
    before = ledger.peak_memory(cpu)
    assert before is not None
    assert resident() / 2 < before < 2 * resident()
    with mmap.mmap(-1, size) as memory:
        memory.write(bytes([1]) * size)
        assert ledger.peak_memory(cpu) > before + 0.9 * size
    assert ledger.peak_memory(cpu) > before + 0.9 * size, "though it is free again"
    ledger.reset_peak_memory(cpu)
    assert ledger.peak_memory(cpu) < before + 0.5 * size


@pytest.mark.slow
def test_outputs_that_are_not_numbers_stop_the_run_with_advice(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"after update \d+ of task 'derain'.*training\.learning_rate"):
        smoke("finetune", tmp_path, "training.learning_rate=1", "training.updates_per_epoch=60", "backbone.blocks=30")
    (run,) = find_runs([tmp_path])
    assert run.status["state"] == "diverged"


def test_training_patches_are_decided_by_their_address() -> None:
    (config,) = plan("cmc", "four_tasks", "smoke", "0", None, None, None, [])
    first, second = build(config), build(config)
    for task in range(4):
        one, two = first.scenario.train_stream[task].dataset, second.scenario.train_stream[task].dataset
        for index in (11, 0, 5):
            for a, b in zip(one[index], two[index], strict=True):
                np.testing.assert_array_equal(a, b)
    assert one[0][2] == 3, "the task's label comes with each sample"
    assert not torch.equal(one[0][1], one[6][1]), "another epoch has other patches"


def test_a_mixed_round_holds_every_task_evenly_and_within_the_budget() -> None:
    (config,) = plan("cmc", "four_tasks", "smoke", "0", None, None, None, [])
    benchmark = build(config)
    experience = benchmark.round([0, 2], budget=2)
    dataset = experience.dataset
    alone = benchmark.scenario.train_stream
    assert len(dataset) == 2 * len(alone[0].dataset)
    assert [dataset[i][2] for i in range(4)] == [0, 2, 0, 2]
    torch.testing.assert_close(dataset[7][0], alone[2].dataset[3][0])
    assert experience.task_labels == [0, 2]


def test_learning_rates_follow_the_papers_schedule_and_the_cosine() -> None:
    paper = plan("cmc", "four_tasks", "paper", "0", None, None, None, [])[0].training
    assert paper.updates == 125_000
    assert learning_rate(paper, 0) == learning_rate(paper, 24_999) == 1e-4
    assert learning_rate(paper, 25_000) == 5e-5
    assert learning_rate(paper, 124_999) == pytest.approx(1e-4 / 16)
    cosine = paper.model_copy(update={"schedule": "cosine"})
    assert learning_rate(cosine, 0) == 1e-4
    assert learning_rate(cosine, 62_500) == pytest.approx(5e-5)
    assert learning_rate(cosine, 4 * 62_500, budget=4) == pytest.approx(5e-5)


def test_tables_are_written_whole_and_keep_every_digit(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    schema = Schema((Column("a", NUMBER, ""), Column("b", NUMBER, "", optional=True)))
    write_table(path, [{"a": 0.1 + 0.2, "b": None}], schema)
    assert path.read_text() == "a,b\n0.30000000000000004,\n"
    with pytest.raises(KeyError):
        write_table(path, _breaks(), schema)
    assert path.read_text() == "a,b\n0.30000000000000004,\n"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_durations() -> None:
    assert [duration(seconds) for seconds in (3, 75, 3700)] == ["3 s", "1 min 15 s", "1 h 1 min"]


def _breaks() -> Any:
    class Row(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise KeyError("a")

    return [Row()]

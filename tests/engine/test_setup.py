"""What is chosen by the machine: how many processes draw patches, and how a run tells it."""

import joblib
import pytest
import torch

from benchmark.engine import setup
from benchmark.engine.distributed import group

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(("cores", "processes", "drawing"), [(16, 1, 8), (4, 1, 3), (1, 1, 0), (16, 4, 3), (2, 8, 0)])
def test_a_gpu_is_given_processes_that_draw_by_its_share_of_the_cores(
    cores: int, processes: int, drawing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda only_physical_cores: cores)
    monkeypatch.setattr(group, "size", lambda: processes)
    assert setup.choose_workers(None, GPU)[0] == drawing
    assert setup.choose_workers(None, CPU)[0] == 0
    assert setup.choose_workers(12, GPU)[0] == setup.choose_workers(12, CPU)[0] == 12
    assert setup.choose_workers(0, GPU)[0] == 0


def test_a_run_tells_how_many_draw_and_why() -> None:
    assert setup.environment(CPU)["patch_workers"] == "0 (all cores train)"
    assert setup.environment(CPU, 3)["patch_workers"] == "3 (asked for)"

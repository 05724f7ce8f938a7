"""What is chosen by the machine: the device, how many processes draw patches, how a run tells it; what is too large."""

import tempfile
from contextlib import nullcontext

import joblib
import pytest
import torch

from benchmark.core.errors import UserError
from benchmark.engine import setup
from benchmark.engine.distributed import group
from benchmark.engine.ledger import plain_parameters
from benchmark.planning import plan

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


def test_processes_that_could_pass_on_no_patches_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would wait for each other without end."""
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * 100)
    monkeypatch.setattr(joblib, "cpu_count", lambda only_physical_cores: 2)
    for asked, device in ((1, CPU), (None, GPU)):
        with pytest.raises(UserError, match=r"101 bytes.*TMPDIR"):
            setup.choose_workers(asked, device)
    assert setup.choose_workers(0, GPU)[0] == setup.choose_workers(None, CPU)[0] == 0


def test_a_run_tells_how_many_draw_and_why() -> None:
    (config,) = plan("finetune", "four_tasks", "smoke", "0", "denoise", None, None, [])
    assert setup.environment(CPU, config)["patch_workers"] == "0 (all cores train)"
    (config,) = plan("finetune", "four_tasks", "smoke", "0", "denoise", None, None, ["data.workers=3"])
    assert setup.environment(CPU, config)["patch_workers"] == "3 (asked for)"


def test_a_gpu_is_used_where_one_is_and_asked_for_in_vain_where_none_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert setup.choose_device("auto") == setup.choose_device("cpu") == CPU
    with pytest.raises(UserError, match=r"training\.device = cuda, but torch finds no GPU here.*auto or cpu"):
        setup.choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert setup.choose_device("auto") == setup.choose_device("cuda") == GPU
    assert setup.choose_device("cpu") == CPU


@pytest.mark.parametrize(("more", "refused"), [(0, False), (-1, True)])
def test_a_network_of_too_many_weights_is_refused_before_it_is_made(
    more: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config,) = plan("finetune", "four_tasks", "smoke", "0", None, None, None, [])
    weights = plain_parameters(config.backbone)
    monkeypatch.setattr(setup, "MOST_WEIGHTS", weights + more)
    width = config.backbone.width
    told = pytest.raises(UserError, match=rf"backbone\.width = {width} .* {weights:,} weights; at most {weights - 1:,}")
    with told if refused else nullcontext():
        setup.prepare(config)


@pytest.mark.parametrize("asked", ["identify", "stability_gap"])
def test_what_happens_to_earlier_tasks_is_not_measured_of_one_task(asked: str) -> None:
    for order in ("denoise", "denoise,deblur"):
        (config,) = plan("cmc", "four_tasks", "smoke", "0", order, None, None, [f"evaluation.{asked}=true"])
        if "," in order:
            setup.prepare(config)
            continue
        with pytest.raises(UserError, match=rf"evaluation\.{asked} = true: .* one task, denoise\. Learn several"):
            setup.prepare(config)

"""Where patches are computed: what is chosen, and that training from there is the same training."""

from pathlib import Path

import pytest
import torch
from smoke_runs import planned

from benchmark.config import RunConfig
from benchmark.engine import job, setup

CPU, GPU = torch.device("cpu"), torch.device("cuda")
GIB = 2**30


@pytest.mark.parametrize(("needed", "chosen"), [(GIB, "device"), (2 * GIB, "device"), (2 * GIB + 1, "cpu")])
def test_auto_is_a_gpu_on_which_the_images_fit(needed: int, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "_memory", lambda device: 8 * GIB)
    assert setup.choose_place("auto", GPU, lambda: needed) == chosen
    assert setup.choose_place("auto", CPU, lambda: needed) == "cpu"
    for asked in ("cpu", "device"):
        assert setup.choose_place(asked, GPU, lambda: needed) == asked
        assert setup.choose_place(asked, CPU, lambda: needed) == asked


def test_auto_is_settled_and_only_the_device_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plain, asked, auto = (
        setup.resolve(planned(*words)) for words in ((), ("training.patches_on=device",), ("training.patches_on=auto",))
    )
    assert (plain.training.patches_on, asked.training.patches_on) == ("cpu", "device")
    assert auto == plain
    assert asked.identity != plain.identity
    without = plain.model_dump(mode="json")
    del without["training"]["patches_on"]
    assert RunConfig.model_validate(without).identity == plain.identity


def test_the_record_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    config = planned("training.patches_on=device")
    assert setup.environment(CPU, config)["patches_on"] == "device (there is no GPU)"
    monkeypatch.setattr(setup, "_memory", lambda device: 8 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(setup, "choose_workers", lambda asked, device: (0, "asked for"))
    said = setup.environment(GPU, config)["patches_on"]
    bytes_ = setup.training_bytes([setup.Task.model_validate(task) for task in config.tasks], config.data)
    assert said == f"device (the training images take {setup.gib(bytes_)}, the GPU has 8 GiB)"


@pytest.mark.parametrize("strategy", ["finetune", "together"])
def test_training_is_the_same(strategy: str, tmp_path: Path) -> None:
    """Task by task, one of them with patches of the CPU's, and both mixed; to a rounding of light, here and there."""
    runs = [
        job.run(setup.resolve(planned(f"training.patches_on={place}", strategy=strategy)), tmp_path / place)
        for place in ("cpu", "device")
    ]
    one, other = ([row for row in run.metrics.to_dict("records") if row["metric"] == "psnr"] for run in runs)
    assert len(one) == len(other) > 4
    for left, right in zip(one, other, strict=True):
        value, again = left.pop("value"), right.pop("value")
        assert left == right
        assert again == pytest.approx(value, abs=0.01)

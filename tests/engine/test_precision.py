"""The precision of training: when bf16 is chosen, what it changes and what it leaves as it was."""

from pathlib import Path
from typing import Any

import made_stream as made
import pytest
import torch
from made_runs import made_run
from smoke_runs import planned
from torch import nn

from baselines.finetune import Finetune
from benchmark.config import checked
from benchmark.engine import job, setup
from reports.groups import collect
from strategies.base import Settings
from strategies.cmc.layer import CMCConv2d
from strategies.cmc.network import CMCNetwork, convert

RESULTS = ("metrics.csv", "outputs.csv", "curves.csv", "ledger.csv")
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("known", "chosen"),
    [({"avx2": True}, "fp32"), ({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({}, "fp32")],
)
def test_auto_is_what_a_processor_computes_natively(
    known: dict[str, bool], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert setup.choose_precision("auto", CPU) == chosen
    assert setup.choose_precision("bf16", CPU) == "bf16"
    assert setup.choose_precision("fp32", CPU) == "fp32"


@pytest.mark.parametrize(("capability", "chosen"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((12, 0), "bf16")])
def test_auto_is_what_a_gpu_computes_natively(
    capability: tuple[int, int], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert setup.choose_precision("auto", torch.device("cuda")) == chosen


def test_auto_is_settled_and_only_bf16_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plain, asked, auto = (
        setup.resolve(planned(*words, order="denoise"))
        for words in ((), ("training.precision=bf16",), ("training.precision=auto",))
    )
    assert (plain.training.precision, auto.training.precision) == ("fp32", "bf16")
    assert auto == asked
    assert auto.identity != plain.identity
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert setup.resolve(planned("training.precision=auto", order="denoise")) == plain


def test_the_identity_of_fp32_is_that_from_before_there_was_another() -> None:
    """The letters are those by which such a run was known when the setting did not exist."""
    task = {"name": "one", "degradation": "noise", "test": {"std": 20}}
    parts: dict[str, Any] = {"strategy": "finetune", "stream": "mine", "order": ["one"], "tasks": [task]}
    found = [
        checked(**parts, data={}, backbone={}, training=training).identity
        for training in ({}, {"precision": "fp32"}, {"precision": "bf16"})
    ]
    assert found[0] == found[1] == "1fa13e27"
    assert found[2] != "1fa13e27"


def test_only_the_forward_pass_of_training_is_in_bf16() -> None:
    """Weights, kernels as CMC estimates them, gradients, moments, loss and evaluation are float32."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))
    network = CMCNetwork(convert(plain), lambda layer: CMCConv2d.begin(layer, 0.2))
    features: list[tuple[bool, torch.dtype]] = []
    kernels: list[torch.dtype] = []

    def look(layer: CMCConv2d, _: object, output: torch.Tensor) -> None:
        features.append((layer.training, output.dtype))
        kernels.append(layer.kernel().dtype)

    network.layers[0].register_forward_hook(look)
    witness = made.Witness()
    template = made.learner(Finetune(Settings()), network, witness)
    template.training_settings = template.training_settings.model_copy(update={"precision": "bf16"})
    experience = made.stream(made.pairs(0, torch.float32))[0]
    template.learn(experience)
    assert features == [(True, torch.bfloat16)] * made.UPDATES
    template.outputs(experience)
    assert {dtype for training, dtype in features if not training} == {torch.float32}
    assert set(kernels) == {torch.float32}
    for step in witness.steps:
        assert {step.loss.dtype, *(one.dtype for one in (*step.gradient.values(), *step.after.values()))} == {
            torch.float32
        }
    moments = [value.dtype for state in template.optimizer.state.values() for value in state.values()]
    assert set(moments) == {torch.float32}


@pytest.mark.parametrize("tile", [2048, 4])
def test_a_network_that_computes_in_bf16_by_itself_is_measured_in_float32(tile: int) -> None:
    class Own(nn.Conv2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return super().forward(input)

    template = made.learner(Finetune(Settings()), Own(3, 3, 1))
    template.tile = tile
    (experience,) = made.stream(made.pairs(0, torch.float32))
    for restored, _ in template.outputs(experience):
        assert restored.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["cmc", "lwf"])
def test_the_same_bytes_twice(strategy: str, tmp_path: Path) -> None:
    config = setup.resolve(planned("training.precision=bf16", strategy=strategy, order="denoise"))
    first, again = (job.run(config, tmp_path / name) for name in ("first", "again"))
    other = job.run(setup.resolve(planned(strategy=strategy, order="denoise")), tmp_path / "fp32")
    for name in RESULTS:
        assert (first.path / name).read_bytes() == (again.path / name).read_bytes(), name
    assert (first.path / "outputs.csv").read_bytes() != (other.path / "outputs.csv").read_bytes()


def test_a_report_does_not_average_both(tmp_path: Path) -> None:
    made_run(tmp_path)
    training = made_run(tmp_path, seed=1).config["training"]
    made_run(tmp_path, seed=2, training={**training, "precision": "fp32"})
    made_run(tmp_path, seed=3, training={**training, "precision": "bf16"})
    entries = [entry for group in collect([tmp_path]).groups for entry in group.entries]
    assert sorted(len(entry.results) for entry in entries) == [1, 3]

"""Mistakes of those who write a strategy: each is told in words that name it, before more is lost than has to be."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmark.core.errors import UserError
from benchmark.engine import checkpoints, job, setup
from benchmark.engine.endings import blamed
from benchmark.planning import plan
from strategies import registry
from strategies.base import Strategy
from strategies.packnet import PackedNetwork


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(kind: type[Strategy]) -> Any:
        monkeypatch.setattr(registry, "load", lambda name: kind)
        words = ["training.epochs=1", "training.updates_per_epoch=2", "data.dead_leaves=0"]
        (config,) = plan("finetune", "four_tasks", "smoke", "0", "denoise,deblur", None, None, words)
        return job.run(setup.resolve(config), tmp_path / "run")

    return run


class Faulty(Strategy):
    name = "faulty"


@pytest.mark.parametrize(
    ("rounds", "words"),
    [
        ([], "these are in none: 0 (denoise), 1 (deblur)"),
        ([[0]], "these are in none: 1 (deblur)"),
        ([[0], [2]], "Tasks are whole numbers from 0 to 1"),
        ([[0], ["deblur"]], "Tasks are whole numbers from 0 to 1"),
        ([[0], []], "A list of rounds is accepted"),
        (5, "rounds(2) gave 5. A list of rounds is accepted"),
        ([0, 1], "A list of rounds is accepted"),
        ([[1], [0]], "[1] does not, after 0 tasks"),
        ([[0], [1], [0, 1]], "[0, 1] does not, after 2 tasks"),
        ([[0, 0], [1]], "[0, 0] does not, after 0 tasks"),
    ],
)
def test_rounds_that_are_none_of_the_streams_are_refused_before_training(run: Any, rounds: Any, words: str) -> None:
    kind = type("Faulty", (Faulty,), {"rounds": lambda self, tasks: rounds})
    with pytest.raises(UserError) as error:
        run(kind)
    assert words in str(error.value)
    assert "Strategy 'faulty': rounds(2) gave" in str(error.value)


def test_a_strategy_is_asked_for_its_state_once_a_task(run: Any) -> None:
    asked = []

    def state(self: Strategy) -> dict[str, torch.Tensor]:
        asked.append(self)
        return {"count": torch.tensor(len(asked))}

    found = run(type("Faulty", (Faulty,), {"state": state}))
    assert len(asked) == 2
    assert int(checkpoints.read(found.checkpoint(2)).part("strategy")["count"]) == 2


def test_a_strategy_that_returns_no_network_is_told(run: Any) -> None:
    with pytest.raises(UserError, match=r"adapt\(\) gave None. It is to return the network"):
        run(type("Faulty", (Faulty,), {"adapt": lambda self, backbone, tasks: None}))


def test_a_network_that_is_told_the_task_against_the_strategys_word_is_refused(run: Any) -> None:
    adapt = {"adapt": lambda self, backbone, tasks: PackedNetwork(backbone, 0.5)}
    with pytest.raises(UserError, match=r"'faulty': adapt\(\) gave a TaskNetwork \(PackedNetwork\), which is told"):
        run(type("Faulty", (Faulty,), adapt))


def test_a_strategy_that_does_not_initialise_its_base_is_told(run: Any) -> None:
    with pytest.raises(UserError, match=r"has to call super\(\).__init__\(settings, seed\)"):
        run(type("Faulty", (Faulty,), {"__init__": lambda self, settings, seed: None}))


async def coroutine(self: Any, trainer: Any) -> None:
    """Never awaited."""


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (5, "is 5, which cannot be called"),
        (coroutine, "is async, and would never run"),
        (lambda self: None, r"takes \(self\)"),
        (lambda self, trainer, more: None, r"takes \(self, trainer, more\)"),
    ],
)
def test_what_cannot_be_a_hook_is_refused_as_the_class_is_made(hook: Any, words: str) -> None:
    with pytest.raises(UserError, match=f"Faulty.before_update {words}"):
        type("Faulty", (Faulty,), {"before_update": hook})


def test_hooks_may_be_written_as_avalanches_are() -> None:
    type("Fine", (Faulty,), {"before_update": lambda self, strategy, *args, **kwargs: None})


class Grey(nn.Module):
    """Gives one channel."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.backbone(x).mean(1, keepdim=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("methods", "words"),
    [
        (
            {"adapt": lambda self, backbone, tasks: Grey(backbone)},
            r"gives \(1, 1, 32, 32\) for images of \(1, 3, 32, 32\)",
        ),
        ({"state": lambda self: {"a": 3}}, r"faulty.state\(\) gave 3 for 'a'"),
        ({"state": lambda self: None}, r"faulty.state\(\) gave None; a dict of named tensors"),
        ({"progress": lambda self: {"a": 3}}, r"faulty.progress\(\) gave 3 for 'a'"),
        (
            {"state": lambda self: {"a": torch.ones(2).to_sparse()}},
            r"state\(\) gave a tensor for 'a' .* torch.sparse_coo",
        ),
        (
            {"state": lambda self: {"a": torch.ones(2, device="meta")}},
            r"state\(\) gave a tensor for 'a' that has no values",
        ),
    ],
)
def test_outputs_and_states_of_the_wrong_kind_are_told(run: Any, methods: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        run(type("Faulty", (Faulty,), methods))


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        ("helper.fail()", "helper.py, line 2, in fail"),
        ("torch.zeros(2) @ torch.zeros(3)", "mine.py, line 7, in adapt"),
        ("json.loads('nothing')", "mine.py, line 7, in adapt"),
    ],
)
def test_an_error_is_told_with_the_last_line_that_is_the_users(
    ended: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    (tmp_path / "helper.py").write_text("def fail():\n    raise ValueError('odd')\n")
    lines = ["import helper, json, torch", "", "from strategies.base import Strategy", "class A(Strategy):"]
    lines += ["    name = 'mine'", "    def adapt(self, backbone, tasks):", f"        {ended}"]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    registry.add_plugin(str(tmp_path / "mine.py"))
    (config,) = plan("mine", "four_tasks", "smoke", "0", "derain", None, None, [])
    with pytest.raises(UserError) as caught:
        setup.prepare(config)
    assert f"at {tmp_path / told}" in str(caught.value)


def test_an_error_that_no_line_of_the_users_raised_names_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
    file = tmp_path / "mine.py"
    file.write_text("from strategies.base import Strategy\nclass A(Strategy):\n    name = 'mine'\n")
    registry.add_plugin(str(file))
    (config,) = plan("mine", "four_tasks", "smoke", "0", "derain", None, None, [])
    monkeypatch.setattr("benchmark.engine.endings.is_users", lambda place: False)
    with pytest.raises(UserError) as caught, blamed(config):
        torch.zeros(2).view(3)
    assert f"which is none of its own code: look at what {file} gives back" in str(caught.value)

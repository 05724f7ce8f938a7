"""What hangs on a layer under a name that its new kind needs, and parameters that are several in one memory."""

import copy

import pytest
import torch
from made_networks import Block
from torch import nn

from benchmark.core.errors import UserError
from benchmark.engine import setup
from benchmark.planning import plan
from strategies import registry


def adapted(name: str, plain: nn.Module) -> nn.Module:
    kind = registry.load(name)
    return kind(registry.settings(kind, {"grow": 0} if name == "cpg" else {})).adapt(plain, 2)


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        *(("cmc", name) for name in ("m", "free", "learning", "expand", "memory", "reuse")),
        *(("cmc", name) for name in ("vector_0", "bias_3", "later_1")),
        *(("packnet", name) for name in ("pruned", "begin", "values", "owner")),
        *(("wsn", name) for name in ("used", "need_not", "draw", "scores", "kernel_2", "first_bias")),
        *(("lora", name) for name in ("part", "down")),
        *(("cpg", name) for name in ("shift", "grow", "used_0")),
        *(("together_task_id", name) for name in ("biases", "start")),
        *(("pnn", name) for name in ("lateral", "column")),
    ],
)
def test_what_hangs_on_a_layer_is_kept_or_refused_by_its_name(strategy: str, name: str) -> None:
    block = Block()
    setattr(block.enter, name, 3)
    if name == "need_not":
        network = adapted(strategy, block)
        network.begin(0)
        network.end()
        assert network.backbone.enter.need_not == 3
        return
    with pytest.raises(UserError, match=rf"'enter'.*named {name}, which \w+ needs"):
        adapted(strategy, block).begin(0)
    assert block.enter.__dict__[name] == 3


class Tied(Block):
    """Two convolutions whose kernels are two parameters in one memory, tied in one of three ways."""

    def __init__(self, tie: str = "data") -> None:
        super().__init__()
        kernel = self.enter.weight
        self.again = nn.Conv2d(3, 4, 3, padding=1)
        if tie == "data":
            self.again.weight.data = kernel.data
        else:
            self.again.weight = nn.Parameter(kernel.data if tie == "parameter" else kernel.detach().view(4, 3, 3, 3))


ONE_MEMORY = r"'enter\.weight' and 'again\.weight' are two parameters in one memory"


@pytest.mark.parametrize("name", ["cmc", "packnet", "cpg", "independent", "pnn", "wsn", "together_task_id"])
@pytest.mark.parametrize("tie", ["data", "view", "parameter"])
def test_parameters_that_share_memory_alone_are_refused_by_both_names(name: str, tie: str) -> None:
    with pytest.raises(UserError, match=ONE_MEMORY):
        adapted(name, Tied(tie)).begin(0)


def test_they_are_refused_for_strategies_that_leave_the_network_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU would untie them."""
    monkeypatch.setattr(setup, "build_backbone", lambda *shape: Tied())
    config = plan("finetune", "four_tasks", "smoke", "0", None, None, None, [])[0]
    with pytest.raises(UserError, match=ONE_MEMORY):
        setup.prepare(config)


def test_parameters_that_lie_side_by_side_in_one_memory_are_several() -> None:
    block, memory = Block(), torch.rand(2, 108)
    block.enter.weight = nn.Parameter(memory[0].view(4, 3, 3, 3))
    block.leave.weight = nn.Parameter(memory[1].view(3, 4, 3, 3))
    for name in ("cmc", "packnet", "independent", "together_task_id"):
        adapted(name, copy.deepcopy(block)).begin(0)

"""How many tasks and values a strategy takes at most, each with a smaller limit; one more is refused by name."""

import pytest
from torch import nn

from benchmark.backbones.resnet import ResNet
from benchmark.core.errors import UserError
from strategies import packnet, tasks
from strategies.cmc import layer, strategy
from strategies.cmc.layer import CMCConv2d
from strategies.cmc.strategy import CMC
from strategies.packnet import PackNet


def test_a_table_of_owners_holds_as_many_tasks_as_are_allowed() -> None:
    conv = CMCConv2d(nn.Conv2d(1, 200, 1), t=1)
    for _ in range(tasks.MAX_TASKS):
        conv.begin(1 / 200)
        conv.end()
    assert conv.owner.max() == tasks.MAX_TASKS - 1
    assert all((conv.owner == task).sum() == 1 for task in range(tasks.MAX_TASKS))
    with pytest.raises(UserError, match=r"Layer 'convolution' holds at most 127 tasks\. Use a shorter stream"):
        conv.begin(1 / 200)


def test_a_layer_of_cmc_refuses_one_task_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "MAX_TASKS", 2)
    conv = CMCConv2d(nn.Conv2d(3, 3, 3), name="head")
    for _ in range(2):
        conv.begin(0.1, exhausted="expand")
        conv.end()
    with pytest.raises(UserError, match="Layer 'head' holds at most 2 tasks"):
        conv.begin(0.1, exhausted="expand")


def test_packnet_refuses_one_task_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packnet, "MAX_TASKS", 3)
    made = PackNet(PackNet.Settings(fraction=0.125))
    made.adapt(ResNet(width=4, blocks=1), 3)
    with pytest.raises(UserError, match=r"for each of 4 tasks .* and at most 3 tasks"):
        made.adapt(ResNet(width=4, blocks=1), 4)


@pytest.mark.parametrize("settings", [{"t": 6}, {"t": 2, "t_ends": 6}, {"t": 6, "t_ends": 2}])
def test_cmc_refuses_more_values_of_memory_than_there_may_be(
    settings: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ResNet(width=4, blocks=1)
    values = 6 * sum(parameter.numel() for parameter in plain.parameters())
    made = CMC(CMC.Settings(**settings))
    monkeypatch.setattr(strategy, "MOST_VALUES", values)
    made.adapt(plain, 2)
    monkeypatch.setattr(strategy, "MOST_VALUES", values - 1)
    with pytest.raises(UserError, match=rf"cmc\.t = 6 rows .* are {values:,} values; at most {values - 1:,}"):
        made.adapt(plain, 2)


def test_tasks_that_a_small_layer_has_no_entries_for_are_refused_before_the_first() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1, groups=3))
    CMC(CMC.Settings(fraction=0.05, t=5)).adapt(plain, 15)
    with pytest.raises(UserError, match=r"Layer '1' has 15 entries .* each of 20 tasks takes one .* Use 7 rows"):
        CMC(CMC.Settings(fraction=0.05, t=5)).adapt(plain, 20)
    for more in ({"t": 7}, {"t_ends": 7}, {"exhausted": "expand"}):
        network = CMC(CMC.Settings(**({"fraction": 0.05, "t": 5} | more))).adapt(plain, 20)
        network.rebuild(range(20))  # type: ignore[operator]


@pytest.mark.parametrize("exhausted", ["error", "expand"])
def test_cmc_refuses_one_task_more_before_the_first(exhausted: str) -> None:
    made = CMC(CMC.Settings(fraction=0.001, exhausted=exhausted))
    made.adapt(ResNet(width=4, blocks=1), tasks.MAX_TASKS)
    with pytest.raises(UserError, match="128 tasks: cmc keeps the owners of entries of at most 127"):
        made.adapt(ResNet(width=4, blocks=1), tasks.MAX_TASKS + 1)

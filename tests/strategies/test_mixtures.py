"""What was learned of the parts of a mixture: one task after the other, and the mean of their kernels."""

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from made_networks import images, learned
from made_runs import ORDER, PROTOCOL, made_run
from torch import nn

from benchmark.backbones.resnet import ResNet
from benchmark.core.errors import UserError
from benchmark.core.runs.schemas import METRICS
from benchmark.core.runs.writing import write_table
from benchmark.engine import job, recorder, setup
from benchmark.engine.tiling import reach
from benchmark.planning import plan
from benchmark.streams.definition import Task, parts
from reports.groups import collect
from reports.tables import mixtures
from strategies.cmc.layer import CMCConv2d
from strategies.cmc.network import CMCNetwork, convert
from strategies.kernels import fold, kernel_network
from strategies.mini import EmbeddedConv2d
from strategies.mixtures import OneAfterOther, combined

TINY = ["training.epochs=1", "backbone.width=3", "data.dead_leaves=0", "data.test_size=48", "data.validation_size=32"]
MIXTURES = "evaluation.mixtures=true"


def untrained() -> CMCNetwork:
    """A network of three tasks that share nothing, so that each has random kernels of its own."""
    torch.manual_seed(0)
    begin = partial(CMCConv2d.begin, fraction=0.2, sharing="none")
    network = CMCNetwork(convert(ResNet(4, 1), t=2), begin)
    network.train()
    network.rebuild(range(3))
    return network.eval()


def task(name: str, *steps: str) -> Task:
    if not steps:
        return Task(name=name, degradation=name)
    return Task(name=name, degradation="blend", test={"steps": [{step: {}} for step in steps]})


def test_the_parts_of_a_mixture_are_the_tasks_of_its_steps_in_their_order() -> None:
    again = Task(name="again", again="noise", degradation="noise")
    tasks = [task("blur"), task("noise"), again, task("both", "noise", "blur"), task("other", "noise", "rain")]
    assert [parts(tasks, label) for label in range(5)] == [[], [], [], [1, 0], []]
    assert parts([task("noise"), task("alone", "noise")], 1) == [], "one step is no mixture"


def test_steps_are_undone_the_last_one_first() -> None:
    network = untrained()
    image = images(0)
    with torch.no_grad():
        found = OneAfterOther(network, [2, 0]).eval()(image)
        assert torch.equal(found, network(network(image, 0), 2))
        assert not torch.equal(found, network(network(image, 2), 0))
    assert reach(OneAfterOther(network, [2, 0])) == 2 * reach(network), "two passes look twice as far"


def test_combined_has_the_mean_of_every_tensor() -> None:
    network = untrained()
    with torch.no_grad():
        before = [network(images(0), label) for label in range(3)]
    found = combined(network, [0, 2])
    assert found is not None
    first, last = (fold(network, label).state_dict() for label in (0, 2))
    assert found.state_dict().keys() == first.keys()
    for name, tensor in found.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, (first[name] + last[name]) / 2)
    same = combined(network, [1, 1])
    assert same is not None
    with torch.no_grad():
        assert all(map(torch.equal, before, [network(images(0), label) for label in range(3)]))
        assert torch.equal(same(images(0)), before[1])


def test_a_layer_that_hangs_under_two_names_is_combined_once() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 3, 3, padding=1)
    network = kernel_network(nn.Sequential(conv, nn.ReLU(), conv), EmbeddedConv2d, 0)
    network.train()
    network.rebuild(range(2))
    layer = network.layers[0]
    layer.own_1.copy_(torch.randn(layer.own_1.shape))
    network.load_state_dict(network.state_dict())
    found = combined(network.eval(), [0, 1])
    assert found is not None
    torch.testing.assert_close(found.state_dict()["2.weight"], (layer.own_0 + layer.own_1) / 2)


def test_networks_without_kernels_for_each_task_are_not_combined() -> None:
    assert combined(learned("independent", "resnet10"), [0, 1]) is None


@pytest.mark.parametrize(
    ("strategy", "stream", "words"),
    [("finetune", "blended", "'finetune' is not told the task"), ("cmc", "four_tasks", "stream 'four_tasks' is a")],
)
def test_mixtures_are_refused_where_there_are_none(strategy: str, stream: str, words: str) -> None:
    (config,) = plan(strategy, stream, "smoke", "0", None, None, None, [MIXTURES])
    with pytest.raises(UserError, match=f"mixtures = true: .*{words}"):
        setup.resolve(config)


def test_a_run_measures_both_ways_and_nothing_else_changes(tmp_path: Path) -> None:
    order = "blur,noise,jpeg,blur_jpeg"
    tables = []
    for number, more in enumerate(([], [MIXTURES])):
        (config,) = plan("cmc", "blended", "smoke", "0", order, None, None, [*TINY, *more])
        run = job.run(setup.resolve(config), tmp_path / str(number))
        tables.append(
            {(row["after"], row["place"], row["subject"], row["metric"]): row for row in run.rows("metrics.csv")}
        )
    plain, more_of = tables
    added = more_of.keys() - plain.keys()
    assert {key: more_of[key] for key in plain} == plain
    assert {key[:3] for key in added} == {(4, 4, "one after the other"), (4, 4, "combined")}
    assert {key[3] for key in added} == {"psnr", "ssim", "psnr_y", "ssim_y"}
    values = [more_of[key]["value"] for key in added if key[3] == "psnr"]
    assert values[0] != values[1]


def test_an_output_that_is_no_number_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * math.nan

    monkeypatch.setattr(recorder, "ways", lambda *_: {"combined": Broken()})
    (config,) = plan("cmc", "blended", "smoke", "0", "blur,jpeg,blur_jpeg", None, None, [*TINY, MIXTURES])
    with pytest.raises(UserError, match="an output 'combined' is no number"):
        job.run(setup.resolve(config), tmp_path / "run")


def test_the_report_sets_them_beside_what_learning_the_mixture_gave(tmp_path: Path) -> None:
    for seed in (0, 1):
        run = made_run(tmp_path, "cmc", seed=seed, shift=seed)
        rows = run.rows("metrics.csv")
        for subject, value in (("one after the other", 21.0), ("combined", 20.0)):
            about = {"after": 4, "after_task": ORDER[-1], "place": 4, "task": ORDER[3], "subject": subject}
            rows.append(
                {**about, "metric": "psnr", "value": value + seed, "unit": "dB", "images": 2, "protocol": PROTOCOL}
            )
        write_table(run.path / "metrics.csv", rows, METRICS)
    made_run(tmp_path, "packnet")
    (group,) = collect([tmp_path]).groups
    found = mixtures.item(group)
    assert found is not None
    assert found.table is not None
    ((label, name, *values),) = found.table.rows
    assert label.text == "cmc"
    assert name.text == group.headings[3]
    assert [cell.value for cell in values] == pytest.approx([24.0, 21.5, 20.5, 26.5])


def test_the_report_has_mixtures_that_were_restored_in_one_way_alone(tmp_path: Path) -> None:
    run = made_run(tmp_path, "cmc")
    about = {"after": 4, "after_task": ORDER[-1], "place": 4, "task": ORDER[3], "subject": "combined", "images": 2}
    row = {**about, "metric": "psnr", "value": 20.0, "unit": "dB", "protocol": PROTOCOL}
    write_table(run.path / "metrics.csv", [*run.rows("metrics.csv"), row], METRICS)
    (group,) = collect([tmp_path]).groups
    found = mixtures.item(group)
    assert found is not None
    assert found.table is not None
    ((_, _, *values),) = found.table.rows
    assert [cell.value for cell in values] == [24.0, None, 20.0, 26.0]

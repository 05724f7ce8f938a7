"""Section 4 of the paper, written down by hand, against the streams, presets, experiments and published figures."""

import re
from typing import Any

import pytest
from conftest import ROOT

from baselines.deform import Deform
from benchmark.backbones import build
from benchmark.backbones.resnet import ResidualBlock
from benchmark.config import RunConfig, Training, sizes
from benchmark.engine.template import learning_rate
from benchmark.experiments import paper
from benchmark.experiments.matrix import Choices, expand
from benchmark.profiling import layer
from benchmark.streams.definition import load
from strategies import registry
from strategies.base import Strategy

TASKS: dict[str, tuple[str, str, str, dict[str, Any], dict[str, Any]]] = {
    "derain": ("rain100l", "rain100l", "rain", {}, {}),
    "denoise": ("div2k", "bsd68", "noise", {"std": 50}, {"std": 50}),
    "deblock": ("div2k", "div2k", "jpeg", {"quality": [10, 70]}, {"quality": 20}),
    "deblur": ("div2k", "div2k", "blur", {"size": 15, "std": [0.2, 3]}, {"size": 15, "std": 2.5}),
}
"""Section 4.1.2: trained on, tested on, degradation, its parameters in training and in tests (rain comes in pairs)."""

SEQUENCES = {"derain": (1, 4, 3, 2), "denoise": (2, 1, 4, 3), "deblock": (3, 2, 1, 4), "deblur": (4, 3, 2, 1)}
"""Table 3: the place of each task in the four experiments."""

LEVELS = [10, 20, 30, 40]
"""Section 4.4.3: std of the Gaussian noise, before the real noise of SIDD."""


@pytest.mark.parametrize("stream", ["four_tasks", *(f"four_tasks_order{n}" for n in range(1, 5)), "recurring"])
def test_tasks_are_trained_and_tested_as_in_section_4_1_2(stream: str) -> None:
    for task in load(stream).tasks:
        train, test, degradation, in_training, in_tests = TASKS[task.inputs]
        assert (task.dataset.train, task.dataset.test, task.degradation) == (train, test, degradation), task.name
        if degradation != "rain":
            assert (task.train, task.test) == (in_training, in_tests), task.name


def test_table_1_and_the_orders_of_table_3() -> None:
    assert load("four_tasks").order == list(TASKS)
    table = paper.load("table3")
    for place, order in enumerate(paper.orders(table)):
        assert {task: order.index(task) + 1 for task in order} == {
            task: places[place] for task, places in SEQUENCES.items()
        }
    assert [tuple(int(cell) for cell in row.cells[1::2]) for row in table.rows] == list(SEQUENCES.values())


def test_the_noise_levels_of_table_4() -> None:
    *gaussian, real = load("noise_levels").tasks
    for task, std in zip(gaussian, LEVELS, strict=True):
        assert (task.degradation, task.train, task.test) == ("noise", {"std": std}, {"std": std})
        assert task.dataset.train == "div2k"
    assert (real.dataset.train, real.dataset.test) == ("sidd", "sidd")


def test_training_and_network_of_sections_4_1_3_and_4_1_4() -> None:
    training, backbone = sizes("paper")
    wanted = {"epochs": 125, "updates_per_epoch": 1000, "batch_size": 16, "patch_size": 128, "learning_rate": 1e-4}
    assert {name: getattr(training, name) for name in wanted} == wanted
    rates = [learning_rate(training, epoch * 1000) for epoch in range(125)]
    assert rates == [1e-4 / 2 ** (epoch // 25) for epoch in range(125)], "halved after every 25 epochs"
    assert (backbone.name, backbone.width, backbone.blocks) == ("resnet", 64, 6)
    network = build(backbone.name, backbone.width, backbone.blocks, backbone.image_skip)
    blocks = [module for module in network.modules() if isinstance(module, ResidualBlock)]
    convolutions = [conv for block in blocks for conv in block.children()]
    assert len(blocks) == 6
    assert {(c.in_channels, c.out_channels, c.kernel_size, c.stride) for c in convolutions} == {
        (64, 64, (3, 3), (1, 1))
    }  # type: ignore[union-attr]
    assert training == Training(), "the defaults of the settings are the paper's"


def runs(name: str) -> list[RunConfig]:
    return expand(paper.load(name), Choices("paper"))


def chosen(name: str, *keys: str) -> list[tuple[Any, ...]]:
    """Of every run of CMC behind a table or figure, these settings with the strategy's defaults."""
    kind = registry.load("cmc")
    settings = [registry.settings(kind, config.settings) for config in runs(name) if config.strategy == "cmc"]
    return [tuple(getattr(one, key) for key in keys) for one in settings]


@pytest.mark.slow
def test_the_runs_behind_every_table_and_figure() -> None:
    shares = (0.2, 0.1, 0.05, 0.025, 0.0125)
    both = ("none", "fixed")
    assert chosen("table1", "fraction", "sharing", "t") == [(share, way, 5) for share in shares for way in both]
    four = [(share, way) for share in (0.05, 0.0125) for way in both]
    assert [one for one in chosen("figure4", "fraction", "sharing") if one[1] in both] == four
    controls = [one for one in chosen("figure4", "fraction", "sharing", "t", "start") if one[1] not in both]
    assert controls == [(0.05, "copy", 5, None), (0.0125, "copy", 5, None)], "of ours, beside the paper's"
    assert {config.strategy for config in runs("table2")} >= {"together", "deform", "packnet", "mas", "cmc"}
    assert chosen("table2", "fraction", "t", "sharing") == [(0.1, 5, "fixed")]
    (packnet,) = [config.settings for config in runs("table2") if config.strategy == "packnet"]
    assert packnet["fraction"] == 0.125
    assert set(chosen("table3", "fraction", "sharing")) == {(0.0125, "fixed")}
    assert [config.order for config in runs("table3")] == paper.orders(paper.load("table3"))
    assert set(chosen("figure5", "fraction", "sharing")) == {(0.0125, "none"), (0.0125, "fixed")}
    assert chosen("table4", "fraction", "sharing", "t") == [(0.2, way, 5) for way in both]
    assert {config.stream for config in runs("table4")} == {"noise_levels"}
    assert chosen("table5", "fraction", "t", "t_ends") == [(0.0125, 5, None), (0.0125, 5, 10)]
    assert chosen("table7", "fraction", "sharing") == [(0.0125, way) for _ in range(2) for way in both]
    assert [config.backbone.name for config in runs("table7")] == ["rdn", "rdn", "dense", "dense"]
    for name in ("table1", "table2", "table3", "table5", "table7", "figure4", "figure5", "figure6"):
        assert {config.stream for config in runs(name)} == {"four_tasks"}
        assert {(config.backbone.blocks, config.training) for config in runs(name)} == {(6, Training())}


def test_the_layers_of_table_6() -> None:
    defaults = dict(zip(("channels", "size"), layer.measure.__defaults__ or (), strict=False))
    assert defaults == {"channels": 64, "size": 1000}
    weights, bias = 64 * 64 * 9, 64
    built = {variant.name: (variant.method, variant.make(64)) for variant in layer.VARIANTS}
    for name, method, kernel in [
        ("4×4 kernel", "Type-1", 64 * 64 * 16 + bias),
        ("6×6 kernel", "Type-1", 64 * 64 * 36 + bias),
        ("2 layers", "Type-2", 2 * (weights + bias)),
        ("4 layers", "Type-2", 4 * (weights + bias)),
    ]:
        assert (built[name][0], layer.kernel_parameters(built[name][1])) == (method, kernel)
    for rows in (5, 10, 20):
        method, cmc = built[f"CMC-{rows}"]
        assert (method, layer.kernel_parameters(cmc)) == ("CMC-n", weights + bias)
        assert tuple(cmc.owner.shape) == (rows, weights)


def test_figures_are_those_that_are_printed() -> None:
    rows = {name: [row.cells for row in paper.load(name).rows] for name in paper.names()}
    assert rows["table2"][-1] == ["CMC-5", "32.14", "27.53", "30.96", "29.64"]
    assert rows["table3"][0][1:3] == ["1", "29.19"]
    assert rows["table4"][1][-1] == "37.63"
    assert rows["table6"][6][4] == "36.864"
    assert (rows["table1"][-1][-1], rows["table5"][0][-1]) == ("28.52", "28.13")
    printed = paper.load("table7").printed
    assert printed is not None
    assert printed.columns[2:4] == ["denoise", "derain"]


def test_printed_figures_agree_with_each_other_where_they_repeat() -> None:
    one, two, three, five = ([row.cells for row in paper.load(f"table{n}").rows] for n in (1, 2, 3, 5))
    without, shared = one[-2][2:], one[-1][2:]
    assert [row[2] for row in three] == shared, "experiment 1 is Table 1 at 1.25 % with sharing"
    first = {row[0]: row[2 * row[1::2].index("1") + 2] for row in three}
    assert list(first.values()) == without, "a task that comes first has nothing to share"
    assert two[-1][1:] == one[3][2:], "CMC-5 is Table 1 at 10 %"
    assert five[0][1:-1] == shared[:-1], "but for deblurring"
    assert [row[2] for row in one[::2]] == [row[2] for row in one[1::2]], "deraining comes first"


def notes_of(name: str) -> str:
    printed = paper.load(name).printed
    return " ".join(printed.notes) if printed else ""


def test_where_the_paper_contradicts_itself_is_noted() -> None:
    notes = {name: notes_of(name) for name in paper.names()}
    assert "28.13" in notes["table1"]
    assert "28.52" in notes["table5"]
    assert "swapped" in notes["table7"]
    assert "Experiment 3" in notes["table3"]
    assert "30.02" in notes["table3"]
    assert "reduce" in notes["table2"]
    assert "does not say" in notes["table4"]
    assert all(figure in notes["table4"] for figure in ("27.12", "27.65"))


def test_table_4_has_less_for_weaker_noise_than_table_1_has_for_stronger() -> None:
    """What is noted of Table 4: at 20 % without sharing, noise of std 40 there and of std 50 in Table 1."""
    weaker, stronger = (paper.load(name).printed for name in ("table4", "table1"))
    assert weaker
    assert stronger
    assert weaker.by_head[0]["Noise 40"] == "27.12"
    assert stronger.by_head[0]["% Params"] == "20"
    assert stronger.by_head[0]["Denoise"] == "27.65"


@pytest.mark.parametrize(("width", "said"), [(64, "1.15"), (16, "1.11")])
def test_the_size_of_deform_is_told_as_it_is(width: int, said: str) -> None:
    plain = build("resnet", width, 6, False)
    whole = sum(parameter.numel() for parameter in plain.parameters())
    network: Any = registry.load("deform")(registry.settings(registry.load("deform"), {})).adapt(plain, 4)
    for task in range(4):
        network.begin(task)
    actual = sum(parameter.numel() for parameter in network.parameters()) / whole
    assert f"{actual:.2f}" == said
    told = [notes_of("table2"), str(Deform.Settings.model_fields["size"].description)]
    assert all(said in text for text in told)


def test_the_guide_names_files_that_are_there_and_every_setting_with_its_value() -> None:
    guide = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
    table = [line for line in guide.splitlines() if line.startswith("| ")]
    files = {name for line in table for name in re.findall(r"`([\w/]+\.(?:yaml|py))`", line)}
    assert len(files) > 15
    for name in files:
        assert (ROOT / name).is_file(), name
    for name in [f"benchmark/experiments/paper/{name}.yaml" for name in paper.names()]:
        assert name in files, f"the guide says where the runs of {name} are"
    assert issubclass(registry.load("deform"), Strategy)

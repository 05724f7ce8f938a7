"""Backbones from outside the tree: by file and by entry point, recorded and known by their content."""

from pathlib import Path

import pytest
from conftest import ROOT

from benchmark import backbones
from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.engine import job
from benchmark.engine.setup import resolve
from benchmark.planning import plan
from strategies import registry

EXAMPLE = ROOT / "docs" / "examples" / "unet.py"
PLUGIN = """from torch import nn
from benchmark.backbones import register

@register("{name}")
class Mine(nn.Module):
    'Mine.'
    def __init__(self, width, blocks, image_skip):
        super().__init__()
        self.only = nn.Conv2d(3, 3, 1)
    def forward(self, x):
        {body}
"""


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones.CATALOGUE, "plugins", {})
    monkeypatch.setattr(registry.CATALOGUE, "plugins", {})


def planned(strategy: str, backbone: str) -> RunConfig:
    words = [f"backbone.name={backbone}", "data.tile=512"]
    (config,) = plan(strategy, "four_tasks", "smoke", "0", "denoise,deblock", None, None, words)
    return resolve(config)


def mine(file: Path, name: str = "mine", body: str = "return self.only(x)") -> str:
    file.write_text(PLUGIN.format(name=name, body=body))
    return str(file)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["cmc", "finetune"])
def test_the_worked_example_is_listed_and_learns(strategy: str, tmp_path: Path) -> None:
    assert registry.add_plugin(str(EXAMPLE)) == ["unet"]
    assert backbones.entries()["unet"].summary.startswith("One level of a U-Net")
    config = planned(strategy, "unet")
    assert config.backbone_plugin.startswith("unet.py#")
    assert config.imports == [str(EXAMPLE)]
    run = job.run(config, tmp_path / "run")
    assert run.finished
    assert run.config["backbone_plugin"] == config.backbone_plugin


def test_a_changed_backbone_is_another_run_and_a_moved_one_is_not(tmp_path: Path) -> None:
    identities = []
    for folder, body in (("a", "return self.only(x)"), ("b", "return self.only(x)"), ("b", "return x + self.only(x)")):
        (tmp_path / folder).mkdir(exist_ok=True)
        backbones.CATALOGUE.plugins.clear()
        registry.add_plugin(mine(tmp_path / folder / "net.py", body=body))
        identities.append(planned("finetune", "mine").identity)
    assert identities[0] == identities[1] != identities[2]


def test_one_file_may_bring_both(tmp_path: Path) -> None:
    file = tmp_path / "both.py"
    mine(file)
    kind = "from strategies.base import Strategy\nclass Also(Strategy):\n    'Also.'\n    name = 'also'\n"
    file.write_text(file.read_text() + kind)
    assert registry.add_plugin(str(file)) == ["also", "mine"]
    assert planned("also", "mine").imports == [str(file)]


def test_a_name_that_is_taken_or_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'resnet' is taken by a built-in backbone"):
        registry.add_plugin(mine(tmp_path / "a.py", "resnet"))
    with pytest.raises(UserError, match="cannot be used"):
        registry.add_plugin(mine(tmp_path / "b.py", "a b"))
    registry.add_plugin(mine(tmp_path / "c.py"))
    with pytest.raises(UserError, match=r"'mine' is taken by a backbone of the plugin .*c\.py"):
        registry.add_plugin(mine(tmp_path / "d.py"))


def test_an_error_in_a_backbone_is_told_with_its_line(tmp_path: Path) -> None:
    registry.add_plugin(mine(tmp_path / "odd.py", body="raise ValueError('odd')"))
    with pytest.raises(UserError, match=r"(?s)Backbone 'mine' \(odd\.py#.*odd\.py, line 11, in forward"):
        job.run(planned("finetune", "mine"), tmp_path / "run")


def test_an_error_as_its_gradient_is_taken_is_told_as_the_backbones(tmp_path: Path) -> None:
    file = mine(tmp_path / "odd.py", body="x = self.only(x).sigmoid(); y = x * x; x += 1; return x + y")
    registry.add_plugin(file)
    with pytest.raises(UserError) as told:
        job.run(planned("finetune", "mine"), tmp_path / "run")
    assert "Backbone 'mine' (odd.py#" in str(told.value)
    assert "modified by an inplace operation" in str(told.value)
    assert f"which is none of its own code: look at what {file} computes" in str(told.value)


def test_an_installed_backbone_is_known_by_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine(tmp_path / "package_with_a_net.py", "ignored")
    info = tmp_path / "nets-3.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nets\nVersion: 3.1\n")
    (info / "entry_points.txt").write_text(f"[{backbones.GROUP}]\nnet = package_with_a_net:Mine\nrdn = nowhere:X\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert backbones.entries()["net"].summary == "installed by nets"
    config = planned("finetune", "net")
    assert (config.backbone_plugin, config.imports, config.revisions.backbone) == ("nets 3.1", [], 1)
    assert planned("finetune", "rdn").backbone_plugin == "", "an installed package cannot take a built-in name"


def test_an_unknown_backbone_is_refused_with_what_is_accepted() -> None:
    with pytest.raises(UserError, match=r"accepted: .*resnet"):
        planned("finetune", "resnett")

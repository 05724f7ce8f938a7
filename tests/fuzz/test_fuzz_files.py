"""Configuration, stream and experiment files as nobody meant them: an error in words, or runs; never anything else."""

from pathlib import Path

import pytest
import yaml
from fuzzing import fuzz, yaml_files

from benchmark.config import RunConfig
from benchmark.experiments import matrix, paper
from benchmark.planning import plan
from benchmark.presets import FOLDER as PRESETS
from benchmark.streams import definition

ROOT = Path(__file__).parents[2]
FEW, MANY = 60, 550
EXAMPLES = pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])

EVERY_SETTING = {
    "training": {"epochs": 1, "updates_per_epoch": 2, "batch_size": 2, "patch_size": 32, "schedule": "cosine"},
    "data": {"source": "datasets", "root": "x", "fallback": "embedded", "cache": "y", "test_size": 64, "workers": 0},
    "backbone": {"name": "resnet", "width": 8, "blocks": 1, "image_skip": False},
    "cmc": {"fraction": 0.1, "t": 5, "sharing": "fixed"},
}


def contents(folder: Path) -> list[object]:
    """What the YAML files of a folder hold."""
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yaml"))]


def used(configs: list[RunConfig]) -> None:
    """Ask of runs what is asked of them before anything is trained."""
    for config in configs:
        assert config.run_name.isprintable()
        assert len(config.run_name.encode()) < 255
        assert not {"/", "\\", "\0"} & set(config.run_name)
        again = RunConfig.model_validate(yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json"))))
        assert again.identity == config.identity


@EXAMPLES
def test_fuzz_configuration_files(tmp_path: Path, examples: int) -> None:
    file = tmp_path / "mine.yaml"

    def read(content: bytes) -> None:
        file.write_bytes(content)
        used(plan("cmc,finetune", "four_tasks", "smoke", "0", None, None, file, []))

    fuzz(yaml_files([*contents(PRESETS), EVERY_SETTING]), read, examples)


@EXAMPLES
def test_fuzz_stream_files(tmp_path: Path, examples: int) -> None:
    file = tmp_path / "mine.yaml"

    def read(content: bytes) -> None:
        file.write_bytes(content)
        used(plan("finetune", str(file), "smoke", "0", None, None, None, []))

    originals = [*contents(definition.FOLDER), *contents(ROOT / "docs/examples")]
    fuzz(yaml_files(originals), read, examples)


@EXAMPLES
def test_fuzz_experiment_files(tmp_path: Path, examples: int) -> None:
    file = tmp_path / "mine.yaml"

    def read(content: bytes) -> None:
        file.write_bytes(content)
        used(matrix.expand(matrix.load(file), matrix.Choices("smoke")))

    originals = [*contents(paper.FOLDER), *contents(ROOT / "docs/examples")]
    fuzz(yaml_files(originals), read, examples)

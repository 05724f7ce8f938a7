"""The configuration of a run: typed, checked, and documented beside each field.

A run's configuration is made of a preset, then a YAML file of the user's, then single assignments such as
``training.epochs=3`` or ``cmc.fraction=0.05``; what comes later wins. This module imports neither torch nor Avalanche:
settings of a strategy pass through as plain values and are checked by the strategy itself.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from benchmark.backbones import BACKBONES
from benchmark.errors import UserError, unknown
from benchmark.validation import explain

PRESETS = Path(__file__).parent / "presets"
SOURCES = {
    "embedded": "photographs that ship inside scikit-image, scikit-learn and matplotlib, and dead leaves",
    "datasets": "datasets on disk, found under --data-root: DIV2K, Rain100L, BSD68, SIDD, folders of your own",
}
"""Where images come from: name → one line about it."""


class Section(BaseModel):
    """A closed, frozen group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Training(Section):
    """How long, with what and how fast a task is learned."""

    epochs: int = Field(125, ge=1, description="epochs per task")
    updates_per_epoch: int = Field(1000, ge=1, description="batch updates in an epoch")
    batch_size: int = Field(16, ge=1, description="patches in a batch")
    patch_size: int = Field(128, ge=8, le=1024, description="side of a training patch in pixels")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Adam's learning rate at the start of a task")
    schedule: Literal["halving", "cosine", "constant"] = Field(
        "halving", description="learning rate: halved every halve_every epochs, cosine decay to zero, or constant"
    )
    halve_every: int = Field(25, ge=1, description="epochs between two halvings")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where to train; auto takes a GPU if there is one"
    )
    deterministic: bool = Field(
        True, description="on a GPU, ask torch for deterministic algorithms, which may be slower; on a CPU they are"
    )

    @property
    def updates(self) -> int:
        """Batch updates for one task."""
        return self.epochs * self.updates_per_epoch


class Data(Section):
    """Where the images come from."""

    source: str = Field("embedded", description="embedded photographs, or the datasets that each task names")
    root: str | None = Field(None, description="folder that holds the datasets")
    fallback: Literal["none", "embedded"] = Field(
        "none", description="what stands in for a dataset that is not under the root"
    )
    cache: str | None = Field(
        None, description="folder for decoded training images of large datasets; by default beside the data"
    )
    dead_leaves: int = Field(12, ge=0, le=1000, description="generated dead-leaves images on the training side")
    validation_size: int = Field(256, ge=32, description="side of the centre crop of a validation image, in pixels")
    test_size: int | None = Field(
        None, ge=32, description="side of the centre crop of a test image, in pixels; by default whole images"
    )
    tile: int = Field(
        2048,
        ge=64,
        description="side of overlapping tiles for test images of more than tile × tile pixels",
    )
    workers: int = Field(0, ge=0, le=64, description="processes that draw patches; results do not depend on it")

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        if source not in SOURCES:
            raise ValueError(f"accepted: {', '.join(SOURCES)}")
        return source


class Backbone(Section):
    """The network that every strategy starts from."""

    name: str = Field("resnet", description="which network")
    width: int = Field(64, ge=1, le=1024, description="channels inside the network")
    blocks: int = Field(6, ge=0, le=100, description="residual blocks")
    image_skip: bool = Field(False, description="add the input image to the output")

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BACKBONES:
            raise ValueError(f"accepted: {', '.join(BACKBONES)}")
        return name


class Revisions(Section):
    """Which code makes a run: numbers that are raised when results change."""

    strategy: int = Field(default=1, ge=1, description="the strategy's own, see strategies.registry.revision")
    training: int = Field(default=1, ge=1, description="that of the shared code, see benchmark.revision")


class RunConfig(Section):
    """Everything that decides one run."""

    strategy: str = Field(description="how the network learns the stream")
    plugin: str = Field("", description="where a strategy that is not built in comes from, with its version or hash")
    stream: str = Field(description="which tasks")
    order: list[str] = Field(description="the tasks' names in the order in which they are learned")
    tasks: list[dict[str, Any]] = Field(description="the tasks as the stream defines them")
    sources: list[dict[str, Any]] = Field(
        default_factory=list, description="where each task's images come from, as found; see benchmark.data.sources"
    )
    preset: str = Field("quick", description="training length and sizes")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of every random draw of the run")
    data: Data = Field(description="where the images come from")
    backbone: Backbone = Field(description="the network")
    training: Training = Field(description="how a task is learned")
    settings: dict[str, Any] = Field(default_factory=dict, description="the strategy's own settings")
    revisions: Revisions = Field(
        default=Revisions(), description="which code made the run; the first if it does not say"
    )

    @property
    def identity(self) -> str:
        """A short name for the content; equal for runs that must give equal results, on one kind of machine.

        It is that of the resolved configuration, in which the images' content and the code's revisions stand.
        """
        content = self.model_dump(mode="json")
        for place in ("workers", "root", "fallback", "cache"):  # what they lead to stands in sources
            content["data"].pop(place)
        content.pop("preset")
        for task in content["tasks"]:
            task.pop("title", None)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def run_name(self) -> str:
        """The name of the run's directory."""
        return f"{self.strategy}-{Path(self.stream).stem}-{self.preset}-seed{self.seed}-{self.identity}"


SECTIONS: dict[str, type[Section]] = {"training": Training, "data": Data, "backbone": Backbone}
"""The groups of settings that presets, configuration files and ``--set`` may name, beside strategies."""

Values = dict[str, dict[str, Any]]
"""Section or strategy → field → value, before checking."""


def presets() -> dict[str, str]:
    """Every shipped preset with one line about it."""
    return {path.stem: _read_yaml(path).get("summary", "") for path in sorted(PRESETS.glob("*.yaml"))}


def sizes(preset: str) -> tuple[Training, Backbone]:
    """The training and the network of a shipped preset."""
    values = _read_yaml(PRESETS / f"{preset}.yaml")
    return Training(**values.get("training", {})), Backbone(**values.get("backbone", {}))


def preset_settings(preset: str, strategy: str) -> dict[str, Any]:
    """What a shipped preset says about a strategy; nothing for a preset of another name."""
    shipped = {path.stem: path for path in PRESETS.glob("*.yaml")}
    return dict(_read_yaml(shipped[preset]).get(strategy, {})) if preset in shipped else {}


def gather(
    preset: str, file: Path | None, assignments: Sequence[str], strategies: Sequence[str], chosen: Sequence[str]
) -> Values:
    """Merge preset, configuration file and ``section.field=value`` assignments; what comes later wins.

    Args:
        preset: name of a preset.
        file: a YAML file with the same sections, or None.
        assignments: texts such as ``training.epochs=3``; values are read as YAML.
        strategies: names of all strategies, each of which may be a section.
        chosen: the strategies of this command; setting another one's field is an error.

    Raises:
        UserError: a preset, file, section or assignment is wrong.
    """
    available = presets()
    if preset not in available:
        raise unknown("preset", preset, available)
    layers = [_sections(_read_yaml(PRESETS / f"{preset}.yaml"), f"preset '{preset}'", strategies)]
    if file is not None:
        layers.append(_sections(_read_yaml(file), f"'{file}'", strategies))
    for text in assignments:
        name, equals, value = text.partition("=")
        section, dot, field = name.strip().partition(".")
        if not (equals and dot and field):
            raise UserError(f"--set {text}: expected section.field=value, for example --set training.epochs=3.")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--set {text}: the value is not valid YAML.") from error
        if isinstance(parsed, str):
            parsed = _number(parsed)
        layers.append(_sections({section: {field: parsed}}, f"--set {text}", strategies))
        if section in strategies and section not in chosen:
            raise UserError(f"--set {text}: strategy '{section}' is not part of this command ({', '.join(chosen)}).")
    merged: Values = {}
    for layer in layers:
        for section, fields in layer.items():
            merged.setdefault(section, {}).update(fields)
    return merged


def checked(**fields: Any) -> RunConfig:
    """A run's configuration from plain values.

    Raises:
        UserError: a field is unknown or out of range.
    """
    try:
        return RunConfig.model_validate(fields)
    except ValidationError as error:
        raise UserError(explain(error, RunConfig)) from error


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the configuration file '{path}': {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"'{path}' is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise UserError(f"'{path}' holds no settings: expected sections such as 'training:' with fields below them.")
    return data


def _sections(data: Mapping[str, Any], source: str, strategies: Sequence[str]) -> Values:
    found: Values = {}
    for section, fields in data.items():
        if section == "summary":
            continue
        if section not in SECTIONS and section not in strategies:
            raise unknown(f"section in {source}:", str(section), [*SECTIONS, *strategies])
        if not isinstance(fields, dict):
            raise UserError(f"{source}: section '{section}' needs fields, for example {section}.field=value.")
        found[section] = dict(fields)
    return found


def _number(text: str) -> Any:
    """YAML reads 1e-4 as text; people mean the number."""
    try:
        return float(text)
    except ValueError:
        return text

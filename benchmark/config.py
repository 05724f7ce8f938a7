"""The configuration of a run: typed and checked; its groups of settings stand in :mod:`benchmark.sections`.

A run's configuration is made of a preset, then a YAML file of the user's, then single assignments such as
``training.epochs=3`` or ``cmc.fraction=0.05``; what comes later wins. This module imports neither torch nor Avalanche:
settings of a strategy pass through as plain values and are checked by the strategy itself.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from benchmark.core.errors import UserError, shortened, unknown
from benchmark.core.files import named
from benchmark.core.images import EMBEDDED
from benchmark.core.names import is_text
from benchmark.core.printing import gib
from benchmark.core.runs.formats import LATER, NEEDED, NO_PART, SOME, deciding, has_effect, idle_beside
from benchmark.core.validation import explain
from benchmark.core.yaml_files import YamlFile, value
from benchmark.presets import FOLDER as PRESETS
from benchmark.sections import Backbone, Data, Evaluation, Revisions, Section, Training

MOST_FEATURES = 64 * 2**30
"""Bytes of the features that a training step keeps, at most, as estimated for residual blocks; the paper's: 0.9 GiB."""

_NO_NAME = re.compile(r'[\x00-\x1f\x7f/\\<>:"|?*]+')
"""What no folder's name may hold, on one file system or another."""


class RunConfig(Section):
    """Everything that decides one run."""

    strategy: str = Field(description="how the network learns the stream")
    plugin: str = Field("", description="where a strategy that is not built in comes from, with its version or hash")
    backbone_plugin: str = Field("", description="the same of a backbone that is not built in")
    imports: list[str] = Field(
        default_factory=list, description="files and modules that another process imports to know both"
    )
    stream: str = Field(description="which tasks")
    order: list[str] = Field(description="the tasks' names in the order in which they are learned")
    tasks: list[dict[str, Any]] = Field(description="the tasks as the stream defines them")
    sources: list[dict[str, Any]] = Field(
        default_factory=list, description="where each task's images come from, as found; see benchmark.streams.sources"
    )
    preset: str = Field("quick", description="training length and sizes")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of every random draw of the run")
    data: Data = Field(description="where the images come from")
    backbone: Backbone = Field(description="the network")
    training: Training = Field(description="how a task is learned")
    evaluation: Evaluation = Field(default=Evaluation(), description="what is measured")
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
        content = {name: value for name, value in content.items() if name not in NO_PART}
        content |= {name: deciding(name, content[name]) for name in SECTIONS}
        if not content["backbone_plugin"]:  # as for runs from before backbones came from outside
            content.pop("backbone_plugin")
            content["revisions"].pop("backbone")
        for section, given in content.items():
            later = LATER.get(self.strategy if section == "settings" else section, {}).items()
            if later:
                content[section] = dict(item for item in given.items() if item not in later)
        if not self._takes_photographs:
            content["data"].pop("photographs", None)
        if self.evaluation == Evaluation():  # as for runs from before there was anything to choose
            content.pop("evaluation")
        for task in content["tasks"]:
            task.pop("title", None)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def _takes_photographs(self) -> bool:
        """Whether any of its images are embedded ones, or where they come from is not known yet."""
        sides = [side for source in self.sources for side in source.values() if isinstance(side, dict)]
        return not sides or any(side.get("name") == EMBEDDED for side in sides)

    @property
    def run_name(self) -> str:
        """The name of the run's directory.

        A long name of a stream is cut, as file names end at 255 bytes, and what no folder's name may hold is left out.
        """
        stream = _NO_NAME.sub("-", self.stream)[:40]
        return f"{self.strategy}-{stream}-{self.preset}-seed{self.seed}-{self.identity}"


SECTIONS: dict[str, type[Section]] = {
    "training": Training,
    "data": Data,
    "backbone": Backbone,
    "evaluation": Evaluation,
}
"""The groups of settings that presets, configuration files and ``--set`` may name, beside strategies."""

Values = dict[str, dict[str, Any]]
"""Section or strategy → field → value, before checking."""

PROSE = ("summary", "origins")
"""What a preset or a configuration file may say in words beside the groups of settings."""

MEANT: dict[str, Any] = {"summary": str, "origins": dict[str, str], **SECTIONS}
"""The types that are wanted in presets and configuration files, as far as they are known without torch.

Strategies from outside add theirs as they are imported, so that a text of theirs is what was written."""


@dataclass(frozen=True)
class Assignment:
    """One setting that was given by itself.

    Args:
        section: the section or strategy.
        field: the setting's name there.
        value: its value, before checking.
        said: the words it was given by, such as ``--set cmc.t=3`` or ``--data-root DIR``, for errors.
    """

    section: str
    field: str
    value: Any
    said: str

    @classmethod
    def read(cls, text: str) -> "Assignment":
        """From ``section.field=value``; the value is read as in a YAML file, or is text if the setting is.

        Raises:
            UserError: it is not of this form.
        """
        name, equals, written = text.partition("=")
        section, dot, field = name.strip().partition(".")
        if not (equals and dot and field):
            raise UserError(f"--set {text}: expected section.field=value, for example --set training.epochs=3.")
        if not written.strip():
            raise UserError(f"--set {text}: the value is empty.")
        try:
            return cls(section, field, value(written, meant(section, field)), f"--set {text}")
        except UserError as error:
            raise UserError(f"--set {text}: {error}") from error


def meant(section: str, field: str) -> Any:
    """The type of a setting, as far as it is known without torch."""
    return typed_settings().get(f"{section}.{field}", Any)


def typed_settings() -> dict[str, Any]:
    """The types of all settings whose group is in MEANT, by ``section.field``."""
    return {
        f"{section}.{name}": field.annotation
        for section, kind in MEANT.items()
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for name, field in kind.model_fields.items()
    }


def presets() -> dict[str, str]:
    """Every shipped preset with one line about it."""
    return {name: _preset(name).get("summary", "") for name in named(PRESETS, ".yaml")}


def sizes(preset: str) -> tuple[Training, Backbone]:
    """The training and the network of a shipped preset.

    Raises:
        UserError: there is none of this name.
    """
    values = _preset(preset)
    return Training(**values.get("training", {})), Backbone(**values.get("backbone", {}))


def patch_sizes() -> dict[str, int]:
    """The side of a training patch in pixels, for every shipped preset."""
    return {preset: sizes(preset)[0].patch_size for preset in presets()}


def gather(
    preset: str,
    file: Path | None,
    assignments: Sequence[str | Assignment],
    strategies: Sequence[str],
    chosen: Sequence[str],
    kind: Callable[[str], type[BaseModel]],
) -> Values:
    """Merge preset, configuration file and single assignments; what comes later wins.

    A data root without a word on where images come from means the datasets under it. A setting that can have no effect
    beside the others is refused where the command or the file gives it and it is not what the preset has; those of an
    experiment are not, as it may vary the others.

    Args:
        preset: name of a preset.
        file: a YAML file with the same sections, or None.
        assignments: settings of their own, or texts such as ``training.epochs=3``.
        strategies: names of all strategies, each of which may be a section.
        chosen: the strategies of this command; setting another one's field is an error.
        kind: gives the settings of a strategy by its name; asked only where their defaults matter.

    Raises:
        UserError: a preset, file, section or assignment is wrong, or two of them contradict each other.
    """
    shipped = _preset(preset)
    singles = [Assignment.read(one) if isinstance(one, str) else one for one in assignments]
    _refuse_contradictions(singles)
    layers = [(f"preset '{preset}'", shipped)]
    if file is not None:
        layers.append((f"'{file}'", _read(file)))
    layers += [(one.said, {one.section: {one.field: one.value}}) for one in singles]
    merged: Values = {}
    said: dict[str, str] = {}
    for source, layer in layers:
        for section, fields in _sections(layer, source, strategies).items():
            merged.setdefault(section, {}).update(fields)
            said.update({f"{section}.{field}": source for field in fields})
    for one in singles:
        if one.section in strategies and one.section not in chosen:
            raise UserError(f"{one.said}: strategy '{one.section}' is not part of this command ({', '.join(chosen)}).")
    _settle_source(merged.setdefault("data", {}), said)
    asked = {setting.partition(".")[0] for setting in said.keys() & NEEDED.keys()}
    kinds = SECTIONS | {name: kind(name) for name in asked.intersection(chosen)}
    _refuse_idle(merged, kinds, preset, said, {one.said for one in singles if not one.said.startswith("--")})
    return merged


def _refuse_contradictions(singles: Sequence[Assignment]) -> None:
    """Refuse options that set the same differently; only of two ``--set`` the later one wins."""
    given: dict[tuple[str, str], list[Assignment]] = {}
    for one in singles:
        if one.said.startswith("--"):
            given.setdefault((one.section, one.field), []).append(one)
    for same in given.values():
        special = next((one for one in same if not one.said.startswith("--set ")), None)
        other = next((one for one in same if special is not None and one.value != special.value), None)
        if special is not None and other is not None:
            raise UserError(f"{special.said} contradicts {other.said}. Give one of them.")


def _settle_source(data: dict[str, Any], said: Mapping[str, str]) -> None:
    """Take a root for the wish to use it, and refuse what only datasets have where photographs were asked for."""
    if data.get("root") is not None:
        data.setdefault("source", "datasets")
    if data.get("source", "embedded") != "embedded":
        return
    for field, unset in (("root", None), ("cache", None), ("fallback", "none")):
        if data.get(field, unset) == unset:
            continue
        source = said.get("data.source")
        asked = f"contradicts {source}" if source else "needs --data-root DIR"
        raise UserError(
            f"{said[f'data.{field}']} {asked}: data.{field} is for datasets on disk, and data.source is 'embedded'. "
            "Leave one of them out."
        )


def _refuse_idle(
    values: Values,
    kinds: Mapping[str, type[BaseModel]],
    preset: str,
    said: Mapping[str, str],
    strangers: set[str],
) -> None:
    """Refuse what was given and can have no effect beside other settings; what is as the preset has it was not given.

    Args:
        values: all settings, merged.
        kinds: the types of groups of settings; others are not looked at.
        preset: the preset's name.
        said: what gave each of them, in words.
        strangers: of these words those of experiments, which may vary what others need.
    """
    for setting in NEEDED:
        section, _, field = setting.partition(".")
        if section not in kinds:
            continue
        try:
            given, usual = (kinds[section](**one.get(section, {})) for one in (values, _preset(preset)))
        except ValidationError:
            continue  # told by :func:`checked`
        values_here = {f"{section}.{name}": value for name, value in given}
        if getattr(given, field) == getattr(usual, field) or has_effect(setting, values_here):
            continue
        idle = idle_beside(setting, values_here)
        needed, wanted = NEEDED[idle]
        if strangers.isdisjoint(said.get(name, "") for name in (setting, idle, *needed)):
            decided = {name: values_here[name] for name in needed}
            told = [f"{name} = {it}" + (f" ({said[name]})" if name in said else "") for name, it in decided.items()]
            raise UserError(
                f"{said[setting]} has no effect beside {' and '.join(told)}: {idle} needs {' or '.join(needed)} "
                f"{wanted if wanted == SOME else f'= {wanted}'}. Leave it out, or change that."
            )


def checked(**fields: Any) -> RunConfig:
    """A run's configuration from plain values.

    Raises:
        UserError: a field is unknown or out of range, a text could not be read back from a run's record, or training
            would take far too much memory.
    """
    _refuse_bytes(fields)
    try:
        config = RunConfig.model_validate(fields)
    except ValidationError as error:
        raise UserError(explain(error, RunConfig)) from error
    training, network = config.training, config.backbone
    layers = 2 * network.blocks + 2
    features = training.batch_size * training.patch_size**2 * network.width * 4 * layers
    if features > MOST_FEATURES:
        raise UserError(
            f"A training step keeps about {gib(features)} of features: training.batch_size = {training.batch_size:,} "
            f"patches of training.patch_size = {training.patch_size} in about {layers} layers of backbone.width = "
            f"{network.width}. At most {gib(MOST_FEATURES)} are accepted; lower one of them."
        )
    return config


def _refuse_bytes(value: Any, name: str = "") -> None:
    """Refuse a text that is not valid UTF-8, as a name of a file may be; a record that holds one cannot be read."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            _refuse_bytes(below, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list):
        for below in value:
            _refuse_bytes(below, name)
    elif isinstance(value, str) and not is_text(value):
        raise UserError(
            f"{name} = {shortened(repr(value))} is not valid UTF-8 and cannot be recorded. Rename the file or folder "
            "that is called so."
        )


@cache
def _preset(name: str) -> dict[str, Any]:
    """A shipped preset; it is read once, and nobody changes it.

    Raises:
        UserError: there is none of this name.
    """
    known = named(PRESETS, ".yaml")
    if name not in known:
        raise unknown(
            "preset", name, known, "Settings of your own go on top of one, with --config FILE (of run) or --set."
        )
    return _read(known[name])


def _read(path: Path) -> dict[str, Any]:
    return YamlFile(path, "configuration file", "sections such as 'training:' with fields below them", MEANT).data


def _sections(data: Mapping[str, Any], source: str, strategies: Sequence[str]) -> Values:
    found: Values = {}
    for section, fields in data.items():
        if section in PROSE:
            continue
        if section not in SECTIONS and section not in strategies:
            raise unknown(f"section in {source}:", str(section), [*SECTIONS, *strategies])
        if not isinstance(fields, dict):
            raise UserError(f"{source}: section '{section}' needs fields, for example {section}.field=value.")
        found[section] = dict(fields)
    return found

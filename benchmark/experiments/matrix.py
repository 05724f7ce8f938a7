"""An experiment: the runs behind one table or figure, as a matrix of strategies, streams, orders, settings and seeds.

An experiment file is YAML::

    summary: does sharing help more where a task owns less?
    strategies: [cmc]
    streams: [four_tasks]                 # names of shipped streams, or stream files; four_tasks if left out
    set: {cmc.t: 5}                       # settings of every run
    vary:                                 # each combination of these values is a run
      cmc.fraction: [0.2, 0.1, 0.05]
      cmc.sharing: [none, fixed]
    presets:
      quick: {training.epochs: 8}         # settings of every run with this preset
    seeds: [0, 1, 2]

What names a strategy (``cmc.t``) goes to the runs of that strategy alone. ``of: [table3]`` adds the runs of other
experiments. Runs are told apart by their content, so experiments that share a run share its result. The experiments of
the paper are in ``benchmark/experiments/paper``.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmark.config import SECTIONS, Assignment, RunConfig, presets
from benchmark.core.errors import UserError, unknown
from benchmark.core.validation import explain
from benchmark.core.yaml_files import YamlFile
from benchmark.planning import MOST_RUNS, plan
from strategies import registry

FOLDER = Path(__file__).parent / "paper"

LAYER = "table6"
"""The one table of the paper that is not made of runs: it is measured on a single layer."""


class Experiment(BaseModel):
    """A set of runs behind one table or figure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="the file's name")
    summary: str = Field("", description="the question it answers, in one line")
    of: list[str] = Field(default_factory=list, description="experiments of the paper whose runs belong to it, too")
    strategies: list[str] = Field(default_factory=list, description="the strategies to run")
    streams: list[str] = Field(default=["four_tasks"], min_length=1, description="the streams to run them on")
    orders: list[list[str]] = Field(
        default_factory=list, description="orders of the streams' tasks; each stream's own if left out"
    )
    set: dict[str, Any] = Field(default_factory=dict, description="settings of every run: section.field → value")
    vary: dict[str, list[Any]] = Field(
        default_factory=dict, description="settings of which every combination is run: section.field → values"
    )
    presets: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="settings of every run with one preset: preset → section.field → value"
    )
    seeds: list[Annotated[int, Field(ge=0, le=2**31 - 1)]] = Field(
        default=[0], min_length=1, description="seeds; each combination is run with every seed"
    )


@dataclass(frozen=True)
class Choices:
    """What the person who asks for an experiment decides, and the experiment leaves open.

    Args:
        preset: training length and sizes.
        seeds: seeds in place of the experiment's own; empty for those.
        assignments: settings such as ``training.epochs=3`` that win over the experiment's.
    """

    preset: str = "quick"
    seeds: tuple[int, ...] = ()
    assignments: tuple[str | Assignment, ...] = ()

    @property
    def settings(self) -> list[Assignment]:
        """The assignments, read.

        Raises:
            UserError: one is not of the form ``section.field=value``.
        """
        return [Assignment.read(one) if isinstance(one, str) else one for one in self.assignments]


def names() -> list[str]:
    """The tables and figures of the paper that can be reproduced, in the paper's order."""
    return sorted([*(path.stem for path in FOLDER.glob("*.yaml")), LAYER], key=lambda name: (name[0] != "t", name))


def paper(name: str) -> Experiment:
    """The experiment behind a table or figure of the paper.

    Raises:
        UserError: there is none of this name.
    """
    path = FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise unknown("table or figure", name, [*names(), "all"])
    return load(path)


def load(path: Path) -> Experiment:
    """An experiment from its file.

    Raises:
        UserError: the file cannot be read or says what cannot be; the line is told.
    """
    file = YamlFile(path, "experiment file", "at least a list 'strategies'", _meant())
    try:
        experiment = Experiment.model_validate({"name": path.stem, **file.data})
    except ValidationError as error:
        raise UserError(
            f"{path}, " + explain(error, Experiment, place=lambda where: f"line {file.line(where)}: ")
        ) from error
    if not experiment.strategies and not experiment.of:
        raise file.error([], "it runs nothing. Name strategies, such as 'strategies: [cmc, packnet]'.")
    for place, name in enumerate(experiment.of):
        if name not in names() or name == LAYER:
            raise file.error(["of", place], str(unknown("experiment of the paper", name, set(names()) - {LAYER})))
    for preset in experiment.presets:
        if preset not in presets():
            raise file.error(["presets", preset], str(unknown("preset", preset, presets())))
    _check_settings(experiment, file)
    for key, values in experiment.vary.items():
        if not values:
            raise file.error(["vary", key], f"'{key}' has no values to try.")
        for where in (["set"], *(["presets", preset] for preset in experiment.presets)):
            fixed = experiment.set if where == ["set"] else experiment.presets[where[1]]
            if key in fixed:
                raise file.error([*where, key], f"'{key}' is varied, too; leave it out of one of them.")
    return experiment


def strategies(experiment: Experiment) -> set[str]:
    """The strategies that it runs, with those of the experiments that belong to it."""
    return {*experiment.strategies, *(name for other in experiment.of for name in strategies(paper(other)))}


def refuse_strangers(experiments: Sequence[Experiment], choices: Choices) -> None:
    """Refuse an assignment to a strategy that none of the experiments runs; it would do nothing.

    Raises:
        UserError: there is one.
    """
    run = set().union(*(strategies(experiment) for experiment in experiments))
    for one in choices.settings:
        if one.section in registry.entries() and one.section not in run:
            accepted = ", ".join(sorted(run)) or "none"
            raise UserError(f"{one.said}: no run is of the strategy '{one.section}'. Strategies here: {accepted}.")


def expand(experiment: Experiment, choices: Choices) -> list[RunConfig]:
    """The configurations of all its runs, each once, in the order in which they are best done.

    Raises:
        UserError: a setting is not accepted, or there are far too many runs.
    """
    configs = [planned for name in experiment.of for planned in expand(paper(name), choices)]
    seeds = ",".join(str(seed) for seed in choices.seeds or experiment.seeds)
    settings = experiment.set | experiment.presets.get(choices.preset, {})
    orders: list[str | None] = [",".join(order) for order in experiment.orders] or [None]
    for strategy in experiment.strategies:
        mine = {key: values for key, values in experiment.vary.items() if _meant_for(key, strategy)}
        fixed = {key: value for key, value in settings.items() if _meant_for(key, strategy)}
        runs = len(experiment.streams) * len(orders) * len(seeds.split(","))
        for values in mine.values():
            runs *= len(values)
        if runs > MOST_RUNS:
            raise UserError(f"Experiment '{experiment.name}' has {runs} runs of {strategy}; at most {MOST_RUNS}.")
        for stream, order, *values in itertools.product(experiment.streams, orders, *mine.values()):
            chosen = fixed | dict(zip(mine, values, strict=True))
            said = f"experiment '{experiment.name}'"
            ours = [Assignment(*key.partition(".")[::2], value, f"{key} of {said}") for key, value in chosen.items()]
            theirs = [one for one in choices.settings if _meant_for(one.section, strategy)]
            configs += plan(strategy, stream, choices.preset, seeds, order, None, None, [*ours, *theirs])
    return list({planned.identity: planned for planned in configs}.values())


def _meant_for(key: str, strategy: str) -> bool:
    """Whether a setting, or all of a section, is for runs of this strategy: not if it names another one."""
    section = key.partition(".")[0]
    return section == strategy or section not in registry.entries()


def _meant() -> dict[str, Any]:
    """The types that are wanted in an experiment file."""
    settings = {
        f"{section}.{name}": field.annotation
        for section, kind in SECTIONS.items()
        for name, field in kind.model_fields.items()
    }
    fields = {name: field.annotation for name, field in Experiment.model_fields.items()}
    vary = {key: GenericAlias(list, kind) for key, kind in settings.items()}
    return fields | {"set": settings, "vary": vary, "presets": dict.fromkeys(presets(), settings)}


def _check_settings(experiment: Experiment, file: YamlFile) -> None:
    """Refuse a setting that no run of the experiment would take."""
    places: list[tuple[list[str | int], Mapping[str, Any]]] = [(["set"], experiment.set), (["vary"], experiment.vary)]
    places += [(["presets", preset], values) for preset, values in experiment.presets.items()]
    known: Sequence[str] = [*SECTIONS, *experiment.strategies]
    for where, settings in places:
        for key in settings:
            section, dot, field = key.partition(".")
            if not (dot and field):
                raise file.error([*where, key], f"'{key}': expected section.field, such as training.epochs.")
            if section not in known:
                problem = unknown(f"section of '{key}':", section, known)
                raise file.error([*where, key], str(problem))

"""From an experiment to the configurations of its runs: a matrix of strategies, streams, orders, settings and seeds.

What an experiment file holds stands in :mod:`benchmark.experiments.experiment`. Runs are told apart by their content,
so experiments that share a run share its result.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import GenericAlias
from typing import Any

from benchmark.config import SECTIONS, Assignment, RunConfig, presets, typed_settings
from benchmark.core.errors import UserError, unknown
from benchmark.core.yaml_files import YamlFile
from benchmark.experiments import paper
from benchmark.experiments.experiment import Experiment, read
from benchmark.experiments.measurements import MEASUREMENTS
from benchmark.planning import MOST_RUNS, plan, root_assignments
from benchmark.planning import seeds as planned_seeds
from strategies import registry


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


def choices(
    preset: str, seed: str | None, data_root: Path | None, fallback: str | None, assignments: Sequence[str]
) -> Choices:
    """Choices as the options of a command give them.

    Raises:
        UserError: a seed is no whole number.
    """
    given = (*root_assignments(data_root, fallback), *assignments)
    return Choices(preset, tuple(planned_seeds(seed)) if seed else (), given)


def load(path: Path) -> Experiment:
    """An experiment from its file.

    Raises:
        UserError: the file cannot be read or says what cannot be; the line is told.
    """
    file = YamlFile(path, "experiment file", "at least a list 'strategies'", _meant())
    experiment = read(file)
    if not (experiment.strategies or experiment.of or experiment.measure):
        raise file.error([], "it runs nothing. Name strategies, such as 'strategies: [cmc, packnet]'.")
    if experiment.measure and experiment.measure not in MEASUREMENTS:
        raise file.error(["measure"], str(unknown("measurement", experiment.measure, MEASUREMENTS)))
    for place, name in enumerate(experiment.of):
        with_runs = [known for known in paper.names() if not paper.load(known).measure]
        if name not in with_runs:
            raise file.error(["of", place], str(unknown("experiment of the paper", name, with_runs)))
    for preset in experiment.presets:
        if preset not in presets():
            raise file.error(["presets", preset], str(unknown("preset", preset, presets())))
    _check_settings(experiment, file)
    fixed = [(["set"], experiment.set), *((["presets", name], given) for name, given in experiment.presets.items())]
    for key, values in experiment.vary.items():
        if not values:
            raise file.error(["vary", key], f"'{key}' has no values to try.")
        for where, settings in fixed:
            if key in settings:
                raise file.error([*where, key], f"'{key}' is varied, too; leave it out of one of them.")
    return experiment


def load_each(paths: Sequence[Path]) -> list[Experiment]:
    """Experiments from their files, each once however often it is named.

    Raises:
        UserError: as :func:`load`; or two experiments have one name.
    """
    found: dict[str, tuple[Path, Experiment]] = {}
    for path in paths:
        experiment = load(path)
        before, same = found.setdefault(experiment.name, (path, experiment))
        if same != experiment:
            raise UserError(
                f"'{before}' and '{path}' are two experiments of one name, '{experiment.name}', by which their runs "
                "are told apart. Rename a file, or give it another 'name'."
            )
    return [experiment for _, experiment in found.values()]


def strategies(experiment: Experiment) -> set[str]:
    """The strategies that it runs, with those of the experiments that belong to it."""
    return {*experiment.strategies, *(name for other in experiment.of for name in strategies(paper.load(other)))}


def refuse_strangers(experiments: Sequence[Experiment], choices: Choices) -> None:
    """Refuse an assignment to a strategy that none of the experiments runs, and any where they run nothing.

    Raises:
        UserError: there is one, which would do nothing.
    """
    run = set().union(*(strategies(experiment) for experiment in experiments))
    said = [one.said for one in choices.settings] + ["--seed"] * bool(choices.seeds)
    if said and not run:
        names = ", ".join(experiment.name for experiment in experiments)
        raise UserError(f"{said[0]} has no effect: {names} is measured, and no run is made for it. Leave it out.")
    for one in choices.settings:
        if one.section in registry.entries() and one.section not in run:
            accepted = ", ".join(sorted(run)) or "none"
            raise UserError(f"{one.said}: no run is of the strategy '{one.section}'. Strategies here: {accepted}.")


def expand(experiment: Experiment, choices: Choices) -> list[RunConfig]:
    """The configurations of all its runs, each once, in the order in which they are best done.

    Raises:
        UserError: a setting is not accepted, or there are far too many runs.
    """
    seeds = choices.seeds or tuple(experiment.seeds)
    numbers = ",".join(str(seed) for seed in seeds)
    runs = sum(experiment.count(strategy) for strategy in experiment.strategies) * len(seeds)
    if runs > MOST_RUNS:
        raise UserError(f"Experiment '{experiment.name}' has {runs} runs; at most {MOST_RUNS}.")
    configs = [planned for name in dict.fromkeys(experiment.of) for planned in expand(paper.load(name), choices)]
    said = f"experiment '{experiment.name}'"
    for one in experiment.combinations(choices.preset):
        ours = [Assignment(*key.partition(".")[::2], value, f"{key} of {said}") for key, value in one.settings.items()]
        others = registry.entries().keys() - {one.strategy}
        theirs = [given for given in choices.settings if given.section not in others]
        order = ",".join(one.order) if one.order else None
        configs += plan(one.strategy, one.stream, choices.preset, numbers, order, None, None, [*ours, *theirs])
    return list({planned.identity: planned for planned in configs}.values())


def _meant() -> dict[str, Any]:
    """The types that are wanted in an experiment file."""
    settings = typed_settings()
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
            if (fields := _fields(section)) and field not in fields:
                raise file.error([*where, key], str(unknown(f"setting of {section}", field, fields)))


def _fields(section: str) -> list[str]:
    """The settings of a section or a strategy; none of a strategy that there is not, which is told elsewhere."""
    if section in SECTIONS:
        return list(SECTIONS[section].model_fields)
    return list(registry.load(section).Settings.model_fields) if section in registry.entries() else []

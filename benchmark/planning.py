"""From what a command asks for to the configurations of its runs; without torch."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmark import backbones, config, presets
from benchmark.config import Assignment
from benchmark.core.errors import UserError, unknown
from benchmark.core.plugins.catalogue import OWN
from benchmark.core.runs.directory import Run, locate
from benchmark.core.runs.formats import NO_PART
from benchmark.core.validation import written
from benchmark.core.yaml_files import number
from benchmark.streams.definition import Task, load
from strategies import registry

MOST_RUNS = 10_000
"""More runs than this at once are taken for a mistake."""


def plan(
    strategy: str,
    stream: str,
    preset: str,
    seed: str,
    order: str | None,
    data: str | None,
    config_file: Path | None,
    assignments: Sequence[str | Assignment],
) -> list[config.RunConfig]:
    """The configurations that a ``run`` command asks for, strategy by strategy and seed by seed.

    Raises:
        UserError: a name is unknown, or a value is not accepted.
    """
    available = registry.entries()
    chosen = list(dict.fromkeys(split_names(strategy, "--strategy")))
    for name in chosen:
        if name not in available:
            raise unknown("strategy", name, available, OWN)
        registry.know(name)
    defined = load(stream)
    numbers = seeds(seed)
    if len(chosen) * len(numbers) > MOST_RUNS:
        raise UserError(f"{len(chosen)} strategies with {len(numbers):,} seeds each: at most {MOST_RUNS:,} runs.")
    if order is not None:
        defined = defined.reordered(split_names(order, "--order"))
    if data is not None:
        assignments = [*assignments, Assignment("data", "source", data, f"--data {data}")]
    values = config.gather(
        preset, config_file, assignments, list(available), chosen, lambda name: registry.load(name).Settings
    )
    shared: dict[str, Any] = {section: values.get(section, {}) for section in config.SECTIONS}
    network = backbones.entries().get(str(shared["backbone"].get("name", "")))
    configs = []
    for name in chosen:
        for one in numbers:
            configs.append(
                config.checked(
                    strategy=name,
                    plugin=available[name].origin,
                    backbone_plugin=network.origin if network else "",
                    imports=sorted({one.imports for one in (available[name], network) if one and one.imports}),
                    stream=defined.name,
                    order=defined.order,
                    tasks=[task.model_dump(mode="json") for task in defined.tasks],
                    preset=preset,
                    seed=one,
                    settings=values.get(name, {}),
                    **shared,
                )
            )
    return configs


def root_assignments(data_root: Path | None, fallback: str | None) -> list[str | Assignment]:
    """The settings that ``--data-root`` and ``--fallback`` stand for."""
    found: list[str | Assignment] = []
    if data_root is not None:
        said = f"--data-root {data_root}"
        found += [Assignment("data", "source", "datasets", said), Assignment("data", "root", str(data_root), said)]
    if fallback is not None:
        found.append(Assignment("data", "fallback", fallback, f"--fallback {fallback}"))
    return found


def about_images(configs: Sequence[config.RunConfig]) -> list[str]:
    """What is worth knowing of the images before runs are done, in words.

    Which tasks train on images that a test set holds, too, or the images held out, so that their results flatter; which
    tasks are one and the same, as a dataset of pairs brings its own degraded images; what of a dataset is left out; and
    which datasets of one's own are not used, as no folder was given.

    Args:
        configs: resolved; of each stream one tells for all.
    """
    from benchmark.streams.sources import left_out

    notes = []
    for planned in {one.stream: one for one in configs}.values():
        tasks = [Task.model_validate(task) for task in planned.tasks]
        notes += [
            *_leaks(planned),
            *_twins(planned, {task.name for task in tasks if task.again}),
            *(f"Note: {text}" for text in left_out(tasks, planned.data)),
            *_unused(planned, tasks),
        ]
    return list(dict.fromkeys(notes))


def _leaks(planned: config.RunConfig) -> list[str]:
    """Training images that stand in a test set of the stream, and those that are held out, too."""
    sources = dict(zip(planned.order, planned.sources, strict=True))
    tested = [
        f"Note: {source['leaks']} training images of {task} ({source['train']['name']}) also stand in a test set "
        "of this stream. See: data check"
        for task, source in sources.items()
        if source["leaks"]
    ]
    held_out = [
        f"Note: {source['validation_leaks']} training images of {task} ({source['train']['name']}) also stand "
        "among those held out for validation, so that validation flatters. Remove the copies."
        for task, source in sources.items()
        if source.get("validation_leaks")
    ]
    return tested + held_out


def _twins(planned: config.RunConfig, again: Collection[str]) -> list[str]:
    """Tasks that are one and the same, but for those that come ``again`` on purpose."""
    sources = {task: source for task, source in zip(planned.order, planned.sources, strict=True) if task not in again}
    return [
        f"Note: {one} and {other} are the same task: both take the pairs of {sources[one]['train']['name']}, which "
        "bring their own degraded images, so that no degradation is applied."
        for one, other in combinations(sources, 2)
        if sources[one] == sources[other] and "pair" in sources[one]["train"]["release"]
    ]


def _unused(planned: config.RunConfig, tasks: Sequence[Task]) -> list[str]:
    """Datasets of one's own for which embedded photographs stand in."""
    unused = sorted({name for task in tasks for name in (task.dataset.train, task.dataset.test) if _own(name)})
    if planned.data.source != "embedded" or not unused:
        return []
    return [
        f"Note: datasets that {planned.stream} names are not used without --data-root: {', '.join(unused)}. "
        "Embedded photographs, degraded as the tasks say, stand in for them."
    ]


def _own(dataset: str) -> bool:
    """Whether a task's dataset is somebody's own, for which it is no matter of course that photographs stand in."""
    from benchmark.data.datasets import PUBLISHED

    return bool(dataset) and dataset.lower() not in PUBLISHED


def others_begun(configs: Sequence[config.RunConfig], out: Path) -> list[str]:
    """Which unfinished runs below a folder differ from the planned ones in settings alone, and in which, in words.

    A changed setting makes another run, so such a one is not gone on with.

    Args:
        configs: resolved.
        out: folder of the run directories.
    """
    places = locate(out) if out.is_dir() else {}
    notes = []
    for planned in configs:
        own = planned.identity
        begun = planned.run_name.removesuffix(own)
        for identity, path in places.items() if own not in places else ():
            there = _unfinished(path) if path.name == f"{begun}{identity}" else None
            if there is not None:
                found = _differences(there, planned.model_dump(mode="json"))
                differing = [(name.replace("settings.", f"{planned.strategy}.", 1), *both) for name, *both in found]
                told = "; ".join(
                    f"{name} is {written(there) or 'empty'} there and {written(here) or 'empty'} here"
                    for name, there, here in differing[:5]
                )
                more = f"; and {len(differing) - 5} more" if len(differing) > 5 else ""
                notes.append(f"Note: unfinished run {path.name} is another one and stays as it is: {told}{more}.")
    return notes


def _unfinished(path: Path) -> dict[str, Any] | None:
    """The configuration of a run that is not finished; None of a finished one, and of one that cannot be read."""
    with suppress(UserError):
        run = Run(path)
        return None if run.finished else run.config
    return None


def _differences(there: Any, here: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Where two configurations differ: the setting's name, and its values."""
    if isinstance(there, dict) and isinstance(here, dict):
        pairs = {f"{name}.{key}" if name else key: (there.get(key), here.get(key)) for key in (*there, *here)}
        return [found for place, both in pairs.items() if place not in NO_PART for found in _differences(*both, place)]
    return [] if there == here else [(name, there, here)]


def usual_settings(planned: config.RunConfig) -> Any:
    """What a run's strategy is set to where nobody says otherwise: by the preset, and else by default."""
    kind = registry.load(planned.strategy)
    return registry.settings(kind, presets.settings(planned.preset, planned.strategy))


def settings_from(planned: config.RunConfig) -> str:
    """Where the settings of a run's strategy come from, in words; empty for a strategy that has none.

    Args:
        planned: resolved.
    """
    usual = usual_settings(planned).model_dump(mode="json")
    by_hand = [name for name, value in planned.settings.items() if value != usual[name]]
    origin = presets.origin(planned.preset, planned.strategy) if usual else ""
    if not by_hand:
        return origin
    others = f", else {origin}" if origin and len(by_hand) < len(usual) else ""
    return ", ".join(by_hand) + presets.AS_ASKED_FOR + others


def seeds(text: str) -> list[int]:
    """The seeds between commas, each once.

    Raises:
        UserError: one is not a whole number from 0.
    """
    numbers = [number(name) for name in split_names(text, "--seed")]
    if not all(one is not None and one >= 0 and one == one // 1 for one in numbers):
        raise UserError(f"--seed {text}: expected whole numbers from 0, with commas between, such as 0,1,2.")
    return list(dict.fromkeys(int(one) for one in numbers if one is not None))


def split_names(text: str, option: str = "") -> list[str]:
    """Names between commas, in order.

    Args:
        text: the names.
        option: the option they were given with, for errors.

    Raises:
        UserError: there is none.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UserError(
            f"{option} '{text}'".lstrip() + " names nothing; give one name, or several with commas between."
        )
    return names

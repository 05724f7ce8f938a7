"""From what a command asks for to the configurations of its runs; without torch."""

from pathlib import Path
from typing import Any

from benchmark import config
from benchmark.errors import UserError, unknown
from benchmark.streams.definition import load
from strategies import registry


def plan(
    strategy: str,
    stream: str,
    preset: str,
    seed: str,
    order: str | None,
    data: str | None,
    config_file: Path | None,
    assignments: list[str],
) -> list[config.RunConfig]:
    """The configurations that a ``run`` command asks for, strategy by strategy and seed by seed.

    Raises:
        UserError: a name is unknown, or a value is not accepted.
    """
    available = registry.entries()
    chosen = list(dict.fromkeys(split_names(strategy)))
    for name in chosen:
        if name not in available:
            raise unknown("strategy", name, available)
    defined = load(stream)
    if order is not None:
        defined = defined.reordered(split_names(order))
    if data is not None:
        assignments = [*assignments, f"data.source={data}"]
    values = config.gather(preset, config_file, assignments, list(available), chosen)
    shared: dict[str, Any] = {section: values.get(section, {}) for section in config.SECTIONS}
    configs = []
    for name in chosen:
        for number in seeds(seed):
            configs.append(
                config.checked(
                    strategy=name,
                    plugin=available[name].origin,
                    stream=defined.name,
                    order=defined.order,
                    tasks=[task.model_dump(mode="json") for task in defined.tasks],
                    preset=preset,
                    seed=number,
                    settings=values.get(name, {}),
                    **shared,
                )
            )
    return configs


def seeds(text: str) -> list[int]:
    """The seeds between commas, each once.

    Raises:
        UserError: one is not a whole number.
    """
    numbers = list(dict.fromkeys(split_names(text)))
    if not all(number.isdecimal() for number in numbers):
        raise UserError(f"--seed {text}: expected whole numbers from 0, with commas between, such as 0,1,2.")
    return [int(number) for number in numbers]


def split_names(text: str) -> list[str]:
    """Names between commas, in order.

    Raises:
        UserError: there is none.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise UserError(f"'{text}' names nothing; give one name, or several with commas between.")
    return names

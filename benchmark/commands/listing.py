"""``list`` and ``show``: what can be chosen, and what one run came to."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark.commands.options import Plugins, place, words
from benchmark.commands.output import console
from benchmark.core import printing
from benchmark.core.errors import UserError, unknown

NARROW = 8
"""Letters of a column that says yes or no; its heading wraps."""


class Kind(StrEnum):
    """What ``list`` can list."""

    strategies = "strategies"
    streams = "streams"
    presets = "presets"
    backbones = "backbones"
    datasets = "datasets"
    settings = "settings"


def kind_name(value: Any) -> Kind:
    """A parser of what is listed."""
    if value not in list(Kind):
        raise unknown("kind of list", str(value), Kind)
    return Kind(value)


def list_(
    kind: Annotated[Kind, typer.Argument(parser=kind_name, metavar="kind", help="What to list.")],
    names: Annotated[bool, typer.Option("--names", help="Names alone, one a line, for scripts.")] = False,
    guide: Annotated[
        bool, typer.Option("--guide", help="With strategies: a page on all of them, in Markdown.")
    ] = False,
    strategy: Annotated[
        str | None,
        typer.Option(
            parser=words("--strategy"), help="With settings: those of one strategy, or of several with commas between."
        ),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """List what can be chosen, with one line about each."""
    if strategy is not None and kind is not Kind.settings:
        raise UserError(f"--strategy {strategy} goes with 'list settings' alone, not with 'list {kind.value}'.")
    if guide and kind is not Kind.strategies:
        raise UserError(f"--guide goes with 'list strategies' alone, not with 'list {kind.value}'.")
    if guide and names:
        raise UserError("--names has no effect beside --guide, which prints a page. Leave one of them out.")
    from rich.table import Table

    from strategies import registry
    from strategies.traits import WORDS, answers

    registry.add_plugins(plugin or [])
    if guide:
        from strategies.guide import guide as written

        printing.page(written(list(registry.entries())))
        return
    if kind is Kind.settings:
        rows = _settings(strategy)
        columns = ["setting", "without a preset", "accepted", "meaning"]
    else:
        rows = [[name, summary] for name, summary in _choices(kind).items()]
        columns = ["name", "summary"]
        if kind is Kind.strategies:
            declared = {name: answers(entry.traits) for name, entry in registry.entries().items()}
            rows = [[name, *declared[name].values(), summary] for name, summary in rows]
            columns = ["name", *WORDS.values(), "summary"]
    if names:
        for row in rows:
            console.print(row[0])
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        narrow = NARROW if column in WORDS.values() else None
        table.add_column(column, no_wrap=column == columns[0], overflow="fold", max_width=narrow)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show(
    run: Annotated[Path, typer.Argument(parser=place("RUN"), help="A run directory.", metavar="RUN")],
) -> None:
    """Show one run in the terminal: settings, PSNR after each task, forgetting, cost."""
    from benchmark.core.runs.directory import find_runs
    from reports.terminal import show as show_run

    for found in find_runs([run]):
        show_run(found, console)


def _choices(kind: Kind) -> dict[str, str]:
    from benchmark import backbones, config, sections
    from strategies import registry

    if kind is Kind.strategies:
        return {name: entry.summary for name, entry in registry.entries().items()}
    if kind is Kind.presets:
        return config.presets()
    if kind is Kind.backbones:
        return {name: entry.summary for name, entry in backbones.entries().items()}
    if kind is Kind.datasets:
        return dict(sections.SOURCES)
    from benchmark.streams.definition import load, shipped

    return {name: load(name).summary for name in shipped()}


def _settings(strategy: str | None) -> list[list[str]]:
    from benchmark.config import SECTIONS
    from benchmark.core.validation import described
    from benchmark.planning import split_names
    from strategies import registry

    names = split_names(strategy, "--strategy") if strategy is not None else []
    models = {name: registry.load(name).Settings for name in names} or SECTIONS
    return [
        [f"{section}.{one.name}", one.default, one.accepted, one.meaning]
        for section, model in models.items()
        for one in described(model)
    ]

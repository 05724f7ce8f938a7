"""What an experiment is: the runs behind one table or figure, and, of the paper's, what was printed there.

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
experiments of the paper, ``measure: layer`` something that is no run. This module knows neither torch nor what trains:
:mod:`benchmark.experiments.matrix` makes configurations of runs, and reports look for the runs that fill a row.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchmark.core.errors import UserError
from benchmark.core.validation import Closed, explain, filled
from benchmark.core.yaml_files import YamlFile

_T = TypeVar("_T")


@dataclass(frozen=True)
class Combination:
    """What runs of an experiment have in common, but for their seed and preset.

    Args:
        strategy: the strategy's name.
        stream: the stream's name, or its file.
        order: its tasks in the order in which they are learned; None for the stream's own order.
        settings: ``section.field`` → value; what is left out is as in the preset.
    """

    strategy: str
    stream: str
    order: list[str] | None = None
    settings: dict[str, Any] = field(default_factory=dict)


class Row(BaseModel):
    """A row of a printed table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cells: list[str] = Field(description="what is printed in each column")
    ours: dict[str, Any] = Field(
        default_factory=dict,
        description="what fills the row here: strategy and section.field → value of a run beside what every run has, "
        "or columns of a measurement; empty where a row is of no single run",
    )


class Printed(BaseModel):
    """A table of the paper as printed, with notes where the paper disagrees with itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    section: str = Field(description="the section that discusses it")
    caption: str = Field(description="the printed caption")
    setting: str = Field(description="what it was measured on, in words")
    unit: str = Field(description="the unit of its figures")
    metrics: list[str] = Field(
        default=["psnr"], description="what a cell holds, with slashes between: psnr in dB, ssim"
    )
    tasks: dict[str, str] = Field(
        default_factory=dict, description="heading → the task's name here, in the order of its stream"
    )
    columns: list[str] = Field(description="the heading of each column")
    rows: list[Row] = Field(description="its rows")
    notes: list[str] = Field(
        default_factory=list, description="what a reader has to know, above all where two tables disagree"
    )

    @property
    def by_head(self) -> list[dict[str, str]]:
        """The rows as heading → cell."""
        return [dict(zip(self.columns, row.cells, strict=True)) for row in self.rows]

    @model_validator(mode="after")
    def _as_wide_as_its_headings(self) -> "Printed":
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise ValueError(f"{row.cells} has {len(row.cells)} cells, not one for each of {len(self.columns)}")
        return self


class Experiment(Closed):
    """A set of runs, or a measurement, behind one table or figure."""

    name: Annotated[str, AfterValidator(filled)] = Field(description="the file's name")
    summary: str = Field("", description="the question it answers, in one line")
    of: list[str] = Field(default_factory=list, description="experiments of the paper whose runs belong to it, too")
    strategies: list[str] = Field(default_factory=list, description="the strategies to run")
    streams: list[str] = Field(default=["four_tasks"], min_length=1, description="the streams to run them on")
    orders: list[Annotated[list[str], Field(min_length=1)]] = Field(
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
    measure: str = Field("", description="a measurement that is no run, see benchmark.experiments.measurements")
    printed: Printed | None = Field(None, description="the table as printed, of an experiment of the paper")

    @property
    def title(self) -> str:
        """Its name for people: ``Table 1`` of ``table1``."""
        kind = self.name.rstrip("0123456789")
        return f"{kind.capitalize()} {self.name.removeprefix(kind)}".strip()

    @property
    def tasks(self) -> list[str]:
        """The tasks of its stream, in their order, where columns of the printed table are tasks."""
        return list(self.printed.tasks.values()) if self.printed else []

    @property
    def rows(self) -> list[Row]:
        """The printed rows; none of a figure."""
        return self.printed.rows if self.printed else []

    def combinations(self, preset: str = "") -> Iterator[Combination]:
        """Every combination of its own runs, strategy by strategy, without those of the experiments in ``of``.

        Args:
            preset: also set what the file says of runs with this preset.
        """
        settings = self.set | self.presets.get(preset, {})
        for strategy in self.strategies:
            fixed, varied = self._for(strategy, settings), self._for(strategy, self.vary)
            orders: list[list[str] | None] = [*self.orders] or [None]
            for stream, order, *values in itertools.product(self.streams, orders, *varied.values()):
                yield Combination(strategy, stream, order, fixed | dict(zip(varied, values, strict=True)))

    def count(self, strategy: str) -> int:
        """How many combinations of a strategy there are."""
        varied = self._for(strategy, self.vary).values()
        return len(self.streams) * (len(self.orders) or 1) * prod(len(values) for values in varied)

    def filling(self, row: Row) -> Combination:
        """The combination whose runs fill a printed row."""
        own = dict(row.ours)
        strategy = own.pop("strategy", self.strategies[0])
        return Combination(strategy, self.streams[0], None, self._for(strategy, self.set) | own)

    def _for(self, strategy: str, settings: Mapping[str, _T]) -> dict[str, _T]:
        """Those settings that are for runs of this strategy: all but those that name another one."""
        others = {*self.strategies} - {strategy}
        return {key: value for key, value in settings.items() if key.partition(".")[0] not in others}


def read(file: YamlFile) -> Experiment:
    """An experiment from its file.

    Raises:
        UserError: it says what cannot be; the line is told.
    """
    try:
        return Experiment.model_validate({"name": file.path.stem, **file.data})
    except ValidationError as error:
        raise UserError(explain(error, Experiment, file=file)) from error

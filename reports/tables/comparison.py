"""Every entry after the whole stream, task by task, and what was forgotten."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from benchmark.core.metrics import compared
from benchmark.core.tables import INTEGER, NUMBER, TEXT, Schema
from benchmark.core.tables import Column as Field
from reports.groups import Entry, Group
from reports.items.item import Item
from reports.items.table import Cell, Column, Table, number
from reports.results import Array, Quantity, final, mean, value
from reports.seeds import facts
from reports.tables.cells import changed, named
from reports.tables.marks import KNOWLEDGE, mark, reading
from reports.text import NOTHING
from strategies.traits import WORDS

READING = (
    "Every task once the whole stream has been learned. Forgetting is the PSNR lost on a task since its best moment, "
    "backward transfer (BWT) what later tasks did to earlier ones, forward transfer (FWT) the PSNR over the degraded "
    "input on a task just before it is learned. Where a strategy ran with several seeds, figures are means, ± half of "
    "their 95 % interval over seeds. The best of each column is bold; a heading sorts."
)
"""How to read the comparison."""


@dataclass(frozen=True)
class Figure:
    """A figure of a result as a column.

    Args:
        quantity: what of a result it is.
        column: its heading.
        place: of the task, from 0; None where the figure is a single number.
        digits: decimals.
        sign: whether a gain has a sign.
        degraded: what the degraded input has of it; None where it has nothing.
    """

    quantity: Quantity
    column: Column
    place: int | None = None
    digits: int = 2
    sign: bool = False
    degraded: float | None = None

    def cell(self, entry: Entry) -> Cell:
        """The mean over an entry's seeds, with half of its interval."""
        value, margin = self._one(entry.mean(self.quantity)), self._one(entry.margin(self.quantity))
        return number(value, self.digits, margin, sign=self.sign)

    def _one(self, values: Any) -> float:
        return float(values if self.place is None else values[self.place])


FORGETTING = Figure(
    "mean_forgetting",
    Column("forgetting", "", "dB lost on a task since its best moment, mean over all tasks but the last", best=-1),
)
DIP = Figure(
    "mean_dip",
    Column(
        "dip",
        "",
        "dB that a task sinks at most after it was learned, on validation images after each epoch of later tasks; mean "
        "over all tasks but the last",
        best=-1,
    ),
)
TRANSFER = (
    Figure(
        "backward_transfer",
        Column("BWT", "", "backward transfer: dB by which later tasks changed earlier ones", best=1),
        sign=True,
    ),
    Figure(
        "forward_transfer",
        Column("FWT", "", "forward transfer: dB over the degraded input on tasks not learned yet", best=1),
        sign=True,
    ),
)
CHANGED = Column(
    "outputs changed",
    "",
    "outputs on test images of earlier tasks that are no longer bit-identical after the last task, and below it the "
    "tensors on which they depend",
)
TOLD = Column(WORDS["needs_task_id"], "", "whether it knows at test time which task an image is of")


def item(group: Group) -> Item:
    """The comparison; where no run has finished yet, the degraded input as data alone."""
    shown = table(group)
    return Item(
        "comparison",
        group.key,
        "Comparison",
        table=shown if group.entries else None,
        data=frame(group).assign(note=shown.note),
        text=READING,
    )


def table(group: Group) -> Table:
    """The degraded input and every entry: outputs changed, forgetting, and each task in PSNR, gain or SSIM."""
    followed = [DIP] if any(np.isfinite(entry.mean("mean_dip")) for entry in group.entries) else []
    figures = [FORGETTING, *followed, *_tasks(group), *TRANSFER]
    columns = [Column("strategy"), CHANGED, *(figure.column for figure in figures), TOLD]
    told = [entry.told for entry in group.entries]
    rows = [
        [named(entry), changed(entry), *(figure.cell(entry) for figure in figures), Cell(entry.told, entry.told)]
        for entry in group.entries
    ]
    tested = [(figure.quantity, 2 + place, figure.place) for place, figure in enumerate(figures)]
    first = [Cell(NOTHING) if figure.degraded is None else number(figure.degraded, figure.digits) for figure in figures]
    sentences = [facts(f"preset {group.preset}", group.entries), *reading(group.entries, told)]
    if len(set(told)) > 1:
        sentences.append(KNOWLEDGE)
    return Table(
        caption=f"After the whole stream: {group.title}",
        columns=columns,
        rows=[
            [Cell("degraded input", ""), Cell(NOTHING), *first, Cell(NOTHING)],
            *mark(columns, rows, group.entries, told, tested),
        ],
        fixed=1,
        note=" ".join(sentences),
        kind="sortable",
    )


def _tasks(group: Group) -> Iterator[Figure]:
    """Each task by each metric, one view after another; the mean over the tasks first. The first metric's gain, too."""
    for place, metric in enumerate(compared()):
        over = f"{metric.title} ({metric.unit})" if metric.unit else metric.title
        best = 1 if metric.higher_is_better else -1
        view = Column("", over, best=best, view=metric.title)
        yield from _view(group, view, final(metric.name), metric.digits, group.input(metric.name))
        if place == 0:
            view = Column("", f"gain over the degraded input ({metric.unit})", best=best, view="gain")
            yield from _view(group, view, "gain", metric.digits)


def _view(
    group: Group, view: Column, quantity: Quantity, digits: int, degraded: Array | None = None
) -> Iterator[Figure]:
    """The columns of a view: a quantity's mean over the tasks, and that of each.

    Args:
        group: what is compared.
        view: all that the columns have in common.
        quantity: (T,) values of a result.
        digits: decimals.
        degraded: (T,) values of the degraded input; None for a gain, which has a sign and is relative to it.
    """
    known, sign = list(degraded if degraded is not None else [None] * len(group.order)), degraded is None
    column = replace(view, head="mean", title=f"{view.over}, mean over the tasks")
    yield Figure(
        _mean(quantity),
        column,
        digits=digits,
        sign=sign,
        degraded=None if degraded is None else mean(degraded),
    )
    for place, head in enumerate(group.headings):
        yield Figure(
            quantity, replace(view, head=head, title=f"{view.over}, {head}"), place, digits, sign, known[place]
        )


def frame(group: Group) -> pd.DataFrame:
    """One row for the degraded input and one per entry: means over its seeds, and what they vary by beside them."""
    first: dict[str, Any] = {"label": "degraded input"}
    for metric in compared():
        first |= _per_task(group, metric.name, group.input(metric.name))
        first |= {f"mean {metric.name}": mean(group.input(metric.name))}
    rows = [first]
    for entry in group.entries:
        changed = entry.changed
        rows.append(
            {
                "label": entry.label,
                "strategy": entry.results[0].strategy,
                "seeds": len(entry.results),
                "settings from": entry.settings_from,
                **entry.traits,
                **_finals(group, entry),
                **_per_task(group, "gain", entry.mean("gain")),
                **_per_task(group, "forgetting", entry.mean("forgetting")),
                **{
                    f"{title}{suffix}": float(getattr(entry, statistic)(name))
                    for title, name in (
                        ("mean psnr", "mean_psnr"),
                        ("mean gain", "mean_gain"),
                        *((f"mean {metric.name}", _mean(final(metric.name))) for metric in compared()[1:]),
                        ("mean forgetting", "mean_forgetting"),
                        ("mean dip", "mean_dip"),
                        ("backward transfer", "backward_transfer"),
                        ("forward transfer", "forward_transfer"),
                    )
                    for suffix, statistic in (("", "mean"), (" std", "spread"), (" ±", "margin"))
                },
                "outputs changed": changed[0] if changed else None,
                "outputs compared": changed[1] if changed else None,
                "owned tensors changed": entry.owned[0] if entry.owned else None,
                "owned tensors compared": entry.owned[1] if entry.owned else None,
                "trained per task": float(entry.mean("task_parameters")),
                "trained per task in plain backbones": float(entry.mean("over_plain")),
                "stored parameters": np.mean([result.cost("stored_parameters") for result in entry.results]),
                "stored with data": float(entry.mean("kept_bytes")),
            }
        )
    return _comparison(_distinct(group.order)).frame_of(rows)


def _comparison(tasks: list[str]) -> Schema:
    """The columns of :func:`frame`; all but the label are missing where there is nothing to tell."""

    def number(name: str, meaning: str) -> Field:
        return Field(name, NUMBER, meaning, optional=True)

    def each(name: str, meaning: str) -> list[Field]:
        return [number(f"{task} {name}", f"{task}: {meaning}") for task in tasks]

    overall = {
        "mean psnr": "dB, mean over the tasks",
        "mean gain": "dB over the degraded input, mean over the tasks",
        **{f"mean {one.name}": f"{one.unit or one.title}, mean over the tasks" for one in compared()[1:]},
        "mean forgetting": "dB lost on a task since its best moment, mean over all tasks but the last",
        "mean dip": "dB that a task sinks at most after it was learned, on validation images, mean over the same tasks",
        "backward transfer": "dB by which later tasks changed earlier ones",
        "forward transfer": "dB over the degraded input on tasks not learned yet",
    }
    pairs = {
        name: [
            number(name, meaning),
            number(f"{name} std", "its standard deviation over seeds"),
            number(f"{name} ±", "half of its 95 % interval over seeds"),
        ]
        for name, meaning in overall.items()
    }
    mean_psnr, *spread = pairs.pop("mean psnr")
    return Schema(
        (
            Field("label", TEXT, "the configuration's name in the report"),
            *(
                column
                for metric in compared()
                for column in each(metric.name, f"{metric.unit or metric.title} after the whole stream")
            ),
            mean_psnr,
            Field("strategy", TEXT, "the strategy's name"),
            Field("seeds", INTEGER, "runs behind the means", optional=True),
            Field("settings from", TEXT, "where the strategy's settings come from"),
            *(Field(words, TEXT, f"the strategy's {name}: yes, no or unknown") for name, words in WORDS.items()),
            *(
                column
                for metric in compared()
                for column in (
                    *each(f"{metric.name} std", "standard deviation over seeds"),
                    *each(f"{metric.name} ±", "half of the 95 % interval over seeds"),
                )
            ),
            *each("gain", "dB over the degraded input"),
            *each("forgetting", "dB lost since its best moment"),
            *spread,
            *(column for pair in pairs.values() for column in pair),
            Field("outputs changed", INTEGER, "test outputs no longer bit-identical", optional=True),
            Field("outputs compared", INTEGER, "of how many", optional=True),
            Field("owned tensors changed", INTEGER, "tensors that these depend on, no longer the same", optional=True),
            Field("owned tensors compared", INTEGER, "of how many", optional=True),
            number("trained per task", "numbers that a task still trains as it ends, mean over the tasks"),
            number("trained per task in plain backbones", "the same as a multiple of the plain backbone's"),
            number("stored parameters", "mean over seeds"),
            number("stored with data", "bytes of the checkpoint and of the training images that are needed again"),
        )
    )


def _finals(group: Group, entry: Entry) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in compared():
        found |= _per_task(group, metric.name, entry.mean(final(metric.name)))
        found |= _per_task(group, f"{metric.name} std", entry.spread(final(metric.name)))
        found |= _per_task(group, f"{metric.name} ±", entry.margin(final(metric.name)))
    return found


def _mean(quantity: Quantity) -> Quantity:
    """The mean over the tasks of (T,) values, as a quantity."""
    return lambda result: value(result, quantity).mean()


def _per_task(group: Group, name: str, values: np.ndarray) -> dict[str, float]:
    return {f"{task} {name}": float(value) for task, value in zip(_distinct(group.order), values, strict=True)}


def _distinct(order: list[str]) -> list[str]:
    """Task names as column names: a task that comes again, or is called like the mean, is told by its place."""
    clear = [order.count(task) == 1 and task != "mean" for task in order]
    return [
        task if once else f"{task} at place {place}"
        for place, (task, once) in enumerate(zip(order, clear, strict=True), 1)
    ]

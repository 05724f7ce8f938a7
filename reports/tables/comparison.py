"""Every entry after the whole stream: what each task is worth, what was forgotten, and what it takes."""

import math
from typing import Any

import numpy as np
import pandas as pd

from benchmark.core.metrics import compared
from benchmark.core.tables import INTEGER, NUMBER, TEXT, Schema
from benchmark.core.tables import Column as Field
from reports.groups import Entry, Group
from reports.item import Item
from reports.results import Array, final, mean
from reports.seeds import facts
from reports.tables.marks import KNOWLEDGE, mark
from reports.tables.table import Cell, Column, Table, number, sortable
from reports.text import NOTHING, count, fixed
from strategies.traits import WORDS

READING = (
    "Test PSNR (dB) with the gain over the degraded input below it, and SSIM, on every task once the whole stream has "
    "been learned. Forgetting is the PSNR lost on a task since its best moment, backward transfer (BWT) what later "
    "tasks did to earlier ones, forward transfer (FWT) the PSNR over the degraded input on a task just before it is "
    "learned. Where a strategy ran with several seeds, figures are means, ± the standard deviation. The best of each "
    "column is bold; a heading sorts."
)
"""How to read the comparison."""

EVIDENCE = (
    "Outputs changed: compared by hashes, on the test images and each under its own task's label, which is evidence on "
    "these images. Where the tensors on which a task's output depends are compared, too, 0 of them changed is proof, "
    "for any image under that label."
)

CAPACITY = (
    "Trained per task: parameters that a task trains and keeps after any pruning, as a multiple of the plain network's."
)


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
    """The degraded input and every entry: PSNR and SSIM per task after the whole stream, and what was forgotten."""
    columns = [
        Column("strategy"),
        Column("told the task", "", "whether it knows at test time which task an image is of"),
    ]
    for task in group.headings:
        columns += [
            Column("PSNR", task, "dB, and below it the gain over the degraded input", best=1),
            Column("SSIM", task, "", best=1),
        ]
    columns += [
        Column("mean PSNR", "", "dB, mean over the tasks, and below it the gain over the degraded input", best=1),
        Column("forgetting", "", "dB lost on a task since its best moment, mean over all tasks but the last", best=-1),
        Column("BWT", "", "backward transfer: dB by which later tasks changed earlier ones", best=1),
        Column("FWT", "", "forward transfer: dB over the degraded input on tasks not learned yet", best=1),
        Column(
            "trained per task",
            "parameters",
            "parameters that a task trains and keeps after any pruning, in plain backbones, and below it their number",
        ),
        Column("stored", "parameters", "parameters stored after the whole stream", best=-1),
        Column(
            "outputs changed",
            "",
            "outputs on test images of earlier tasks that are no longer bit-identical after the last task, and below "
            "it the tensors on which they depend",
            best=0,
        ),
    ]
    inputs, input_ssim = group.input("psnr"), group.input("ssim")
    first = [Cell("degraded input", ""), Cell(NOTHING)]
    for value, similarity in zip(inputs, input_ssim, strict=True):
        first += [number(value), number(similarity, 3)]
    first += [number(mean(inputs)), *[Cell(NOTHING)] * 6]
    tasks = len(group.order)
    tested: list[tuple[str, list[tuple[int, int | None]]]] = [
        ("final_psnr", [(2 + 2 * place, place) for place in range(tasks)]),
        ("final_ssim", [(3 + 2 * place, place) for place in range(tasks)]),
    ]
    for step, name in enumerate(("mean_psnr", "mean_forgetting", "backward_transfer", "forward_transfer")):
        tested.append((name, [(2 + 2 * tasks + step, None)]))
    told = [entry.told for entry in group.entries]
    rows = mark(columns, [_entry_row(entry, inputs) for entry in group.entries], group.entries, told, tested)
    sentences = [facts(f"preset {group.preset}", group.entries), CAPACITY]
    if len(set(told)) > 1:
        sentences.append(KNOWLEDGE)
    if any(entry.owned for entry in group.entries):
        sentences.append(EVIDENCE)
    return Table(
        caption=f"After the whole stream: {group.title}",
        columns=columns,
        rows=[first, *rows],
        fixed=1,
        note=" ".join(sentences),
        kind="sortable",
    )


def _entry_row(entry: Entry, inputs: Array) -> list[Cell]:
    seeds = f"{len(entry.results)} seeds" if len(entry.results) > 1 else ""
    row = [
        Cell(entry.label, entry.label.casefold(), "; ".join(filter(None, (seeds, entry.settings_from)))),
        Cell(entry.told, entry.told),
    ]
    psnr, ssim, spread = entry.mean("final_psnr"), entry.mean("final_ssim"), entry.spread("final_psnr")
    for value, similarity, deviation, start in zip(psnr, ssim, spread, inputs, strict=True):
        row += [number(value, spread=deviation, gain=value - start), number(similarity, 3)]
    average = float(entry.mean("mean_psnr"))
    row.append(number(average, spread=float(entry.spread("mean_psnr")), gain=average - float(inputs.mean())))
    row.append(number(float(entry.mean("mean_forgetting")), spread=float(entry.spread("mean_forgetting"))))
    row.append(number(float(entry.mean("backward_transfer")), sign=True))
    row.append(number(float(entry.mean("forward_transfer")), sign=True))
    row.append(trained(entry))
    stored = float(np.mean([result.cost("stored_parameters") for result in entry.results]))
    row.append(Cell(count(stored), sortable(stored)))
    changed = entry.changed
    below = f"{entry.owned[0]} of {entry.owned[1]} tensors" if entry.owned else ""
    row.append(Cell(f"{changed[0]} of {changed[1]}", changed[0], below) if changed else Cell(NOTHING))
    return row


def trained(entry: Entry) -> Cell:
    """What a task trains and keeps: in plain backbones, and below it in parameters; the latter alone in older runs."""
    own, over = float(entry.mean("task_parameters")), float(entry.mean("over_plain"))
    return Cell(f"{fixed(over)}×", over, count(own)) if math.isfinite(over) else Cell(count(own), sortable(own))


def frame(group: Group) -> pd.DataFrame:
    """One row for the degraded input and one per entry: means over its seeds, and standard deviations beside them."""
    inputs = group.input("psnr")
    first: dict[str, Any] = {"label": "degraded input", "mean psnr": mean(inputs)}
    for metric in compared():
        first |= _per_task(group, metric.name, group.input(metric.name))
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
                **_per_task(group, "psnr std", entry.spread("final_psnr")),
                **_per_task(group, "gain", entry.mean("final_psnr") - inputs),
                **_per_task(group, "forgetting", entry.mean("forgetting")),
                **{
                    f"{title}{suffix}": float(getattr(entry, statistic)(name))
                    for title, name in (
                        ("mean psnr", "mean_psnr"),
                        ("mean forgetting", "mean_forgetting"),
                        ("backward transfer", "backward_transfer"),
                        ("forward transfer", "forward_transfer"),
                    )
                    for suffix, statistic in (("", "mean"), (" std", "spread"))
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
    """The columns of :func:`comparison`; all but the label are missing where there is nothing to tell."""

    def number(name: str, meaning: str) -> Field:
        return Field(name, NUMBER, meaning, optional=True)

    def each(name: str, meaning: str) -> list[Field]:
        return [number(f"{task} {name}", f"{task}: {meaning}") for task in tasks]

    overall = {
        "mean psnr": "dB, mean over the tasks",
        "mean forgetting": "dB lost on a task since its best moment, mean over all tasks but the last",
        "backward transfer": "dB by which later tasks changed earlier ones",
        "forward transfer": "dB over the degraded input on tasks not learned yet",
    }
    pairs = {
        name: [number(name, meaning), number(f"{name} std", "its standard deviation over seeds")]
        for name, meaning in overall.items()
    }
    mean_psnr, spread = pairs.pop("mean psnr")
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
            *each("psnr std", "standard deviation over seeds"),
            *each("gain", "dB over the degraded input"),
            *each("forgetting", "dB lost since its best moment"),
            spread,
            *(column for pair in pairs.values() for column in pair),
            Field("outputs changed", INTEGER, "test outputs no longer bit-identical", optional=True),
            Field("outputs compared", INTEGER, "of how many", optional=True),
            Field("owned tensors changed", INTEGER, "tensors that these depend on, no longer the same", optional=True),
            Field("owned tensors compared", INTEGER, "of how many", optional=True),
            number("trained per task", "numbers that a task trained and keeps, mean over the tasks"),
            number("trained per task in plain backbones", "the same as a multiple of the plain backbone's"),
            number("stored parameters", "mean over seeds"),
            number("stored with data", "bytes of the checkpoint and of the training images that are needed again"),
        )
    )


def _finals(group: Group, entry: Entry) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in compared():
        found |= _per_task(group, metric.name, entry.mean(final(metric.name)))
    return found


def _per_task(group: Group, name: str, values: np.ndarray) -> dict[str, float]:
    return {f"{task} {name}": float(value) for task, value in zip(_distinct(group.order), values, strict=True)}


def _distinct(order: list[str]) -> list[str]:
    """Task names as column names: a task that comes again, or is called like the mean, is told by its place."""
    clear = [order.count(task) == 1 and task != "mean" for task in order]
    return [
        task if once else f"{task} at place {place}"
        for place, (task, once) in enumerate(zip(order, clear, strict=True), 1)
    ]

"""Image by image: would other test pictures of this kind give the same order of the entries?"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmark.core.metrics import counted
from benchmark.core.runs.directory import Run
from benchmark.core.tables import INTEGER, NUMBER, TEXT, Schema
from benchmark.core.tables import Column as Field
from reports.groups import Entry, Group
from reports.items.item import Item
from reports.items.table import Cell, Column, Table, number
from reports.paired import LEVEL, SAME, Difference, corrected
from reports.seeds import facts
from reports.tables.cells import named
from reports.tables.marks import against_all, with_best
from reports.text import listed

Values = Mapping[tuple[int, str], float]
"""Place of a task in the stream, from 1, and name of one of its test images → dB."""

TITLE = "Image by image"

OVER = "gain over the best (dB)"

SPREAD = "Means over test images ± half of their 95 % interval over these (Student’s t)."

NOTE = (
    "The gain in final PSNR over the entry with the highest mean PSNR of those in here that are told the task, or of "
    "those not told; "
    "of each image it is the mean over the seeds that both have, and – where they have none. Below it, on the page: "
    "in how many images it is above 0. † is not told apart from the best (paired over images, p ≥ 0.05 after "
    "correction for all pairs of the column, among which the best is found, by the false discovery rate). Images and "
    "seeds are two kinds of luck: "
    "the interval over images tells whether other pictures of this kind would give the same order, that over seeds, "
    "in the comparison, whether another training would."
)

DATA = Schema(
    (
        Field("label", TEXT, "the configuration's name in the report"),
        Field("place", INTEGER, "1-based place of the task in the stream"),
        Field("task", TEXT, "its name"),
        Field("image", TEXT, "name of the test image"),
        Field("psnr", NUMBER, "dB after the whole stream, mean over seeds"),
        Field("seeds", INTEGER, "how many"),
    )
)
"""One row per entry, task and test image."""


def item(group: Group) -> Item | None:
    """Every entry against the best of those told the task, or of those not told.

    Runs from before PSNR was kept of every image are left out. None where no two entries of a kind are left, or no task
    has two test images in common.
    """
    found = {entry.label: seeds for entry in group.entries if (seeds := _finals(entry, len(group.order)))}
    shown = [entry for entry in group.entries if entry.label in found and np.isfinite(entry.mean("mean_psnr"))]
    same = _alike(group, found)

    def gap(one: Entry, other: Entry) -> list[Difference]:
        return _gains(found[other.label], found[one.label], len(group.order), same)

    compared = [
        (best, others, against_all(best, others, gap))
        for best, others in with_best(shown, [entry.told for entry in shown])
    ]
    if not any(len(gain.values) > 1 for _, others, gaps in compared for row in gaps[: len(others)] for gain in row):
        return None
    rows = [row for best, others, gaps in compared for row in _rows(best, others, gaps)]
    columns = [
        Column("strategy"),
        Column("the best", "", "the entry with the highest mean PSNR of those told the task, or of those not told"),
        *([Column("mean", OVER, "of each image the mean over the tasks")] if same else []),
        *(Column(head, OVER, head) for head in group.headings),
    ]
    missing = [entry.label for entry in group.entries if entry not in shown]
    left_out = f" Without figures of single images, and so not in here: {listed(missing)}." if missing else ""
    note = f"{facts(f'preset {group.preset}', shown, SPREAD)} {NOTE}{left_out}"
    table = Table(f"{TITLE}: {group.title}", columns, rows, note=note, kind="sortable")
    return Item("images", group.key, TITLE, table=table, data=_frame(group, shown, found))


def _alike(group: Group, found: Mapping[str, Mapping[int, Values]]) -> bool:
    """Whether all of several tasks were tested on the same images."""
    names = {frozenset(names) for names in _names(found, len(group.order))}
    return len(group.order) > 1 and len(names) == 1 and len({source.test for source in group.sources}) == 1


def _rows(best: Entry, others: Sequence[Entry], gaps: Sequence[Sequence[Difference]]) -> list[list[Cell]]:
    """Rows of those that are compared with the same one, from :func:`against_all` in the columns of figures."""
    leads = Cell(best.label, best.label.casefold())
    cells = zip(*(_column(column, len(others)) for column in zip(*gaps, strict=True)), strict=True)
    return [[named(entry), leads, *row] for entry, row in zip(others, cells, strict=True)]


def _finals(entry: Entry, tasks: int) -> dict[int, Values]:
    """Seed → PSNR of every test image after the whole stream; without runs that do not have it."""
    return {result.seed: values for result in entry.results if (values := _final(result.run, tasks))}


def _final(run: Run, tasks: int) -> Values:
    outputs = run.outputs
    last = outputs[(outputs["after"] == tasks) & outputs["place"].between(1, tasks)]
    values = counted(last["psnr"].to_numpy(float))
    if not np.isfinite(values).all():
        return {}
    return dict(zip(zip(last["place"].tolist(), last["image"], strict=True), values.tolist(), strict=True))


def _names(found: Mapping[str, Mapping[int, Values]], tasks: int) -> list[set[str]]:
    """For each task the names of its test images, of all entries."""
    every = {key for seeds in found.values() for values in seeds.values() for key in values}
    return [{image for place, image in every if place == task} for task in range(1, tasks + 1)]


def _gains(one: Mapping[int, Values], best: Mapping[int, Values], tasks: int, same: bool) -> list[Difference]:
    """Of each task the differences of its images; if tasks have the same images, their means over the tasks first."""
    both = one.keys() & best.keys()
    keys = [key for key in next(iter(one.values())) if all(key in of[seed] for of in (one, best) for seed in both)]
    gains = {key: float(np.mean([one[seed][key] - best[seed][key] for seed in both])) for key in keys if both}
    each = [{image: gain for (place, image), gain in gains.items() if place == task} for task in range(1, tasks + 1)]
    common = [image for image in each[0] if all(image in task for task in each)] if same else []
    means = [[float(np.mean([task[image] for task in each])) for image in common]] if same else []
    return [Difference(np.array(values)) for values in (*means, *(list(task.values()) for task in each))]


def _column(gains: Sequence[Difference], rows: int) -> list[Cell]:
    """A column of the table: the first of some gains, which are corrected for the number of all."""
    told = corrected([gain.p for gain in gains])[:rows]
    return [
        replace(
            number(gain.mean, spread=gain.margin(), sign=True),
            small=f"{int((gain.values > SAME).sum())} of {len(gain.values)}" if len(gain.values) else "",
            level=len(gain.values) > 0 and not p < LEVEL,  # of one image there is no p, and nothing is told
        )
        for gain, p in zip(gains[:rows], told, strict=True)
    ]


def _frame(group: Group, shown: Sequence[Entry], found: Mapping[str, Mapping[int, Values]]) -> pd.DataFrame:
    rows = []
    for entry in shown:
        seeds = found[entry.label].values()
        for place, image in dict.fromkeys(key for values in seeds for key in values):
            known = [values[place, image] for values in seeds if (place, image) in values]
            about = {"label": entry.label, "place": place, "task": group.order[place - 1], "image": image}
            rows.append({**about, "psnr": float(np.mean(known)), "seeds": len(known)})
    return DATA.frame_of(rows)

"""What was run, at a glance: how good each strategy ends, what it forgot and changed, and what it costs."""

import math
from collections.abc import Sequence

import pandas as pd

from reports.groups import Entry, Group
from reports.items.exports import frame
from reports.items.item import Item
from reports.items.table import Cell, Column, Table, number
from reports.results import mean
from reports.seeds import facts
from reports.tables.cells import changed, kept, named, trained
from reports.tables.comparison import CHANGED, FORGETTING, TOLD
from reports.tables.marks import KNOWLEDGE, mark, reading
from reports.text import NOTHING

EVIDENCE = (
    "Outputs changed: compared by hashes, on the test images and each under its own task's label, which is evidence on "
    "these images. Where the tensors on which a task's output depends are compared, too, 0 of them changed is proof, "
    "for any image under that label."
)

CAPACITY = "Parameters per task: what a task trains as it ends, after pruning, as a multiple of the plain network's."

COLUMNS = [
    Column("strategy"),
    Column("mean PSNR", "", "dB, mean over the tasks after the whole stream", best=1),
    Column("gain", "", "dB over the degraded input, mean over the tasks", best=1),
    FORGETTING.column,
    CHANGED,
    Column("stored", "", "bytes to keep to go on: the checkpoint, and training images that are needed again", best=-1),
    Column(
        "parameters per task",
        "",
        "parameters that a task trains as it ends, after pruning, in plain backbones, and below it their number",
    ),
    TOLD,
]


def item(group: Group) -> Item | None:
    """The summary; None where no run has finished yet."""
    if not group.entries:
        return None
    told = [entry.told for entry in group.entries]
    rows = mark(
        COLUMNS,
        [_row(entry) for entry in group.entries],
        group.entries,
        told,
        [("mean_psnr", 1, None), ("mean_gain", 2, None), ("mean_forgetting", 3, None)],
    )
    sentences = [facts(f"preset {group.preset}", group.entries), *reading(group.entries, told), CAPACITY]
    if len(set(told)) > 1:
        sentences.append(KNOWLEDGE)
    if any(entry.owned for entry in group.entries):
        sentences.append(EVIDENCE)
    degraded = [Cell("degraded input", ""), number(mean(group.input("psnr"))), *[Cell(NOTHING)] * 6]
    table = Table(
        f"Summary: {group.title}", COLUMNS, [degraded, *rows], fixed=1, note=" ".join(sentences), kind="sortable"
    )
    return Item("summary", group.key, "Summary", table=table, data=data(table, group.entries))


def data(table: Table, entries: Sequence[Entry]) -> pd.DataFrame:
    """The table's figures, where what a cell tells in two numbers has two columns, each of one unit."""
    found = frame(table)
    compared = [entry.changed[1] if entry.changed else NOTHING for entry in entries]
    found.insert(_after(found, "outputs changed"), "outputs compared", [*[NOTHING] * table.fixed, *compared])
    own, over = (
        [*[NOTHING] * table.fixed, *(value if math.isfinite(value) else NOTHING for value in values)]
        for values in ([float(entry.mean(name)) for entry in entries] for name in ("task_parameters", "over_plain"))
    )
    found["parameters per task"] = own
    found.insert(_after(found, "parameters per task"), "parameters per task in plain backbones", over)
    return found.rename(columns={"stored": "stored bytes"})


def _after(found: pd.DataFrame, name: str) -> int:
    return list(found.columns).index(name) + 1


def _row(entry: Entry) -> list[Cell]:
    return [
        named(entry),
        number(float(entry.mean("mean_psnr")), spread=float(entry.margin("mean_psnr"))),
        number(float(entry.mean("mean_gain")), sign=True),
        FORGETTING.cell(entry),
        changed(entry),
        kept(entry),
        trained(entry),
        Cell(entry.told, entry.told),
    ]

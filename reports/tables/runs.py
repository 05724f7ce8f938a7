"""Every run directory, whatever became of it; and those that did not finish."""

from benchmark.core.tables import INTEGER, TEXT, Schema
from benchmark.core.tables import Column as Field
from reports.groups import Collection, Group
from reports.items.item import Item
from reports.items.table import Cell, Column, Table
from reports.text import NOTHING, fixed, plain

UNREADABLE = "unreadable"
"""The state of a run directory that cannot be read."""

RUNS = Schema(
    (
        Field("run", TEXT, "name of the run directory"),
        Field("group", TEXT, "key of the group it belongs to; empty where it cannot be read"),
        Field("label", TEXT, "the configuration's name in the report"),
        Field("seed", INTEGER, "the run's seed", optional=True),
        Field("state", TEXT, "finished, or what became of it"),
        Field("tasks measured", INTEGER, "tasks after which it was measured", optional=True),
        Field("tasks", INTEGER, "tasks of the stream", optional=True),
        Field("updated", TEXT, "when it was last at work"),
        Field("error", TEXT, "what ended it"),
    )
)
"""Every run directory."""


def item(collection: Collection) -> Item:
    """One row per run directory, whatever became of it."""
    rows = []
    for group in collection.groups:
        for label, result in group.labelled:
            status = result.run.status
            rows.append(
                {
                    "run": result.run.name,
                    "group": group.key,
                    "label": label,
                    "seed": result.seed,
                    "state": result.state,
                    "tasks measured": result.learned,
                    "tasks": len(group.order),
                    "updated": status.get("updated"),
                    "error": status.get("error"),
                }
            )
    rows += [{"run": bad.run.name, "state": UNREADABLE, "error": bad.reason} for bad in collection.unreadable]
    return Item("runs", data=RUNS.frame_of(rows))


def unfinished(group: Group) -> Item | None:
    """Runs that did not finish, with the last PSNR they have for each task they learned; None where all did."""
    if not group.unfinished:
        return None
    rows = []
    for result in group.unfinished:
        status = result.run.status
        place = result.learned
        order = [plain(task) for task in result.config["order"]]
        have = [f"{task} {fixed(result.psnr[place - 1, j])}" for j, task in enumerate(order[:place]) if place]
        rows.append(
            [
                Cell(result.run.name, small=f"{result.strategy}, seed {result.seed}"),
                Cell(result.state),
                Cell(f"{place} of {len(order)}", place),
                Cell(", ".join(have) or "nothing was measured"),
                Cell(plain(status["error"], 400) if status.get("error") else NOTHING),
            ]
        )
    heads = ["run", "state", "tasks measured", "PSNR after the last of them (dB)", "error"]
    table = Table("Runs that did not finish", [Column(head) for head in heads], rows, kind="words")
    text = "These runs take no part in the comparison. All that they measured is in the CSV files."
    return Item("unfinished", group.key, "Unfinished runs", table=table, text=text)

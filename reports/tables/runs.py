"""Every run directory, whatever became of it."""

from benchmark.core.tables import INTEGER, TEXT, Schema
from benchmark.core.tables import Column as Field
from reports.groups import Collection
from reports.items.item import Item

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

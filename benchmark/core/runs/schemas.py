"""The tables of a run directory: their columns, and what each means."""

from benchmark.core import metrics
from benchmark.core.tables import INTEGER, NUMBER, TEXT, Column, Schema

ONE_AFTER_OTHER, COMBINED = "one after the other", "combined"
"""Subjects of what is measured on a mixture of tasks by what was learned of its parts."""
IDENTIFIED = "identified"
"""Subject of what is measured under the label that a task identifier gives each image."""


def told(place: int) -> str:
    """Subject of what is measured while the network is told that an image belongs to the task at this place, from 1."""
    return f"told {place}"


METRICS = Schema(
    columns=(
        Column("after", INTEGER, "tasks learned so far: 0 before training, 1 to T after each task"),
        Column("after_task", TEXT, "the task learned last; empty when ``after`` is 0"),
        Column("place", INTEGER, "1-based place of the evaluated task in the stream"),
        Column("task", TEXT, "name of the evaluated task"),
        Column(
            "subject",
            TEXT,
            "``input`` (the degraded test images themselves, only with after = 0), ``output`` (the network's on the "
            "test images), ``validation`` (the network's on the validation images, by which settings are tuned) or "
            "``owned`` (the tensors on which the network's output under the task's label depends); with "
            "evaluation.identify also ``told 2`` (the network's on the test images, under the label of the task at "
            "place 2) and ``identified`` (under the label that the task identifier gives each image); with "
            "evaluation.mixtures also ``one after the other`` (of a mixture, restored by the tasks of its parts in "
            "turn) and ``combined`` (by the mean of their kernels)",
        ),
        Column(
            "metric",
            TEXT,
            "one of benchmark.core.metrics.METRICS; outputs_changed: test outputs of this task that are no longer "
            "bit-identical to those recorded right after it was learned (for after > place); or owned_changed: the "
            "same of the tensors in owned.csv, where the network is told the task. Runs from before one of them was "
            "recorded lack it. Of ``told 2`` also assigned: test images that the task identifier gives to that task; "
            "of ``identified`` also accuracy: the share of the test images that it gives to their own",
        ),
        Column("value", NUMBER, "the mean over the test images, or a count"),
        Column("unit", TEXT, "the metric's, empty where it has none, or count"),
        Column("images", INTEGER, "how many test images; of owned_changed how many tensors"),
        Column("protocol", TEXT, "how the metric was computed"),
    ),
    key=("after", "place", "subject", "metric"),
)
"""``metrics.csv``: one row per measurement."""

CURVES = Schema(
    columns=(
        Column("after", INTEGER, "tasks that will have been learned when this training ends"),
        Column("place", INTEGER, "1-based place of the task in the stream"),
        Column("task", TEXT, "its name"),
        Column("epoch", INTEGER, "0 is the network as it comes to the task, before its first update"),
        Column("update", INTEGER, "batch updates so far in this training"),
        Column("loss", NUMBER, "mean training loss of the epoch; missing in epoch 0", optional=True),
        Column("psnr", NUMBER, "dB on the validation images after it"),
        Column("learning_rate", NUMBER, "Adam's, after it"),
    ),
    key=("after", "place", "epoch"),
)
"""``curves.csv``: one row per epoch; a strategy that trains several tasks together has rows for each of them.

With evaluation.stability_gap also one for each task learned before, whose loss is missing.
"""

OUTPUTS = Schema(
    columns=(
        Column("after", INTEGER, "tasks learned so far"),
        Column("place", INTEGER, "1-based place of the task in the stream"),
        Column("task", TEXT, "its name"),
        Column("image", TEXT, "name of the test image"),
        Column("sha256", TEXT, "taken over the raw float32 output; a row with that of an earlier one has its figures"),
        *(
            Column(metric.name, NUMBER, ", ".join(filter(None, (metric.title, metric.unit))), optional=True, later=True)
            for metric in metrics.METRICS
        ),
    ),
    key=("after", "place", "image"),
)
"""``outputs.csv``: one row per test image and evaluation."""

OWNED = Schema(
    columns=(
        Column("after", INTEGER, "tasks learned as it was recorded, which is right after this one"),
        Column("place", INTEGER, "1-based place of the task in the stream"),
        Column("task", TEXT, "its name"),
        Column("tensor", TEXT, "name of a tensor on which the network's output for the task depends"),
        Column("sha256", TEXT, "taken over its type, shape and bytes"),
    ),
    key=("place", "tensor"),
)
"""``owned.csv``: what every task owned when it was learned (:meth:`strategies.base.TaskNetwork.owned`).

If nothing of it has changed since, no output under the task's label has, whatever the image. Networks that are not told
the task have no rows.
"""

LEDGER = Schema(
    columns=(
        Column("after", INTEGER, "tasks learned so far"),
        Column("task", TEXT, "the task learned last"),
        Column("quantity", TEXT, "which one, as below"),
        Column("value", NUMBER, "how much of it"),
        Column("unit", TEXT, "count, B (bytes) or MAC"),
    ),
    key=("after", "quantity"),
)
"""``ledger.csv``: what is stored and computed after each task.

trainable_parameters  numbers that may change as the task's training begins
task_parameters       numbers that may change as it ends, after any pruning; scores that masks are made of count
stored_parameters     numbers in the checkpoint that are neither masks nor images
stored_bytes          all of the checkpoint; mask_bytes and exemplar_bytes are the part of masks and of stored patches
identifier_bytes      the part of stored_bytes of the task identifier; with evaluation.identify only
data_bytes            training images of learned tasks, as 8-bit RGB, that the strategy trains on again and so has to
                      keep beside the checkpoint; images that tasks share count once
macs_per_pixel        multiply-accumulates of a restored pixel, under the label of the task learned last
"""

TABLES = {
    "metrics.csv": METRICS,
    "curves.csv": CURVES,
    "outputs.csv": OUTPUTS,
    "owned.csv": OWNED,
    "ledger.csv": LEDGER,
}
"""The tables of a run directory by their file."""

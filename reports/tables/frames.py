"""Results as tidy frames: what the CSV files hold and the figures draw."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmark.core.runs.directory import CURVES
from benchmark.core.tables import INTEGER, NUMBER, TEXT, Column, Schema
from reports.paper.published import Published
from reports.results import Collection, Group, Result, mean
from strategies.traits import WORDS

_RUN = (
    Column("label", TEXT, "the configuration's name in the report"),
    Column("seed", INTEGER, "the run's seed"),
    Column("run", TEXT, "name of the run directory"),
)

MATRIX = Schema(
    (
        _RUN[0],
        Column("strategy", TEXT, "the strategy's name"),
        *_RUN[1:],
        Column("after", INTEGER, "tasks learned so far"),
        Column("after_task", TEXT, "the task learned last"),
        Column("place", INTEGER, "1-based place of the evaluated task in the stream"),
        Column("task", TEXT, "its name"),
        Column("psnr", NUMBER, "dB"),
        Column("ssim", NUMBER, "", optional=True),
        Column("gain", NUMBER, "dB over the degraded input", optional=True),
        Column("change", NUMBER, "dB relative to the moment the task was learned; missing before that", optional=True),
    )
)
"""The tidy matrix."""

TRAINING = Schema((*_RUN, *CURVES.columns))
"""The training curves of several runs."""

COSTS = Schema(
    (
        *_RUN,
        Column("quantity", TEXT, "as in the ledger"),
        Column("value", NUMBER, "after the last task the run learned"),
        Column("unit", TEXT, "count, B (bytes) or MAC"),
    )
)
"""What each run stores and computes."""

UNREADABLE = "unreadable"
"""The state of a run directory that cannot be read."""

RUNS = Schema(
    (
        Column("run", TEXT, "name of the run directory"),
        Column("group", TEXT, "key of the group it belongs to; empty where it cannot be read"),
        Column("label", TEXT, "the configuration's name in the report"),
        Column("seed", INTEGER, "the run's seed", optional=True),
        Column("state", TEXT, "finished, or what became of it"),
        Column("tasks measured", INTEGER, "tasks after which it was measured", optional=True),
        Column("tasks", INTEGER, "tasks of the stream", optional=True),
        Column("updated", TEXT, "when it was last at work"),
        Column("error", TEXT, "what ended it"),
    )
)
"""Every run directory."""


def matrix(group: Group) -> pd.DataFrame:
    """One row per run, learned task and evaluated task: PSNR in dB, SSIM, and what they are relative to.

    ``gain`` is PSNR over the degraded input; ``change`` is PSNR relative to the moment the task was learned, empty
    before that.
    """
    rows = []
    for label, result in _labelled(group):
        change, order = result.change, [str(task) for task in result.config["order"]]
        for i, j in np.argwhere(~np.isnan(result.psnr)):
            rows.append(
                {
                    "label": label,
                    "strategy": result.strategy,
                    "seed": result.seed,
                    "run": result.run.name,
                    "after": i + 1,
                    "after_task": order[i],
                    "place": j + 1,
                    "task": order[j],
                    "psnr": result.psnr[i, j],
                    "ssim": result.ssim[i, j],
                    "gain": result.psnr[i, j] - result.input_psnr[j],
                    "change": change[i, j],
                }
            )
    return MATRIX.frame_of(rows)


def curves(group: Group) -> pd.DataFrame:
    """One row per run, task and epoch: loss, validation PSNR (dB) and learning rate while a task is first learned."""
    frames = []
    for label, result in _labelled(group):
        frame = result.run.curves
        if len(frame):
            frame = frame.assign(label=label, seed=result.seed, run=result.run.name)[TRAINING.names]
            frame = frame[frame["after"] == frame.groupby("place")["after"].transform("min")]
            frames.append(frame[frame["place"].between(1, len(group.order))])
    return pd.concat(frames, ignore_index=True) if frames else TRAINING.frame_of([])


def comparison(group: Group) -> pd.DataFrame:
    """One row for the degraded input and one per entry: means over its seeds, and standard deviations beside them."""
    inputs, input_ssim = group.input("input_psnr"), group.input("input_ssim")
    first = {"label": "degraded input", **_per_task(group, "psnr", inputs), **_per_task(group, "ssim", input_ssim)}
    rows = [{**first, "mean psnr": mean(inputs)}]
    for entry in group.entries:
        changed = entry.changed
        rows.append(
            {
                "label": entry.label,
                "strategy": entry.results[0].strategy,
                "seeds": len(entry.results),
                "settings from": entry.settings_from,
                **entry.traits,
                **_per_task(group, "psnr", entry.mean("final_psnr")),
                **_per_task(group, "psnr std", entry.spread("final_psnr")),
                **_per_task(group, "ssim", entry.mean("final_ssim")),
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


def costs(group: Group) -> pd.DataFrame:
    """One row per run and quantity of its ledger, after the last task it learned."""
    rows = [
        {"label": label, "seed": result.seed, "run": result.run.name, "quantity": name, "value": value, "unit": unit}
        for label, result in _labelled(group)
        for name, (value, unit) in result.costs.items()
    ]
    return COSTS.frame_of(rows)


def runs(collection: Collection) -> pd.DataFrame:
    """One row per run directory, whatever became of it."""
    rows = []
    for group in collection.groups:
        for label, result in _labelled(group):
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
    return RUNS.frame_of(rows)


def printed(table: Published) -> pd.DataFrame:
    """A table of the paper, as printed: texts."""
    return pd.DataFrame(table.rows, columns=table.columns, dtype=object)


def _comparison(tasks: list[str]) -> Schema:
    """The columns of :func:`comparison`; all but the label are missing where there is nothing to tell."""

    def number(name: str, meaning: str) -> Column:
        return Column(name, NUMBER, meaning, optional=True)

    def each(name: str, meaning: str) -> list[Column]:
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
            Column("label", TEXT, "the configuration's name in the report"),
            *each("psnr", "dB after the whole stream"),
            *each("ssim", "SSIM after the whole stream"),
            mean_psnr,
            Column("strategy", TEXT, "the strategy's name"),
            Column("seeds", INTEGER, "runs behind the means", optional=True),
            Column("settings from", TEXT, "where the strategy's settings come from"),
            *(Column(words, TEXT, f"the strategy's {name}: yes, no or unknown") for name, words in WORDS.items()),
            *each("psnr std", "standard deviation over seeds"),
            *each("gain", "dB over the degraded input"),
            *each("forgetting", "dB lost since its best moment"),
            spread,
            *(column for pair in pairs.values() for column in pair),
            Column("outputs changed", INTEGER, "test outputs no longer bit-identical", optional=True),
            Column("outputs compared", INTEGER, "of how many", optional=True),
            Column("owned tensors changed", INTEGER, "tensors that these depend on, no longer the same", optional=True),
            Column("owned tensors compared", INTEGER, "of how many", optional=True),
            number("trained per task", "numbers that a task trained and keeps, mean over the tasks"),
            number("trained per task in plain backbones", "the same as a multiple of the plain backbone's"),
            number("stored parameters", "mean over seeds"),
            number("stored with data", "bytes of the checkpoint and of the training images that are needed again"),
        )
    )


def _labelled(group: Group) -> Iterator[tuple[str, Result]]:
    for entry in group.entries:
        for result in entry.results:
            yield entry.label, result
    for result in group.unfinished:
        yield f"{result.strategy} ({result.state})", result


def _per_task(group: Group, name: str, values: np.ndarray) -> dict[str, float]:
    return {f"{task} {name}": float(value) for task, value in zip(_distinct(group.order), values, strict=True)}


def _distinct(order: list[str]) -> list[str]:
    """Task names as column names: a task that comes again, or is called like the mean, is told by its place."""
    clear = [order.count(task) == 1 and task != "mean" for task in order]
    return [
        task if once else f"{task} at place {place}"
        for place, (task, once) in enumerate(zip(order, clear, strict=True), 1)
    ]

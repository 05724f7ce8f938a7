"""Results as tidy frames: what the CSV files hold and the figures draw."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from reports.published import Published
from reports.results import Collection, Group, Result, mean

MATRIX = ["label", "strategy", "seed", "run", "after", "after_task", "place", "task", "psnr", "ssim", "gain", "change"]
"""Columns of the tidy matrix."""


def matrix(group: Group) -> pd.DataFrame:
    """One row per run, learned task and evaluated task: PSNR in dB, SSIM, and what they are relative to.

    ``gain`` is PSNR over the degraded input; ``change`` is PSNR relative to the moment the task was learned, empty
    before that.
    """
    rows = []
    for label, result in _labelled(group):
        change = result.change
        for i, j in np.argwhere(~np.isnan(result.psnr)):
            rows.append(
                {
                    "label": label,
                    "strategy": result.strategy,
                    "seed": result.seed,
                    "run": result.run.name,
                    "after": i + 1,
                    "after_task": group.order[i],
                    "place": j + 1,
                    "task": group.order[j],
                    "psnr": result.psnr[i, j],
                    "ssim": result.ssim[i, j],
                    "gain": result.psnr[i, j] - result.input_psnr[j],
                    "change": change[i, j],
                }
            )
    return pd.DataFrame(rows, columns=MATRIX)


def curves(group: Group) -> pd.DataFrame:
    """One row per run, task and epoch: loss, validation PSNR (dB) and learning rate while a task is first learned."""
    frames = []
    for label, result in _labelled(group):
        frame = result.run.curves
        if len(frame):
            frame.insert(0, "label", label)
            frame.insert(1, "seed", result.seed)
            frame.insert(2, "run", result.run.name)
            for column in ("after", "place", "epoch", "update", "psnr"):
                frame[column] = pd.to_numeric(frame[column], errors="coerce")
            frame = frame[frame["after"] == frame.groupby("place")["after"].transform("min")]
            frames.append(frame[frame["place"].between(1, len(group.order))])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["label", "seed", "run", "psnr"])


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
                "trained per task": float(entry.mean("task_parameters")),
                "trained per task in plain backbones": float(entry.mean("over_plain")),
                "stored parameters": np.mean([result.cost("stored_parameters") for result in entry.results]),
                "stored with data": float(entry.mean("kept_bytes")),
            }
        )
    return pd.DataFrame(rows)


def costs(group: Group) -> pd.DataFrame:
    """One row per run and quantity of its ledger, after the last task it learned."""
    rows = [
        {"label": label, "seed": result.seed, "run": result.run.name, "quantity": name, "value": value, "unit": unit}
        for label, result in _labelled(group)
        for name, (value, unit) in result.costs.items()
    ]
    return pd.DataFrame(rows, columns=["label", "seed", "run", "quantity", "value", "unit"])


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
    rows += [{"run": bad.run.name, "state": "unreadable", "error": bad.reason} for bad in collection.unreadable]
    columns = ["run", "group", "label", "seed", "state", "tasks measured", "tasks", "updated", "error"]
    return pd.DataFrame(rows, columns=columns)


def printed(table: Published) -> pd.DataFrame:
    """A table of the paper, as printed."""
    return pd.DataFrame(table.rows, columns=table.columns)


def _labelled(group: Group) -> Iterator[tuple[str, Result]]:
    for entry in group.entries:
        for result in entry.results:
            yield entry.label, result
    for result in group.unfinished:
        yield f"{result.strategy} ({result.state})", result


def _per_task(group: Group, name: str, values: np.ndarray) -> dict[str, float]:
    return {f"{task} {name}": float(value) for task, value in zip(_distinct(group.order), values, strict=True)}


def _distinct(order: list[str]) -> list[str]:
    """Task names as column names: a task that comes again is numbered by its place."""
    return [task if order.count(task) == 1 else f"{task} at place {place}" for place, task in enumerate(order, 1)]

"""One run as arrays, read from its directory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.core.errors import UserError
from benchmark.core.images import EMBEDDED
from benchmark.core.metrics import METRICS, Metric, backward_transfer, compared, forgetting, forward_transfer
from benchmark.core.runs.directory import Run
from benchmark.core.runs.formats import completed
from benchmark.core.runs.schemas import COMBINED, ONE_AFTER_OTHER
from benchmark.presets import AS_ASKED_FOR
from reports.identification import Identification, read_identification
from reports.stability import read_dips
from reports.text import plain
from strategies.built_in import BUILT_IN
from strategies.traits import WORDS, Traits

Array = npt.NDArray[np.float64]

SMOKE = "smoke"
"""The preset that trains just long enough to show that everything runs; its figures mean nothing."""


PEAKS = ("peak_memory",)
"""Quantities of the ledger whose largest value over the tasks counts, not the last."""


@dataclass(frozen=True)
class ImageSet:
    """The images of one side of a task, as a run tells them.

    Args:
        name: ``embedded``, or a dataset.
        release: which edition, in words; empty where the run does not say.
        digest: of the images' content; empty where the run does not say, and for embedded images with the usual pixels.
    """

    name: str = EMBEDDED
    release: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.release})" if self.release else self.name


@dataclass(frozen=True)
class Source:
    """Where one task takes its images from."""

    train: ImageSet = ImageSet()
    test: ImageSet = ImageSet()


@dataclass(frozen=True)
class Result:
    """One run as arrays, for a stream of T tasks; nan stands where nothing was measured.

    Args:
        run: the run directory.
        config: its resolved configuration.
        state: ``finished``, or what became of it (running, failed, interrupted, created).
        outputs: by metric (T, T) values; ``outputs["psnr"][i, j]`` is the test PSNR on task j after learning task i,
            both from 0, in dB.
        inputs: by metric (T,) values, those of the degraded test images.
        changed: how many test outputs of earlier tasks the last task changed, and how many were compared;
            None when that was not measured.
        owned: the same of the tensors on which those outputs depend, of networks that are told the task.
        reference: whether it is a record that came with the suite.
        costs: the ledger after the last task learned, of PEAKS the largest value so far: quantity to (value, unit).
        protocols: how the metrics were computed, in words.
        sources: for each task, where its images come from.
        settings_from: where the strategy's settings come from, in words; empty where the run does not say.
        by_hand: the strategy's settings that the user gave a value which is not that of the preset.
        traits: what the strategy declares; None for one that is not built in, of a run that does not say.
        task_parameters: numbers that a task still trains as it ends, the mean over the tasks; nan where not known.
        later_parameters: the same, the mean over the tasks after the first; nan also where there is none.
        backbone_parameters: those of the plain backbone; nan where the run does not say.
        identification: what a task identifier makes of the test images; None where that was not measured.
        dips: (T,) dB by which a task sinks at most after it was learned, on validation images; nan where that was not
            measured.
        mixtures: (T,) dB on mixtures by what was learned of their parts, by the way in which, nan for other tasks;
            empty where that was not measured.
    """

    run: Run
    config: dict[str, Any]
    state: str
    outputs: Mapping[str, Array]
    inputs: Mapping[str, Array]
    changed: tuple[int, int] | None
    costs: dict[str, tuple[float, str]]
    protocols: tuple[str, ...]
    sources: tuple[Source, ...]
    traits: Traits | None = None
    settings_from: str = ""
    by_hand: frozenset[str] = frozenset()
    task_parameters: float = float("nan")
    later_parameters: float = float("nan")
    backbone_parameters: float = float("nan")
    owned: tuple[int, int] | None = None
    identification: Identification | None = None
    mixtures: Mapping[str, Array] = field(default_factory=dict)
    dips: Array = field(default_factory=lambda: np.empty(0))
    reference: bool = False

    @property
    def strategy(self) -> str:
        """The strategy's name."""
        return plain(self.config["strategy"])

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.config.get("seed", 0))

    @property
    def finished(self) -> bool:
        """Whether every task was learned and measured."""
        return self.state == "finished"

    @property
    def learned(self) -> int:
        """Tasks after which the run was measured, at least in part."""
        rows = np.flatnonzero(~np.isnan(self.psnr).all(axis=1))
        return int(rows[-1]) + 1 if rows.size else 0

    @property
    def psnr(self) -> Array:
        """(T, T) dB, by which forgetting and transfer are told."""
        return self.outputs["psnr"]

    @property
    def input_psnr(self) -> Array:
        """(T,) dB, of the degraded test images."""
        return self.inputs["psnr"]

    @property
    def final_psnr(self) -> Array:
        """(T,) dB, after the whole stream."""
        return self.psnr[-1]

    @property
    def mean_psnr(self) -> float:
        """The mean of the final PSNR over the tasks, in dB; nan while a task is missing."""
        return float(self.final_psnr.mean())

    @property
    def gain(self) -> Array:
        """(T,) dB, the final PSNR over the degraded input."""
        return self.final_psnr - self.input_psnr

    @property
    def mean_gain(self) -> float:
        """The mean of the gain over the tasks, in dB."""
        return float(self.gain.mean())

    @property
    def change(self) -> Array:
        """(T, T) dB, PSNR relative to the moment the task was learned; nan before that."""
        relative = self.psnr - np.diag(self.psnr)[None, :]
        return np.where(np.tri(len(relative), dtype=bool), relative, np.nan)

    @cached_property
    def forgetting(self) -> Array:
        """(T,) dB lost on each task since its best moment, nan for the last."""
        return np.asarray(forgetting(self.psnr), dtype=float)

    @property
    def mean_forgetting(self) -> float:
        """The mean of the forgetting over all tasks but the last, in dB."""
        return mean(self.forgetting)

    @property
    def mean_dip(self) -> float:
        """The mean of the dips over all tasks that were followed, in dB; nan without any."""
        return mean(self.dips)

    @property
    def backward_transfer(self) -> float:
        """dB by which later tasks changed earlier ones."""
        return float(backward_transfer(self.psnr)) if len(self.psnr) > 1 else float("nan")

    @property
    def forward_transfer(self) -> float:
        """dB over the degraded input on tasks that are not learned yet."""
        return float(forward_transfer(self.psnr, self.input_psnr)) if len(self.psnr) > 1 else float("nan")

    @cached_property
    def computed_on(self) -> str:
        """Where it was computed, in words: device, how many, instructions and threads of a CPU, version of torch.

        The same command gives the same bytes where these, and the kind of processor, are the same.
        """
        known = self.run.environment
        device, threads, torch = (plain(known.get(key, "unknown")) for key in ("device", "threads", "torch"))
        several = f"processes: {plain(known['processes'])}, " if known.get("processes", 1) != 1 else ""
        if device == "cpu":
            several += f"{plain(known['capability'])}, " if known.get("capability") else ""
            several += f"threads: {threads}, "
        return f"{device}, {several}torch {torch}"

    def cost(self, name: str) -> float:
        """A quantity of the ledger, nan when it is absent."""
        return self.costs.get(name, (float("nan"), ""))[0]

    @property
    def kept_bytes(self) -> float:
        """What is to be kept to go on: the checkpoint and the training images that are needed again.

        Nan for a run from before these images were counted, of a strategy that keeps images outside of its checkpoint.
        """
        images = self.cost("data_bytes")
        if np.isnan(images) and not (self.traits and self.traits.stores_data and not self.cost("exemplar_bytes") > 0):
            images = 0.0
        return self.cost("stored_bytes") + images

    @property
    def over_plain(self) -> float:
        """Numbers that a task still trains as it ends, in plain backbones."""
        return self.task_parameters / self.backbone_parameters


Quantity = str | Callable[[Result], Any]
"""What is asked of a result: one of its attributes by name, or what computes it."""


def value(result: Result, quantity: Quantity) -> Any:
    """A quantity of a result."""
    return quantity(result) if callable(quantity) else getattr(result, quantity)


def final(metric: str) -> Quantity:
    """The (T,) values of a metric after the whole stream, as a quantity."""
    return lambda result: result.outputs[metric][-1]


def mean(values: Array) -> float:
    """The mean of what is not nan; nan when nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def read(run: Run, reference: bool = False) -> Result:
    """One run directory as arrays.

    Args:
        run: the directory.
        reference: whether it is a record that came with the suite.

    Raises:
        UserError: a file is missing, damaged, or says what cannot be.
    """
    config, status = run.config, run.status
    order = config.get("order")
    if not isinstance(config.get("strategy"), str) or not isinstance(order, list) or not order:
        raise UserError(f"'{run.path / 'config.yaml'}' names no strategy or no order of tasks. Was it edited?")
    _ = run.environment, run.curves, run.outputs  # read later, one at a time; a damaged one has to show here
    try:
        return _result(run, config, str(status.get("state", "created")), len(order), reference)
    except (ValueError, TypeError, OverflowError, IndexError) as error:
        raise UserError(f"The tables in '{run.path}' cannot be read: {error}. Delete the run and repeat it.") from error


def _result(run: Run, config: dict[str, Any], state: str, tasks: int, reference: bool) -> Result:
    int(config.get("seed", 0))
    metrics = run.metrics
    for what, rows, first in (("measurement", metrics, 0), ("training curve", run.curves, 1)):
        if not rows["after"].between(first, tasks).all() or not rows["place"].between(1, tasks).all():
            raise ValueError(f"a {what} lies outside the {tasks} tasks of the stream")
    quality = metrics[metrics["metric"].isin([metric.name for metric in compared()])]
    inputs = metrics[(metrics["subject"] == "input") & (metrics["after"] == 0)]
    outputs = metrics[(metrics["subject"] == "output") & (metrics["after"] > 0)]
    last, trained = metrics[metrics["after"] == tasks], _task_parameters(run.ledger)
    config = completed(config)
    return Result(
        run=run,
        config=config,
        state=plain(state),
        outputs={metric.name: _matrix(outputs, metric, tasks) for metric in compared()},
        inputs={metric.name: _row(inputs, metric, tasks) for metric in compared()},
        changed=_changed(metrics, "outputs_changed", tasks),
        costs=_costs(run.costs),
        protocols=tuple(sorted({plain(text, 300) for text in set(quality["protocol"]) if text})),
        sources=_sources(config, tasks),
        traits=_traits(run.status, config["strategy"]),
        settings_from=plain(run.status.get("settings_from") or "", 100),
        by_hand=_by_hand(str(run.status.get("settings_from") or "")),
        task_parameters=float(trained.mean()),
        later_parameters=float(trained.iloc[1:].mean()),
        backbone_parameters=float(run.status.get("backbone_parameters", "nan")),
        owned=_changed(metrics, "owned_changed", tasks),
        identification=read_identification(last, tasks),
        mixtures=_mixtures(last, tasks),
        dips=read_dips(run.curves, tasks) if config["evaluation"]["stability_gap"] else np.full(tasks, np.nan),
        reference=reference,
    )


def _mixtures(metrics: pd.DataFrame, tasks: int) -> dict[str, Array]:
    """From the rows after the last task, by subject; what a network cannot do is nan, and nothing without rows."""
    ways = {way: metrics[metrics["subject"] == way] for way in (ONE_AFTER_OTHER, COMBINED)}
    return {way: _row(rows, METRICS[0], tasks) for way, rows in ways.items()} if any(map(len, ways.values())) else {}


def _changed(metrics: pd.DataFrame, metric: str, tasks: int) -> tuple[int, int] | None:
    """How many the last task changed, and how many were compared; None where nothing was."""
    rows = metrics[(metrics["metric"] == metric) & (metrics["after"] == tasks)]
    return (int(rows["value"].sum()), int(rows["images"].sum())) if len(rows) else None


def _traits(status: dict[str, Any], strategy: str) -> Traits | None:
    """What the run says of its strategy; where it is from before runs did, what is known of the built-in ones."""
    given = status.get("traits")
    if isinstance(given, dict) and all(isinstance(given.get(name), bool) for name in WORDS):
        return Traits(**{name: given[name] for name in WORDS})
    return BUILT_IN[strategy].traits if strategy in BUILT_IN else None


def _by_hand(settings_from: str) -> frozenset[str]:
    """The settings that :func:`benchmark.planning.settings_from` names as asked for."""
    names, asked, _ = settings_from.partition(AS_ASKED_FOR)
    return frozenset(names.split(", ")) if asked else frozenset()


def _task_parameters(ledger: pd.DataFrame) -> "pd.Series[float]":
    """What each task still trains as it ends, in their order; empty where that is not known.

    Older runs say only what was trainable as a task began; if that never shrank, nothing was pruned of it.
    """
    values = {name: rows["value"] for name, rows in ledger.sort_values("after").groupby("quantity")}
    begun = values.get("trainable_parameters", pd.Series(dtype=float))
    return values.get("task_parameters", begun if begun.is_monotonic_increasing else pd.Series(dtype=float))


def _sources(config: dict[str, Any], tasks: int) -> tuple[Source, ...]:
    """Embedded where the configuration does not say: runs from before there were datasets."""
    given = config.get("sources") or [{"train": {}, "test": {}}] * tasks
    if not isinstance(given, list) or len(given) != tasks:
        raise ValueError(f"the sources of its images are not a list with an entry for each of the {tasks} tasks")
    return tuple(Source(_images(entry, "train"), _images(entry, "test")) for entry in given)


def _images(entry: Any, side: str) -> ImageSet:
    given = entry.get(side) if isinstance(entry, dict) else None
    if not isinstance(given, dict):
        raise ValueError(f"a task does not say where its {side} images come from")
    return ImageSet(**{key: plain(given[key], 100) for key in ("name", "release", "digest") if given.get(key)})


def _matrix(rows: pd.DataFrame, metric: Metric, tasks: int) -> Array:
    matrix = np.full((tasks, tasks), np.nan)
    rows = rows[rows["metric"] == metric.name]
    matrix[rows["after"].to_numpy(int) - 1, rows["place"].to_numpy(int) - 1] = rows["value"].to_numpy(float)
    return np.minimum(matrix, metric.ceiling)  # older runs hold what is above it


def _row(rows: pd.DataFrame, metric: Metric, tasks: int) -> Array:
    row = np.full(tasks, np.nan)
    rows = rows[rows["metric"] == metric.name]
    row[rows["place"].to_numpy(int) - 1] = rows["value"].to_numpy(float)
    return np.minimum(row, metric.ceiling)


def _costs(ledger: pd.DataFrame) -> dict[str, tuple[float, str]]:
    """The last row of each quantity, by the number of tasks learned; the largest of PEAKS."""
    ledger = ledger.assign(peak=ledger["value"].where(ledger["quantity"].isin(PEAKS), 0))
    last = ledger.sort_values(["peak", "after"], kind="stable").groupby("quantity", sort=False).last()
    return {
        plain(name): (float(value), plain(unit))
        for name, value, unit in zip(last.index, last["value"], last["unit"], strict=True)
    }

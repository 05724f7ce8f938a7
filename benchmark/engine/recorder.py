"""From a template and its test images to the rows and pictures of a run directory."""

import hashlib
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor

from benchmark.core import metrics
from benchmark.core.images import to_uint8
from benchmark.core.runs import schemas, writing
from benchmark.core.runs.directory import Run, after_kind
from benchmark.engine import ledger, pictures
from benchmark.engine.endings import Diverged
from benchmark.engine.events import EpochEnded, Listener, TaskMeasured, Updated
from benchmark.engine.state import tensor_digests
from benchmark.sections import Evaluation
from benchmark.streams.build import Benchmark, TestImages
from benchmark.streams.definition import parts
from strategies.base import Strategy, TaskNetwork
from strategies.identifier import Identifier
from strategies.mixtures import ways

OUTPUT_PROTOCOL = "SHA-256 of the float32 output"
OWNED_PROTOCOL = "SHA-256 of each tensor on which the output depends: type, shape and bytes"
IDENTIFIER_PROTOCOL = "each test image given to the task of largest bounded log-likelihood over its squares"


class Recorder(SupervisedPlugin):
    """Measures a run and keeps its files up to date; after every task the directory is complete as far as it goes.

    As an Avalanche plugin it follows each epoch with a measurement on the validation images.

    Args:
        run: where to write.
        benchmark: the stream with its test images.
        on_event: told of every update and epoch.
        evaluation: what is measured beside quality on every task after every task.
        identifier: tells which task an image belongs to; None if that is not measured.
    """

    def __init__(
        self,
        run: Run,
        benchmark: Benchmark,
        on_event: Listener,
        evaluation: Evaluation,
        identifier: Identifier | None = None,
    ) -> None:
        super().__init__()
        self.run, self.benchmark, self.on_event = run, benchmark, on_event
        self.evaluation, self.identifier = evaluation, identifier
        self.metrics: list[dict[str, Any]] = []
        self.curves: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []
        self.owned: list[dict[str, Any]] = []
        self.ledger: list[dict[str, Any]] = []
        self.losses: list[float] = []
        self.trained = 0
        self.learning: list[int] = []
        self.measured = 0

    def note(self) -> dict[str, Any]:
        """All that was recorded so far, as plain values."""
        return {
            "rows": {file: self._rows(file) for file in schemas.TABLES},
            "losses": self.losses,
            "trained": self.trained,
            "measured": self.measured,
        }

    def restore(self, note: Mapping[str, Any]) -> int:
        """Take up what :meth:`note` gave, and write the tables anew, unless a task is only measured in part.

        Pictures of the test images themselves that are gone are drawn again. Returns how many of outputs are gone.
        """
        for file in schemas.TABLES:
            self._rows(file)[:] = note["rows"][file]
        self.losses, self.trained, self.measured = list(note["losses"]), note["trained"], note["measured"]
        if not self.measured:
            self._write()
        gone = pictures.missing(self.run, self.benchmark, self.outputs)
        outputs = sum(kind not in pictures.INPUTS for kind in gone)
        if len(gone) > outputs:
            for place, images in enumerate(self.benchmark.test, 1):
                for index in range(min(len(images), pictures.PICTURES)):
                    self._keep_inputs(place, index, images.degraded(index), images.clean(index))
        return outputs

    def measure_inputs(self) -> None:
        """Measure and keep the degraded test images themselves, to which every output is compared."""
        for place, images in enumerate(self.benchmark.test, 1):
            values = []
            for index in range(len(images)):
                degraded, clean = images.degraded(index), images.clean(index)
                values.append(metrics.recorded(degraded, clean))
                self._keep_inputs(place, index, degraded, clean)
            self._add_means(0, place, "input", values)
        self._write()

    def measure_outputs(self, template: Any, after: int, save: Callable[[], None]) -> None:
        """Measure the network on every task of the stream, seen or not, after ``after`` tasks.

        Of a network that is told the task, what each learned task owns is compared with what it owned when it was
        learned, too. After the last task, with an identifier, every test image is restored under every label, too. What
        was measured before the run was interrupted is not measured again.

        Args:
            template: has the network.
            after: how many tasks it has learned.
            save: keeps what :meth:`note` gives; called between two tasks, as often as it may be.
        """
        if isinstance(template.model, TaskNetwork) and not self.measured:
            self._compare_owned(template.model, after)
        for place in range(self.measured + 1, len(self.benchmark.test) + 1):
            measure = partial(self._measure_output, template, after, place)
            measured = template.outputs(self.benchmark.scenario.test_stream[place - 1], measure)
            self._add_means(after, place, "output", [values for values, _ in measured])
            mean, count = self._validate(template, place - 1), len(self.benchmark.valid[place - 1])
            self._add(after, place, "validation", "psnr", mean, "dB", count, metrics.PROTOCOL)
            if changed := [change for _, change in measured if change is not None]:
                about = (after, place, "output", "outputs_changed")
                self._add(*about, sum(changed), "count", len(changed), OUTPUT_PROTOCOL)
            self.measured = place
            if template.save_is_due():
                template.timed(save)
        if self.identifier is not None and after == len(self.benchmark.tasks):
            self._measure_labels(template, self.identifier, save)
        if self.evaluation.mixtures and after == len(self.benchmark.tasks):
            self._measure_mixtures(template)
        self.measured = 0
        self._write()
        self.on_event(self._told(after, after * template.training_settings.updates))

    def _measure_output(
        self, template: Any, after: int, place: int, index: int, output: Tensor, clean: Tensor
    ) -> tuple[dict[str, float], bool | None]:
        """Every metric of an output for a test image, and whether it changed since its task was learned, if known."""
        name, task = self.benchmark.test[place - 1].names[index], self.benchmark.tasks[place - 1].name
        image = self._finite(template, f"the output for test image '{name}' of task '{task}'", output)
        digest = hashlib.sha256(image.tobytes()).hexdigest()
        before = [row for row in self.outputs if (row["place"], row["image"]) == (place, name)]
        measured = _measured(before, digest) or metrics.recorded(image, self.benchmark.test[place - 1].clean(index))
        learned = next((row["sha256"] for row in before if row["after"] >= place), None)
        if learned is None and after >= place:
            self._keep_picture(place, index, "learned", to_uint8(image))
        if after == len(self.benchmark.tasks):
            self._keep_picture(place, index, "final", to_uint8(image))
        elif learned is not None and index < pictures.FOLLOWED:
            self._keep_picture(place, index, after_kind(after), to_uint8(image))
        self.outputs.append({"after": after, "place": place, "task": task, "image": name, "sha256": digest, **measured})
        return measured, None if learned is None else digest != learned

    def measure_cost(self, template: Any, strategy: Strategy, state: dict[str, Tensor], after: int) -> None:
        """Note what the strategy, whose state is given, stores and computes after ``after`` tasks."""
        prototypes = self.identifier.state() if self.identifier is not None else {}
        stored = ledger.storage(template.model.state_dict() | prototypes, state)
        kept = ledger.needed_again(strategy, after, len(self.benchmark.tasks))
        quantities = [
            ("task_parameters", self.trained, "count"),
            ("stored_parameters", stored.parameters, "count"),
            ("stored_bytes", stored.bytes, "B"),
            ("mask_bytes", stored.mask_bytes, "B"),
            ("exemplar_bytes", stored.exemplar_bytes, "B"),
            ("data_bytes", self.benchmark.data_bytes(kept), "B"),
            ("macs_per_pixel", ledger.macs_per_pixel(template.model), "MAC"),
        ]
        if self.identifier is not None:
            quantities.append(("identifier_bytes", ledger.storage(prototypes, {}).bytes, "B"))
        self._note_cost(after, quantities)
        self._write()

    def before_training_exp(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Note what is trainable, and measure the network as it comes to the task (epoch 0).

        Raises:
            Diverged: the network gives something that is no number.
        """
        self.learning = template.experience.task_labels
        if template.saved is not None:
            return  # it was noted as the task began for the first time
        place = template.experience.current_experience + 1
        self._note_cost(place, [("trainable_parameters", ledger.trainable_parameters(template.model), "count")])
        self.losses = []
        self._add_epoch(template, epoch=0)

    def after_training_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Note the loss.

        Raises:
            Diverged: it is no number.
        """
        self.losses.append(template.loss.item())
        if not math.isfinite(self.losses[-1]):
            raise self._diverged(template, f"the loss is {self.losses[-1]}")
        update = _before(template) + template.clock.train_exp_iterations + 1
        self.on_event(Updated(self.run.name, self.losses[-1], 1, update, template.optimizer.param_groups[0]["lr"]))

    def after_training_epoch(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Measure on the validation images, and note what is trainable still: pruning leaves less of it."""
        self.trained = ledger.trainable_parameters(template.model)
        self._add_epoch(template, epoch=template.clock.train_exp_epochs + 1)
        self.losses = []

    def _add_epoch(self, template: Any, epoch: int) -> None:
        loss = float(np.mean(self.losses)) if self.losses else None
        after, update = template.experience.current_experience + 1, epoch * template.training_settings.updates_per_epoch
        psnr = {label: self._validate(template, label) for label in self.learning}
        if self.evaluation.stability_gap:
            with torch.random.fork_rng([template.device] if template.device.type == "cuda" else []):
                others = [label for label in range(after - 1) if label not in psnr]
                psnr |= {label: self._validate(template, label) for label in others}
        self.curves += [
            {
                "after": after,
                "place": label + 1,
                "task": self.benchmark.tasks[label].name,
                "epoch": epoch,
                "update": update,
                "loss": loss if label in self.learning else None,
                "psnr": value,
                "learning_rate": template.optimizer.param_groups[0]["lr"],
            }
            for label, value in psnr.items()
        ]
        self._write("curves.csv")
        mean = float(np.mean([psnr[label] for label in self.learning]))
        self.on_event(EpochEnded(self.run.name, epoch, template.train_epochs, loss, mean, _before(template) + update))

    def _told(self, after: int, update: int) -> TaskMeasured:
        """What is told of the measurements after so many tasks."""
        rows = [row for row in self.metrics if (row["subject"], row["metric"]) == ("output", "psnr")]
        matrix = np.full((after, len(self.benchmark.tasks)), np.nan)
        for row in rows:
            matrix[row["after"] - 1, row["place"] - 1] = row["value"]
        lost = metrics.forgetting(matrix[:, :after])[:-1] if np.isfinite(matrix).all() else np.empty(0)
        names = [task.name for task in self.benchmark.tasks]
        psnr = dict(zip(names, map(float, matrix[-1]), strict=True))
        return TaskMeasured(self.run.name, after, psnr, float(lost.mean()) if len(lost) else None, update)

    def _validate(self, template: Any, label: int) -> float:
        """Mean PSNR in dB on the validation images of a task."""
        images = self.benchmark.scenario.valid_stream[label]
        return float(
            np.mean(template.outputs(images, partial(self._psnr, template, "an output for a validation image")))
        )

    def _diverged(self, template: Any, what: str) -> Diverged:
        """The error to raise where numbers are none; it tells after which update of which task."""
        settings = template.training_settings
        tasks = "+".join(self.benchmark.tasks[label].name for label in self.learning)
        update = template.clock.train_exp_epochs * settings.updates_per_epoch + len(self.losses)
        if not update:
            return Diverged(f"{what[:1].upper()}{what[1:]}, before any update of task '{tasks}': look at the network.")
        return Diverged(
            f"Training diverged: {what} after update {update:,} of task '{tasks}'. Lower training.learning_rate (now "
            f"{settings.learning_rate:g}) or the strategy's own weight."
        )

    def _add_means(self, after: int, place: int, subject: str, values: list[dict[str, float]]) -> None:
        for metric in metrics.METRICS:
            mean = float(np.mean([value[metric.name] for value in values]))
            self._add(after, place, subject, metric.name, mean, metric.unit, len(values), metrics.PROTOCOL)

    def _add(
        self, after: int, place: int, subject: str, metric: str, value: float, unit: str, images: int, protocol: str
    ) -> None:
        self.metrics.append(
            {
                "after": after,
                "after_task": self.benchmark.tasks[after - 1].name if after else "",
                "place": place,
                "task": self.benchmark.tasks[place - 1].name,
                "subject": subject,
                "metric": metric,
                "value": value,
                "unit": unit,
                "images": images,
                "protocol": protocol,
            }
        )

    def _measure_labels(self, template: Any, identifier: Identifier, save: Callable[[], None]) -> None:
        """Measure the network on every task under every label, and under the label that each image is given."""
        after = len(self.benchmark.tasks)
        for place, images in enumerate(self.benchmark.test, 1):
            if any(row["place"] == place and row["subject"] == schemas.IDENTIFIED for row in self.metrics):
                continue
            count = len(images)
            given = [identifier.identify(images.degraded(index)) for index in range(count)]
            psnr = np.array([self._psnr_told(template, place, label) for label in range(after)])
            for label, values in enumerate(psnr):
                about = (after, place, schemas.told(label + 1))
                self._add(*about, "psnr", float(np.mean(values)), "dB", count, metrics.PROTOCOL)
                self._add(*about, "assigned", given.count(label), "count", count, IDENTIFIER_PROTOCOL)
            about, mean = (after, place, schemas.IDENTIFIED), float(np.mean(psnr[given, np.arange(count)]))
            self._add(*about, "psnr", mean, "dB", count, metrics.PROTOCOL)
            self._add(*about, "accuracy", given.count(place - 1) / count, "", count, IDENTIFIER_PROTOCOL)
            if template.save_is_due():
                template.timed(save)

    def _measure_mixtures(self, template: Any) -> None:
        """Measure what was learned of a mixture's parts on its test images."""
        tests = self.benchmark.scenario.test_stream
        for place, images in enumerate(self.benchmark.test, 1):
            labels = parts(self.benchmark.tasks, place - 1)
            for subject, network in ways(template.model, labels).items() if labels else ():
                measure = partial(self._record, template, f"an output '{subject}'", images)
                measured = template.outputs(tests[place - 1], measure, network=network)
                self._add_means(len(self.benchmark.tasks), place, subject, measured)

    def _psnr_told(self, template: Any, place: int, label: int) -> list[float]:
        """PSNR in dB of each test image of a task while the network is told that it is of the task with a label."""
        task, other = self.benchmark.tasks[place - 1].name, self.benchmark.tasks[label].name
        what = f"an output for task '{task}' under the label of '{other}'"
        measure = partial(self._psnr, template, what)
        psnr: list[float] = template.outputs(self.benchmark.scenario.test_stream[place - 1], measure, told=label)
        return psnr

    def _psnr(self, template: Any, what: str, index: int, output: Tensor, clean: Tensor) -> float:
        """PSNR in dB of an output, as it counts in means."""
        image = to_uint8(self._finite(template, what, output))
        return float(metrics.counted(metrics.psnr(image, to_uint8(clean.permute(1, 2, 0).numpy()))))

    def _record(
        self, template: Any, what: str, images: TestImages, index: int, output: Tensor, clean: Tensor
    ) -> dict[str, float]:
        """Every metric of an output for a test image."""
        return metrics.recorded(self._finite(template, what, output), images.clean(index))

    def _finite(self, template: Any, what: str, output: Tensor) -> np.ndarray:
        """An output (3, H, W) as H × W × 3; ``what`` it is in words, should it be no number."""
        if not torch.isfinite(output).all():
            raise self._diverged(template, f"{what} is no number")
        return np.ascontiguousarray(output.permute(1, 2, 0).numpy())

    def _note_cost(self, after: int, quantities: list[tuple[str, float, str]]) -> None:
        task = self.benchmark.tasks[after - 1].name
        self.ledger += [
            {"after": after, "task": task, "quantity": quantity, "value": float(value), "unit": unit}
            for quantity, value, unit in quantities
        ]

    def _compare_owned(self, network: TaskNetwork, after: int) -> None:
        """Note what tasks own that were just learned, and how much of it has changed of those learned before."""
        for place in sorted(label + 1 for label in network.known):
            task = self.benchmark.tasks[place - 1].name
            found = tensor_digests(network.owned(place - 1))
            recorded = {row["tensor"]: row["sha256"] for row in self.owned if row["place"] == place}
            if recorded:
                compared = recorded.keys() | found.keys()
                changed = sum(recorded.get(name) != found.get(name) for name in compared)
                self._add(after, place, "owned", "owned_changed", changed, "count", len(compared), OWNED_PROTOCOL)
            elif not any(row["after"] >= row["place"] == place for row in self.outputs):
                self.owned += [
                    {"after": after, "place": place, "task": task, "tensor": name, "sha256": digest}
                    for name, digest in found.items()
                ]

    def _keep_inputs(self, place: int, index: int, degraded: np.ndarray, clean: np.ndarray) -> None:
        self._keep_picture(place, index, "clean", clean)
        self._keep_picture(place, index, "degraded", to_uint8(degraded))

    def _keep_picture(self, place: int, index: int, kind: str, pixels: np.ndarray) -> None:
        pictures.keep(self.run, self.benchmark, place, index, kind, pixels)

    def _rows(self, file: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = getattr(self, file.removesuffix(".csv"))
        return rows

    def _write(self, *files: str) -> None:
        """Write some tables, or all."""
        self.run.refuse_gone()
        for file in files or schemas.TABLES:
            writing.write_table(self.run.path / file, self._rows(file), schemas.TABLES[file])


def _measured(before: list[dict[str, Any]], digest: str) -> dict[str, float] | None:
    """What the earlier rows of an image have of the same output; None of a new one."""
    names = [metric.name for metric in metrics.METRICS]
    same = (row for row in before if row["sha256"] == digest and row.keys() >= set(names))
    return next(({name: row[name] for name in names} for row in same), None)


def _before(template: Any) -> int:
    """How many updates the run had made before the present round."""
    return (template.experience.current_experience + 1 - template.budget) * template.training_settings.updates

"""What the parts of a run take on this machine, measured as they are in training."""

from contextlib import suppress
from typing import Any

import numpy as np
from avalanche.benchmarks import benchmark_from_datasets
from avalanche.core import SupervisedPlugin

from benchmark.config import RunConfig
from benchmark.core import clock, metrics
from benchmark.core.images import to_uint8
from benchmark.engine import setup
from benchmark.engine.setup import make_ready, prepare
from benchmark.engine.template import RestorationTemplate
from benchmark.experiments.schedule import Parts
from benchmark.streams.build import build

PLAIN = "finetune"
"""The strategy that is measured; what another one's update costs beside it is the other's ``relative_cost``."""
MOST_UPDATES = 100
PATIENCE = 1.0
"""Seconds after which no further update is begun; two are timed in any case."""
ENOUGH_PIXELS = 2**20
"""Pixels after which no further image is restored; the time of the rest follows from their number of pixels."""


def measure(config: RunConfig) -> Parts:
    """Measure the parts of a run on its own images, with the plain network; nothing is written.

    Args:
        config: the run, resolved.
    """
    training = config.training.model_copy(update={"epochs": 1, "updates_per_epoch": MOST_UPDATES})
    plain = config.model_copy(update={"strategy": PLAIN, "plugin": "", "settings": {}, "training": training})
    device = make_ready(training)
    build(plain)  # what is decoded or generated once is there from now on, as it is for all runs but the first
    began = clock.now()
    strategy, model = prepare(plain)
    benchmark = build(plain)
    building = clock.since(began)
    stopwatch = _Stopwatch()
    template = setup.template(plain, strategy, model, device, (stopwatch,))
    with suppress(_EnoughTimed):
        template.learn(benchmark.scenario.train_stream[0])
    tests, validations = benchmark.scenario.test_stream, benchmark.scenario.valid_stream
    restored, measured = _per_pixel(template, tests[0])
    pixels, validated = (float(np.mean([one.pixels for one in side])) for side in (benchmark.test, benchmark.valid))
    return Parts(
        start=building + len(config.order) * measured * pixels,
        update=float(np.median(np.diff(stopwatch.times))),
        validation=sum(_per_pixel(template, validations[0], psnr_alone=True)) * validated,
        test=(restored + measured) * pixels,
    )


class _EnoughTimed(Exception):
    """Ends a training that was begun for its timing alone."""


class _Stopwatch(SupervisedPlugin):
    """Notes when each update is over; ends the training once PATIENCE seconds are, after three updates or more."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def after_training_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Wait for the update to be done, on a GPU, too, as a run does for its loss."""
        template.loss.item()
        self.times.append(clock.now())
        if len(self.times) > 2 and self.times[-1] - self.times[0] > PATIENCE:
            raise _EnoughTimed


def _per_pixel(template: RestorationTemplate, experience: Any, psnr_alone: bool = False) -> tuple[float, float]:
    """Seconds a pixel to restore the images of an experience, and to measure the outputs."""
    images = experience.dataset
    count, pixels = 0, 0
    while count < len(images) and pixels < ENOUGH_PIXELS:
        pixels += images[count][0][0].numel()
        count += 1
    some = benchmark_from_datasets(test=[images.subset(range(count))]).test_stream[0]
    some.task_label, some.task_labels = experience.task_label, experience.task_labels
    began = clock.now()
    outputs = template.outputs(some)
    restoring = clock.since(began)
    began = clock.now()
    for output, clean in outputs:
        restored, true = output.permute(1, 2, 0).numpy(), to_uint8(clean.permute(1, 2, 0).numpy())
        if psnr_alone:
            metrics.psnr(to_uint8(restored), true)
        else:
            metrics.measure(restored, true)
    return restoring / pixels, clock.since(began) / pixels

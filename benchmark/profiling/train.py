"""What a training step costs, and what of it: ours against a loop written by hand and against Avalanche's ``Naive``.

All train the same network on the same patches, by turns. The time of a step is split into patches (drawing them),
forward, backward, optimizer, strategy (its callbacks) and harness (all else: the loss, the clock, Avalanche's
callbacks). On a GPU every part waits for the one before, so the sum is more than a step that is left alone.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from avalanche.benchmarks import benchmark_from_datasets
from avalanche.benchmarks.utils import AvalancheDataset, DataAttribute
from avalanche.benchmarks.utils.flat_data import ConstantSequence
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Naive
from avalanche.training.templates import SupervisedTemplate
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader

from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.runs.profile_table import WHOLE, Row
from benchmark.engine.setup import choose_precision, make_ready, prepare
from benchmark.engine.template import RestorationTemplate, precise
from benchmark.planning import plan
from benchmark.profiling.timing import Parts, Stopwatch, compare
from benchmark.streams.build import build
from strategies.base import HOOKS, Strategy, TaskNetwork

if TYPE_CHECKING:
    from avalanche.training.templates import SupervisedTemplate as Mixed
else:
    Mixed = object  # Avalanche looks at the arguments of every base class

HARNESS = "harness"
FRACTION = 0.1
"""Share of the memory that each task of CMC owns."""
TASKS = 8
"""Tasks of the longest stream, of which the last is in training."""


class _Timed(Mixed):
    """Makes of a template one that tells the parts of its steps."""

    watch: Stopwatch
    dataloader: Any

    def training_epoch(self, **kwargs: Any) -> None:
        self.dataloader = _Watched(self.dataloader, self.watch)
        with self.watch.part(WHOLE):
            super().training_epoch(**kwargs)

    def forward(self) -> Any:
        with self.watch.part("forward"):
            return super().forward()

    def backward(self) -> None:
        with self.watch.part("backward"):
            super().backward()

    def optimizer_step(self) -> None:
        with self.watch.part("optimizer"):
            super().optimizer_step()


class _Ours(_Timed, RestorationTemplate):
    """The suite's; the task stays in training, however often it is trained."""

    def _after_training_exp(self, **kwargs: Any) -> None:
        SupervisedTemplate._after_training_exp(self, **kwargs)


class _Naive(_Timed, Naive):
    """Avalanche's, which knows no precision of its own."""

    precise: Callable[[], torch.autocast]

    def forward(self) -> Any:
        with self.precise():
            return super().forward().float()


class _Watched:
    """Batches of which it is told how long they take to come."""

    def __init__(self, batches: Any, watch: Stopwatch) -> None:
        self.batches, self.watch = batches, watch

    def __iter__(self) -> Iterator[Any]:
        with self.watch.part("patches"):
            batches = iter(self.batches)
        while True:
            with self.watch.part("patches"):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def measure(
    preset: str = "quick",
    assignments: Sequence[str] = (),
    updates: int = 10,
    repeats: int = 7,
    console: Console | None = None,
) -> list[Row]:
    """Measure a step of every subject; in each repeat ``updates`` of them, one after another.

    Args:
        preset: size of network, batch and patches.
        assignments: single settings that differ from it, as for ``run``.
        updates: steps in a repeat.
        repeats: how often each is timed.
        console: where to show progress.

    Raises:
        UserError: there is no GPU and one is asked for; or patches are, from elsewhere than the CPU, which neither the
            loop nor Naive has.
    """
    lengths = ["training.epochs=1", f"training.updates_per_epoch={updates}"]

    def config(strategy: str, *settings: str) -> RunConfig:
        return plan(strategy, "four_tasks", preset, "0", "denoise", None, None, [*assignments, *lengths, *settings])[0]

    asked = config("finetune").training
    if asked.patches_on != "cpu":
        raise UserError(
            f"training.patches_on = {asked.patches_on}: profile train draws patches on the CPU for all it compares. "
            "Leave the setting out; profile data tells what patches take on the device."
        )
    device = make_ready(asked)
    lengths.append(f"training.precision={choose_precision(asked.precision, device)}")
    plain = config("finetune")
    patches = build(plain).train[0]

    def ours(strategy: str, *settings: str, task: int = 0) -> Callable[[], Parts]:
        return _ours(config(strategy, *settings), patches, device, task)

    def cmc(t: int, task: int) -> Callable[[], Parts]:
        return ours("cmc", f"cmc.t={t}", f"cmc.fraction={FRACTION}", task=task)

    subjects = {
        "a loop by hand": _by_hand(plain, patches, device),
        "Avalanche's Naive": _naive(plain, patches, device),
        "finetune": ours("finetune"),
        "cmc, CMC-5": cmc(5, 1),
        "cmc, CMC-20": cmc(20, 1),
        "cmc, CMC-5, first task": cmc(5, 0),
        f"cmc, CMC-5, task {TASKS}": cmc(5, TASKS - 1),
    }
    training = plain.training
    patch = f"{training.patch_size}×{training.patch_size}"
    setting = f"{training.precision}, {plain.backbone.width} channels, {training.batch_size} patches of {patch}"
    return compare("train", subjects, repeats, device, setting, console)


def _by_hand(config: RunConfig, patches: Any, device: torch.device) -> Callable[[], Parts]:
    """What anyone would write for one task, with the suite's patches."""
    training, watch, loss_function = config.training, Stopwatch(device), nn.MSELoss()
    network = prepare(config)[1].to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate)
    batches = _Watched(DataLoader(patches, batch_size=training.batch_size), watch)

    def train() -> Parts:
        with watch.part(WHOLE):
            for degraded, clean, *_ in batches:
                optimizer.zero_grad()
                with watch.part("forward"), precise(training, device):
                    output = network(degraded.to(device, memory_format=torch.channels_last)).float()
                loss = loss_function(output, clean.to(device))
                with watch.part("backward"):
                    loss.backward()
                with watch.part("optimizer"):
                    optimizer.step()
                loss.item()
        return watch.split(training.updates, HARNESS)

    return train


def _naive(config: RunConfig, patches: Any, device: torch.device) -> Callable[[], Parts]:
    training = config.training
    network = prepare(config)[1]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No loggers specified")
        no_metrics = EvaluationPlugin()
    template = _Naive(
        model=network,
        optimizer=torch.optim.Adam(network.parameters(), lr=training.learning_rate),
        criterion=nn.MSELoss(),
        train_mb_size=training.batch_size,
        train_epochs=1,
        device=device,
        evaluator=no_metrics,
    )
    template.precise = partial(precise, training, device)
    return _repeatedly(template, patches, 0, training.updates, device)


def _ours(config: RunConfig, patches: Any, device: torch.device, task: int) -> Callable[[], Parts]:
    strategy, network = prepare(config)
    if isinstance(network, TaskNetwork):
        network.rebuild(range(task))
    template = _Ours(model=network, strategy=strategy, training=config.training, device=device)
    train = _repeatedly(template, patches, task, config.training.updates, device)
    _watch_callbacks(strategy, template.watch)
    return train


def _watch_callbacks(strategy: Strategy, watch: Stopwatch) -> None:
    """Count what a strategy does in the course of an epoch, in those callbacks that it has of its own."""

    def watched(callback: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any, **kwargs: Any) -> None:
            with watch.part("strategy"):
                callback(*args, **kwargs)

        return call

    for name in HOOKS:
        own = getattr(strategy, name)
        if getattr(type(strategy), name) is not getattr(Strategy, name) and not name.endswith(("_exp", "_epoch")):
            setattr(strategy, name, watched(own))


def _repeatedly(template: _Timed, patches: Any, task: int, updates: int, device: torch.device) -> Callable[[], Parts]:
    """Train a template on patches with a task's label, again and again."""
    template.watch = Stopwatch(device)
    label = DataAttribute(ConstantSequence(task, len(patches)), name="targets_task_labels", use_in_getitem=True)
    (experience,) = benchmark_from_datasets(train=[AvalancheDataset([patches], data_attributes=[label])]).train_stream
    experience.task_labels = [task]

    def train() -> Parts:
        template.train(experience, eval_streams=[])
        return template.watch.split(updates, HARNESS)

    return train

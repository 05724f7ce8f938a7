"""Is a strategy what it says it is? Checks for authors of strategies, run on a small stream.

The strategy learns three tasks of ``four_tasks`` three times over: twice from the start, and once interrupted within an
epoch of its last training round, and resumed. Plain training learns them, too. What is on disk afterwards has to bear
out what the strategy declares; three small tasks are evidence, not proof.
"""

import gc
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks.scenarios import CLExperience
from avalanche.core import SupervisedPlugin
from torch.utils.data import Dataset

from benchmark.config import Evaluation, RunConfig, Training
from benchmark.core.errors import UserError
from benchmark.core.images import to_uint8
from benchmark.core.runs.directory import Run
from benchmark.engine import local, setup
from benchmark.engine.recorder import Recorder
from benchmark.engine.template import RestorationTemplate
from strategies.base import HOOKS, Strategy, TaskNetwork

LEAST_UPDATES = 100
"""Updates of a task below which nothing can be expected to be learned; shorter presets are lengthened to it."""

RESULTS = ("metrics.csv", "curves.csv", "outputs.csv", "owned.csv", "ledger.csv")


@dataclass(frozen=True)
class Finding:
    """One check: what was asked, whether it holds, and the figures."""

    question: str
    holds: bool
    detail: str


def check(config: RunConfig) -> Iterator[Finding]:
    """Run the strategy of a configuration and examine it, one finding at a time.

    Args:
        config: a resolved configuration; its tasks are what the strategy learns.

    Raises:
        UserError: the strategy cannot be run at all.
    """
    config = _lengthened(config)
    with TemporaryDirectory(prefix="check-") as folder:
        place = Path(folder)
        first = _run(config, place / "first")
        strategy, model = setup.prepare(config)
        traits = strategy.traits

        yield _learns(first)
        watch = _Watch()
        second = _run(config, place / "second", watch)
        yield Finding(
            "the same run twice gives the same bytes",
            all(_bytes(first, name) == _bytes(second, name) for name in RESULTS),
            f"compared: {', '.join(RESULTS)}",
        )
        yield _resumes(config, first, place / "resumed")
        yield _adds(config, strategy, first, place / "plain")
        yield _keeps_no_data(watch)
        yield _protects(first, traits.protects_exactly)
        told = isinstance(model, TaskNetwork)
        yield Finding(
            "it declares truly whether it needs the task's label",
            traits.needs_task_id == told,
            f"declared {traits.needs_task_id}; the network {'is' if told else 'is not'} a TaskNetwork",
        )
        yield _grows(first, traits.grows)
        yield _ledger(first)


def _learns(run: Run) -> Finding:
    """Validation PSNR of every task rises while it is first learned."""
    curves = run.curves
    gains = [float(rows["psnr"].iloc[-1] - rows["psnr"].iloc[0]) for _, rows in curves.groupby(["after", "place"])]
    first = gains[0]
    return Finding(
        "it learns",
        first > 1 and all(np.isfinite(gains)),
        f"validation PSNR of the first task rose by {first:.1f} dB",
    )


def _resumes(config: RunConfig, whole: Run, place: Path) -> Finding:
    question = "an interrupted run goes on within a task to the same bytes"
    rounds = len({int(after) for after in whole.metrics["after"] if after})
    stop = _Stop(rounds - 1, config.training.updates // 2 + 1)
    with suppress(KeyboardInterrupt):
        _run(config, place, stop)
    try:
        resumed = _run(config, place)
    except UserError as error:
        return Finding(question, False, str(error))
    differing = [name for name in RESULTS if _bytes(whole, name) != _bytes(resumed, name)]
    return Finding(
        question,
        not differing,
        f"differing: {', '.join(differing)}; do state() and progress() hold all that is needed?"
        if differing
        else "all equal",
    )


def _adds(config: RunConfig, strategy: Strategy, run: Run, place: Path) -> Finding:
    """Without its own terms, as where a penalty is never set, a strategy gives the bits of plain training."""
    question = "what it adds to plain training changes the result"
    own = [name for name in vars(Strategy) if name in HOOKS | {"adapt", "rounds"}]
    added = [name for name in own if getattr(type(strategy), name) is not getattr(Strategy, name)]
    if not added:
        return Finding(question, True, "it adds nothing, and is plain training")
    untold = {"strategy": "finetune", "settings": {}, "plugin": "", "evaluation": Evaluation()}
    plain = _run(config.model_copy(update=untold), place)
    mine, other = (one.outputs.set_index(["after", "place", "image"])["sha256"] for one in (run, plain))
    shared = mine.index.intersection(other.index)
    moved = int((mine[shared] != other[shared]).sum())
    detail = f"it defines {', '.join(added)}; {moved} of {len(shared)} outputs differ from those of finetune"
    return Finding(question, not len(shared) or moved > 0, detail)


def _keeps_no_data(watch: "_Watch") -> Finding:
    """Look for rows of training pixels, and for data sets, in everything that strategy and network still hold."""
    found = "tasks are trained again in later rounds" if watch.revisited else _find_data(watch.template, watch.rows)
    declared = watch.template.strategy.traits.stores_data
    return Finding(
        "it keeps no training data unless it declares so",
        declared or not found,
        f"declared stores_data={declared}; found: {found or 'none'}",
    )


def _protects(run: Run, declared: bool) -> Finding:
    """By the outputs; what became of the tensors of a network that is told the task is a part of the answer."""
    count, compared = _changed(run, "outputs_changed")
    tensors, owned = _changed(run, "owned_changed")
    proof = f", and {tensors} of {owned} tensors that they depend on" if owned else ""
    return Finding(
        "it declares truly whether outputs of old tasks stay bit-identical",
        not compared or declared == (count == 0),
        f"declared protects_exactly={declared}; {count} of {compared} outputs changed{proof}",
    )


def _changed(run: Run, metric: str) -> tuple[int, int]:
    rows = run.metrics.query("metric == @metric")
    return int(rows["value"].sum()), int(rows["images"].sum())


def _grows(run: Run, declared: bool) -> Finding:
    sizes = [int(size) for size in run.ledger.query("quantity == 'stored_bytes'").sort_values("after")["value"]]
    return Finding(
        "it declares truly whether what it stores grows with tasks",
        len(sizes) == 1 or declared == (sizes[-1] > sizes[-2]),
        f"declared grows={declared}; stored bytes after each round: {', '.join(map(str, sizes))}",
    )


def _ledger(run: Run) -> Finding:
    """The bytes in the ledger are those of the checkpoint file, header aside; and something was trainable."""
    off = []
    rows = run.ledger.query("quantity == 'stored_bytes'")
    for after, told in zip(rows["after"].astype(int), rows["value"].astype(int), strict=True):
        file = run.checkpoint(after).read_bytes()
        on_disk = len(file) - 8 - int.from_bytes(file[:8], "little")
        if on_disk != told:
            off.append(f"after {after}: {told} told, {on_disk} on disk")
    trainable = run.ledger.query("quantity == 'trainable_parameters'")["value"]
    computed = run.ledger.query("quantity == 'macs_per_pixel'")["value"]
    holds = not off and bool((trainable > 0).all()) and bool((computed > 0).all())
    return Finding("its ledger is right", holds, "; ".join(off) or "bytes told are bytes on disk")


class _Stop(SupervisedPlugin):
    """Has everything saved after so many updates of a training round, counted from 0, and interrupts the next one."""

    def __init__(self, place: int, updates: int) -> None:
        super().__init__()
        self.moment = place, updates

    def after_training_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Have it saved; the clock counts the update after this."""
        if (template.clock.train_exp_counter, template.clock.train_exp_iterations + 1) == self.moment:
            template.last_save = float("-inf")

    def before_training_iteration(self, template: Any, *args: Any, **kwargs: Any) -> None:
        """Interrupt."""
        if (template.clock.train_exp_counter, template.clock.train_exp_iterations) == self.moment:
            raise KeyboardInterrupt


class _Watch(SupervisedPlugin):
    """Knows who was trained, rows of the patches that were there, and whether a task came again."""

    template: RestorationTemplate

    def __init__(self) -> None:
        super().__init__()
        self.rows: set[bytes] = set()
        self.revisited = False
        self.seen: set[int] = set()

    def before_training_exp(self, template: RestorationTemplate, *args: Any, **kwargs: Any) -> None:
        """Draw every third patch of what is to be learned; patches do not depend on who draws them."""
        self.template, experience = template, template.experience
        self.revisited |= any(label in self.seen for label in experience.task_labels)
        self.seen |= set(experience.task_labels)
        for index in range(0, len(experience.dataset), 3):
            for image in experience.dataset[index][:2]:
                self.rows |= _fingerprint(image)


def _run(config: RunConfig, out: Path, *plugins: SupervisedPlugin) -> Run:
    try:
        return local.execute([config], out, plugins=plugins)[0]
    except BaseException as error:
        error.__notes__ = []  # they tell what is kept of a run, and this one's folder is taken away
        raise


def _lengthened(config: RunConfig) -> RunConfig:
    training = config.training
    per_epoch = max(training.updates_per_epoch, -(-LEAST_UPDATES // training.epochs))
    changed: Training = training.model_copy(update={"updates_per_epoch": per_epoch, "device": "cpu"})
    return config.model_copy(update={"training": changed})


def _bytes(run: Run, name: str) -> bytes:
    return (run.path / name).read_bytes()


def _fingerprint(image: torch.Tensor) -> set[bytes]:
    """The first row of a patch (3, H, W) at 8 bits, if it is varied enough to be told from chance."""
    levels = to_uint8(image[0, 0].numpy())
    return {levels.tobytes()} if len(np.unique(levels)) >= 6 else set()


def _pixels(thing: Any) -> bytes:
    """What may be images, at 8 bits whatever it is kept as, and row by row where channels come last."""
    if isinstance(thing, bytes | bytearray):
        return bytes(thing)
    if isinstance(thing, torch.Tensor):
        if thing.layout != torch.strided or thing.is_complex() or thing.is_meta:
            return b""
        thing = thing.detach().cpu()
        thing = (thing.float() if thing.is_floating_point() else thing).numpy()
    if not isinstance(thing, np.ndarray) or thing.dtype.kind not in "fiu":
        return b""
    if thing.ndim > 2 and thing.shape[-1] == 3:
        thing = np.moveaxis(thing, -1, -3)
    if thing.dtype.kind != "f":
        return thing.clip(0, 255).astype(np.uint8).tobytes()
    return to_uint8(np.nan_to_num(thing)).tobytes()


def _find_data(template: RestorationTemplate, rows: set[bytes]) -> str:
    for thing in _reachable([template.strategy, template.model, template.strategy.state()]):
        if isinstance(thing, Dataset | CLExperience):
            return f"a {type(thing).__name__}"
        pixels = _pixels(thing)
        if any(row in pixels for row in rows):
            return f"training pixels in {_kind(thing)}"
    return ""


def _kind(thing: Any) -> str:
    return f"an array of shape {tuple(thing.shape)}" if hasattr(thing, "shape") else f"{len(thing)} bytes"


def _reachable(roots: list[Any]) -> Iterator[Any]:
    """Everything that attributes, containers and closures lead to, short of templates, recorders and classes."""
    seen: dict[int, Any] = {}
    open_things = list(roots)
    while open_things:
        thing = open_things.pop()
        if id(thing) in seen or isinstance(thing, RestorationTemplate | Recorder | type | ModuleType | FrameType):
            continue
        seen[id(thing)] = thing  # so that no other comes to have its number
        yield thing
        if isinstance(thing, FunctionType):
            open_things += [thing.__closure__, thing.__defaults__, thing.__kwdefaults__, thing.__dict__]
        elif not isinstance(thing, torch.Tensor | np.ndarray | Dataset | CLExperience):
            open_things += gc.get_referents(thing)
        elif isinstance(thing, torch.Tensor):
            open_things += [vars(thing), thing.grad]

"""From a configuration to what a run needs: the strategy, its untrained network, template and rounds, the device."""

import os
import platform
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from rich.console import Console

from benchmark import backbones
from benchmark.backbones import build as build_backbone
from benchmark.config import Revisions, RunConfig, Training
from benchmark.core.addresses import torch_seed
from benchmark.core.errors import UserError, shortened
from benchmark.core.files import refuse_long_place
from benchmark.core.plugins.catalogue import revision
from benchmark.core.printing import gib
from benchmark.core.process import cores, memory
from benchmark.core.process.suite import suite
from benchmark.engine.distributed import group
from benchmark.engine.endings import blamed
from benchmark.engine.ledger import plain_parameters
from benchmark.engine.template import RestorationTemplate
from benchmark.streams.build import Benchmark
from benchmark.streams.definition import Task, parts
from benchmark.streams.sources import prepare as prepare_sources
from benchmark.streams.sources import training_bytes
from strategies import contract, registry
from strategies.base import HOOKS, Settings, Strategy, TaskNetwork
from strategies.copies import refuse_one_memory
from strategies.identifier import LEAST_SIDE
from strategies.state import named_tensors

TRAINING = 1
"""The revision of the code that every strategy shares: with the strategy's own, it is part of a run's identity.

A finished run is reused as long as everything that decides its result is the same. Settings and images speak for
themselves; that the code has changed is said here, and in ``revision`` of the strategy's class.

Raised by one with every change after which some run, repeated, would write other numbers or outputs than before:
in what training, the backbones, degradations, patches, generated images, measurements or random addresses do. Not
raised for what leaves the bytes of metrics.csv, curves.csv, outputs.csv and ledger.csv equal, such as speed, new
columns or new settings whose defaults change nothing; nor for a single strategy, which has a number of its own."""

MOST_DRAWING = 8
"""Processes that draw patches beside a GPU, at most, unless more are asked for."""

IMAGES_SHARE = 0.25
"""Of a GPU's memory, how much the training images may take, at most, to be held there where that is not asked for."""

NO_RESULT = ("cores", "patch_workers", "patches_on")
"""What of :func:`environment` no result depends on."""

MOST_WEIGHTS = 2**28
"""Weights of a network, at most; with gradients and Adam's two moments they take 4 GiB. The paper's has 446,000."""


def resolve(config: RunConfig, console: Console | None = None) -> RunConfig:
    """The same configuration with all that it leads to written out, once it is known to fit together.

    That is every setting of the strategy, the revision of its code, the precision, where patches are computed, and
    where each task's images come from. Every image is examined. Large datasets are cached on disk, with a progress bar
    if a console is given.

    Raises:
        UserError: the strategy's settings are wrong, or do not fit the stream or the backbone; a dataset is missing, or
            an image cannot be used.
    """
    strategy, _ = prepare(config)
    training, device = config.training, choose_device(config.training.device)
    tasks = [Task.model_validate(task) for task in config.tasks]
    network = config.backbone.name
    backbone = revision(backbones.CATALOGUE.load(network)) if backbones.entries()[network].origin else 1
    sources = prepare_sources(tasks, config.data, console, training.patch_size)
    settled = {
        "precision": choose_precision(training.precision, device),
        "patches_on": choose_place(training.patches_on, device, lambda: training_bytes(tasks, config.data)),
    }
    found = {
        "training": training.model_copy(update=settled),
        "settings": strategy.settings.model_dump(mode="json"),
        "sources": sources,
        "revisions": Revisions(strategy=revision(type(strategy)), backbone=backbone, training=TRAINING),
    }
    return config.model_copy(update=found)


def prepare(config: RunConfig) -> tuple[Strategy, torch.nn.Module]:
    """The strategy of a run and its untrained network, both decided by the configuration alone.

    Raises:
        UserError: the strategy's settings are wrong, or do not fit the stream or the backbone; a plugin is broken, or
            its network is told the task against its word; a task identifier is asked for that would have nothing to
            tell, or too little to tell it from; or mixtures, or what happens to earlier tasks, are to be measured where
            there are none.
    """
    kind = registry.load(config.strategy)
    _refuse_evaluation(config, kind.traits.needs_task_id)
    with blamed(config):
        contract.check_made(kind)
        strategy = kind(registry.settings(kind, config.settings), config.seed)
        contract.check_strategy(strategy, Settings, HOOKS)
        _refuse_too_large(config)
        torch.manual_seed(torch_seed("weights", config.seed))
        backbone = config.backbone
        plain = build_backbone(backbone.name, backbone.width, backbone.blocks, backbone.image_skip)
        refuse_one_memory(plain)
        network = strategy.adapt(plain, len(config.order))
        if not isinstance(network, torch.nn.Module):
            raise UserError(
                f"Strategy '{config.strategy}': adapt() gave {shortened(repr(network))}. It is to return the network "
                "that is trained, a torch.nn.Module."
            )
        if isinstance(network, TaskNetwork):
            contract.check_network(strategy, network)
        named_tensors(network.state_dict(), f"state_dict() of {type(network).__name__}")
        return strategy, network


def _refuse_evaluation(config: RunConfig, told: bool) -> None:
    """Refuse to measure what cannot be: without labels, on too small patches, of one task, mixtures that are none."""
    asked = [name for name in ("identify", "mixtures") if getattr(config.evaluation, name)]
    if asked and not told:
        others = [name for name, entry in registry.entries().items() if entry.traits and entry.traits.needs_task_id]
        raise UserError(
            f"evaluation.{asked[0]} = true: strategy '{config.strategy}' is not told the task of an image, so there is "
            f"nothing of this to measure. Leave the setting out, or use strategies that are told: {', '.join(others)}."
        )
    if config.evaluation.identify and config.training.patch_size < LEAST_SIDE:
        raise UserError(
            f"evaluation.identify = true: tasks are told apart on patches of at least {LEAST_SIDE} pixels, and "
            f"training.patch_size = {config.training.patch_size}. Set training.patch_size={LEAST_SIDE} or more."
        )
    several = [name for name in ("identify", "stability_gap") if getattr(config.evaluation, name)]
    if several and len(config.order) < 2:
        raise UserError(
            f"evaluation.{several[0]} = true: there is nothing of this to measure with one task, {config.order[0]}. "
            "Learn several, or leave the setting out."
        )
    tasks = [Task.model_validate(task) for task in config.tasks] if config.evaluation.mixtures else []
    if tasks and not any(parts(tasks, label) for label in range(len(tasks))):
        raise UserError(
            f"evaluation.mixtures = true: no task of stream '{config.stream}' is a mixture (degradation: blend) of "
            "degradations that are tasks of it, too. Use a stream such as 'blended', or leave the setting out."
        )


def _refuse_too_large(config: RunConfig) -> None:
    """Count a network's weights before they are made."""
    backbone = config.backbone
    weights = plain_parameters(backbone)
    if weights > MOST_WEIGHTS:
        raise UserError(
            f"backbone.width = {backbone.width} and backbone.blocks = {backbone.blocks} make a network of {weights:,} "
            f"weights; at most {MOST_WEIGHTS:,}. Lower one of them."
        )


def training_rounds(strategy: Strategy, benchmark: Benchmark) -> list[tuple[Any, int]]:
    """The strategy's rounds as (experience, budget); a task brings its budget to the first round it appears in.

    Raises:
        UserError: the strategy gives no rounds of the stream's tasks, leaves some out, or brings them in another order.
    """
    tasks = len(benchmark.tasks)
    given = strategy.rounds(tasks)
    said = f"Strategy '{strategy.name}': rounds({tasks}) gave {shortened(repr(given))}. "
    known = set(range(tasks))
    if not (isinstance(given, list | tuple) and all(isinstance(one, list | tuple) and one for one in given)):
        raise UserError(f"{said}A list of rounds is accepted, each a list of tasks, counted from 0.")
    if not all(isinstance(task, int) and task in known for labels in given for task in labels):
        raise UserError(f"{said}Tasks are whole numbers from 0 to {tasks - 1}.")
    if left_out := known.difference(*given):
        names = ", ".join(f"{task} ({benchmark.tasks[task].name})" for task in sorted(left_out))
        raise UserError(f"{said}Every task has to be in a round, and these are in none: {names}.")
    learned, rounds = 0, []
    for labels in given:
        budget = max(labels) + 1 - learned
        if len(set(labels)) < len(labels) or budget < 1 or not set(range(learned, learned + budget)) <= set(labels):
            raise UserError(
                f"{said}Every round has to bring the next task of the stream, or the next few, and may hold earlier "
                f"ones, each once; {shortened(repr(labels))} does not, after {learned} tasks."
            )
        rounds.append((benchmark.round(labels, budget), budget))
        learned += budget
    return rounds


def choose_device(name: str) -> torch.device:
    """The device a configuration asks for.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("training.device = cuda, but torch finds no GPU here. Use training.device=auto or cpu.")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def template(
    config: RunConfig,
    strategy: Strategy,
    model: torch.nn.Module,
    device: torch.device,
    plugins: tuple[SupervisedPlugin, ...],
) -> RestorationTemplate:
    """What trains and measures the network of a run, with Avalanche plugins that are called after the strategy."""
    return RestorationTemplate(
        model=model,
        strategy=strategy,
        training=config.training,
        device=device,
        workers=choose_workers(config.data.workers, device)[0],
        tile=config.data.tile,
        plugins=plugins,
    )


def make_ready(training: Training) -> torch.device:
    """Bring this process into the state in which a run trains and measures, before its first tensor; on which device.

    Raises:
        UserError: as :func:`choose_device`.
    """
    device = choose_device(training.device)
    choose_algorithms(device, training.deterministic)
    memory.keep()
    return device


def choose_precision(asked: str, device: torch.device) -> str:
    """The precision of forward passes in training: what is asked for; of ``auto``, what the device computes natively.

    bf16 on a GPU of compute capability 8 or more, and on a CPU with AVX-512 BF16 or AMX; fp32 elsewhere, where bf16 is
    emulated and takes several times as long.
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device)[0] >= 8
    else:
        known = torch.cpu.get_capabilities()
        native = bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    return "bf16" if native else "fp32"


def choose_place(asked: str, device: torch.device, needed: Callable[[], int]) -> str:
    """Where patches are computed: what is asked for; of ``auto``, a GPU on which the training images fit, else the CPU.

    Args:
        asked: ``auto``, ``cpu`` or ``device``.
        device: where the network trains.
        needed: tells the bytes of the training images.
    """
    if asked != "auto":
        return asked
    fit = device.type == "cuda" and needed() <= IMAGES_SHARE * _memory(device)
    return "device" if fit else "cpu"


def _memory(device: torch.device) -> int:
    """Bytes of a GPU's memory."""
    return int(torch.cuda.get_device_properties(device).total_memory)


def choose_workers(asked: int | None, device: torch.device) -> tuple[int, str]:
    """Processes that draw patches ahead of the training, and why so many.

    As many as asked for. By default none on a CPU, where all cores train; beside a GPU, which waits for its patches,
    one for each core but one, at most MOST_DRAWING, of the cores that each process of a group has.

    Raises:
        UserError: there would be some, and they could not pass on what they have drawn.
    """
    if asked is not None:
        chosen, why = asked, "asked for"
    elif device.type != "cuda":
        chosen, why = 0, "all cores train"
    else:
        share = cores.usable() // group.size()
        chosen = max(0, min(MOST_DRAWING, share - 1))
        why = f"a GPU waits for its patches, and there are {share} cores"
    if chosen:
        refuse_long_place()
    return chosen, why


def choose_algorithms(device: torch.device, deterministic: bool) -> None:
    """On a GPU, ask torch for deterministic algorithms, or leave it the choice, and for float32 where it says so.

    On a CPU nothing is asked. By itself cuDNN computes convolutions of float32 in TF32, which has ten bits of mantissa.

    Where torch has no deterministic algorithm for an operation it warns and goes on; the backward pass of the sampling
    in ``deform`` is such a one. cuBLAS reads its workspace from the environment when it is first used, so this comes
    before the first tensor on the GPU; a workspace that the user has set is kept.
    """
    if device.type != "cuda":
        return
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False


def environment(device: torch.device, config: RunConfig) -> dict[str, Any]:
    """What a result or its time may depend on beside the configuration, and which suite made it."""
    return {
        **suite(),
        "python": platform.python_version(),
        **_packages(),
        "machine": f"{platform.system()} {platform.machine()}",
        **processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": group.size(),
        "patch_workers": "{} ({})".format(*choose_workers(config.data.workers, device)),
        "patches_on": f"{config.training.patches_on} ({_room(config, device)})",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }


@cache
def _packages() -> dict[str, str]:
    """The versions of what decides results; looking them up takes longer than a short run's training."""
    return {name: version(name) for name in ("torch", "torchvision", "avalanche-lib", "numpy", "scipy", "pillow")}


def _room(config: RunConfig, device: torch.device) -> str:
    """What decides where the patches of a run are computed if the run leaves that open."""
    if device.type != "cuda":
        return "there is no GPU"
    needed = training_bytes([Task.model_validate(task) for task in config.tasks], config.data)
    return f"the training images take {gib(needed)}, the GPU has {gib(_memory(device))}"


def processor() -> dict[str, str]:
    """``processor``, its name; ``capability``, the widest instructions of torch, and of oneDNN if that is held back."""
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine()
    held_back = os.environ.get("ONEDNN_MAX_CPU_ISA")
    capability = torch.backends.cpu.get_cpu_capability() + (f", oneDNN {held_back}" if held_back else "")
    return {"processor": str(name), "capability": capability}

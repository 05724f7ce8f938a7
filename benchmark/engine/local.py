"""Runs in this process, one after another."""

import os
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.models.dynamic_modules import avalanche_model_adaptation
from rich.console import Console

from benchmark.backbones import build as build_backbone
from benchmark.config import Revisions, RunConfig
from benchmark.core.addresses import torch_seed
from benchmark.core.errors import UserError
from benchmark.core.runs import writer
from benchmark.core.runs.directory import Run, locate, now
from benchmark.core.runs.formats import FORMAT
from benchmark.engine import ledger
from benchmark.engine.endings import blamed, recorded, told
from benchmark.engine.events import Reporter, duration
from benchmark.engine.provenance import suite
from benchmark.engine.recorder import Recorder, load_checkpoint, save_checkpoint
from benchmark.engine.revision import TRAINING
from benchmark.engine.template import RestorationTemplate
from benchmark.planning import settings_from
from benchmark.streams.build import Benchmark, build
from benchmark.streams.definition import Task
from benchmark.streams.sources import prepare as prepare_sources
from benchmark.streams.sources import refuse_changed
from strategies import registry
from strategies.base import Strategy

MOST_WEIGHTS = 2**28
"""Weights of a network, at most; with gradients and Adam's two moments they take 4 GiB. The paper's has 446,000."""


def execute(
    configs: Sequence[RunConfig],
    out: Path,
    reporter: Reporter,
    force: bool = False,
    plugins: Sequence[SupervisedPlugin] = (),
    weights: Sequence[float] | None = None,
) -> list[Run]:
    """Do the runs that are not done yet, below ``out``.

    A finished run of the same content, wherever below ``out`` it lies, is kept; an interrupted one goes on after its
    last finished task and ends bit for bit as if it had never stopped (on the CPU, with as many threads).

    Args:
        configs: what to run.
        out: folder for the run directories.
        reporter: told of every step.
        force: do finished runs again.
        plugins: further Avalanche plugins for every run, called after the strategy.
        weights: for each run how long an update takes, in any unit, for the ETA; equal if not given.

    Raises:
        UserError: a run cannot be started; those before it are complete on disk.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to '{out}': {error.strerror}. Choose another folder with --out.") from error
    done: list[Run] = []
    known = locate(out)
    for config in configs:
        _refuse_foreign(known.get(config.identity, out / config.run_name))
    for place, config in enumerate(configs, 1):
        run = Run(known.get(config.identity, out / config.run_name))
        reporter.weight = weights[place - 1] if weights else 1.0
        if run.path.exists() and run.finished and not force:
            reporter.say(f"{run.name}: finished before; kept (--force repeats it)")
            reporter.skip(config.training.updates * len(config.order))
        else:
            if len(configs) > 1:
                reporter.say(f"{run.name}: run {place} of {len(configs)}")
            with told(run, done):
                run = _execute(config, run.path, reporter, force, plugins)
            known[config.identity] = run.path
        done.append(run)
    return done


def _execute(
    config: RunConfig, path: Path, reporter: Reporter, force: bool, plugins: Sequence[SupervisedPlugin]
) -> Run:
    arrived = time.monotonic()
    device = choose_device(config.training.device)
    choose_algorithms(device, config.training.deterministic)
    strategy, model = prepare(config)
    benchmark = build(config)
    if config.sources:
        refuse_changed(benchmark.tasks, config.data, config.sources)
    finished = 0 if force else Run(path).tasks_done
    if not finished:
        _tell_older(Run(path), reporter)
        shutil.rmtree(path / "images", ignore_errors=True)
    run = Run.create(path, config.model_dump(mode="json"), environment(device))
    recorder = Recorder(run, benchmark, reporter)
    template = RestorationTemplate(
        model=model,
        strategy=strategy,
        training=config.training,
        device=device,
        workers=config.data.workers,
        tile=config.data.tile,
        plugins=(recorder, *plugins),
    )
    tasks = len(benchmark.tasks)
    rounds = training_rounds(strategy, benchmark)
    seconds: list[float] = run.status.get("seconds_per_task", [])[:finished]
    peaks = {after: peak for after, peak in run.status.get("peak_memory", {}).items() if int(after) <= finished}
    with recorded(run, config.strategy):
        run.update_status(
            state="running",
            process=writer.identity(),
            started=now(),
            tasks=tasks,
            tasks_done=finished,
            seconds_per_task=seconds,
            peak_memory=peaks,
            traits=asdict(strategy.traits),
            settings_from=settings_from(config),
            backbone_parameters=ledger.plain_parameters(config.backbone),
            error=None,
        )
        if finished:
            recorder.load(finished)
            resume(template, strategy, [experience for experience, _ in rounds if _after(experience) <= finished], run)
            reporter.skip(config.training.updates * finished)
            reporter.say(f"{run.name}: goes on after {finished} of {tasks} tasks")
        else:
            recorder.measure_inputs()
        run.update_status(seconds_to_start=round(time.monotonic() - arrived, 3))
        for experience, budget in rounds:
            after = _after(experience)
            if after <= finished:
                continue
            began = time.monotonic()
            ledger.reset_peak_memory(device)
            names = "+".join(benchmark.tasks[label].name for label in experience.task_labels)
            reporter.task(config.strategy, names, after, tasks)
            torch.manual_seed(torch_seed("task", config.seed, after))
            template.learn(experience, budget)
            recorder.measure_outputs(template, after)
            recorder.measure_cost(template, strategy, after)
            save_checkpoint(run.checkpoint(after), template.model, strategy)
            seconds.append(round(time.monotonic() - began, 3))
            peaks[str(after)] = ledger.peak_memory(device)
            run.update_status(tasks_done=after, seconds_per_task=seconds, peak_memory=peaks)
        run.update_status(state="finished", seconds=round(sum(seconds), 3))
    reporter.say(f"{run.name}: finished in {duration(sum(seconds))}")
    return run


def resolve(config: RunConfig, console: Console | None = None) -> RunConfig:
    """The same configuration with all that it leads to written out, once it is known to fit together.

    That is every setting of the strategy, the revision of its code, and where each task's images come from. Every image
    is examined. Large datasets are cached on disk, with a progress bar if a console is given.

    Raises:
        UserError: the strategy's settings are wrong, or do not fit the stream or the backbone; a dataset is missing, or
            an image cannot be used.
    """
    strategy, _ = prepare(config)
    choose_device(config.training.device)
    tasks = [Task.model_validate(task) for task in config.tasks]
    found = {
        "settings": strategy.settings.model_dump(mode="json"),
        "sources": prepare_sources(tasks, config.data, console, config.training.patch_size),
        "revisions": Revisions(strategy=registry.revision(type(strategy)), training=TRAINING),
    }
    return config.model_copy(update=found)


def prepare(config: RunConfig) -> tuple[Strategy, torch.nn.Module]:
    """The strategy of a run and its untrained network, both decided by the configuration alone.

    Raises:
        UserError: the strategy's settings are wrong, or do not fit the stream or the backbone; a plugin is broken.
    """
    kind = registry.load(config.strategy)
    with blamed(config.strategy):
        strategy = kind(registry.settings(kind, config.settings), config.seed)
        _refuse_too_large(config)
        torch.manual_seed(torch_seed("weights", config.seed))
        backbone = config.backbone
        plain = build_backbone(backbone.name, backbone.width, backbone.blocks, backbone.image_skip)
        return strategy, strategy.adapt(plain, len(config.order))


def _refuse_too_large(config: RunConfig) -> None:
    """Count a network's weights before they are made."""
    backbone = config.backbone
    with torch.device("meta"):
        network = build_backbone(backbone.name, backbone.width, backbone.blocks, backbone.image_skip)
    weights = sum(parameter.numel() for parameter in network.parameters())
    if weights > MOST_WEIGHTS:
        raise UserError(
            f"backbone.width = {backbone.width} and backbone.blocks = {backbone.blocks} make a network of {weights:,} "
            f"weights; at most {MOST_WEIGHTS:,}. Lower one of them."
        )


def training_rounds(strategy: Strategy, benchmark: Benchmark) -> list[tuple[Any, int]]:
    """The strategy's rounds as (experience, budget); a task brings its budget to the first round it appears in."""
    seen: set[int] = set()
    rounds = []
    for labels in strategy.rounds(len(benchmark.tasks)):
        rounds.append((benchmark.round(labels, len(set(labels) - seen)), len(set(labels) - seen)))
        seen |= set(labels)
    return rounds


def resume(template: RestorationTemplate, strategy: Strategy, learned: Sequence[Any], run: Run) -> None:
    """Bring a fresh network to the state it had after the experiences ``learned``.

    Raises:
        UserError: the checkpoint cannot be read.
    """
    template.model.train()
    for experience in learned:
        avalanche_model_adaptation(template.model, experience)
        if hasattr(template.model, "end_task"):
            template.model.end_task()
    path = run.checkpoint(_after(learned[-1]))
    try:
        load_checkpoint(path, template.model, strategy)
    except Exception as error:
        raise UserError(f"Cannot go on from '{path}': {error}. Repeat the run with --force.") from error


def choose_device(name: str) -> torch.device:
    """The device a configuration asks for.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("training.device = cuda, but torch finds no GPU here. Use training.device=auto or cpu.")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def choose_algorithms(device: torch.device, deterministic: bool) -> None:
    """On a GPU, ask torch for deterministic algorithms, or leave it the choice; on a CPU nothing is asked.

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


def environment(device: torch.device) -> dict[str, Any]:
    """What a result may depend on beside the configuration, and which suite made it."""
    packages = {name: version(name) for name in ("torch", "torchvision", "avalanche-lib", "numpy", "scipy", "pillow")}
    return {
        **suite(),
        "python": platform.python_version(),
        **packages,
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }


def _refuse_foreign(path: Path) -> None:
    """Raise an error if what is to become a run directory exists and is something else."""
    if not path.exists() and not path.is_symlink():
        return
    begun = path.is_dir() and ((path / "config.yaml").is_file() or _names(path) <= {"environment.json"})
    if not begun:
        raise UserError(
            f"'{path}' is no run of this suite, and a run of that name is to be written there. "
            "Move it away, or choose another folder with --out."
        )


def _names(folder: Path) -> set[str]:
    """What a folder holds, but for hidden files."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def _after(experience: Any) -> int:
    """How many tasks have been learned once an experience has."""
    return max(experience.task_labels) + 1


def _tell_older(run: Run, reporter: Reporter) -> None:
    """Say that an unfinished run of an earlier format begins again."""
    if (run.path / "environment.json").exists() and run.format < FORMAT:
        reporter.say(f"{run.name}: was begun in format {run.format} by an earlier version; it begins again")

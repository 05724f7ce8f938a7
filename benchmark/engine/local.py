"""Runs in this process, one after another."""

from collections.abc import Sequence
from pathlib import Path

from avalanche.core import SupervisedPlugin

from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import Run, locate
from benchmark.engine import events, job
from benchmark.engine.endings import told
from benchmark.engine.events import Listener


def execute(
    configs: Sequence[RunConfig],
    out: Path,
    on_event: Listener = events.ignore,
    *,
    force: bool = False,
    plugins: Sequence[SupervisedPlugin] = (),
    weights: Sequence[float] | None = None,
) -> list[Run]:
    """Do the runs that are not done yet, below ``out``.

    A finished run of the same content, wherever below ``out`` it lies, is kept; an interrupted one goes on, see
    :func:`benchmark.engine.job.run`.

    Args:
        configs: what to run, resolved.
        out: folder for the run directories.
        on_event: told of every step.
        force: do finished runs again.
        plugins: further Avalanche plugins for every run, called after the strategy.
        weights: for each run how long an update takes, in any unit, for the time that is foretold; equal if not given.

    Raises:
        UserError: a run cannot be started; those before it are complete on disk.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to '{out}': {error.strerror}. Choose another folder with --out.") from error
    known = locate(out)
    places = [known.get(config.identity, out / config.run_name) for config in configs]
    for path in places:
        job.refuse_foreign(path)
    shares = {
        path.name: events.Share(config.training.updates * len(config.order), weight)
        for path, config, weight in zip(places, configs, weights or [1.0] * len(configs), strict=True)
    }
    on_event(events.Planned("", shares))
    done: list[Run] = []
    for config, path in zip(configs, places, strict=True):
        with told(Run(path), done):
            done.append(job.run(config, path, on_event, force=force, plugins=plugins))
    return done

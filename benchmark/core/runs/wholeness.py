"""Whether a run directory is whole, for people who look after many."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmark.core.errors import UserError
from benchmark.core.runs import seals
from benchmark.core.runs.directory import Run
from benchmark.core.runs.schemas import TABLES


@dataclass(frozen=True)
class Examined:
    """What was found out about a run.

    Args:
        name: of its directory, with the folders that lead to it.
        state: ``whole``; ``unfinished``; ``unsealed``, which is finished and has no checksums, as formats before 3; or
            ``damaged``.
        details: what is wrong with which file, and what can be done.
    """

    name: str
    state: str
    details: list[str] = field(default_factory=list)


def examine(run: Run) -> Examined:
    """Read all files of a run, and compare those of a finished one with their checksums."""
    name = str(run.path)
    try:
        damaged = seals.damage(run.path)
        if "environment.json" in damaged:
            _ = run.format  # which raises, if a newer version wrote it
        if damaged:
            return Examined(name, "damaged", [*(f"{file} {what}" for file, what in damaged.items()), _mend(damaged)])
        status = run.status
        for table in TABLES:
            run.rows(table)
        if run.finished:
            return Examined(name, "whole" if (run.path / seals.SEAL).exists() else "unsealed")
        done = f"{run.tasks_done} of {len(run.order)} tasks"
        if run.updates_done:
            done += f" and {run.updates_done:,} updates of the next"
        why = filter(None, [status.get("error")])
        return Examined(name, "unfinished", [f"{status['state']}; {done} are kept", *why])
    except UserError as error:
        return Examined(name, "damaged", [str(error)])


def _mend(damaged: Mapping[str, str]) -> str:
    """What can be done about the damaged files of a finished run."""
    if seals.kept_nowhere_else(damaged):
        return "Restore the files, or repeat the run with --force."
    if unreadable := [file for file, problem in damaged.items() if problem.startswith(seals.UNREADABLE)]:
        return (
            f"Make {', '.join(unreadable)} readable, or take away what is there; the same command mends the run then."
        )
    return "The same command mends it."

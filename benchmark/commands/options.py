"""Options of the command line: the ones that several commands share, and what they accept.

Places, words and numbers are each read in one way by every command. An empty value is an error that names its option;
it is never taken for the current folder or for nothing. :func:`words`, :func:`place` and :func:`number` each give a
parser for one option, which is told its name; defaults go through it, too.
"""

import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from benchmark.core.errors import UserError, meant, shortened

if TYPE_CHECKING:
    from benchmark.engine.executors.workers import Workers


class Engine(StrEnum):
    """What makes runs."""

    local = "local"
    ray = "ray"


def engine_name(value: Any) -> Engine:
    """A parser of what makes runs."""
    if value not in list(Engine):
        raise UserError(f"--engine '{value}' is not known.{meant(str(value), Engine)} Accepted: {', '.join(Engine)}.")
    return Engine(value)


def words(option: str) -> Callable[[str], str]:
    """A parser of text that is not empty."""

    def text(value: str) -> str:
        if not value.strip():
            raise UserError(f"{option} is empty; give a value or leave it out.")
        return value

    return text


def place(option: str, made: Literal["folder", "file"] | None = None) -> Callable[[Any], Path]:
    """A parser of a path, with ``~`` expanded.

    Args:
        option: the option's name.
        made: what the command will make there; what is there already must be the same, and it must be possible to
            write. For places that are only read, readers say what they need.
    """

    def path(value: Any) -> Path:
        from benchmark.core import yaml_files
        from benchmark.core.files import unreadable

        try:
            found = yaml_files.as_path(value)
            found.absolute()
        except ValueError as error:
            raise UserError(f"{option}: {error}.") from error
        except OSError as error:
            raise UserError(
                f"{option} '{value}': the present folder, in which it would be, is gone or cannot be read. Go to "
                "another one, or give a path from the root."
            ) from error
        if made and (problem := _obstacle(found, made)):
            raise UserError(
                f"Cannot write to '{shortened(str(found))}': {problem}. Choose another {made} with {option}."
            )
        if not made and (problem := unreadable(found)):  # of what is made that was an obstacle
            raise UserError(
                f"{option} '{shortened(str(found))}' cannot be read: {problem}. Mend that, or give another."
            )
        return found.resolve() if made == "file" and found.is_symlink() else found  # else the link would be replaced

    return path


def number(option: str, least: float, most: float, whole: bool = True) -> Callable[[Any], Any]:
    """A parser of a number from ``least`` to ``most``, written as in any file, such as 1e-3 or 1_000."""

    def parse(value: Any) -> Any:
        from benchmark.core import yaml_files

        found = yaml_files.number(value) if isinstance(value, str) else value
        if found is None or not least <= found <= most or (whole and found != found // 1):
            kind = "whole number" if whole else "number"
            raise UserError(f"{option} {value} is not accepted: expected a {kind} from {least:,} to {most:,}.")
        return int(found) if whole else float(found)

    parse.__name__ = "integer" if whole else "float"
    return parse


def tracker(value: str) -> str:
    """The name of a tracker whose library is installed."""
    from benchmark.tracking.trackers import check

    return check(value)


def _obstacle(path: Path, made: str) -> str:
    """Why a file or folder cannot be made at a path, or one that is there cannot be used; empty if it can."""
    from benchmark.core.files import unreadable

    if problem := unreadable(path):
        return problem
    other = os.path.lexists(path) and not path.is_dir() if made == "folder" else path.exists() and not path.is_file()
    if other:
        return f"it is not a {made}"
    there = next((above for above in (path, *path.absolute().parents) if os.path.lexists(above)), path)
    if there != path and not there.is_dir():
        return f"'{there}' is not a folder"
    return "" if os.access(there, os.W_OK) else f"'{there}' cannot be written to"


Plugins = Annotated[
    list[str] | None,
    typer.Option(
        parser=words("--plugin"),
        help="A Python file or module of strategies or backbones; it is imported. Repeatable.",
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        parser=place("--data-root"),
        help="Folder that holds the stream's datasets; used instead of embedded photographs.",
    ),
]
Fallback = Annotated[
    str | None,
    typer.Option(
        parser=words("--fallback"), help="With --data-root: embedded stands in for datasets that are not there."
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", parser=words("--set"), help="One setting, such as cmc.fraction=0.05. Repeatable. See: list settings"
    ),
]
Preset = Annotated[str, typer.Option(parser=words("--preset"), help="Training length and sizes. See: list presets")]
Seeds = Annotated[
    str | None,
    typer.Option(
        "--seed", parser=words("--seed"), help="One seed, or several with commas between; by default the experiment's."
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        parser=place("--out", made="folder"), help="Folder for the run directories; finished ones below it are reused."
    ),
]
Page = Annotated[Path, typer.Option(parser=place("--report", made="folder"), help="Folder for the report.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files in the report's folder that no report wrote.")
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        parser=tracker,
        help="Follow the runs in tensorboard, mlflow or wandb, in files below --out. Repeatable. See docs/tracking.md",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list the runs: which are done, and the expected time.")]
UntilDecided = Annotated[
    bool,
    typer.Option(
        "--until-decided",
        help="After the planned seeds go on, seed by seed, until what the runs are compared for is decided. See "
        "docs/experiments.md",
    ),
]
MostSeeds = Annotated[
    int | None,
    typer.Option(
        "--most-seeds",
        parser=number("--most-seeds", 2, 1000),
        help="With --until-decided: seeds after which it ends all the same; 10 by default.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        parser=number("--jobs", 1, 10_000),
        help="Runs at once. By default one for each core where networks are small, one for each GPU, else one.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        parser=number("--threads", 1, 1024),
        help="Threads of each run; results depend on them in the last bits. By default one where several runs of small "
        "networks are asked for, else as torch has it.",
    ),
]
EngineName = Annotated[
    Engine,
    typer.Option(
        "--engine",
        parser=engine_name,
        metavar="local|ray",
        help="What makes the runs: processes of this machine, or Ray. See docs/cluster.md",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        parser=words("--address"),
        help="With --engine ray: the cluster, as host:port, or auto for the one that this machine is in.",
    ),
]


def most_seeds(until_decided: bool, most: int | None) -> int | None:
    """How many seeds these two options ask for at most; None where only the planned ones are wanted.

    Raises:
        UserError: a number is given without the other option.
    """
    if most is not None and not until_decided:
        raise UserError(f"--most-seeds {most} is for runs that go on until they decide; it goes with --until-decided.")
    return (most or 10) if until_decided else None


def workers(jobs: int | None, threads: int | None, engine: Engine, address: str | None) -> "Workers":
    """What these four options ask for.

    Raises:
        UserError: an address is given without Ray.
    """
    from benchmark.engine.executors.workers import Workers

    if address is not None and engine is not Engine.ray:
        raise UserError(f"--address {address} is that of a Ray cluster; it goes with --engine ray.")
    return Workers(jobs, threads, engine.value, address)

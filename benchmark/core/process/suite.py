"""Which suite made a run: its version, and its git revision where it runs from a repository."""

import json
import os
import subprocess
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PROJECT = "continual-restoration"
TOLD = "CONTINUAL_RESTORATION_SUITE"
"""The variable that tells this to a process which was sent the suite's packages without their repository."""
ROOT = Path(__file__).parents[3]
"""The folder that holds the suite's packages: a checkout, or wherever a wheel was installed."""


def suite() -> dict[str, Any]:
    """What :func:`known` tells of the code that this process has imported.

    It is found out once, as what a checkout holds later, after a commit in the middle of a long sweep, has made none of
    the process's runs.
    """
    if told := os.environ.get(TOLD):
        return dict(json.loads(told))
    return dict(_imported())


@cache
def _imported() -> dict[str, Any]:
    return known(ROOT)


def known(root: Path) -> dict[str, Any]:
    """``suite``, its version; ``git``, the commit; ``git_changed``, whether tracked files differ from it.

    None stands for what is not known. That is no error: there may be no git, no repository, or one that git refuses to
    read because it belongs to somebody else.
    """
    revision = _revision(root)
    return {
        "suite": _version(root),
        "git": revision.removesuffix("-dirty") if revision else None,
        "git_changed": revision.endswith("-dirty") if revision else None,
    }


def _version(root: Path) -> str | None:
    """As the checkout says that the code lies in; else as it is installed, which may be another copy."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
        if project["name"] == PROJECT:
            return str(project["version"])
    except (OSError, ValueError, LookupError, TypeError):
        pass
    try:
        return metadata.version(PROJECT)
    except metadata.PackageNotFoundError:
        return None


def _revision(root: Path) -> str | None:
    """The commit, with ``-dirty`` behind it if tracked files were changed; None outside of the suite's repository."""
    module = Path(__file__).relative_to(ROOT)
    if _git(root, "ls-files", "--error-unmatch", str(module)) is None:
        return None  # a repository that merely surrounds the place of installation says nothing of the suite
    return _git(root, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(root: Path, *words: str) -> str | None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(root), *words]
    try:
        done = subprocess.run(command, env=own, capture_output=True, text=True, errors="replace", timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None

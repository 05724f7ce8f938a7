"""Runs of seconds, and what two of them are compared by."""

from pathlib import Path

from benchmark.core.runs.schemas import TABLES

TINY = [
    "training.epochs=2",
    "training.batch_size=2",
    "training.patch_size=16",
    "backbone.width=4",
    "backbone.blocks=1",
    "data.dead_leaves=0",
    "data.validation_size=32",
    "data.test_size=32",
]
"""Settings of a run that takes a second or two; how many updates an epoch has is left to the test."""


def results(path: Path) -> dict[str, bytes]:
    """What must not depend on where a run was stopped: tables, weights, pictures."""
    kept = [*(path / table for table in TABLES), *path.glob("checkpoints/*"), *path.glob("images/*")]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in kept}

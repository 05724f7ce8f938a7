"""Weights & Biases, offline: a folder for each run, which ``wandb sync`` uploads if one wants it; https://wandb.ai."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.engine.events import RunDescribed
from benchmark.tracking.sink import PROJECT, Sink, parameters, tags


class WeightsAndBiases(Sink):
    """A run of W&B for each run, under its name; one that is repeated gets a number, one that goes on keeps its own."""

    title = "Weights & Biases"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.runs: dict[str, Any] = {}

    @property
    def view(self) -> str:
        """The command that sends it off."""
        return f"written offline; to upload it: wandb sync {shlex.quote(str(self.folder))}/offline-run-*"

    def open(self, run: RunDescribed) -> None:
        """Begin a run, or go on with it."""
        os.environ["WANDB_ERROR_REPORTING"] = "false"  # before the import
        import wandb

        settings = wandb.Settings(
            mode="offline", console="off", silent=True, disable_git=True, disable_code=True, x_disable_machine_info=True
        )
        told = tags(run)
        self.runs[run.run] = wandb.init(
            project=PROJECT,
            id=self._id(run.run, bool(run.updates)),
            name=run.run,
            dir=str(self.folder.parent),  # in which it makes a folder that is called wandb
            config={**parameters(run.config), "identity": told["identity"], "directory": told["directory"]},
            tags=[f"{name}:{told[name]}"[:64] for name in ("strategy", "stream", "identity") if name in told],
            resume="allow",
            reinit="create_new",
            settings=settings,
        )

    def log(self, run: str, values: Mapping[str, float], update: int) -> None:
        """Write values."""
        self.runs[run].log(dict(values), step=update)

    def close(self, run: str, finished: bool) -> None:
        """Write what is still held back, and how the run ended."""
        self.runs.pop(run).finish(exit_code=0 if finished else 1)

    def _id(self, name: str, goes_on: bool) -> str:
        """The last of the run's numbers, or the next one."""
        times = 1
        while any(self.folder.glob(f"offline-run-*-{_numbered(name, times)}")):
            times += 1
        return _numbered(name, max(1, times - 1) if goes_on else times)


def _numbered(name: str, times: int) -> str:
    return name if times == 1 else f"{name}.{times}"

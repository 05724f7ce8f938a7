"""TensorBoard: an event file for each run; https://www.tensorflow.org/tensorboard."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from benchmark.engine.events import RunDescribed
from benchmark.tracking.sink import Sink, parameters, tags


class TensorBoard(Sink):
    """A folder for each run. One that goes on takes back what was written beyond the task that it goes on after."""

    title = "TensorBoard"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.writers: dict[str, SummaryWriter] = {}

    @property
    def view(self) -> str:
        """The command that shows it."""
        return f"tensorboard --logdir {shlex.quote(str(self.folder))}"

    def open(self, run: RunDescribed) -> None:
        """Begin an event file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        writer = SummaryWriter(str(self.folder / run.run), purge_step=run.updates + 1 if run.updates else 0)
        self.writers[run.run] = writer
        if run.updates:
            return
        writer.add_text("run", _table(tags(run)), 0)
        writer.add_text("configuration", _table(parameters(run.config)), 0)
        told = {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in parameters(run.config).items()}
        for summary in hparams(told, {"forgetting": 0.0}):
            writer._get_file_writer().add_summary(summary)  # add_hparams would make a second folder of the run

    def log(self, run: str, values: Mapping[str, float], update: int) -> None:
        """Write scalars."""
        for name, value in values.items():
            self.writers[run].add_scalar(name, value, update)

    def close(self, run: str, finished: bool) -> None:
        """Write what is still held back."""
        self.writers.pop(run).close()


def _table(values: Mapping[str, Any]) -> str:
    """Markdown."""
    rows = (f"| {name} | {str(value).replace('|', '&#124;')} |" for name, value in values.items())
    return "\n".join(["| | |", "| --- | --- |", *rows])

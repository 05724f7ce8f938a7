"""MLflow: a local SQLite database, which ``mlflow ui`` shows; https://mlflow.org."""

import logging
import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.engine.events import RunDescribed
from benchmark.tracking.sink import PROJECT, Sink, parameters, tags

if TYPE_CHECKING:
    from mlflow.entities import Metric

LONGEST = 6000
"""Letters of a parameter, at most; what is longer is cut."""
MOST = 100
"""Parameters that are written at once, at most."""
PAUSE = 2.0
"""Seconds for which values are gathered before they are written, as every writing waits for the disk."""


class MLflow(Sink):
    """A run of MLflow for each run, in one experiment. One that goes on is found again by its name."""

    title = "MLflow"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        database = (folder / "mlflow.db").absolute()
        if "?" in str(database):  # the rest would be taken for options, and the file made elsewhere
            raise ValueError(
                f"give --out a path without '?', which the address of its database cannot hold: '{database}'"
            )
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before the import
        from mlflow.tracking import MlflowClient

        logging.getLogger("alembic").setLevel(logging.WARNING)  # which would tell of every table that it makes
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        self.uri = f"sqlite:///{database}"
        self.client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        found = self.client.get_experiment_by_name(PROJECT)
        artifacts = (folder / "artifacts").absolute().as_uri()
        self.experiment = found.experiment_id if found else self.client.create_experiment(PROJECT, artifacts)
        self.ids: dict[str, str] = {}
        self.gathered: dict[str, list[Metric]] = {}
        self.written = time.monotonic()

    @property
    def view(self) -> str:
        """The command that shows it."""
        return f"mlflow ui --backend-store-uri {shlex.quote(self.uri)}"

    def open(self, run: RunDescribed) -> None:
        """Begin a run, or take it up."""
        from mlflow.entities import Param, RunTag

        known = self._known(run.run) if run.updates else None
        if known is None:
            made = self.client.create_run(self.experiment, run_name=run.run, tags=tags(run))
            given = [Param(name, str(value)[:LONGEST]) for name, value in parameters(run.config).items()]
            for start in range(0, len(given), MOST):
                self.client.log_batch(made.info.run_id, params=given[start : start + MOST])
            known = made.info.run_id
        else:
            self.client.log_batch(known, tags=[RunTag(name, value) for name, value in tags(run).items()])
            self.client.set_terminated(known, "RUNNING")
        self.ids[run.run], self.gathered[run.run] = known, []

    def log(self, run: str, values: Mapping[str, float], update: int) -> None:
        """Gather metrics, and write them now and then."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.gathered[run] += [Metric(name, value, now, update) for name, value in values.items()]
        if time.monotonic() > self.written + PAUSE or len(self.gathered[run]) > 500:
            self._write()

    def close(self, run: str, finished: bool) -> None:
        """Write what was gathered, and how the run ended."""
        self._write()
        del self.gathered[run]
        self.client.set_terminated(self.ids.pop(run), "FINISHED" if finished else "KILLED")

    def _known(self, name: str) -> str | None:
        """The latest run of a name."""
        chosen = f"tags.run = '{name}'"
        found = self.client.search_runs([self.experiment], chosen, max_results=1, order_by=["start_time DESC"])
        return str(found[0].info.run_id) if found else None

    def _write(self) -> None:
        for run, metrics in self.gathered.items():
            if metrics:
                self.client.log_batch(self.ids[run], metrics=metrics)
                self.gathered[run] = []
        self.written = time.monotonic()

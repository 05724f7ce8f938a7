"""Runs on Ray: a Ray of this machine's own, or a cluster that is there.

Ray decides where a run is made, and starts and watches the processes; what a run is sent and what comes back from it is
in :mod:`benchmark.engine.executors.remote`. Letters from runs go through one actor beside this process; a run learns in
the answer to a letter that it is to stop.
"""

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from benchmark.config import RunConfig
from benchmark.core.errors import UserError
from benchmark.core.process import endings
from benchmark.core.process.suite import ROOT, TOLD, suite
from benchmark.core.runs.directory import Run
from benchmark.engine.events import Event, Listener
from benchmark.engine.executors import workers as sharing
from benchmark.engine.executors.attempt import Ended
from benchmark.engine.executors.places import IDLE, PATIENCE, Work
from benchmark.engine.executors.remote import Files, Letter, Parcel, Token, pack, read, work
from benchmark.engine.executors.workers import Machine, Workers

PACKAGES = ("benchmark", "strategies", "baselines", "reports")
"""What a cluster is sent, so that it runs the code that is here."""
STORE = 2**28
"""Bytes of shared memory of a Ray of this machine's own; runs put hardly anything there."""

T = TypeVar("T")


class Post:
    """The actor that takes letters from runs until they are asked for."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, Letter]] = []
        self.reason = ""

    def put(self, run: str, letter: Letter) -> str:
        """Take a letter; gives the signal for which the run is to stop, or nothing."""
        self.letters.append((run, letter))
        return self.reason

    def take(self) -> list[tuple[str, Letter]]:
        """Give the letters, in the order in which they came."""
        letters, self.letters = self.letters, []
        return letters

    def stop(self, reason: str) -> None:
        """Tell every run from now on that it is to stop."""
        self.reason = reason


def remote_work(parcel: Parcel, post: Any) -> Ended:
    """What Ray calls on a machine of the cluster."""
    import ray

    return work(parcel, lambda letter: ray.get(post.put.remote(str(parcel.path), letter)))


class Cluster:
    """Places on Ray.

    Args:
        configs: of the runs that are to be done.
        threads: of each.
        workers: how many at once, and where the cluster is.
        machine: what there is here to share out.
        out: folder for the run directories.

    Raises:
        UserError: Ray is not installed, the cluster cannot be reached, or none of its machines is large enough.
    """

    def __init__(
        self, configs: Sequence[RunConfig], threads: int, workers: Workers, machine: Machine, out: Path
    ) -> None:
        self.ray = _ray(own=workers.address is None)
        self.threads, self.elsewhere = threads, workers.address is not None
        if workers.address is not None:
            self._connect(workers.address, threads)
            machine = self._machine(threads)
        self.jobs = sharing.choose_jobs(configs, threads, workers, machine)
        gpus = 0 if sharing.on_cpu(configs) else len(machine.gpus)
        if workers.address is None:
            found = {"num_cpus": self.jobs * threads, "num_gpus": gpus, "object_store_memory": STORE}
            self._connect("local", threads, include_dashboard=False, **found)
        self.gpus = 1 / -(-self.jobs // gpus) if gpus else 0
        self.token = Token(out.resolve() / f".seen-{secrets.token_hex(8)}", secrets.token_hex(16))
        self.token.put()
        self.running: dict[Any, Work] = {}
        # Ray would swallow what a signal raises while one of its functions waits in the main thread
        self.thread = ThreadPoolExecutor(1)
        self.post = self._call(self._post)
        self.remote = self.ray.remote(remote_work).options(num_cpus=threads, num_gpus=self.gpus, max_retries=0)

    def begin(self, work: Work) -> None:
        """Hand a run to Ray."""
        path = work.path.resolve()
        parcel = Parcel(
            config=work.config.model_dump(mode="json"),
            path=path,
            token=self.token,
            files=read(path) if self.elsewhere else {},
            codes=pack(work.config),
            threads=self.threads,
            force=work.force,
            plugins=work.plugins,
        )
        self.running[self._call(self.remote.remote, parcel, self.post)] = work

    def wait(self, on_event: Listener) -> list[tuple[Work, Ended]]:
        """Tell what runs have told, and write what they have sent back."""
        ready, letters = self._call(self._look)
        self._read(letters, on_event)
        return [(self.running.pop(one), self._call(self._ended, one)) for one in ready]

    def stop(self, signal: str) -> None:
        """Have runs told that they are to stop, and wait for what they send back."""
        until = time.monotonic() + PATIENCE
        with suppress(Exception):  # the cluster may be what has failed
            self._call(self.post.stop.remote, signal)
            while self.running and time.monotonic() < until:
                ready, letters = self._call(self._look)
                self._read(letters, lambda _: None)
                for one in ready:
                    self.running.pop(one)
            for one in self.running:
                self._call(self.ray.cancel, one, force=True)
        for one in self.running.values():
            with suppress(OSError, UserError):
                if (one.path / "config.yaml").is_file():
                    Run(one.path).update_status(state="interrupted", error=f"stopped by {endings.Stopped(signal)}")

    def close(self) -> None:
        """Leave the cluster; a Ray of this machine's own ends with that."""
        self.token.path.unlink(missing_ok=True)
        self.thread.shutdown()
        with _own_handlers():
            self.ray.shutdown()

    def _connect(self, address: str, threads: int, **more: Any) -> None:
        words = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "MPLBACKEND": "agg"}
        words[TOLD] = json.dumps(suite())
        environment: dict[str, Any] = {"env_vars": words}
        if address == "local":
            words["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        else:
            environment["py_modules"] = [str(ROOT / name) for name in PACKAGES]
        try:
            with _own_handlers():
                self.ray.init(
                    address=address, runtime_env=environment, log_to_driver=False, logging_level="ERROR", **more
                )
        except Exception as error:
            if address == "local":
                raise UserError(
                    f"--engine ray: Ray cannot be started on this machine: {error}\nIts files are in RAY_TMPDIR, else "
                    "TMPDIR, else /tmp, where it needs room and a short path. Or leave out --engine."
                ) from error
            raise UserError(
                f"--address {address}: there is no Ray cluster that can be joined: {error}\nStart one with "
                "'ray start --head' on one machine, and 'ray start --address=HOST:PORT' on the others. If it asks for "
                "a token, set RAY_AUTH_MODE=token, too; docs/cluster.md has more."
            ) from error

    def _machine(self, threads: int) -> Machine:
        """What the cluster has."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        largest = int(max((node.get("CPU", 0) for node in nodes), default=0))
        if largest < threads:
            self.ray.shutdown()
            raise UserError(
                f"--threads {threads}: the largest machine of the cluster has {largest} cores for Ray. Give fewer."
            )
        cores, gpus = (int(sum(node.get(name, 0) for node in nodes)) for name in ("CPU", "GPU"))
        return Machine(cores, threads, gpus=tuple(str(gpu) for gpu in range(gpus)))

    def _post(self) -> Any:
        """The actor, on the machine of this process, so that it is lost with no other."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self.ray.get_runtime_context().get_node_id(), soft=False)
        return self.ray.remote(Post).options(num_cpus=0, scheduling_strategy=here).remote()

    def _look(self) -> tuple[list[Any], list[tuple[str, Letter]]]:
        """Which runs have ended, and what was told and sent by then."""
        ready, _ = self.ray.wait([*self.running], num_returns=len(self.running), timeout=IDLE)
        return ready, self.ray.get(self.post.take.remote())

    def _read(self, letters: Sequence[tuple[str, Letter]], on_event: Listener) -> None:
        for run, letter in letters:
            if isinstance(letter, Files):
                letter.write(Path(run))
            elif isinstance(letter, Event):
                on_event(letter)

    def _ended(self, one: Any) -> Ended:
        from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError

        try:
            return self.ray.get(one)
        except RuntimeEnvSetupError as error:
            return Ended("failed", f"Ray could not prepare a process for it: {error}")
        except RayTaskError as error:
            return Ended("failed", f"{type(error).__name__}: {error.cause or error}", (str(error),), bug=True)
        except RayError as error:
            return Ended("lost", f"Ray lost its process ({type(error).__name__})")

    def _call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """A function of Ray's, in the thread for these."""
        return self.thread.submit(function, *arguments, **options).result()


def _ray(own: bool) -> Any:
    """Ray, which reads some of its settings when it is imported.

    Args:
        own: whether one of this machine's own is to be started, with a token that nobody else has.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if own and "ray" not in sys.modules:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray

        return ray
    except ImportError as error:
        raise UserError(
            "--engine ray: Ray is not installed. Install it from a checkout with: pip install '.[ray]'"
        ) from error


@contextmanager
def _own_handlers() -> Iterator[None]:
    """What hears signals stays; Ray has its own way to end at SIGTERM."""
    heard = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)

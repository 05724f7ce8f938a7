"""How many runs at once, and with how many threads each.

**Threads** are decided by what is asked for as a whole, never by how much of it is missing or how many runs there are
at once, since results depend on them in the last bits: ``--threads``, else ``OMP_NUM_THREADS``; else one where several
runs of small networks are asked for, whose layers have too little work for two; else as many as torch takes. On GPUs
the cores are shared out between these.

**Runs at once** are as many as have cores then, on GPUs one for each, and never more than are missing. A process takes
some ten seconds to start, so where there is less to do than that, there is one.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from benchmark.config import RunConfig
from benchmark.core.process import cores
from benchmark.core.yaml_files import number

SMALL = 32
"""Channels up to which two processes of one thread do more than one of two: 1.22 times at 16 channels, 1.0 at 64."""
WORTH = 1000
"""Batch updates for which a further process is started, at least."""

MOST_THREADS = 1024
"""Threads that a run is ever given; a variable that asks for more, or for less than one, counts as not set."""


@dataclass(frozen=True)
class Workers:
    """What does the runs.

    Args:
        jobs: runs at once; None for as many as :func:`choose_jobs` says.
        threads: of each run; None for as many as :func:`choose_threads` says.
        engine: processes of this machine, or Ray.
        address: of a Ray cluster, ``host:port`` or ``auto``; None for a Ray of this machine's own.
    """

    jobs: int | None = None
    threads: int | None = None
    engine: Literal["local", "ray"] = "local"
    address: str | None = None


@dataclass(frozen=True)
class Machine:
    """What there is to share out.

    Args:
        cores: that this process may use.
        threads: that torch takes by itself.
        asked: by ``OMP_NUM_THREADS``; None if it is not set.
        gpus: names of the devices, as ``CUDA_VISIBLE_DEVICES`` takes them.
    """

    cores: int
    threads: int
    asked: int | None = None
    gpus: tuple[str, ...] = ()

    @classmethod
    def here(cls) -> "Machine":
        """This machine, as far as this process may use it."""
        import torch

        asked = number(os.environ.get("OMP_NUM_THREADS", "").partition(",")[0])
        devices = torch.cuda.device_count()
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        return cls(
            cores=cores.usable(),
            threads=torch.get_num_threads(),
            asked=int(asked) if asked and 1 <= asked <= MOST_THREADS else None,
            gpus=tuple((visible or [str(index) for index in range(devices)])[:devices]),
        )


def choose_threads(configs: Sequence[RunConfig], given: int | None, machine: Machine) -> int:
    """Threads of each run of a command; see the module.

    Args:
        configs: all runs that the command asks for, finished or not.
        given: as ``--threads`` says.
        machine: what there is to share out.
    """
    if given or machine.asked:
        return given or machine.asked or 1
    if machine.gpus and not on_cpu(configs):
        return max(1, machine.cores // len(machine.gpus))
    several = len({config.identity for config in configs}) > 1
    small = all(config.backbone.width <= SMALL for config in configs)
    return 1 if several and small else machine.threads


def choose_jobs(missing: Sequence[RunConfig], threads: int, workers: Workers, machine: Machine) -> int:
    """Runs at once, at least 1; see the module.

    Args:
        missing: the runs that are to be done.
        threads: of each.
        workers: what was asked for.
        machine: what there is to share out.
    """
    if workers.jobs:
        jobs = workers.jobs
    elif machine.gpus and not on_cpu(missing):
        jobs = len(machine.gpus)
    else:
        jobs = machine.cores // threads
    if not workers.jobs and workers.engine == "local":
        jobs = min(jobs, sum(config.training.updates * len(config.order) for config in missing) // WORTH)
    return max(1, min(jobs, len(missing)))


def on_cpu(configs: Sequence[RunConfig]) -> bool:
    """Whether all of some runs are to train on the CPU, whatever GPUs there are."""
    return all(config.training.device == "cpu" for config in configs)


def devices(places: int, gpus: Sequence[str]) -> list[str | None]:
    """The GPU that each of the places for a run sees, in turn; None where there are none.

    >>> devices(3, ["0", "1"])
    ['0', '1', '0']
    """
    return [gpus[place % len(gpus)] if gpus else None for place in range(places)]


@contextmanager
def using(threads: int) -> Iterator[None]:
    """Have torch use so many threads for as long as this lasts."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)

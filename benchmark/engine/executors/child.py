"""A process that another one started: it does the runs that it is sent, and tells what happens, over a pipe.

It says nothing of its own on the terminal, also when it is stopped. The pipe ends when the other process does, and with
it this one.
"""

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.core.process import endings
from benchmark.engine.executors.attempt import Ended, Throttled, attempt

if TYPE_CHECKING:
    from avalanche.core import SupervisedPlugin


@dataclass(frozen=True)
class Order:
    """A run that is to be done, as it is sent.

    Args:
        config: resolved, as plain values.
        path: the run directory.
        force: begin again.
        plugins: further Avalanche plugins.
    """

    config: Mapping[str, Any]
    path: Path
    force: bool
    plugins: "Sequence[SupervisedPlugin]" = ()


def main(pipe: Connection, reason: Any, threads: int) -> None:
    """Do run after run until the pipe ends or a signal comes.

    Args:
        pipe: brings :class:`Order`, and takes events and, for each order, what came of it.
        reason: shared memory; which signal the other process heard, as a place in ``endings.CODES``.
        threads: that torch uses.
    """
    with suppress(endings.Stopped, KeyboardInterrupt, EOFError, OSError):
        endings.follow(lambda: [*endings.CODES][reason.value])  # hears at once what came while this process started
        try:
            _serve(pipe, threads)
        except (EOFError, OSError):
            raise
        except Exception as error:  # no run's, such as one of an import
            trace = "".join(traceback.format_exception(error))
            pipe.send(Ended("failed", f"{type(error).__name__}: {error}", (trace,), bug=True))
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)  # nothing is left to be saved, and it takes seconds to take torch down in order


def _serve(pipe: Connection, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    while True:
        order: Order = pipe.recv()
        ended = attempt(order.config, order.path, Throttled(pipe.send), force=order.force, plugins=order.plugins)
        pipe.send(ended.sent())

"""Do one run over and over, killed or disturbed at a chosen moment, in child processes.

Called as ``python killing.py PLAN``, with a JSON file of the ``folder`` and ``runs``: name → (configuration, moments).
Everything is imported once, and a run is done, so that no child has to do what takes long the first time; torch has
one thread, and a child loses none. What is not killed needs no child: it is done here, one run after another. A moment
is counted in *ticks*: what a run does with files below its folder, and what it tells of, such as updates.

``kill N``   SIGKILL at tick N
``wait T``   SIGKILL after T seconds
``fail N``   tick N, if it is about a file, raises an OSError once
``update N`` SIGINT after N updates
``free``     nothing

Prints a JSON line for every child: how it ended (``killed``, ``refused: MESSAGE``, ``finished``, ``stopped``, or a
traceback), how many ticks there were, and which of them were about files. A run that a fault did no harm is not
repeated.
"""

import errno
import gc
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from benchmark.core.errors import UserError
from benchmark.core.process import endings
from benchmark.engine import checkpoints
from benchmark.engine.job import run
from benchmark.engine.template import RestorationTemplate

FILES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir", "os.utime", "os.link")


class Ticks:
    """Counts what happens, and acts at a moment."""

    def __init__(self, folder: str, kind: str, number: float) -> None:
        self.folder, self.kind, self.number, self.count = folder, kind, number, 0
        self.quiet = False
        self.updates = 0
        self.files: list[int] = []

    def event(self, event: Any) -> None:
        """What the run tells of."""
        self.updates += type(event).__name__ == "Updated"
        if self.kind == "update" and self.updates == self.number and type(event).__name__ == "Updated":
            os.kill(os.getpid(), signal.SIGINT)
        self.tick()

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILES and any(self.folder in str(one) for one in arguments[:2]):
            self.tick(str(arguments[0]))

    def tick(self, path: str | None = None) -> None:
        if self.quiet:
            return
        self.count += 1
        if path is not None:
            self.files.append(self.count)
        if self.count != self.number:
            return
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "fail" and path is not None:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)


ticks = Ticks("", "free", 0)


def watch() -> None:
    """Let the present ticks hear of files."""
    save_file, safe_open = checkpoints.save_file, checkpoints.safe_open  # written in Rust, which no audit hook sees

    def save(tensors: Any, path: Any, **more: Any) -> None:
        ticks.tick(str(path))
        save_file(tensors, path, **more)

    def read(path: Any, *more: Any) -> Any:
        ticks.tick(str(path))
        return safe_open(path, *more)

    checkpoints.save_file, checkpoints.safe_open = save, read
    # after each test set, too, and between no two updates
    RestorationTemplate.save_is_due = lambda template: template.clock.train_exp_epochs == template.train_epochs
    sys.addaudithook(lambda event, arguments: ticks.audit(event, arguments))


def attempt(config: dict[str, Any], out: Path, kind: str, number: float) -> dict[str, Any]:
    """Do a run, and tell how it ended."""
    global ticks
    ticks = Ticks(str(out), kind, number)
    if kind == "wait":
        threading.Thread(target=lambda: (time.sleep(number), os.kill(os.getpid(), signal.SIGKILL)), daemon=True).start()
    try:
        run(config, out / "run", ticks.event)
        told = "finished"
    except UserError as error:
        told = f"refused: {error}"
    except endings.Stopped:
        told = "stopped"
    except BaseException:
        told = traceback.format_exc()
    ticks.quiet = True
    return {"ended": told, "ticks": ticks.count, "files": ticks.files}


def forked(config: dict[str, Any], out: Path, kind: str, number: float) -> dict[str, Any]:
    """Do a run in a process of its own, which may be killed."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process in the background has ignored
        endings.listen()
        os.write(write, json.dumps(attempt(config, out, kind, number)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else {"ended": "killed", "ticks": 0}


def main(plan: Path) -> None:
    told = json.loads(plan.read_text())
    folder = Path(told["folder"])
    torch.set_num_threads(1)
    watch()
    attempt(next(iter(told["runs"].values()))[0], folder / "first", "free", 0)
    gc.collect()
    gc.freeze()  # else its first collection has a child copy all that it shares with this process
    for name, (config, moments) in told["runs"].items():
        do = attempt if {kind for kind, _ in moments} <= {"fail", "free"} else forked
        for kind, number in moments:
            ended = do(config, folder / name, kind, number)
            print(json.dumps({"run": name, "moment": [kind, number], **ended}), flush=True)
            if ended["ended"] == "finished" and kind == "fail":
                break


if __name__ == "__main__":
    main(Path(sys.argv[1]))

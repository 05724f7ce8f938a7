"""The real command in processes that are forked from one in which everything is imported, as that takes seconds.

Each is ``python -m benchmark`` in all but its beginning: words, folder, environment, output, signals and exit code are
its own. What a test says of imports, or of settings that are read in them, needs a process of its own instead.

Called as a script, this is the process from which the others are forked; it has computed nothing, and serves one that
starts it over a socket, until that ends.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parent.parent
IMPORTED = (
    "benchmark.commands.app",
    "benchmark.conformance",
    "benchmark.engine.executors.execute",
    "benchmark.engine.local",
    "benchmark.experiments.tuning",
    "reports.report",
    "reports.terminal",
)
"""What commands import, with all that it imports in turn."""


class Forked:
    """A command that has begun, in the manner of :class:`subprocess.Popen`."""

    def __init__(self, server: "Server", words: tuple[str, ...], cwd: Path, env: dict[str, str]) -> None:
        self.server, self.words = server, words
        self.said = [tempfile.TemporaryFile("w+b") for _ in range(2)]  # noqa: SIM115  (closed by communicate)
        told = {"words": words, "cwd": str(cwd), "env": env}
        self.pid: int = server.ask(told, [file.fileno() for file in self.said])
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        if self.returncode is None:
            self.returncode = self.server.ask({"pid": self.pid})
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def communicate(self, timeout: float = 1800) -> tuple[str, str]:
        """What it has said on standard output and standard error, once it has ended."""
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                self.send_signal(signal.SIGKILL)
                raise subprocess.TimeoutExpired(self.words, timeout)
            time.sleep(0.02)
        texts = []
        for file in self.said:
            file.seek(0)
            texts.append(file.read().decode("utf-8"))
            file.close()
        return texts[0], texts[1]


class Server:
    """The process from which commands are forked; it starts when there is the first."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        self.answers = self.socket.makefile("r")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def ask(self, told: dict[str, Any], files: list[int] | None = None) -> Any:
        """Send a request, and give the answer."""
        socket.send_fds(self.socket, [json.dumps(told).encode() + b"\n"], files or [])
        answer = self.answers.readline()
        if not answer:
            raise RuntimeError("the process from which commands are forked has ended")
        return json.loads(answer)

    def close(self) -> None:
        """End it."""
        self.answers.close()
        self.socket.close()
        self.process.wait()


_servers: list[Server] = []


def begin(*words: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> Forked:
    """Begin ``python -m benchmark`` with the given words."""
    if not _servers:
        _servers.append(Server())
        atexit.register(_servers[0].close)
    return Forked(_servers[0], words, cwd, env or dict(os.environ))


def run(*words: str, timeout: float = 1800, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run ``python -m benchmark`` with the given words; standard error is kept apart."""
    forked = begin(*words, **more)
    out, err = forked.communicate(timeout)
    return subprocess.CompletedProcess(words, forked.returncode or 0, out, err)


def serve(one: socket.socket) -> None:
    """Fork for each request that has words; tell of each that has a number how that process has ended."""
    while True:
        text, files, *_ = socket.recv_fds(one, 2**20, 2)
        if not text:
            return
        told = json.loads(text)
        if "words" in told:
            pid = os.fork()
            if not pid:
                one.close()
                live(told, files)
            for file in files:
                os.close(file)
            answer = pid
        else:
            ended, status = os.waitpid(told["pid"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        one.sendall(json.dumps(answer).encode() + b"\n")


def live(told: dict[str, Any], files: list[int]) -> NoReturn:
    """Be the command."""
    for stream, file in enumerate(files, 1):
        os.dup2(file, stream)
        os.close(file)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(told["env"])
    os.chdir(told["cwd"])
    sys.argv = ["benchmark", *told["words"]]
    code = 1
    try:
        runpy.run_module("benchmark", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    with suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # and not the tests
    from benchmark.core.process import surroundings

    surroundings.prepare()
    for name in IMPORTED:
        import_module(name)
    gc.collect()
    gc.freeze()  # else its first collection has a process copy all that it shares with this one
    serve(socket.socket(fileno=int(sys.argv[1])))

"""The real command under watch: it asks no network for anything, and unpickles nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WATCH = """
import runpy, sys

def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "pickle.find_class"):
        what = str(arguments)
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[1], tuple):
        what = str(arguments[1])  # a tuple is an internet address; sockets of this machine's own have a path
    else:
        return
    print("REFUSED", event, what, file=sys.__stderr__, flush=True)
    raise PermissionError(f"{event} {what}")

sys.addaudithook(watch)
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def watched(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """``python -m`` with these words, in a process that refuses the network and pickles, and says so."""
    return subprocess.run(
        [sys.executable, "-c", WATCH, *words], cwd=cwd, capture_output=True, encoding="utf-8", timeout=1800
    )


@pytest.mark.parametrize(
    "deed",
    [
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
        "import pickle; pickle.loads(pickle.dumps(print))",
    ],
)
def test_the_watch_sees_what_it_watches_for(deed: str, tmp_path: Path) -> None:
    (tmp_path / "deed.py").write_text(f"try:\n    {deed}\nexcept PermissionError:\n    pass\n")
    assert "REFUSED" in watched("deed", cwd=tmp_path).stderr


@pytest.mark.slow
def test_training_and_reports_need_no_network_and_no_pickle(tmp_path: Path) -> None:
    runs, page = tmp_path / "runs", tmp_path / "page"
    small = ["training.epochs=1", "training.updates_per_epoch=1", "training.patch_size=32", "data.dead_leaves=0"]
    options = [word for setting in small for word in ("--set", setting)]
    trained = watched(
        *("benchmark", "run", "--preset", "smoke", "--strategy", "replay", "--order", "derain,denoise"),
        *("--out", str(runs), *options),
    )
    assert trained.returncode == 0, trained.stderr
    assert "REFUSED" not in trained.stderr
    reported = watched("benchmark", "report", str(runs), "--out", str(page))
    assert reported.returncode == 0, reported.stderr
    assert "REFUSED" not in reported.stderr
    assert (page / "index.html").is_file()

"""What several tests share: the real command at tiny scale."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
from hypothesis import HealthCheck, settings

for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "MATPLOTLIBRC"):
    os.environ.pop(name, None)  # output is that of a pipe 80 columns wide, whatever the terminal is set to
os.environ["PYTHONUTF8"] = "1"  # and in UTF-8, whatever the locale; for the processes that tests start

settings.register_profile(
    "suite", deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("suite")  # the same examples every time, however long they take

ROOT = forked.ROOT
PATIENCE = 600
"""Seconds after which a process that a test waits for is taken for hanging; none takes nearly as long."""
Command = Callable[..., subprocess.CompletedProcess[str]]

TAKES_LONG = {"command", "smoke_runs", "browser", "results", "report"}
"""Fixtures that start the real command or a browser, or make a report of many runs."""


def wait_until(there: Callable[[], object], process: subprocess.Popen[str] | forked.Forked) -> None:
    """Wait for what a process brings about; it fails if that ends before, and is killed if it hangs."""
    until = time.monotonic() + PATIENCE
    while not there():
        assert process.poll() is None, process.communicate()
        if time.monotonic() > until:
            process.send_signal(signal.SIGKILL)
            pytest.fail(f"nothing has happened for {PATIENCE} seconds")
        time.sleep(0.05)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what needs one of them; other tests that take long say so themselves.

    Files with most of these come first, so that only short ones are left when one process waits for another at the end.
    """
    for item in items:
        if TAKES_LONG & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(autouse=True)
def _plugins_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins that a test adds are gone after it; which tests share a process depends on how long they take."""
    from benchmark import backbones  # not above: what importing them warns of would be told of every run of the tests
    from strategies import registry

    for catalogue in (backbones.CATALOGUE, registry.CATALOGUE):
        monkeypatch.setattr(catalogue, "plugins", dict(catalogue.plugins))


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs ``python -m benchmark`` with the given words, see :func:`forked.run`."""
    return forked.run


@pytest.fixture(scope="session")
def smoke_runs(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished smoke run of cmc and one of finetune."""
    out = tmp_path_factory.mktemp("runs")
    done = command("run", "--strategy", "cmc,finetune", "--preset", "smoke", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out

"""What several tests share: the real command at tiny scale."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs ``python -m benchmark`` with the given words; standard error is kept apart."""

    def run(*words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "benchmark", *words], cwd=ROOT, capture_output=True, text=True, timeout=timeout
        )

    return run


@pytest.fixture(scope="session")
def smoke_runs(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished smoke run of cmc and one of finetune."""
    out = tmp_path_factory.mktemp("runs")
    done = command("run", "--strategy", "cmc,finetune", "--preset", "smoke", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out

"""Which suite made a run: its version, and its commit where it runs from a repository of its own."""

import subprocess
from pathlib import Path

import pytest

from benchmark.core.process import suite


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of its own with the suite's module in it."""
    (tmp_path / "work/benchmark/core/process").mkdir(parents=True)
    (tmp_path / "work/benchmark/core/process/suite.py").write_text("")
    (tmp_path / "work/pyproject.toml").write_text('[project]\nname = "continual-restoration"\nversion = "7.8"\n')
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path / "work")]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    return tmp_path / "work"


def test_the_commit_and_whether_files_differ_from_it(checkout: Path) -> None:
    told = suite.known(checkout)
    assert (told["suite"], len(told["git"]), told["git_changed"]) == ("7.8", 40, False)
    (checkout / "benchmark/core/process/suite.py").write_text("changed = 1\n")
    assert suite.known(checkout) == {**told, "git_changed": True}


def test_a_repository_around_the_place_of_installation_is_not_ours(checkout: Path) -> None:
    installed = checkout / "site-packages"
    (installed / "benchmark/core/process").mkdir(parents=True)
    (installed / "benchmark/core/process/suite.py").write_text("")
    assert suite.known(installed)["git"] is None


def test_no_git_is_no_error(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert suite.known(checkout)["git"] is None


def test_a_variable_of_git_does_not_lead_elsewhere(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = suite.known(checkout)
    monkeypatch.setenv("GIT_DIR", str(checkout / "nowhere"))
    assert suite.known(checkout) == told


def test_a_process_tells_the_commit_that_it_has_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not the one that the checkout has come to since."""
    commits = iter("abc")
    monkeypatch.delenv(suite.TOLD, raising=False)
    monkeypatch.setattr(suite, "known", lambda root: {"suite": "7.8", "git": next(commits), "git_changed": False})
    suite._imported.cache_clear()
    try:
        first = suite.suite()
        first["git"] = "what a caller makes of it"
        assert suite.suite()["git"] == "a"
    finally:
        suite._imported.cache_clear()

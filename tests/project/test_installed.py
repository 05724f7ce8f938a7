"""The suite as an installed package: a wheel, built from the files that git knows, used outside of the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT

from benchmark.experiments import paper

PACKAGES = ("baselines", "benchmark", "reports", "strategies")
Installed = Callable[..., subprocess.CompletedProcess[str]]


def tracked() -> list[str]:
    """The files that git knows and that are there, relative to the checkout."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("which files belong to the package is known to git alone, and this is no checkout with git")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout without what git ignores, and with a data file in a new folder, of a new ending."""
    copy = tmp_path_factory.mktemp("source")
    for name in tracked():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    added = copy / "reports" / "new folder" / "deeper.still" / "table.tsv"
    added.parent.mkdir(parents=True)
    added.touch()
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built with the setuptools that is there: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("dist")
    words = ["wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder)]
    pip(*words, str(source))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel is installed."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(folder), str(wheel))
    return folder


@pytest.fixture(scope="module")
def installed(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Runs Python with the installed wheel before everything else, in an empty folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONSAFEPATH": "1", "COLUMNS": "250"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done

    return run


def pip(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def belongs(name: str) -> bool:
    return name.startswith(tuple(f"{package}/" for package in PACKAGES))


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {name for name in tracked() if belongs(name)} | {"reports/new folder/deeper.still/table.tsv"}


@pytest.mark.slow
def test_the_source_archive_holds_what_the_tests_and_guides_need(source: Path, tmp_path: Path) -> None:
    code = f"import setuptools.build_meta as build; print(build.build_sdist({str(tmp_path)!r}))"
    built = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {name for name in tracked() if belongs(name) or name.startswith(("docs/", "tests/"))}
    assert (wanted | {"README.md", "Makefile"}) - held == set()


@pytest.mark.slow
def test_the_wheel_is_what_is_imported(installed: Installed, place: Path) -> None:
    code = f"import {', '.join(PACKAGES)}; print(*({', '.join(f'{name}.__file__' for name in PACKAGES)}), sep='\\n')"
    files = installed("-c", code).stdout.splitlines()
    assert [Path(file).parent.parent for file in files] == [place] * len(PACKAGES)


@pytest.mark.slow
def test_it_lists_what_the_checkout_lists(installed: Installed) -> None:
    code = """
from benchmark.commands.app import app
from benchmark.commands.listing import Kind
for kind in Kind:
    app(["list", kind.value, "--names"], standalone_mode=False)
"""
    here = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "four_tasks_order4" in here
    assert installed("-c", code).stdout == here


@pytest.mark.slow
def test_it_can_reproduce_all_of_the_paper(installed: Installed) -> None:
    code = """
from benchmark.experiments import matrix, paper, tuning
print(sum(len(matrix.expand(paper.load(name), matrix.Choices())) for name in paper.names()))
print(*(f"{name} {len(paper.load(name).rows)}" for name in paper.names()))
print(len(tuning.grid(None)))
"""
    here = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert here.returncode == 0, here.stderr
    assert installed("-c", code).stdout == here.stdout
    listed = installed("-m", "benchmark", "reproduce", "all", "--preset", "smoke", "--dry-run").stdout
    assert [name for name in paper.names() if name not in listed] == []


@pytest.mark.slow
def test_it_runs_and_reports(installed: Installed, place: Path) -> None:
    """By the command that it installs."""
    script = str(next(path for path in (place / "bin").iterdir() if path.stem == "continual-restoration"))
    words = ["--strategy", "finetune", "--order", "derain", "--preset", "smoke", "--out", "runs"]
    installed(script, "run", *words)
    page = installed(script, "report", "runs", "--out", "page").stdout.split("Report: ")[1].strip()
    assert Path(page).read_text(encoding="utf-8").count("image/webp") > 1
    assert "derain" in installed(script, "show", "runs").stdout

"""The suite's own files, told from what others leave beside them."""

import shutil
import sys
import tempfile
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import pytest

from benchmark import config, presets
from benchmark.core import files
from benchmark.core.errors import UserError
from benchmark.core.files import named
from benchmark.experiments import paper
from benchmark.reference import SHIPPED
from benchmark.reference.records import Records
from benchmark.streams import definition

APPLE = b"\0\5\26\7\0\2\0\0Mac OS X\xff"
"""How a file begins that macOS lays beside one that it copies to another disk or into an archive."""


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The suite's own YAML files as they come from a Mac: beside each a hidden one of equal ending."""
    places: list[tuple[Any, str]] = [
        (config, "PRESETS"),
        (presets, "FOLDER"),
        (paper, "FOLDER"),
        (definition, "FOLDER"),
    ]
    for number, (module, name) in enumerate(places):
        shutil.copytree(getattr(module, name), tmp_path / str(number), ignore=shutil.ignore_patterns("__pycache__"))
        monkeypatch.setattr(module, name, tmp_path / str(number))
    for path in list(tmp_path.rglob("*.yaml")):
        path.with_name(f"._{path.name}").write_bytes(APPLE)
    return tmp_path


def test_what_a_mac_lays_beside_the_suites_own_files_is_none_of_them(copied: Path) -> None:
    expected = {path.stem for path in copied.rglob("[a-z]*.yaml")}
    paper.names.cache_clear()
    try:
        found = {*config.presets(), *definition.shipped(), *paper.names()}
    finally:
        paper.names.cache_clear()
    assert found == expected
    assert presets.settings("quick", "cmc")


def test_what_a_mac_lays_beside_an_archive_is_no_preset(tmp_path: Path) -> None:
    shutil.copy(SHIPPED / "quick.zip", tmp_path)
    (tmp_path / "._quick.zip").write_bytes(APPLE)
    with Records(tmp_path) as records:
        assert records.presets == ["quick"]


def test_files_are_named_without_their_ending_and_in_order(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.b.yaml", ".c.yaml", "d.yml"):
        (tmp_path / name).touch()
    assert list(named(tmp_path, ".yaml").items()) == [("a.b", tmp_path / "a.b.yaml"), ("b", tmp_path / "b.yaml")]


@pytest.mark.skipif(sys.platform == "win32", reason="processes meet elsewhere there")
def test_a_place_that_is_too_long_for_a_socket_is_told_and_the_longest_that_is_not_holds_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        longest = Path(folder, "x" * (files.LONGEST - len(folder) - 1))
        longest.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(longest))
        files.refuse_long_place()
        place = tempfile.mkdtemp(prefix="pymp-")  # as Python's own does
        Listener(tempfile.mktemp(prefix="listener-", dir=place)).close()
        monkeypatch.setattr(tempfile, "tempdir", f"{longest}x")
        with pytest.raises(UserError, match=f"too long for that: {files.LONGEST + 1} bytes.* Set TMPDIR to"):
            files.refuse_long_place()

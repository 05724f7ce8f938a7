"""Archives of records: what goes in comes out, and nothing of a stranger's archive gets where it should not."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import made_records, made_run

from benchmark.core.errors import UserError
from benchmark.core.runs.schemas import TABLES
from benchmark.core.runs.wholeness import examine
from benchmark.reference import records
from benchmark.reference.records import Records


def test_a_record_is_read_as_the_run_it_was_made_of(tmp_path: Path) -> None:
    runs = [made_run(tmp_path / "runs", name, seed=seed) for name, seed in (("cmc", 0), ("mas", 3))]
    with Records(made_records(tmp_path / "records", *runs)) as held:
        assert held.presets == ["quick"]
        found = held.runs()
        assert [run.name for run in found] == [run.name for run in runs]
        for run, record in zip(runs, found, strict=True):
            assert (record.config, record.environment, record.finished) == (run.config, run.environment, True)
            assert examine(record).state == "whole"
            assert all(record.rows(table) == run.rows(table) for table in TABLES)
        place = held.place("quick")
    assert not place.exists()


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    first, second = {"a": {"config.yaml": b"1"}, "b": {}}, {"b": {}, "a": {"config.yaml": b"1"}}
    records.pack(tmp_path / "one", "quick", first)
    records.pack(tmp_path / "two", "quick", second)
    assert (tmp_path / "one" / "quick.zip").read_bytes() == (tmp_path / "two" / "quick.zip").read_bytes()


def test_only_the_presets_that_are_asked_for_are_opened(tmp_path: Path) -> None:
    made_records(tmp_path, made_run(tmp_path / "runs", preset="quick"))
    (tmp_path / "other.zip").write_bytes(b"no archive")
    with Records(tmp_path) as held:
        assert len(held.runs(["quick", "unheard of"])) == 1
        with pytest.raises(UserError, match=r"other\.zip' cannot be read"):
            held.runs()


@pytest.mark.parametrize("file", ["metrics.csv", "config.yaml", "status.json"])
def test_a_record_that_was_changed_is_refused(tmp_path: Path, file: str) -> None:
    made_records(tmp_path, made_run(tmp_path / "runs"))
    held = records.unpack(tmp_path, "quick")
    ((name, files),) = held.items()
    records.pack(tmp_path, "quick", {name: files | {file: files[file] + b"\n"}})
    with Records(tmp_path) as changed:
        (run,) = changed.runs()
        assert examine(run).state == "damaged"


def entries(*pairs: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pairs:
            archive.writestr(name, content)
    return stream.getvalue()


def packed_otherwise(method: int) -> bytes:
    """An archive whose only entry is damaged, and packed in another way than ours."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("run/config.yaml", bytes(range(250)))
    content = bytearray(stream.getvalue())
    content[60:110] = bytes(50)
    return bytes(content)


def encrypted() -> bytes:
    """An archive whose only entry says that it is encrypted."""
    content = bytearray(entries(("run/config.yaml", b"x")))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    "archive",
    [
        lambda: b"no archive",
        lambda: entries(("run/config.yaml", b"x" * 1000))[:-30],
        lambda: entries(("run/config.yaml", b"abcdef")).replace(b"\x4b\x4c\x4a", b"\x4b\x4c\x4b", 1),
        lambda: entries(("../config.yaml", b"x")),
        lambda: entries(("/run/config.yaml", b"x")),
        lambda: entries(("run/../config.yaml", b"x")),
        lambda: entries(("run\\x/config.yaml", b"x")),
        lambda: entries(("C:/config.yaml", b"x")),
        lambda: entries(("./config.yaml", b"x")),
        lambda: entries(("run/images/a.png", b"x")),
        lambda: entries(("run/plugin.py", b"x")),
        lambda: entries(("run/", b"")),
        lambda: entries(("run/config.yaml", b"x"), ("run/config.yaml", b"y")),
        lambda: entries(("run/config.yaml", bytes(records.LARGEST_FILE + 1))),
        encrypted,
        lambda: packed_otherwise(zipfile.ZIP_LZMA),
        lambda: packed_otherwise(zipfile.ZIP_BZIP2),
    ],
    ids=range(17),
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_is_none_of_ours_is_refused_and_leaves_nothing(
    tmp_path: Path, archive: Callable[[], bytes]
) -> None:
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "quick.zip").write_bytes(archive())
    with Records(folder) as held, pytest.raises(UserError, match=r"quick\.zip' cannot be read: .+ Restore it"):
        held.runs()
    assert [path.name for path in tmp_path.rglob("*")] == ["records", "quick.zip"]


def test_too_many_records_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MOST", 1)
    many = {f"run{number}": dict.fromkeys(records.FILES, b"") for number in range(2)}
    records.pack(tmp_path, "quick", many)
    with pytest.raises(UserError, match="more than 1 records"):
        records.unpack(tmp_path, "quick")


def test_no_room_for_what_is_unpacked_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with records.Records() as shipped, pytest.raises(UserError, match=r"unpacked into .*: No space left.* TMPDIR"):
        shipped.runs()

"""A report, a table, a run: none is written over what somebody else has put there."""

import errno
import fcntl
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from made_runs import made_run

import reports
from benchmark.core.errors import UserError
from benchmark.core.process.endings import Stopped
from benchmark.experiments import tuning
from reports import folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    made_run(out)
    return out


@pytest.fixture(scope="module")
def finished(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("finished") / "report"
    reports.build([runs], out)
    return content(out)


@pytest.fixture
def report(finished: dict[str, bytes], tmp_path: Path) -> Path:
    for name, data in finished.items():
        (tmp_path / "report" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "report" / name).write_bytes(data)
    return tmp_path / "report"


def content(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index.html", "notes.txt", "tables/mine.csv", "figures/mine.svg", "files.txt"])
def test_a_folder_of_somebody_elses_is_refused_unless_asked(
    name: str, runs: Path, tmp_path: Path, finished: dict[str, bytes]
) -> None:
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    place.write_text("mine\n")
    with pytest.raises(UserError, match="--overwrite"):
        reports.build([runs], tmp_path)
    assert content(tmp_path) == {name: b"mine\n"}
    reports.build([runs], tmp_path, overwrite=True)
    assert content(tmp_path) == {name: b"mine\n"} | finished


def test_runs_and_files_are_no_place_for_a_report(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    run = next(runs.iterdir())
    before = content(runs)
    for place in (runs, run, tmp_path / "file"):
        with pytest.raises(UserError, match="Choose another with --out"):
            reports.build([runs], place)
    assert content(runs) == before


@pytest.mark.slow
def test_an_earlier_report_is_replaced_and_files_beside_it_stay(
    report: Path, runs: Path, finished: dict[str, bytes]
) -> None:
    (report / "notes.txt").write_text("mine")
    left_over = report / "tables/gone.csv"
    left_over.write_text("of a run that is no longer there")
    (report / "files.txt").write_text((report / "files.txt").read_text() + "tables/gone.csv\n../runs\n/etc/hosts\n")
    reports.build([runs], report)
    assert content(report) == finished | {"notes.txt": b"mine"}


@pytest.mark.parametrize("name", ["tables/mine.csv", "figures/mine.svg"])
def test_a_file_put_among_those_of_a_report_is_refused(name: str, report: Path, runs: Path) -> None:
    (report / name).write_text("mine")
    before = content(report)
    with pytest.raises(UserError, match=name):
        reports.build([runs], report)
    assert content(report) == before


@pytest.mark.slow
def test_a_report_of_before_the_mark_is_known(report: Path, runs: Path, finished: dict[str, bytes]) -> None:
    names = sorted(name for name in finished if "/" in name)
    (report / "files.txt").write_text("".join(f"{name}\n" for name in names))
    (report / "tables/mine.csv").write_text("mine")
    with pytest.raises(UserError, match="mine"):
        reports.build([runs], report)
    (report / "tables/mine.csv").unlink()
    reports.build([runs], report)
    assert content(report) == finished


@pytest.mark.slow
def test_a_report_that_was_cut_short_is_finished(report: Path, runs: Path, finished: dict[str, bytes]) -> None:
    (report / "index.html").unlink()
    (report / ".index.html.4711").write_text("half")
    reports.build([runs], report)
    assert content(report) == finished | {".index.html.4711": b"half"}


@pytest.mark.parametrize("before", [[], ["index.html", "tables/b.csv", "tables/old.csv"]])
def test_reports_into_one_folder_at_once_are_written_one_after_the_other(
    before: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write_text = tmp_path / "site", folder.write_text
    if before:
        folder.write(out, dict.fromkeys(before, "old"))

    def slowly(path: Path, content: str | bytes) -> None:
        write_text(path, content)
        time.sleep(0.01)
        folder.check(out)  # as the next one does, before it writes

    monkeypatch.setattr(folder, "write_text", slowly)
    reports_ = [{"index.html": name, "tables/runs.csv": name, f"tables/{name}.csv": name} for name in "abc"]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda files: folder.write(out, files), reports_))
    found = content(out)
    last = found.pop("index.html").decode()
    assert found.pop(folder.MANIFEST)
    assert found == {"tables/runs.csv": last.encode(), f"tables/{last}.csv": last.encode()}
    folder.check(out)


def test_wherever_a_report_is_stopped_the_next_one_takes_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text, left = folder.write_text, 0

    def stopped(path: Path, content: str | bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Stopped("SIGTERM")
        write_text(path, content)

    for step in range(5):
        out = tmp_path / str(step)
        folder.write(out, {"index.html": "old", "tables/runs.csv": "old", "tables/old.csv": "old"})
        left = step
        monkeypatch.setattr(folder, "write_text", stopped)
        with pytest.raises(Stopped):
            folder.write(out, {"index.html": "new", "tables/runs.csv": "new", "tables/new.csv": "new"})
        monkeypatch.setattr(folder, "write_text", write_text)
        folder.write(out, {"index.html": "last"})
        assert content(out).keys() == {"index.html", folder.MANIFEST}


def test_a_report_is_written_where_nothing_can_be_locked_and_leaves_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    folder.write(tmp_path / "site", {"index.html": "page"})
    assert (tmp_path / "site/index.html").read_text() == "page"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.slow
def test_nothing_is_written_or_taken_away_through_a_link(report: Path, runs: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (report / "tables").rename(elsewhere)
    (report / "tables").symlink_to(elsewhere)
    before = content(elsewhere)
    for overwrite in (False, True):
        with pytest.raises(UserError, match="link"):
            reports.build([runs], report, overwrite=overwrite)
    (report / "tables").unlink()
    elsewhere.rename(report / "tables")
    picture = next((report / "figures").glob("*.png"))
    picture.unlink()
    mine = tmp_path / "mine.png"
    mine.write_text("mine")
    picture.symlink_to(mine)
    with pytest.raises(UserError, match=picture.name):
        reports.build([runs], report)
    reports.build([runs], report, overwrite=True)
    assert mine.read_text() == "mine"
    assert not picture.is_symlink()
    assert content(report / "tables") == before


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["reproduce", "table2", "--preset", "smoke", "--report", "{folder}"], "index.html"),
        (["tune", "--strategy", "cmc", "--preset", "smoke", "--table", "{folder}/prices.csv"], "prices.csv"),
    ],
)
def test_it_is_told_before_anything_is_trained(words: list[str], name: str, command: Command, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / name).write_text("date,price\n1,2\n")
    done = command(*[word.format(folder=site) for word in words], "--out", str(tmp_path / "runs"))
    assert done.returncode == 2, done.stderr
    assert name in done.stderr
    assert content(tmp_path) == {f"site/{name}": b"date,price\n1,2\n"}


def test_a_table_of_another_kind_is_kept(tmp_path: Path) -> None:
    from benchmark.profiling import layer

    other = tmp_path / "other.csv"
    other.write_text("date,price\n1,2\n")
    here = ("quick", "four_tasks")
    for ask in (lambda: tuning.check_table(other, *here), lambda: layer.profile(other, 2, 8, 1)):
        with pytest.raises(UserError, match="another file"):
            ask()
    with pytest.raises(UserError, match="cannot be read"):
        tuning.check_table(tmp_path, *here)
    other.write_text("")
    tuning.check_table(other, *here)
    tuning.check_table(tmp_path / "new.csv", *here)
    own = Path(tuning.__file__).with_name("tuning-quick.csv")
    tuning.check_table(own, *here)


def test_a_folder_with_the_name_of_a_run_is_kept(tmp_path: Path) -> None:
    from benchmark.engine.local import execute
    from benchmark.engine.setup import resolve
    from benchmark.planning import plan

    first, second = [resolve(one) for one in plan("finetune", "four_tasks", "smoke", "0,1", "denoise", None, None, [])]
    place = tmp_path / second.run_name
    place.mkdir()
    (place / "metrics.csv").write_text("mine")
    with pytest.raises(UserError, match="no run of this suite"):
        execute([first, second], tmp_path)
    assert content(tmp_path) == {f"{second.run_name}/metrics.csv": b"mine"}

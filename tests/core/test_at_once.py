"""What is read while another process writes it, and written by one process alone."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from made_runs import made_run

from benchmark.core.runs import seals
from benchmark.core.runs.locks import RunBusy, writing
from benchmark.core.runs.wholeness import examine
from benchmark.core.runs.writing import refuse_other, write_text


def test_a_run_that_is_finished_while_its_status_is_read_is_no_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, checksums = made_run(tmp_path, state="running"), seals.checksums

    def after_the_end(path: Path) -> dict[str, str]:
        monkeypatch.setattr(seals, "checksums", checksums)
        run.update_status(state="finished")
        return checksums(path)

    monkeypatch.setattr(seals, "checksums", after_the_end)
    assert run.status["state"] == "finished"
    assert run.finished
    (run.path / "status.json").write_text('{"state": "finished"}')
    assert examine(run).state == "damaged", "and what is changed after the end is told all the same"


def test_a_run_that_begins_anew_while_it_is_looked_at_is_no_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, regular = made_run(tmp_path), seals.regular
    run.update_status(state="finished")
    assert examine(run).state == "whole"

    def after_the_beginning(path: Path) -> Any:
        monkeypatch.setattr(seals, "regular", regular)
        run.update_status(state="running", tasks_done=0)
        for picture in run.path.glob("images/*.png"):
            picture.unlink()
        return regular(path)

    monkeypatch.setattr(seals, "regular", after_the_beginning)
    assert examine(run).state == "unfinished"


def test_a_run_has_one_writer_whichever_link_leads_to_it(tmp_path: Path) -> None:
    run = made_run(tmp_path / "disk")
    link = tmp_path / "runs" / run.name
    link.parent.mkdir()
    link.symlink_to(run.path)
    with writing(link), pytest.raises(RunBusy), writing(run.path):
        pass
    with writing(run.path), pytest.raises(RunBusy), writing(link):
        pass


def test_what_many_write_at_once_is_whole(tmp_path: Path) -> None:
    """Threads have one process number, as have two containers that share a disk."""
    path, contents = tmp_path / "table.csv", {f"a\n{str(number) * 200_000}\n" for number in range(8)}
    with ThreadPoolExecutor(8) as writers:
        for written in [writers.submit(write_text, path, content) for content in [*contents] * 8]:
            written.result()
            assert path.read_text() in contents
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_many_make_sure_at_once_that_one_table_may_be_written(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("a\n1\n")
    with ThreadPoolExecutor(8) as all_of_them:
        for asked in [all_of_them.submit(refuse_other, path, ["a"], "--table") for _ in range(400)]:
            asked.result()
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]

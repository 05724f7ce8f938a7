"""What is read while another process writes it, and written by one process alone."""

from pathlib import Path
from typing import Any

import pytest
from made_runs import made_run

from benchmark.core.runs import seals
from benchmark.core.runs.locks import RunBusy, writing
from benchmark.core.runs.wholeness import examine


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

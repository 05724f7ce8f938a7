"""Run directories made by a stranger: whatever stands in them, a report is made of the others, or an error is told."""

import base64
import json
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from made_runs import ORDER, made_run
from PIL import Image

import reports
from benchmark.core.errors import UserError
from benchmark.core.runs import records, seals
from benchmark.core.runs.directory import Run, find_runs, locate
from benchmark.core.runs.wholeness import examine
from reports.groups import collect
from reports.pictures import open_picture

BOMB = "x0: &x0 {a: 1}\n" + "".join(
    f"x{n}: &x{n} {{{', '.join(f'k{key}: *x{n - 1}' for key in range(10))}}}\n" for n in range(1, 9)
)
MERGES = "y0: &y0 {a: 1}\n" + "".join(f"y{n}: &y{n} {{<<: [{', '.join([f'*y{n - 1}'] * 10)}]}}\n" for n in range(1, 9))


class Deed:
    """What a pickle does when it is opened: it makes a file."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.made),)


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Puts something else in the place of a file of a run."""

    def put(run: Path) -> None:
        (run / name).unlink()
        make(run / name)

    return put


def added(name: str, text: str) -> Callable[[Path], None]:
    """Puts text at the end of a file of a run."""
    return lambda run: (run / name).open("a", encoding="utf-8").write(text) and None


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


DAMAGES = {
    "aliases that multiply": (added("config.yaml", BOMB), "more than 100,000 values"),
    "merges that multiply": (added("config.yaml", MERGES), "'<<' has no place"),
    "a part within itself": (added("config.yaml", "x: &x {y: *x}\n"), "nested more than"),
    "lists in lists": (added("config.yaml", f"x: {'[' * 200}{']' * 200}\n"), "nested more than"),
    "JSON without end": (
        replaced("status.json", lambda path: path.write_text('{"x": ' + "[" * 100_000 + "]" * 100_000 + "}")),
        "nested more than",
    ),
    "a key that is no text": (added("config.yaml", "1: x\n"), "a key is no text"),
    "a date": (added("config.yaml", "x: 2024-01-01\n"), "type date"),
    "a Python object": (added("config.yaml", "x: !!python/object/apply:os.getcwd []\n"), "could not determine"),
    "very many tasks": (
        replaced("config.yaml", lambda path: path.write_text(yaml.safe_dump({"strategy": "a", "order": ["b"] * 9000}))),
        "9,000 tasks",
    ),
    "a mapping that is none": (added("config.yaml", "data: [x]\n"), "'data' is not a mapping"),
    "a record without end": (replaced("status.json", sparse), "bytes and is not read"),
    "a table without end": (replaced("metrics.csv", sparse), "bytes and is not read"),
    "a pipe": (replaced("status.json", os.mkfifo), "not a regular file"),
    "a folder": (replaced("curves.csv", Path.mkdir), "not a regular file"),
    "a device": (replaced("status.json", lambda path: path.symlink_to("/dev/zero")), "leads out of"),
    "a link to a file elsewhere": (
        replaced("environment.json", lambda path: path.symlink_to(__file__)),
        "leads out of",
    ),
    "a link to itself": (replaced("metrics.csv", lambda path: path.symlink_to(path)), ""),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_run_that_cannot_be_trusted_is_told_and_the_others_are_read(kind: str, tmp_path: Path) -> None:
    damage, reason = DAMAGES[kind]
    good, bad = made_run(tmp_path, "cmc"), made_run(tmp_path, "finetune", keeps=False)
    damage(bad.path)
    (bad.path / seals.SEAL).write_text('{"sha256": {}}')  # a stranger's own
    found = collect([tmp_path])
    if kind != "a link to itself":  # as if it were not there
        assert [one.run.name for one in found.unreadable] == [bad.name]
        assert reason in found.unreadable[0].reason
    assert good.name in {result.run.name for group in found.groups for result in group.results}


@pytest.mark.parametrize("count", ["NaN", "1e999", "-1", "1000000000"])
def test_a_number_of_tasks_that_no_run_has_is_told_by_whoever_looks(count: str, tmp_path: Path) -> None:
    run = made_run(tmp_path, "cmc", state="interrupted", done=1)
    status = json.dumps({**run.status, "tasks_done": "COUNT"}).replace('"COUNT"', count)
    (run.path / "status.json").write_text(status)
    found = examine(run)
    assert found.state == "damaged"
    assert "'tasks_done'" in found.details[0]
    with pytest.raises(UserError, match="'tasks_done'"):
        _ = run.tasks_done


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        *(("status.json", {key: None}, f"cannot be read: '{key}' is not a") for key in records.GIVEN["status.json"]),
        ("config.yaml", {"order": None}, "cannot be read: 'order' is not a list"),
        ("status.json", {}, "cannot be read: 'state' is missing"),
        ("config.yaml", {}, "names no tasks ('order' is missing)"),
    ],
)
def test_a_record_without_what_everyone_looks_into_is_damaged(
    name: str, given: dict[str, None], words: str, tmp_path: Path
) -> None:
    run = made_run(tmp_path, "cmc", state="interrupted", done=1)
    whole = run.config if name == "config.yaml" else run.status
    (run.path / name).write_text(json.dumps({**whole, **given} if given else {}))
    found = examine(run)
    assert found.state == "damaged"
    assert f"{name}' {words}" in found.details[0]


@pytest.mark.parametrize(
    ("key", "given"),
    [
        *(("peak_memory", {after: 5}) for after in ("x", "0", "9", "-1", "²", " 1")),
        *(("peak_memory", {"1": value}) for value in ("much", [1], True, -5, float("nan"), float("inf"))),
        *(("seconds_per_task", [value]) for value in ("long", -1)),
    ],
)
def test_what_was_measured_of_no_task_or_is_no_amount_is_told_as_the_statuses_damage(
    key: str, given: Any, tmp_path: Path
) -> None:
    run = made_run(tmp_path, "cmc", state="interrupted", done=1)
    (run.path / "status.json").write_text(json.dumps({**run.status, "tasks": 4, key: given}))
    with pytest.raises(UserError, match=rf"status\.json' cannot be read: '{key}'"):
        _ = run.costs


@pytest.mark.parametrize("name", ["status.json", "environment.json", "config.yaml", "metrics.csv"])
def test_a_mark_of_the_encoding_that_an_editor_puts_first_is_no_damage(name: str, tmp_path: Path) -> None:
    run = made_run(tmp_path, "cmc", state="interrupted", done=1)
    before = run.status, run.environment, run.config, run.rows("metrics.csv")
    (run.path / name).write_bytes(b"\xef\xbb\xbf" + (run.path / name).read_bytes())
    again = Run(run.path)
    assert (again.status, again.environment, again.config, again.rows("metrics.csv")) == before


def test_records_that_the_suite_writes_are_far_from_every_bound(tmp_path: Path) -> None:
    order = [f"task{number}" for number in range(200)]
    task = {"title": "x" * 100, "degradation": "rain", "train": {"density": [0.1, 0.2]}, "test": {"density": 0.1}}
    run = Run.create(tmp_path / "run", {"strategy": "x", "order": order, "tasks": [task] * 200}, {})
    assert run.config["order"] == order
    assert (run.path / "config.yaml").stat().st_size < records.SIZE // 10


def test_aliases_that_the_suite_itself_writes_are_read(tmp_path: Path) -> None:
    shared = {"std": 5}
    run = Run.create(tmp_path / "run", {"tasks": [{"train": shared, "test": shared}]}, {})
    assert "*id001" in (run.path / "config.yaml").read_text()
    assert run.config == {"tasks": [{"train": shared, "test": shared}]}


def test_a_picture_from_outside_of_a_run_is_not_shown(tmp_path: Path) -> None:
    run = made_run(tmp_path / "runs", "cmc")
    private = tmp_path / "private.png"
    Image.fromarray(np.full((40, 48, 3), 123, np.uint8)).save(private)
    kept = run.image(ORDER[0], "chelsea", "final")
    assert open_picture(kept) is not None
    kept.unlink()
    kept.symlink_to(private)
    assert open_picture(kept) is None
    folder, elsewhere = run.path / "images", tmp_path / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    assert open_picture(run.image(ORDER[1], "chelsea", "final")) is None


def test_a_run_behind_a_link_is_a_run_all_the_same(tmp_path: Path) -> None:
    run = made_run(tmp_path / "disk", "cmc")
    link = tmp_path / "link"
    link.symlink_to(run.path)
    assert Run(link).config == run.config
    assert open_picture(Run(link).image(ORDER[0], "chelsea", "final")) is not None


def test_runs_that_links_lead_to_are_found_and_each_once(tmp_path: Path) -> None:
    runs, chosen = tmp_path / "runs", tmp_path / "chosen"
    one, other = made_run(runs, "cmc"), made_run(runs, "finetune")
    chosen.mkdir()
    (chosen / "one").symlink_to(one.path)
    assert [run.name for run in find_runs([chosen])] == ["one"]
    (chosen / "all").symlink_to(runs)
    (chosen / "round").symlink_to(chosen)
    (chosen / "gone").symlink_to(tmp_path / "nowhere")
    found = find_runs([chosen])
    assert {run.path.resolve() for run in found} == {one.path, other.path}
    assert len(found) == 2
    assert set(locate(chosen)) == {run.path.name.rpartition("-")[2] for run in found} | {"one"}


def test_a_run_that_was_deleted_into_a_hidden_folder_is_gone(tmp_path: Path) -> None:
    runs = tmp_path / "disk/.hidden/runs"
    kept = made_run(runs, "cmc")
    made_run(runs / ".Trash-1000/files", "finetune")
    made_run(runs / ".Trash-1000/files", "mas").path.rename(runs / ".mas")
    assert [run.path for run in find_runs([runs])] == [kept.path]
    assert list(locate(runs).values()) == [kept.path]
    (tmp_path / "chosen").mkdir()
    (tmp_path / "chosen/all").symlink_to(runs)
    assert [run.name for run in find_runs([tmp_path / "chosen"])] == [kept.name]
    assert {run.name for run in find_runs([runs / ".mas", runs / ".Trash-1000"])} == {".mas", "run-00-seed0"}


@pytest.mark.parametrize("trash", ["#recycle", "$RECYCLE.BIN", "@Recycle", "lost+found", "System Volume Information"])
def test_a_run_that_a_disk_or_a_system_keeps_as_trash_is_gone(tmp_path: Path, trash: str) -> None:
    kept = made_run(tmp_path / "runs", "cmc")
    made_run(tmp_path / "runs" / trash, "finetune")
    assert [run.path for run in find_runs([tmp_path / "runs"])] == [kept.path]
    assert list(locate(tmp_path / "runs").values()) == [kept.path]


def test_a_run_has_its_name_from_inside_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made_run(tmp_path / "runs", "cmc")
    monkeypatch.chdir(run.path)
    assert [found.name for found in find_runs([Path()])] == [run.name]
    assert [found.name for found in find_runs([Path("images/..")])] == [run.name]
    assert set(locate(Path())) == {run.name.rpartition("-")[2]}
    reports.build([Path()], tmp_path / "report")
    assert f"\n{run.name}," in (tmp_path / "report/tables/runs.csv").read_text()


@pytest.mark.parametrize("name", ["../../out", "/etc/passwd", "a\0b", "..", "<script>", "~", "x" * 400, "a/../../b"])
def test_names_do_not_lead_out_of_a_run(name: str, tmp_path: Path) -> None:
    run = made_run(tmp_path / "runs", "cmc")
    for kind in ("clean", "final", "after-2"):
        path = run.image(name, name, kind)
        assert path.parent == run.path / "images"
        assert re.fullmatch(r"[A-Za-z0-9_+.-]+", path.name)
        assert len(path.name) < 255


@pytest.mark.slow
def test_a_report_on_names_that_lead_elsewhere_stays_in_its_folder(tmp_path: Path) -> None:
    order = ["../../out", "/etc/passwd", "<script>alert(1)</script>", "=1+1"]
    made_run(tmp_path / "runs", "../../strategy", order=order, stream="../../../stream", preset="../preset")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    reports.build([tmp_path / "runs"], tmp_path / "report")
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert new
    assert all(path.is_relative_to(tmp_path / "report") for path in new)


@pytest.mark.parametrize(
    "name", ["config.yaml", "environment.json", "status.json", "metrics.csv", "outputs.csv", "images/picture.png"]
)
def test_a_pickle_in_a_run_is_not_opened(name: str, tmp_path: Path) -> None:
    run, made = made_run(tmp_path / "runs", "cmc"), tmp_path / "made"
    file = run.path / name if name.endswith(("yaml", "json", "csv")) else run.image(ORDER[0], "chelsea", "clean")
    file.write_bytes(pickle.dumps(Deed(made)))
    (run.path / seals.SEAL).write_text('{"sha256": {}}')
    found = collect([tmp_path / "runs"])
    assert open_picture(run.image(ORDER[0], "chelsea", "clean")) is None or len(found.unreadable) == 1
    assert not made.exists()
    pickle.loads(pickle.dumps(Deed(made)))
    assert made.exists()  # what would have been seen


def test_what_a_run_names_is_not_imported_by_those_who_read_it(tmp_path: Path) -> None:
    plugin, made = tmp_path / "plugin.py", tmp_path / "made"
    plugin.write_text(f"import os\nos.mkdir({str(made)!r})\n")
    made_run(tmp_path / "runs", "mine", plugin="plugin.py#12345678", imports=[str(plugin)])
    found = collect([tmp_path / "runs"])
    assert [entry.label for group in found.groups for entry in group.entries] == ["mine"]
    assert not made.exists()


def test_a_formula_in_a_table_is_a_text(tmp_path: Path) -> None:
    from reports.items.exports import frame
    from reports.items.table import Cell, Column, Table

    formulas = ["=cmd|'/C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\t=1"]
    table = Table("c", [Column("name"), Column("=x")], [[Cell(one), Cell("1", -1.0)] for one in formulas])
    written = frame(table)
    assert [text.lstrip("'") for text in written["name"]] == formulas
    assert all(text.startswith("'") for text in [*written["name"], *(name for name in written if "=" in name)])
    assert list(written.iloc[:, 1]) == [-1.0] * len(formulas)


def test_a_page_holds_hostile_downloads_as_data(tmp_path: Path) -> None:
    from reports.page.html import links

    hostile = "</a><script>alert(1)</script>"
    link = links({"tables/x.csv": hostile})["x"][0]
    assert base64.b64decode(link.inside.partition("base64,")[2]).decode() == hostile
    assert "<" not in link.inside


def test_a_seal_reads_nothing_outside_of_its_run(tmp_path: Path) -> None:
    run = made_run(tmp_path / "runs", "cmc")
    os.mkfifo(run.path / "pipe")
    names = ["../../secret", "/dev/zero", "pipe", "metrics.csv"]
    (tmp_path / "secret").write_text("x")
    (run.path / seals.SEAL).write_text(json.dumps({"sha256": dict.fromkeys(names, seals.digest(b"x"))}))
    damage = seals.damage(run.path)
    assert damage["metrics.csv"] == "has changed"
    assert "leads out of" in damage["../../secret"]
    assert "leads out of" in damage["/dev/zero"]
    assert "not a regular file" in damage["pipe"]


def test_what_people_lay_into_a_run_is_no_part_of_its_record(tmp_path: Path) -> None:
    run = made_run(tmp_path, "cmc", state="running")
    theirs = [run.path / name for name in ("notes.txt", "images/Thumbs.db", "images/mine.png", "checkpoints/copy.pt")]
    for file in theirs:
        file.parent.mkdir(exist_ok=True)
        file.write_text("as the run was going on")
    (run.path / "gone").symlink_to(tmp_path / "nowhere")
    run.checkpoint(4).write_bytes(b"weights")
    run.update_status(state="finished")
    theirs[0].write_text("as it was done")
    theirs[1].unlink()
    assert examine(run).state == "whole"
    sealed = {"config.yaml", "status.json", "outputs.csv", "checkpoints/task-4.safetensors"}
    assert sealed < seals.checksums(run.path).keys()
    for name in ("checkpoints/task-4.safetensors", "images/derain--chelsea--clean.png"):
        (run.path / name).write_bytes(b"others")
    assert seals.damage(run.path) == dict.fromkeys(
        ("checkpoints/task-4.safetensors", "images/derain--chelsea--clean.png"), "has changed"
    )


def test_a_missing_run_is_an_error_of_the_users(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run directory"):
        _ = Run(tmp_path).config

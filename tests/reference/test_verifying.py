"""From the real command: a run becomes a record, the record is verified, and what was tampered with is found out."""

import json
import os
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from conftest import Command
from made_runs import made_records, made_run

from benchmark.commands.reference import reference_verify
from benchmark.core.errors import UserError
from benchmark.core.process import endings
from benchmark.core.process.endings import Stopped
from benchmark.core.process.suite import TOLD
from benchmark.core.runs.directory import Run
from benchmark.core.runs.seals import SEAL, digest
from benchmark.core.runs.writing import write_json
from benchmark.engine.executors import execute as executing
from benchmark.engine.executors.execute import Results
from benchmark.engine.executors.workers import Workers
from benchmark.engine.setup import resolve
from benchmark.planning import plan
from benchmark.reference import packing, records, verifying
from benchmark.reference.packing import _asked as asked
from benchmark.reference.packing import command as command_of
from benchmark.reference.packing import pack, stale
from benchmark.reference.records import Records
from benchmark.reference.verifying import Asked, damaged, drawn, planned, repeat

NOTHING = (None, None, None, [])
COMMITTED = {"suite": "0.0", "git": "c0ffee" + "0" * 34, "git_changed": False}


def test_a_draw_is_repeated_by_its_number(tmp_path: Path) -> None:
    runs = [Run(tmp_path / f"run{number}") for number in range(9)]
    first = drawn(runs, 2, draw=5)
    assert drawn(runs[::-1], 2, draw=5) == first
    assert drawn(runs, 3, draw=5)[:2] == first
    assert len({tuple(drawn(runs, 2, draw)) for draw in range(20)}) > 10
    assert set(drawn(runs, 99, draw=5)) == set(runs)


@pytest.mark.parametrize("draw", [None, 5])
def test_what_was_drawn_by_chance_is_gone_on_with_after_an_interruption(
    draw: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise Stopped("SIGTERM")

    monkeypatch.setattr(verifying, "repeat", interrupted)
    monkeypatch.setattr(endings, "_chosen", [])
    with pytest.raises(Stopped):
        reference_verify(draw=draw, preset="smoke")
    words = ["reference", "verify", *([] if draw is None else ["--draw", str(draw)])]
    told = endings.command(words).split()
    assert told.count("--draw") == 1
    assert f"as --draw {told[-1]} says" in capsys.readouterr().out


@pytest.mark.parametrize("asked_for", [None, 5])
def test_runs_are_done_again_with_the_threads_of_their_records_and_anew_where_finished(
    asked_for: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("agem", "ewc", "finetune", "mas")
    made = {name: made_run(tmp_path / "runs", name, settings={}, tasks=[{}] * 4) for name in names}
    for run, threads in zip(made.values(), (1, 3, 3, 10**9), strict=True):
        write_json(run.path / "environment.json", run.environment | {"threads": threads})
    configs = {run.name: resolve(plan(name, "four_tasks", "smoke", "0", *NOTHING)[0]) for name, run in made.items()}
    for name, state in (("ewc", "running"), ("mas", "finished")):
        there = made_run(tmp_path / "out", name, state=state)
        there.path.rename(there.path.with_name(f"{name}-{configs[made[name].name].identity}"))
    done = []

    def execute(wanted: Any, out: Path, on_event: Any, workers: Workers, *, force: bool, weights: Any) -> Results:
        done.append((workers.threads, force, [config.strategy for config in wanted]))
        return Results([made[config.strategy] for config in wanted], [])

    monkeypatch.setattr(executing, "execute", execute)
    found = repeat([*made.values()], configs, tmp_path / "out", workers=Workers(threads=asked_for))
    assert found.keys() == {run.name for run in made.values()}
    assert all(one.equal for one in found.values())
    if asked_for:
        assert done == [(5, False, ["agem", "ewc", "finetune"]), (5, True, ["mas"])]
    else:
        assert done == [(1, False, ["agem"]), (1, True, ["mas"]), (3, False, ["ewc", "finetune"])]


def test_a_record_of_other_images_or_code_is_stale_and_says_in_what(tmp_path: Path) -> None:
    config = resolve(plan("finetune", "four_tasks", "smoke", "0", *NOTHING)[0])
    run = Run.create(tmp_path / "run", config.model_dump(mode="json"), {})
    assert stale(run, config) == []
    moved = {name: number + 1 for name, number in config.revisions.model_dump().items()}
    code = config.model_copy(update={"revisions": config.revisions.model_copy(update=moved)})
    told = stale(run, code)
    assert told == [f"revision {number - 1} of {part}, now {number}" for part, number in moved.items()]
    assert {"strategy", "training"} <= moved.keys()
    images = config.model_copy(update={"sources": config.sources[:1]})
    assert stale(run, images) == ["images"]
    configs, outdated = planned([run])
    assert (list(configs), outdated) == ([run.name], {})


def test_what_is_meant(tmp_path: Path) -> None:
    made = [made_run(tmp_path / "runs", name, seed=seed) for name in ("cmc", "mas") for seed in (0, 1)]
    other = made_run(tmp_path / "runs", "cmc", stream="recurring")
    with Records(made_records(tmp_path, *made, other)) as held:
        runs = held.runs()
        asked: dict[Asked, int] = {
            Asked(): 5,
            Asked(strategies=("cmc",)): 3,
            Asked(strategies=("cmc", "mas"), seeds=(1,)): 2,
            Asked(stream="recurring"): 1,
            Asked(strategies=("ewc",)): 0,
        }
        for wanted, count in asked.items():
            assert sum(wanted.meant(run) for run in runs) == count


def finished(folder: Path, made: dict[str, Any] = COMMITTED, **changes: Any) -> Run:
    run = made_run(folder, tasks=[{}] * 4, **changes)
    environment = json.loads((run.path / "environment.json").read_text())
    write_json(run.path / "environment.json", environment | made)
    return run


@pytest.mark.parametrize(
    ("made", "changes", "told"),
    [
        ({}, {"state": "failed", "done": 2}, "it is unfinished"),
        ({"git_changed": True}, {}, "changed since commit c0ffee0. Commit the code"),
        ({"git": None}, {}, "does not say which commit"),
        ({"threads": 2, "earlier": [{"threads": 1}]}, {}, "went on with another kind of machine"),
        ({}, {"plugin": "mine.py#1"}, "made with a plugin"),
        ({}, {"backbone_plugin": "mine.py#1"}, "made with a plugin"),
        ({}, {"data": {"source": "datasets", "root": "/data"}}, "not the embedded ones"),
        ({}, {"stream": "mine.yaml"}, "its stream 'mine.yaml' does not ship"),
    ],
)
def test_what_may_not_become_a_record(tmp_path: Path, made: dict[str, Any], changes: dict[str, Any], told: str) -> None:
    run = finished(tmp_path / "runs", COMMITTED | made, **changes)
    with pytest.raises(UserError, match="cannot become a reference run") as error:
        pack([run], tmp_path / "records")
    assert told in str(error.value)
    assert not (tmp_path / "records").exists()


def test_a_damaged_run_may_not_become_a_record(tmp_path: Path) -> None:
    run = finished(tmp_path / "runs")
    write_json(run.path / SEAL, {"sha256": {"metrics.csv": digest(b"another")}})
    with pytest.raises(UserError, match="it is damaged"):
        pack([run], tmp_path / "records")


def test_a_record_has_nothing_imported(tmp_path: Path) -> None:
    module = tmp_path / "theirs.py"
    module.write_text(f"open({str(tmp_path / 'was imported')!r}, 'w')")
    theirs = {"plugin": f"{module}#1", "imports": [str(module)]}
    for changes in (theirs, {"imports": [str(module)]}, {"data": {"source": "datasets", "root": str(tmp_path)}}):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        made_records(folder, made_run(folder / "runs", "finetune", tasks=[{}] * 4, settings={}, **changes))
        with Records(folder) as held, pytest.raises(UserError, match="names a plugin or data from elsewhere"):
            planned(held.runs())
    assert not (tmp_path / "was imported").exists()


def tampered(folder: Path, change: Any, sealed: bool) -> Path:
    """A copy of the archive at smoke with something of metrics.csv changed, with or without a new seal."""
    ((name, files),) = records.unpack(folder, "smoke").items()
    files = files | {"metrics.csv": change(files["metrics.csv"])}
    if sealed:
        seal = {"sha256": {file: digest(data) for file, data in files.items() if file != SEAL}}
        files[SEAL] = json.dumps(seal).encode()
    other = folder.with_name("tampered")
    records.pack(other, "smoke", {name: files})
    return other


def better(metrics: bytes) -> bytes:
    """The measurements with every output's PSNR ten times as high."""
    rows = metrics.decode().splitlines(keepends=True)
    for place, row in enumerate(rows):
        cells = row.split(",")
        if cells[4:6] == ["output", "psnr"]:
            rows[place] = ",".join([*cells[:6], repr(10 * float(cells[6])), *cells[7:]])
    return "".join(rows).encode()


def test_from_a_run_to_a_record_and_back(command: Command, tmp_path: Path) -> None:
    env = {**os.environ, TOLD: json.dumps(COMMITTED)}
    run = ["run", "--strategy", "finetune", "--order", "derain,deblock", "--preset", "smoke", "--threads", "1"]
    assert command(*run, "--out", str(tmp_path / "runs"), env=env).returncode == 0
    folder = tmp_path / "records"
    verify = ["reference", "verify", "--preset", "smoke"]
    where = ["--records", str(folder)]

    packed = command("reference", "pack", str(tmp_path / "runs"), *where)
    assert packed.returncode == 0, packed.stderr
    assert f"{(folder / 'smoke.zip').stat().st_size:,} bytes packed" in packed.stdout
    before = (folder / "smoke.zip").read_bytes()
    assert command("reference", "pack", str(tmp_path / "runs"), *where).returncode == 0
    assert (folder / "smoke.zip").read_bytes() == before
    with Records(folder) as held:
        (record,) = held.runs()
        assert "process" not in record.status
        assert record.status["command"] == (
            "python -m benchmark run --strategy finetune --stream four_tasks --preset smoke --seed 0 "
            "--order derain,deblock"
        )
        assert not damaged([record])

    listed = command("reference", "list", *where).stdout
    assert "smoke, four_tasks, made by commit c0ffee0 on cpu" in listed
    assert "derain,deblock" in listed
    assert "1 reference runs" in listed

    done = command(*verify, *where, "--draw", "0", "--out", str(tmp_path / "again"), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 records are whole." in done.stdout
    assert "as --draw 0 says" in done.stdout
    assert "equal to the bit" in done.stdout
    assert "ETA" in done.stdout

    against = [*verify, "--against", str(tmp_path / "again")]
    assert command(*against, *where).returncode == 0
    broken = command(*against, "--records", str(tampered(folder, lambda rows: rows + rows[-200:], sealed=False)))
    assert broken.returncode == 1
    assert "damaged: metrics.csv has changed" in broken.stdout
    forged = command(*against, "--records", str(tampered(folder, better, sealed=True)))
    assert forged.returncode == 1
    assert "differs" in forged.stdout
    assert "it may differ by" in forged.stdout
    nothing = command(*verify, *where, "--strategy", "cmc")
    assert (nothing.returncode, "No reference run is of" in nothing.stderr) == (2, True)


def test_one_that_ships_is_repeated(command: Command, tmp_path: Path) -> None:
    """Whatever processor this is: equal to the bit on one like that of the record, near on others."""
    done = command("reference", "verify", "--preset", "smoke", "--strategy", "finetune", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal to the bit" in done.stdout or "within the tolerance" in done.stdout


def configured(path: Path, *assignments: str) -> dict[str, Any]:
    """The configuration of a run of cmc as it stands in its directory, which is made."""
    (config,) = plan("cmc", "four_tasks", "smoke", "0", None, None, None, list(assignments))
    found = resolve(config).model_dump(mode="json")
    path.mkdir()
    (path / "config.yaml").write_text(yaml.safe_dump(found), encoding="utf-8")
    write_json(path / "environment.json", {})
    return found


def test_a_command_names_what_is_measured_and_not_usual(tmp_path: Path) -> None:
    configured(tmp_path / "usual")
    configured(tmp_path / "more", "evaluation.identify=true", "training.patch_size=24")
    usual, more = (command_of(Run(tmp_path / name)) for name in ("usual", "more"))
    assert more == f"{usual} --set training.patch_size=24 --set evaluation.identify=true"
    configured(tmp_path / "own", "cmc.fraction=0.05", "cmc.sharing=none")
    assert command_of(Run(tmp_path / "own")) == f"{usual} --set cmc.fraction=0.05 --set cmc.sharing=none"


def test_a_record_from_before_a_setting_was_there_is_replaced(tmp_path: Path) -> None:
    """As what it was asked to do is the same; of another value it is another record."""
    new = configured(tmp_path / "new")
    old = {name: value for name, value in new.items() if name != "evaluation"}
    old["settings"] = {name: value for name, value in new["settings"].items() if name != "backward"}
    old["revisions"] = new["revisions"] | {"strategy": 1}
    other = configured(tmp_path / "other", "cmc.backward=64")
    files = [{"config.yaml": yaml.safe_dump(config).encode()} for config in (new, old, other)]
    assert asked(files[0]) == asked(files[1]) != asked(files[2])


def test_a_record_takes_the_place_of_those_of_the_same_configuration_and_of_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, other = configured(tmp_path / "new"), configured(tmp_path / "other", "cmc.backward=64")
    old = new | {"revisions": new["revisions"] | {"strategy": 1}}
    files = {
        name: {"config.yaml": yaml.safe_dump(config).encode()}
        for name, config in (("old", old), ("other", other), ("new", new))
    }
    monkeypatch.setattr(packing, "record", lambda run: files[run.name])
    first = pack([Run(tmp_path / "old"), Run(tmp_path / "other")], tmp_path / "records")
    assert [one.replaced for one in first] == [[], []]
    (packed,) = pack([Run(tmp_path / "new")], tmp_path / "records")
    assert packed.replaced == ["old"]
    assert records.unpack(tmp_path / "records", "smoke") == {name: files[name] for name in ("new", "other")}


def test_records_that_are_packed_at_once_are_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, write = [Run(tmp_path / str(number)) for number in range(3)], records.pack
    files = {
        run.name: {"config.yaml": yaml.safe_dump(configured(run.path, f"cmc.backward={64 + number}")).encode()}
        for number, run in enumerate(runs)
    }

    def slowly(*given: Any) -> None:
        time.sleep(0.05)
        write(*given)

    monkeypatch.setattr(packing, "record", lambda run: files[run.name])
    monkeypatch.setattr(records, "pack", slowly)
    at_once = [Thread(target=pack, args=([run], tmp_path / "records")) for run in runs]
    for one in at_once:
        one.start()
    for one in at_once:
        one.join()
    assert records.unpack(tmp_path / "records", "smoke") == files

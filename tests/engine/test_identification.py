"""Runs with a task identifier: what they measure beside the others, that nothing else changes, and how they resume."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Command
from safetensors.torch import load_file

from benchmark.config import RunConfig, checked
from benchmark.core import metrics
from benchmark.core.errors import UserError
from benchmark.core.images import to_uint8
from benchmark.core.process.endings import Stopped
from benchmark.core.runs.directory import Run
from benchmark.core.runs.schemas import TABLES
from benchmark.engine import checkpoints, events, job, setup
from benchmark.engine.template import RestorationTemplate
from benchmark.planning import plan
from benchmark.streams.build import build

ORDER = ["denoise", "deblur"]
TINY = ["training.epochs=1", "backbone.width=3", "data.dead_leaves=0", "data.test_size=48", "data.validation_size=32"]
IDENTIFY = "evaluation.identify=true"


def planned(*words: str, strategy: str = "cmc") -> RunConfig:
    (config,) = plan(strategy, "four_tasks", "smoke", "0", ",".join(ORDER), None, None, [*TINY, *words])
    return config


def resolved(*words: str, strategy: str = "cmc") -> RunConfig:
    return setup.resolve(planned(*words, strategy=strategy))


@pytest.fixture(scope="module", autouse=True)
def _few_patches() -> Iterator[None]:
    """A quarter of them tells noise from blur, and takes a quarter of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "PATCHES", 64)
        yield


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return job.run(resolved(), tmp_path_factory.mktemp("plain") / "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return job.run(resolved(IDENTIFY), tmp_path_factory.mktemp("whole") / "run")


def measured(run: Run) -> dict[tuple[int, str, str], float]:
    """What was measured of each place after the last task, by place, subject and metric."""
    rows = [row for row in run.rows("metrics.csv") if row["after"] == len(ORDER)]
    return {(row["place"], row["subject"], row["metric"]): row["value"] for row in rows}


def about_labels(row: dict[str, Any]) -> bool:
    return row["subject"].startswith("told ") or row["subject"] == "identified"


def test_the_identity_without_it_is_that_from_before_there_was_a_choice() -> None:
    """The letters are those by which such a run was known when the setting did not exist."""
    task = {"name": "one", "degradation": "noise", "test": {"std": 20}}
    parts: dict[str, Any] = {"strategy": "cmc", "stream": "mine", "order": ["one"], "tasks": [task]}
    plain, off, on = (
        checked(**parts, data={}, backbone={}, training={}, **more).identity
        for more in ({}, {"evaluation": {"identify": False}}, {"evaluation": {"identify": True}})
    )
    assert plain == off == "e1aa8146"
    assert on != plain


def test_it_is_refused_where_there_is_nothing_to_tell() -> None:
    with pytest.raises(UserError, match=r"identify = true: strategy 'finetune' is not told .* use .*: cmc, packnet"):
        setup.prepare(planned(IDENTIFY, strategy="finetune"))
    with pytest.raises(UserError, match=r"patch_size = 12\. Set training\.patch_size=16"):
        setup.prepare(planned(IDENTIFY, "training.patch_size=12"))


def test_its_patches_are_drawn_by_address() -> None:
    config = planned(IDENTIFY)
    first, again = build(config).train[0], build(config).train[0]
    expected = list(first.degraded("identify", 3))
    again[5]
    torch.rand(3)
    np.random.default_rng(0).random(3)
    assert all(map(np.array_equal, again.degraded("identify", 3), expected))
    assert not any(np.array_equal(first[index][0].numpy(), expected[index]) for index in range(3))
    other = build(planned(IDENTIFY).model_copy(update={"seed": 1})).train[0]
    assert not np.array_equal(next(other.degraded("identify", 1)), expected[0])


@pytest.mark.slow
def test_nothing_else_changes(plain: Run, whole: Run) -> None:
    for table in ("curves.csv", "outputs.csv", "owned.csv"):
        assert (plain.path / table).read_bytes() == (whole.path / table).read_bytes()
    assert [row for row in whole.rows("metrics.csv") if not about_labels(row)] == plain.rows("metrics.csv")
    assert not any(about_labels(row) for row in plain.rows("metrics.csv"))
    ours = {(row["after"], row["quantity"]): row["value"] for row in whole.rows("ledger.csv")}
    theirs = {(row["after"], row["quantity"]): row["value"] for row in plain.rows("ledger.csv")}
    for after in (1, 2):
        stored = {name: tensor for name, tensor in load_file(whole.checkpoint(after)).items() if "identifier" in name}
        assert len(stored) == after
        assert ours.pop((after, "identifier_bytes")) == sum(tensor.nbytes for tensor in stored.values())
        assert ours[after, "stored_bytes"] - theirs[after, "stored_bytes"] == sum(one.nbytes for one in stored.values())
        theirs |= {key: ours[key] for key in ((after, "stored_bytes"), (after, "stored_parameters"))}
        assert not any("identifier" in name for name in load_file(plain.checkpoint(after)))
    assert ours == theirs
    early, late = (load_file(whole.checkpoint(after))["identifier.0"] for after in (1, 2))
    assert torch.equal(early, late), "the first prototype is as it was"


@pytest.mark.slow
def test_every_image_is_restored_under_every_label_and_the_one_it_is_given(whole: Run) -> None:
    """Against the network of the last checkpoint, asked directly."""
    config = resolved(IDENTIFY)
    strategy, network = setup.prepare(config)
    network.rebuild(range(len(ORDER)))
    checkpoints.load_checkpoint(whole.checkpoint(2), network, strategy)
    network.eval()
    found = measured(whole)
    given = []
    for place, images in enumerate(build(config).test, 1):
        psnr = np.zeros((len(ORDER), len(images)))
        for label, index in np.ndindex(psnr.shape):
            with torch.no_grad():
                degraded = torch.from_numpy(images.degraded(index).transpose(2, 0, 1))[None]
                output = network(degraded.contiguous(memory_format=torch.channels_last), label)[0]
            psnr[label, index] = metrics.psnr(to_uint8(output.permute(1, 2, 0).numpy()), images.clean(index))
        for label in range(len(ORDER)):
            assert found[place, f"told {label + 1}", "psnr"] == pytest.approx(psnr[label].mean(), abs=1e-6)
        assert found[place, f"told {place}", "psnr"] == found[place, "output", "psnr"]
        assert found[place, f"told {3 - place}", "psnr"] != found[place, "output", "psnr"]
        shares = [found[place, f"told {label + 1}", "assigned"] / len(images) for label in range(len(ORDER))]
        assert sum(shares) == 1
        assert found[place, "identified", "accuracy"] == shares[place - 1]
        if shares[place - 1] == 1:
            assert found[place, "identified", "psnr"] == found[place, "output", "psnr"]
        given.append(shares[place - 1])
    assert np.mean(given) > 0.8, "noise and blur are told apart by far"


@pytest.mark.slow
def test_images_that_are_given_to_another_task_are_restored_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An identifier that takes every image for one of the first task."""
    monkeypatch.setattr("strategies.identifier.Identifier.identify", lambda *_: 0)
    found = measured(job.run(resolved(IDENTIFY), tmp_path / "run"))
    assert (found[1, "identified", "accuracy"], found[2, "identified", "accuracy"]) == (1, 0)
    assert (found[2, "told 1", "assigned"], found[2, "told 2", "assigned"]) == (3, 0)
    assert found[2, "identified", "psnr"] == found[2, "told 1", "psnr"] != found[2, "told 2", "psnr"]


@pytest.mark.slow
def test_a_run_that_is_stopped_goes_on_with_what_its_identifier_knows(whole: Run, tmp_path: Path) -> None:
    """In the middle of the last task, when the first one's prototype is in the checkpoint alone."""

    def stop(event: events.Event) -> None:
        if isinstance(event, events.Updated) and event.update > resolved().training.updates + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.run(resolved(IDENTIFY), tmp_path / "run", stop)
    assert Run(tmp_path / "run").status["tasks_done"] == 1
    job.run(resolved(IDENTIFY), tmp_path / "run")
    same(whole, tmp_path / "run")


@pytest.mark.slow
def test_a_run_that_is_stopped_while_labels_are_tried_goes_on_there(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped after every test set of the last task and its labels; no test set is restored twice."""
    save, restored = checkpoints.save_measured, []

    def stop(*place: Any) -> None:
        save(*place)
        raise Stopped("SIGTERM")

    def told(template: RestorationTemplate, experience: Any, each: Any, told: int | None = None) -> Any:
        if told is not None:
            restored.append((experience.task_label, told))
        return outputs(template, experience, each, told)

    outputs = RestorationTemplate.outputs
    monkeypatch.setattr(RestorationTemplate, "outputs", told)
    monkeypatch.setattr(checkpoints, "save_measured", stop)
    monkeypatch.setattr(RestorationTemplate, "save_is_due", lambda template: "measuring" in vars(template))
    learn = RestorationTemplate.learn

    def learn_last(template: RestorationTemplate, experience: Any, *more: Any) -> None:
        learn(template, experience, *more)
        if experience.task_label == 1:
            template.measuring = True

    monkeypatch.setattr(RestorationTemplate, "learn", learn_last)
    for _ in range(4):
        with pytest.raises(Stopped):
            job.run(resolved(IDENTIFY), tmp_path / "run")
    job.run(resolved(IDENTIFY), tmp_path / "run")
    assert restored == [(0, 0), (0, 1), (1, 0), (1, 1)]
    same(whole, tmp_path / "run")


def same(whole: Run, path: Path) -> None:
    for table in TABLES:
        assert (path / table).read_bytes() == (whole.path / table).read_bytes(), table
    assert (path / "checkpoints/task-2.safetensors").read_bytes() == whole.checkpoint(2).read_bytes()


def test_the_command_measures_and_the_report_shows_it(command: Command, tmp_path: Path) -> None:
    words = ["run", "--preset", "smoke", "--order", ",".join(ORDER), "--out", str(tmp_path / "runs"), "--set", IDENTIFY]
    words += [word for setting in TINY for word in ("--set", setting)]
    refused = command(*words, "--strategy", "finetune")
    assert refused.returncode == 2
    assert "evaluation.identify = true" in refused.stderr.replace("\n", " ")
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
    done = command(*words, "--strategy", "independent")
    assert done.returncode == 0, done.stderr
    reported = command("report", str(tmp_path / "runs"), "--out", str(tmp_path / "report"))
    assert reported.returncode == 0, reported.stderr
    names = {path.name for path in (tmp_path / "report").rglob("four_tasks-smoke-*")}
    assert {f"four_tasks-smoke-identification.{ending}" for ending in ("csv", "md", "tex")} <= names
    assert {f"four_tasks-smoke-wrong-task.{ending}" for ending in ("csv", "svg", "png")} <= names
    assert "Told, identified, and told wrongly" in (tmp_path / "report/index.html").read_text(encoding="utf-8")
    table = (tmp_path / "report/tables/four_tasks-smoke-identification.md").read_text(encoding="utf-8")
    assert all(f"| independent | {task} |" in table for task in ORDER)

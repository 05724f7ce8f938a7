"""Stream files: what is shipped, what may be written, and errors that name the line."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Command
from PIL import Image

from benchmark.config import Data, checked
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import find_runs
from benchmark.data.degradations import DEGRADATIONS
from benchmark.planning import plan
from benchmark.streams import sources
from benchmark.streams.build import build
from benchmark.streams.definition import load, shipped

NOISE = "{name: a, degradation: noise, train: {std: 5}, test: {std: 5}}"


def stream(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_stream_loads_and_tells_what_it_is(name: str) -> None:
    found = load(name)
    assert found.summary
    assert all(task.title and task.dataset.train and task.dataset.test for task in found.tasks)


def test_the_orders_of_table_3() -> None:
    """Place of each task in the four experiments, as printed in the paper."""
    printed = {"derain": (1, 4, 3, 2), "denoise": (2, 1, 4, 3), "deblock": (3, 2, 1, 4), "deblur": (4, 3, 2, 1)}
    for experiment in range(4):
        found = load(f"four_tasks_order{experiment + 1}")
        assert found.name == "four_tasks", "the same experiment has the same name"
        assert {task: found.order.index(task) + 1 for task in printed} == {
            task: places[experiment] for task, places in printed.items()
        }
    assert load("four_tasks_order1").tasks == load("four_tasks").tasks


def test_a_file_may_put_a_shipped_streams_tasks_into_another_order(tmp_path: Path) -> None:
    path = tmp_path / "backwards.yaml"
    path.write_text("stream: four_tasks\norder: [deblur, deblock, denoise, derain]\n", encoding="utf-8")
    found, tasks = load(str(path)), load("four_tasks").tasks
    assert found.name == "four_tasks", "the same experiment has the same name"
    assert found.tasks == tasks[::-1]


def test_noise_levels_are_those_of_table_4() -> None:
    tasks = load("noise_levels").tasks
    assert [task.test.get("std") for task in tasks] == [10, 20, 30, 40, None]
    assert (tasks[4].degradation, tasks[4].dataset.test) == ("camera_noise", "sidd")
    assert "model" in tasks[4].title


@pytest.mark.slow
def test_a_task_that_comes_back_is_tested_on_the_same_inputs_and_trained_on_new_patches() -> None:
    tasks = load("recurring").tasks
    first, again = tasks[0], tasks[3]
    assert (again.again, again.inputs) == (first.name, first.name)
    assert (again.train, again.test, again.dataset) == (first.train, first.test, first.dataset)
    sizes = {"epochs": 1, "updates_per_epoch": 1, "batch_size": 1, "patch_size": 16}
    made = build(
        checked(
            strategy="finetune",
            stream="recurring",
            order=[first.name, again.name],
            tasks=[first.model_dump(), again.model_dump()],
            training=sizes,
            data={"test_size": 64},
            backbone={},
        )
    )
    assert (made.test[0].degraded(1) == made.test[1].degraded(1)).all()
    assert (made.valid[0].degraded(0) == made.valid[1].degraded(0)).all()
    assert (made.train[0][0][0] != made.train[1][0][0]).any()


def test_a_return_of_a_return_leads_to_the_first(tmp_path: Path) -> None:
    text = f"tasks:\n  - {NOISE}\n  - {{name: b, again: a}}\n  - {{name: c, again: b, title: Third}}\n"
    tasks = load(stream(tmp_path, text)).tasks
    assert [task.inputs for task in tasks] == ["a", "a", "a"]
    assert [task.title for task in tasks] == ["", "", "Third"]


def test_one_dataset_for_both_sides(tmp_path: Path) -> None:
    text = "tasks:\n  - {name: a, dataset: rain100l, degradation: rain}\n"
    (task,) = load(stream(tmp_path, text)).tasks
    assert (task.dataset.train, task.dataset.test) == ("rain100l", "rain100l")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            "tasks:\n  - name: a\n    degradation: noise\n    train: {std: 300}\n",
            4,
            ["train", "std", "300", "0 to 255"],
        ),
        ("tasks:\n  - name: a\n    degradation: nois\n", 3, ["Unknown degradation 'nois'", "Did you mean 'noise'"]),
        ("tasks:\n  - name: a\n    degradation: noise\n    test:\n      sdt: 3\n", 4, ["Unknown", "'sdt'", "std"]),
        ("tasks:\n  - name: a\n    degradation: noise\n    colour: red\n", 4, ["'colour'", "degradation"]),
        (f"tasks:\n  - {NOISE}\n  - name: b c\n    degradation: noise\n", 3, ["tasks.1.name", "b c"]),
        (f"tasks:\n  - {NOISE}\n  - {NOISE}\n", 1, ["more than once: a"]),
        (f"summary: two\ntasks:\n  - {NOISE}\nsummary: three\n", 4, ["'summary' stands twice"]),
        ("tasks: []\n", 1, ["tasks"]),
        (f"name:\ntasks:\n  - {NOISE}\n", 1, ["name = ''"]),
        ("tasks: 3\n", 1, ["tasks"]),
        ("summary: none\n", 1, ["tasks is missing"]),
        (f"tasks:\n  - {NOISE}\n  - name: b\n    again: c\n", 4, ["earlier task 'c'", "a"]),
        (f"tasks:\n  - {NOISE}\n  - name: b\n    again: a\n    test: {{std: 3}}\n", 4, ["remove test"]),
        ("stream: five_tasks\norder: [derain]\n", 1, ["Unknown stream 'five_tasks'", "four_tasks"]),
        ("stream: four_tasks\n", 1, ["'order' is needed"]),
        ("stream: four_tasks\norder: [derain, dehaze]\n", 2, ["'dehaze'", "denoise"]),
        ("stream: four_tasks\norder: [derain]\ntasks: []\n", 3, ["'tasks'"]),
        (
            "tasks:\n  - name: a\n    degradation: blend\n    train: {steps: [{blur: {std: 999}}]}\n",
            4,
            ["'blur'", "999"],
        ),
        (
            "tasks:\n  - name: a\n    degradation: noise\n    train: 50\n",
            4,
            ["train = 50", "A mapping such as {name: value}"],
        ),
        ("tasks:\n  - name: a\n    degradation: {noise: 50}\n", 3, ["Text is accepted"]),
        ("tasks: [a]\n", 1, ["tasks.0 = 'a'", "A mapping such as {name: value} is accepted."]),
        ("tasks: a\n", 1, ["tasks = 'a'", "A list is accepted."]),
        ("tasks: []\n", 1, ["A list with a length of at least 1 is accepted."]),
        ("tasks:\n  - name: b c\n    degradation: noise\n", 2, ["Text like ^[A-Za-z0-9_]+$ is accepted."]),
        (
            "tasks:\n  - name: a\n    degradation: blend\n    train: {steps: []}\n",
            4,
            ["'blend' was given steps", "A list with a length of at least 1 is accepted."],
        ),
    ],
)
def test_an_error_names_file_line_and_cure(tmp_path: Path, text: str, line: int, words: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        load(stream(tmp_path, text))
    message = str(raised.value)
    assert "mine.yaml" in message
    assert f"line {line}:" in message, message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("text", ["tasks: [\n", "just words", "", "- a\n- b\n"])
def test_what_is_no_stream_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"mine\.yaml"):
        load(stream(tmp_path, text))


def test_the_guide_shows_the_worked_example_and_every_parameter() -> None:
    guide = (ROOT / "docs/streams.md").read_text()
    assert (ROOT / "docs/examples/night_rain.yaml").read_text() in guide
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in guide.splitlines() if line.count("|") == 6]
    told: dict[str, set[str]] = {}
    for name, parameter, *_ in rows[2:]:
        told.setdefault(name or list(told)[-1], set()).add(parameter)
    assert told == {name: set(kind.model_fields) for name, kind in DEGRADATIONS.items()}


def test_the_worked_example_runs(command: Command, tmp_path: Path) -> None:
    tiny = ["--preset", "smoke", "--set", "training.epochs=1", "--set", "training.updates_per_epoch=2"]
    done = command(
        "run", "--strategy", "cmc", "--stream", "docs/examples/night_rain.yaml", *tiny, "--out", str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    (run,) = find_runs([tmp_path])
    assert run.finished
    inputs = run.metrics.query("subject == 'input' and metric == 'psnr'").set_index("task")["value"]
    assert inputs["rain"] == inputs["rain_again"] != inputs["rainy_night"]


def test_an_error_in_a_stream_file_ends_the_command(command: Command, tmp_path: Path) -> None:
    done = command(
        "run", "--strategy", "cmc", "--stream", stream(tmp_path, "tasks:\n  - name: a\n    degradation: fog\n")
    )
    assert done.returncode == 2
    assert "line 3" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_takes_a_shipped_streams_name_is_refused_unless_it_is_the_same(tmp_path: Path) -> None:
    copy = tmp_path / "severity.yaml"
    copy.write_text(shipped()["severity"].read_text())
    assert load(str(copy)) == load("severity")
    copy.write_text("tasks: [{name: x, degradation: noise}]\n")
    with pytest.raises(UserError, match=r"severity\.yaml, line 1: 'severity' is the name of a shipped stream"):
        load(str(copy))
    copy.write_text("name: mild\ntasks: [{name: x, degradation: noise}]\n")
    assert load(str(copy)).name == "mild"


def test_a_stream_may_have_any_name(tmp_path: Path) -> None:
    """Each run has one folder, directly below the one for runs; é is one letter however the file's name spells it."""
    (tmp_path / "plain.yaml").write_text('name: "noon/night: a?"\ntasks: [{name: n, degradation: noise}]')
    (config,) = plan("finetune", str(tmp_path / "plain.yaml"), "smoke", "0", None, None, None, [])
    assert config.stream == "noon/night: a?"
    assert config.run_name.startswith("finetune-noon-night- a--smoke-seed0-")
    names = []
    for form in ("NFC", "NFD"):
        path = tmp_path / form / f"{unicodedata.normalize(form, 'été')}.yaml"
        path.parent.mkdir()
        path.write_text("tasks: [{name: n, degradation: noise}]")
        names.append(load(str(path)).name)
    assert names == [unicodedata.normalize("NFC", "été")] * 2


@pytest.mark.parametrize("name", ["../outside", "..", "/etc", "mine/../../outside", "~"])
def test_a_stream_names_datasets_and_no_places(name: str, tmp_path: Path) -> None:
    for folder in ("outside/train", "outside/test", "root/mine/train", "root/mine/test"):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / folder / f"{folder[:4]}.png")
    file = tmp_path / "given.yaml"
    file.write_text(f"tasks: [{{name: a, dataset: '{name}', degradation: noise}}]")
    data = Data(source="datasets", root=str(tmp_path / "root"))
    with pytest.raises(UserError, match="not under"):
        sources.find(load(str(file)).tasks, data)
    file.write_text(f"tasks: [{{name: a, degradation: noise, folder: '{name}'}}]")
    with pytest.raises(UserError, match="Unknown setting"):
        load(str(file))

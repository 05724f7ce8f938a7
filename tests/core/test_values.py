"""Numbers, words and names mean the same on the command line and in every file."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark import config
from benchmark.commands.app import main
from benchmark.config import RunConfig
from benchmark.core import yaml_files
from benchmark.core.errors import UserError
from benchmark.experiments import matrix
from benchmark.planning import plan, seeds
from benchmark.streams import definition

NUMBERS = {"2e-4": 2e-4, "3E2": 300, "12_500": 12_500, ".25": 0.25, "+7": 7, "5.": 5, "010": 10, "-1.5e+2": -150}
TEXTS = ["no", "on", "Off", "yes", "y", "1:30", "2023-10-05", "=", "0x1F", "1e", "1_", "_1", "e5", "tRUE", "1 2"]

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def make(text: str) -> Path:
        path = tmp_path / "given.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def planned(
    *assignments: Any, file: Path | None = None, stream: str = "four_tasks", data: str | None = None
) -> RunConfig:
    return plan("cmc", stream, "smoke", "0", None, data, file, list(assignments))[0]


@pytest.mark.parametrize(("text", "number"), NUMBERS.items())
def test_a_number_is_the_same_number_everywhere(text: str, number: float, write: Write) -> None:
    assert yaml_files.value(text) == number
    assert planned(f"cmc.start={text}").settings["start"] == number
    assert planned(file=write(f"cmc: {{start: {text}}}")).settings["start"] == number
    experiment = matrix.load(write(f"strategies: [cmc]\nset: {{cmc.start: {text}}}\nvary: {{cmc.t: [{text}]}}"))
    assert (experiment.set["cmc.start"], experiment.vary["cmc.t"]) == (number, [number])
    file = write(f"tasks: [{{name: a, degradation: noise, train: {{std: [0, {text}]}}, test: {{std: 1}}}}]")
    if 0 <= number <= 255:  # the range of noise
        assert definition.load(str(file)).tasks[0].train["std"] == [0, number]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_no_number_is_a_word(text: str) -> None:
    assert yaml_files.value(text) == text


@pytest.mark.parametrize(
    ("text", "meaning"), [("true", True), ("FALSE", False), ("null", None), ("~", None), ("[1e1]", [10])]
)
def test_few_words_mean_something(text: str, meaning: object) -> None:
    assert yaml_files.value(text) == meaning


@pytest.mark.parametrize("text", ["7.0", "7e0", "+7", "007"])
def test_a_whole_number_may_be_written_in_any_way(text: str) -> None:
    assert planned(f"training.epochs={text}").training.epochs == 7
    assert seeds(f"3,{text},7") == [3, 7]


def test_whole_degradation_parameters_too(write: Write) -> None:
    text = "tasks: [{name: a, degradation: jpeg, train: {quality: [1e1, 30.0]}, test: {quality: 4e1}}]"
    task = definition.load(str(write(text))).tasks[0]
    assert task.degrade("test").model_dump() == {"quality": 40}
    assert task.degrade("train").model_dump() == {"quality": (10, 30)}


@pytest.mark.parametrize("value", ["true", "2.5", "1:30", "inf", ".nan", "nan", "1e999"])
def test_what_is_no_whole_number_is_refused(value: str) -> None:
    with pytest.raises(UserError, match=r"training\.epochs"):
        planned(f"training.epochs={value}")


@pytest.mark.parametrize("value", ["inf", "nan", "1e999", "false"])
def test_what_is_no_finite_number_is_refused(value: str) -> None:
    with pytest.raises(UserError, match=r"training\.learning_rate"):
        planned(f"training.learning_rate={value}")


@pytest.mark.parametrize(
    "name", ["1999", "3e8", "nan", "true", "~nobody_of_this_name", "[b]", "c: d", "#e", "010", "null", "no", '"q"']
)
def test_a_root_is_what_was_written(name: str, write: Write) -> None:
    assert planned(f"data.root={name}").data.root == name
    assert planned(file=write(yaml.safe_dump({"data": {"root": name, "cache": name}}))).data.root == name
    experiment = matrix.load(write(yaml.safe_dump({"strategies": ["cmc"], "set": {"data.root": name}})))
    assert matrix.expand(experiment, matrix.Choices("smoke"))[0].data.root == name
    if name in ("1999", "3e8", "nan", "true", "010", "no"):
        file = write(f"data: {{root: {name}, cache: {name}}}")
        assert planned(file=file).data.root == planned(file=file).data.cache == name
        file = write(f"strategies: [cmc]\nvary: {{data.root: [{name}]}}\npresets: {{smoke: {{data.cache: {name}}}}}")
        config_ = matrix.expand(matrix.load(file), matrix.Choices("smoke"))[0]
        assert config_.data.root == config_.data.cache == name


def test_null_in_a_file_is_no_root(write: Write) -> None:
    assert planned(file=write("data: {root: null, cache: null, source: embedded}")).data.root is None


@pytest.mark.parametrize("name", ["2019", "no", "on", "1e3", "010", "null", "true"])
def test_tasks_and_datasets_may_have_any_name(name: str, write: Write) -> None:
    text = f"""
summary: {name}
tasks:
  - {{name: {name}, title: {name}, dataset: {name}, degradation: noise}}
  - {{name: again, again: {name}}}
  - {{name: other, dataset: {{train: {name}, test: {name}}}, degradation: noise}}
"""
    stream = definition.load(str(write(text)))
    first, again, other = stream.tasks
    assert (stream.summary, first.name, first.title, again.again) == (name,) * 4
    assert first.dataset == again.dataset == other.dataset == definition.TaskData(train=name, test=name)
    assert stream.reordered([name]).order == [name]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("training:\n  epochs: 2\n  epochs: 3\n", 3),
        ("training: {epochs: 2}\ndata: {workers: 0}\ntraining: {batch_size: 2}\n", 3),
        ("training: &a\n  epochs: *a\n", 1),
        ("training:\n  epochs: !!python/name:os.system\n", 2),
        ("training:\n  ? [a, b]\n  : 1\n", 2),
    ],
)
def test_what_a_file_may_not_say_is_told_with_its_line(text: str, line: int, write: Write) -> None:
    with pytest.raises(UserError, match=rf"given\.yaml, line {line}: "):
        planned(file=write(text))


@pytest.mark.slow
def test_a_file_that_grows_without_end_is_refused(write: Write) -> None:
    names = "abcdefgh"
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in pairwise(names)]
    with pytest.raises(UserError, match="values"):
        planned(file=write("\n".join(lines)))
    with pytest.raises(UserError, match="nested"):
        planned(file=write("a: " + "[" * 5000))


def test_anchors_and_merges_still_work(write: Write) -> None:
    text = "strategies: [cmc]\nset: &s {cmc.t: 3, cmc.start: 0}\npresets:\n  smoke: {<<: *s, cmc.t: 4}\n  quick: *s\n"
    assert matrix.load(write(text)).presets == {
        "smoke": {"cmc.t": 4, "cmc.start": 0},
        "quick": {"cmc.t": 3, "cmc.start": 0},
    }


@pytest.mark.parametrize(
    ("assignments", "parts"),
    [
        (["training.batch_size=1e8"], ["training.batch_size", "at most 4 GiB"]),
        (["training.batch_size=3000", "training.patch_size=512"], ["17.6 GiB", "at most 4 GiB"]),
        (["training.epochs=1e6", "training.updates_per_epoch=1e6"], ["1,000,000,000,000 updates", "100,000,000"]),
        (["training.batch_size=9000", "training.patch_size=128", "backbone.width=900"], ["backbone.width", "64 GiB"]),
    ],
)
def test_what_no_machine_can_hold_is_refused(assignments: list[str], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        planned(*assignments)
    assert all(part in str(caught.value) for part in parts), caught.value


@pytest.mark.parametrize(
    "assignments", [["backbone.width=1024", "backbone.blocks=100"], ["cmc.t=900", "backbone.width=512"]]
)
def test_networks_that_no_machine_can_hold_are_refused(assignments: list[str]) -> None:
    from benchmark.engine.setup import resolve

    with pytest.raises(UserError, match="at most"):
        resolve(planned(*assignments))


@pytest.mark.slow
def test_the_paper_is_within_all_bounds() -> None:
    from benchmark.engine.setup import resolve

    resolve(plan("cmc", "four_tasks", "paper", "0", None, None, None, ["cmc.t=1000"])[0])


def test_too_many_runs_are_refused() -> None:
    with pytest.raises(UserError, match="10,000 runs"):
        plan("cmc,finetune", "four_tasks", "smoke", ",".join(map(str, range(6000))), None, None, None, [])


@pytest.mark.parametrize(
    ("assignments", "data", "parts"),
    [
        (["data.root=x", "data.source=embedded"], None, ["data.root=x", "data.source=embedded"]),
        (["data.root=x"], "embedded", ["data.root=x", "--data embedded"]),
        (["data.source=datasets"], "embedded", ["--data embedded", "data.source=datasets"]),
        (["data.fallback=embedded"], None, ["data.fallback=embedded", "--data-root"]),
        (["data.fallback=embedded"], "embedded", ["data.fallback=embedded", "--data embedded"]),
        (["data.cache=x"], "embedded", ["data.cache=x", "--data embedded"]),
        (["data.cache=x"], None, ["data.cache=x", "--data-root"]),
        (["data.root=x", "data.dead_leaves=7"], None, ["data.dead_leaves=7", "data.fallback = none"]),
        (["data.photographs=all"], "datasets", ["data.photographs=all", "--data datasets"]),
        (["training.halve_every=3"], None, ["training.halve_every=3", "cosine (preset 'smoke')"]),
        (["training.schedule=constant", "training.halve_every=3"], None, ["halve_every=3", "schedule=constant)"]),
    ],
)
def test_settings_that_cannot_both_hold(assignments: list[str], data: str | None, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        planned(*assignments, data=data)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_a_setting_that_needs_another_which_has_no_effect_itself_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        plan("kr", "four_tasks", "smoke", "0", None, None, None, ["kr.autoencoder_updates=50", "kr.weight=0"])
    told = "beside kr.weight = 0.0 (--set kr.weight=0): kr.feature_weight needs kr.weight above 0"
    assert f"--set kr.autoencoder_updates=50 has no effect {told}" in str(caught.value)
    plan("kr", "four_tasks", "smoke", "0", None, None, None, ["kr.autoencoder_updates=50", "kr.weight=2"])


@pytest.mark.parametrize(
    ("strategy", "given", "beside"),
    [
        ("dan", "dan.finetune=0.5", "dan.start = identity: dan.finetune needs dan.start = least_squares"),
        ("mas", "mas.samples=50", "mas.weight = 0.0 (--set mas.weight=0): mas.samples needs mas.weight above 0"),
        ("ewc", "ewc.samples=50", "ewc.weight = 0.0"),
        ("pigwm", "pigwm.samples=50", "pigwm.weight = 0.0"),
        ("si", "si.damping=0.5", "si.weight = 0.0"),
        ("kr", "kr.feature_weight=0.5", "kr.weight = 0.0"),
        ("kr", "kr.autoencoder_updates=50", "kr.feature_weight = 0.0"),
    ],
)
def test_a_strategys_setting_that_has_no_effect_is_refused(
    strategy: str, given: str, beside: str, write: Write
) -> None:
    def planned_with(*assignments: str, file: Path | None = None) -> None:
        plan(strategy, "four_tasks", "smoke", "0", None, None, file, [*assignments])

    needed = beside.partition(" = ")[0]
    idle = [] if strategy == "dan" else [f"{needed}=0"]
    with pytest.raises(UserError) as caught:
        planned_with(*idle, given)
    assert f"--set {given} has no effect beside {beside}" in str(caught.value)
    planned_with("dan.start=least_squares" if strategy == "dan" else f"{needed}=1", given)
    section, _, field = given.partition(".")
    with pytest.raises(UserError, match=r"given\.yaml' has no effect"):
        planned_with(*idle, file=write(f"{section}: {{{field.replace('=', ': ')}}}"))
    plan("cmc", "four_tasks", "smoke", "0", None, None, write(f"{section}: {{{field.replace('=', ': ')}}}"), [])


def test_a_strategys_setting_that_is_as_ever_is_accepted() -> None:
    plan("dan", "four_tasks", "smoke", "0", None, None, None, ["dan.finetune=0.25"])


def test_what_a_file_gives_and_has_no_effect_is_refused(write: Write) -> None:
    with pytest.raises(UserError, match=r"given\.yaml' has no effect .* data\.dead_leaves needs"):
        planned(file=write("data: {root: x, dead_leaves: 7}"))
    with pytest.raises(UserError, match=r"given\.yaml' contradicts --data embedded"):
        planned(file=write("data: {cache: x}"), data="embedded")


@pytest.mark.parametrize(
    "assignments",
    [
        ["training.schedule=halving", "training.halve_every=3"],
        ["training.halve_every=25"],  # as it would be anyway
        ["data.root=x", "data.dead_leaves=1", "data.photographs=few"],  # as the preset has them
        ["data.root=x", "data.fallback=embedded", "data.dead_leaves=7", "data.photographs=all", "data.cache=y"],
        ["data.dead_leaves=7", "data.photographs=all"],
    ],
)
def test_what_has_an_effect_or_is_as_ever_is_accepted(assignments: list[str]) -> None:
    planned(*assignments)


@pytest.mark.parametrize("preset", config.presets())
def test_a_presets_own_settings_never_contradict_those_of_a_person(preset: str) -> None:
    for given in (["data.root=x"], ["training.schedule=constant"], ["training.schedule=cosine"]):
        plan("cmc", "four_tasks", preset, "0", None, None, None, given)


def test_an_experiment_may_vary_what_a_setting_needs(write: Write) -> None:
    text = "strategies: [cmc]\nset: {training.halve_every: 3}\nvary: {training.schedule: [halving, cosine]}"
    assert len(matrix.expand(matrix.load(write(text)), matrix.Choices("smoke"))) == 2
    given = matrix.Choices("smoke", assignments=("training.halve_every=4",))
    text = "strategies: [cmc]\nvary: {training.schedule: [halving, cosine]}"
    assert len(matrix.expand(matrix.load(write(text)), given)) == 2


def test_a_file_that_names_a_root_and_photographs_after_all(write: Write) -> None:
    file = write("data: {root: x}")
    assert planned(file=file).data.source == "datasets"
    with pytest.raises(UserError, match=r"given\.yaml' contradicts --data embedded"):
        planned(file=file, data="embedded")


def test_later_settings_win() -> None:
    assert planned("cmc.t=3", "cmc.t=4").settings["t"] == 4
    assert planned("data.source=embedded", data="embedded").data.source == "embedded"


def test_every_preset_is_read_as_files_are() -> None:
    assert all(isinstance(summary, str) and summary for summary in config.presets().values())


def test_merges_cannot_grow_without_end(write: Write) -> None:
    lines = ["a: &a {x: 1, y: 2}"]
    lines += [f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 10)}]}}" for old, new in pairwise("abcdefghijkl")]
    with pytest.raises(UserError, match="Unknown section"):  # read, and refused for what it says
        planned(file=write("\n".join(lines)))
    many = ", ".join(f"k{number}: 1" for number in range(5000))
    with pytest.raises(UserError, match="values"):
        planned(file=write(f"a: &a {{{many}}}\nb: {{<<: [{', '.join(['{<<: *a}'] * 5000)}]}}"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: '" + "x" * 2**20 + "'", "bytes"),
        ("a: [" + "1, " * 100_000 + "]", "more than 20,000 values"),
        ("- " * 101, "nested more than 100 deep"),
        ("a: &a {<<: *a}", "'<<' takes another mapping"),
        ("a: {<<: 1}", "'<<' takes another mapping"),
        ('a: "\\ud800"', "not valid YAML"),
    ],
)
def test_what_nobody_would_write_is_refused(text: str, reason: str, write: Write) -> None:
    with pytest.raises(UserError, match=reason):
        planned(file=write(text))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("training: {epochs: 2}\n# für später\n".encode("latin-1"), 2),
        ("training: {epochs: 2}\n".encode("utf-16"), 1),
        ("training: {epochs: 2}\n".encode("utf-16-le"), 1),
        ("training: {epochs: 2}\n".encode("utf-16-be"), 1),
    ],
)
def test_a_file_in_another_encoding_is_told_with_its_line(content: bytes, line: int, tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_bytes(content)
    with pytest.raises(UserError, match=rf"given\.yaml, line {line}: the file is not written in UTF-8\. Save it"):
        planned(file=tmp_path / "given.yaml")


def test_of_merged_mappings_the_first_wins_and_what_is_written_wins_over_all(write: Write) -> None:
    text = "strategies: [cmc]\nset: {<<: [&a {cmc.t: 3, cmc.start: 0}, {cmc.t: 4, cmc.sharing: none}], cmc.start: 1}\n"
    assert matrix.load(write(text)).set == {"cmc.t": 3, "cmc.sharing": "none", "cmc.start": 1}


def test_a_device_without_end_is_refused() -> None:
    with pytest.raises(UserError, match="bytes"):
        planned(file=Path("/dev/zero"))


@pytest.mark.parametrize("number", [2**63, -(2**63), 10**25])
def test_a_number_that_no_record_can_hold_is_refused_before_anything_is_trained(number: int) -> None:
    with pytest.raises(UserError, match=f"halve_every = {number} is not accepted. A number of at most 64 bits"):
        planned(f"training.halve_every={number}")


def test_a_number_that_no_float_can_hold_is_infinite_however_it_is_written() -> None:
    assert yaml_files.number("9" * 400) == yaml_files.number("1e999") == float("inf")
    with pytest.raises(UserError, match="batch_size"):
        planned(f"training.batch_size={'9' * 400}")


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["--set", "backbone.name=resnte"], "Did you mean 'resnet'? Those accepted: resnet, "),
        (["--data", "embeded"], "Did you mean 'embedded'? Those accepted: embedded, datasets"),
        (["--set", "training.schedule=cosin"], "Did you mean 'cosine'?"),
        (["--engine", "loca"], "Did you mean 'local'? Accepted: local, ray"),
    ],
)
def test_a_value_that_is_nearly_one_of_the_accepted_is_told_which(
    words: list[str], near: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark", "run", "--strategy", "finetune", *words])
    with pytest.raises(SystemExit):
        main()
    assert near in " ".join(capsys.readouterr().err.split())


def test_an_unknown_kind_of_list_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark", "list", "stream"])
    with pytest.raises(SystemExit):
        main()
    said = " ".join(capsys.readouterr().err.split())
    assert "Unknown kind of list 'stream'. Did you mean 'streams'? Accepted: backbones, datasets," in said

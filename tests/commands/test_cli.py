"""The command line: quick answers, clear errors, and the real command at tiny scale."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Command
from made_datasets import div2k_folders

from benchmark import config, presets
from benchmark.commands.app import app
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import after_kind, find_runs
from benchmark.experiments import tuning
from benchmark.planning import plan, settings_from
from strategies import registry
from strategies.built_in import BUILT_IN


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["list", "strategies"], ["list", "streams"], ["list", "settings"]]
)
def test_help_and_lists_import_neither_torch_nor_avalanche(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "benchmark", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "typer" in imported
    assert not {"torch", "avalanche", "matplotlib", "sklearn"} & imported
    if words == ["--help"]:
        assert not {"pandas", "numpy", "pydantic", "yaml"} & imported


def test_every_setting_has_help_and_appears_in_the_list(command: Command) -> None:
    names = command("list", "settings", "--names").stdout.split()
    for section, model in config.SECTIONS.items():
        for name, field in model.model_fields.items():
            assert field.description, f"{section}.{name} lacks its help"
            assert f"{section}.{name}" in names


def test_settings_of_several_strategies_are_listed_together(command: Command) -> None:
    names = command("list", "settings", "--strategy", "packnet,mas", "--names").stdout.split()
    assert {name.partition(".")[0] for name in names} == {"packnet", "mas"}
    assert "packnet.fraction" in names


def test_the_list_says_what_each_strategy_declares(command: Command) -> None:
    lines = command("list", "strategies").stdout.splitlines()
    assert "task" in lines[1]
    told = {words[0]: words[1] for words in map(str.split, lines) if len(words) > 1 and words[1] in ("yes", "no")}
    assert {name for name, answer in told.items() if answer == "yes"} == {
        *("cmc", "packnet", "pnn", "cpg", "lora", "dan", "piggyback", "wsn", "mini", "lira"),
        *("independent", "deform", "together_task_id"),
    }
    assert set(told) == set(command("list", "strategies", "--names").stdout.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--strategy", "cmcc"], ["Unknown strategy 'cmcc'", "Did you mean 'cmc'", "finetune", "--plugin"]),
        (["--strategy", "EWC"], ["Did you mean 'ewc'"]),
        (["--strategy", ","], ["names nothing"]),
        (["--strategy", "cmc", "--stream", "five_tasks"], ["Unknown stream 'five_tasks'", "four_tasks"]),
        (["--strategy", "cmc", "--preset", "slow"], ["Unknown preset 'slow'", "paper, quick, smoke"]),
        (["--strategy", "cmc", "--preset", "mine.yaml"], ["Unknown preset 'mine.yaml'", "--config FILE"]),
        (["--strategy", "cmc", "--order", "denoise,deluge"], ["Unknown task", "deluge", "derain"]),
        (["--strategy", "cmc", "--order", "denoise,denoise"], ["at most once"]),
        (["--strategy", "cmc", "--seed", "one"], ["--seed one", "whole numbers"]),
        (["--strategy", "cmc", "--data", "imagenet"], ["data.source = 'imagenet'", "embedded"]),
        (["--strategy", "cmc", "--set", "training.epochs=0"], ["training.epochs = 0", "greater than or equal to 1"]),
        (["--strategy", "cmc", "--set", "training.epoch=3"], ["'epoch'", "Did you mean 'epochs'"]),
        (["--strategy", "cmc", "--set", "epochs=3"], ["section.field=value"]),
        (["--strategy", "cmc", "--set", "trainings.epochs=3"], ["'trainings'", "Did you mean 'training'"]),
        (["--strategy", "finetune", "--set", "cmc.fraction=0.1"], ["'cmc' is not part of this command"]),
        (["--strategy", "cmc", "--set", "backbone.name=unheard"], ["backbone.name = 'unheard'", "resnet"]),
        (["--strategy", "cmc", "--set", "training.patch_size=700"], ["Image", "700"]),
    ],
)
def test_bad_input_is_told_and_ends_with_2(words: list[str], expected: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        _plan_and_build(words, tmp_path)
    for text in expected:
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "--strategy", "cmcc"], "Did you mean 'cmc'"),
        (["run", "--strategy", "cmc", "--set", "cmc.fraction=1.5"], "cmc.fraction = 1.5"),
        (["run", "--strategy", "cmc", "--set", "cmc.fraction=0.3"], "a fraction of at most 0.25"),
        (["run", "--strategy", "cmc", "--set", "cmc.share=fixed"], "Accepted: backward, exhausted, fraction, sharing"),
        (["run", "--strategy", "cmc", "--out", "{file}/runs"], "Choose another folder with --out"),
        (["run", "--strategy", "cmc", "--strategy", "ewc"], "--strategy is given 2 times, and takes one value"),
        (["run", "--strategy", "cmc", "--seed", "1", "--seed=2"], "--seed is given 2 times"),
        (["show", "{file}"], "not a run directory|No run found"),
        (["report", "{missing}"], "There is no folder"),
        (["report", "{empty}"], "No run found"),
    ],
)
def test_errors_reach_the_user_without_a_traceback(
    words: list[str], expected: str, command: Command, tmp_path: Path
) -> None:
    places = {"file": tmp_path / "file", "missing": tmp_path / "missing", "empty": tmp_path / "empty"}
    places["file"].write_text("")
    places["empty"].mkdir()
    done = command(*[word.format(**places) for word in words])
    assert done.returncode == 2
    assert done.stderr.startswith("Error:")
    assert "Traceback" not in done.stderr
    assert any(part in done.stderr for part in expected.split("|"))


def test_settings_are_layered_preset_then_file_then_set(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("training: {epochs: 5, learning_rate: 1e-3}\ncmc: {fraction: 0.05, t: 7}\n")
    planned = plan(
        "cmc,finetune", "four_tasks", "smoke", "0,3", "deblur,derain", None, file, ["cmc.t=9", "training.batch_size=4"]
    )
    assert [(c.strategy, c.seed) for c in planned] == [("cmc", 0), ("cmc", 3), ("finetune", 0), ("finetune", 3)]
    first = planned[0]
    assert first.order == ["deblur", "derain"] == [task["name"] for task in first.tasks]
    assert (first.training.epochs, first.training.learning_rate) == (5, 1e-3)
    assert (first.training.batch_size, first.training.updates_per_epoch) == (4, 3)
    assert first.settings == {"fraction": 0.05, "t": 9}
    assert len({c.identity for c in planned}) == 4


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["data", "check", "no_such_folder"], ["no_such_folder"]),
        (["data", "prepare", "no_such_folder"], ["no_such_folder"]),
        (["tune", "--strategy", "independent"], ["'independent'", "cmc", "tuning.yaml"]),
        (["tune", "--strategy", "cmc", "--preset", "quik"], ["Unknown preset 'quik'", "quick"]),
        (["run", "--strategy", "cmc", "--data-root", "no_such_folder"], ["no_such_folder"]),
        (["run", "--strategy", "cmc", "--data", "datasets"], ["--data-root"]),
        (["run", "--strategy", "cmc", "--data", "embedded", "--data-root", "x"], ["--data embedded", "--data-root x"]),
        (["run", "--strategy", "cmc", "--set", "data.root=y", "--data-root", "x"], ["data.root=y", "--data-root x"]),
        (["list", "streams", "--strategy", "cmc"], ["--strategy cmc", "list settings"]),
        (["list", "strategies", "--names", "--guide"], ["--names", "--guide"]),
        (["reference", "verify", "--against", "x", "--sample", "2"], ["--sample 2", "--against x"]),
        (["reference", "verify", "--against", "x", "--draw", "0"], ["--draw 0", "--against x"]),
        (["reference", "verify", "--against", "x", "--out", "y"], ["--out y", "--against x"]),
        (["reference", "verify", "--against", "x", "--jobs", "2"], ["--jobs 2", "--against x"]),
        (["reference", "verify", "--against", "x", "--threads", "2"], ["--threads 2", "--against x"]),
        (["reproduce", "table6", "--seed", "1", "--dry-run"], ["--seed has no effect", "table6"]),
        (["reproduce", "table6", "--set", "training.epochs=3", "--dry-run"], ["training.epochs=3 has no effect"]),
        (["reproduce", "all", "table9"], ["'table9'", "table1"]),
        (["reproduce", "table1", "--set", "packnet.fraction=0.1", "--dry-run"], ["packnet.fraction", "cmc"]),
        (["profile", "layer", "--repeats", "1e9"], ["--repeats 1e9", "1,000"]),
        (["profile", "layer", "--size", "8000", "--channels", "64"], ["15.3 GiB", "4 GiB"]),
        (["run", "--strategy", "cmc", "--fallback", "imagenet"], ["data.fallback", "'embedded'"]),
    ],
)
def test_other_commands_answer_bad_input_the_same_way(words: list[str], parts: list[str]) -> None:
    from typer.main import get_command

    with pytest.raises(UserError) as caught:
        get_command(app).main(words, standalone_mode=False)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_a_folder_of_datasets_is_checked_and_prepared(command: Command, tmp_path: Path) -> None:
    div2k_folders(tmp_path)
    checked = command("data", "check", str(tmp_path))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "DIV2K" in checked.stdout
    prepared = command("data", "prepare", str(tmp_path), "--cache", str(tmp_path / "cache"))
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    assert list((tmp_path / "cache").glob("*/clean.json"))
    damaged = tmp_path / "DIV2K_train_HR/0001.png"
    damaged.write_bytes(damaged.read_bytes()[:-50])
    checked = command("data", "check", str(tmp_path))
    assert checked.returncode == 1
    assert "0001.png" in checked.stdout


def test_identity_is_the_content() -> None:
    def identity(*assignments: str, preset: str = "quick") -> str:
        return plan("cmc", "four_tasks", preset, "0", None, None, None, list(assignments))[0].identity

    assert identity() == identity("data.workers=2"), "workers do not change results"
    said = yaml.safe_load((config.PRESETS / "quick.yaml").read_text())["training"]["learning_rate"]
    assert identity() == identity(f"training.learning_rate={said}"), "what the preset says already"
    assert identity() != identity("training.learning_rate=0.001")
    assert identity() == identity("training.deterministic=true") != identity("training.deterministic=false")
    assert identity() != identity(preset="paper")


def test_a_stream_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "noises.yaml"
    tasks = [{"name": f"n{std}", "degradation": "noise", "train": {"std": std}, "test": {"std": std}} for std in (5, 9)]
    file.write_text(yaml.safe_dump({"tasks": tasks}))
    planned = plan("cmc", str(file), "smoke", "0", None, None, None, [])[0]
    assert (planned.stream, planned.order) == ("noises", ["n5", "n9"])
    tasks[1]["train"] = {"std": -4}
    file.write_text(yaml.safe_dump({"tasks": tasks}))
    with pytest.raises(UserError, match=r"noises\.yaml, line \d+: task 'n9'.*std = -4"):
        plan("cmc", str(file), "smoke", "0", None, None, None, [])


def test_the_real_command_leaves_complete_runs_and_a_report(smoke_runs: Path, command: Command, tmp_path: Path) -> None:
    runs = find_runs([smoke_runs])
    assert [run.config["strategy"] for run in runs] == ["cmc", "finetune"]
    for run in runs:
        assert run.finished
        assert run.config["settings"].keys() == (
            {"fraction", "t", "t_ends", "sharing", "start", "exhausted", "backward"}
            if run.config["strategy"] == "cmc"
            else set()
        )
        assert len(run.metrics.query("metric == 'psnr' and subject == 'output'")) == 16
        assert len(run.metrics.query("subject == 'input'")) == 16
        assert run.metrics["protocol"].notna().all()
        assert len(run.curves) == 4 * 3
        assert all(run.image("deblur", "china", kind).exists() for kind in ("clean", "degraded", "learned", "final"))
        between = Counter(path.name.partition("--")[0] for path in run.path.glob("images/*--after-?.png"))
        assert between == {"derain": 2 * 2, "denoise": 2}, "of two images, after every later task but the last"
        assert run.image("derain", "chelsea", after_kind(3)).exists()
        assert not list(run.path.rglob(".*")), "no temporary file stays behind"
    changed = {run.config["strategy"]: run.metrics.query("metric == 'outputs_changed'") for run in runs}
    assert len(changed["cmc"]) == 6
    assert changed["cmc"]["value"].sum() == 0
    assert (changed["finetune"]["value"] == changed["finetune"]["images"]).all()

    done = command("report", str(smoke_runs), "--out", str(tmp_path / "report"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report" / "index.html").exists()
    assert "index.html" in done.stdout
    shown = command("show", str(runs[0].path))
    assert "0 of 9 outputs" in " ".join(shown.stdout.split())


def test_a_finished_run_is_kept_and_told(smoke_runs: Path, command: Command) -> None:
    run = find_runs([smoke_runs])[0]
    before = (run.path / "status.json").read_text()
    done = command("run", "--strategy", "cmc", "--preset", "smoke", "--out", str(smoke_runs))
    assert "finished before; kept (--force repeats it)" in done.stdout
    assert (run.path / "status.json").read_text() == before


def test_progress_is_plain_lines_when_the_output_is_no_terminal(command: Command, tmp_path: Path) -> None:
    done = command("run", "--strategy", "finetune", "--preset", "smoke", "--order", "denoise", "--out", str(tmp_path))
    assert "\x1b" not in done.stdout
    line = next(line for line in done.stdout.splitlines() if "epoch 1/2" in line)
    for part in ("finetune", "denoise (1/1)", "loss 0.", "PSNR", "dB", "ETA"):
        assert part in line
    assert json.loads(next(tmp_path.glob("*/status.json")).read_text())["state"] == "finished"


def _plan_and_build(words: list[str], out: Path) -> None:
    """What ``run`` does before training, in this process."""
    from benchmark.engine.setup import resolve
    from benchmark.streams.build import build

    options = dict(zip(words[::2], words[1::2], strict=True))
    for planned in plan(
        options["--strategy"],
        options.get("--stream", "four_tasks"),
        options.get("--preset", "smoke"),
        options.get("--seed", "0"),
        options.get("--order"),
        options.get("--data"),
        None,
        [options["--set"]] if "--set" in options else [],
    ):
        build(resolve(planned))


@pytest.mark.parametrize(
    ("preset", "strategy", "words", "told"),
    [
        ("paper", "cmc", [], "section 4.3 of the paper"),
        ("paper", "mas", [], "defaults, tuned at quick"),
        ("quick", "mas", [], "tuned"),
        ("quick", "mas", ["mas.weight=3"], "weight as asked for, else tuned"),
        ("quick", "agem", ["agem.patches=9"], "patches as asked for"),
        ("quick", "finetune", [], ""),
    ],
)
def test_a_run_says_where_its_settings_come_from(preset: str, strategy: str, words: list[str], told: str) -> None:
    (planned,) = plan(strategy, "four_tasks", preset, "0", None, None, None, words)
    usual = registry.settings(registry.load(strategy), planned.settings)
    resolved = planned.model_copy(update={"settings": usual.model_dump(mode="json")})
    assert settings_from(resolved) == told


def test_every_preset_says_where_the_settings_of_every_strategy_come_from() -> None:
    for preset in config.presets():
        for strategy in BUILT_IN:
            assert presets.origin(preset, strategy), f"{preset}: {strategy}"


@pytest.mark.parametrize(
    ("strategy", "field"), [("mas", "weight"), ("ewc", "weight"), ("si", "weight"), ("lwf", "weight")]
)
def test_a_default_is_what_was_tuned(strategy: str, field: str) -> None:
    """So that a preset which says nothing of a strategy gives it the same care as the others; of equals it is one."""
    found = {one.setting: one for one in tuning.choices(tuning.read(tuning.GRID.with_name("tuning-quick.csv")))}
    best = found[f"{strategy}.{field}"]
    equals = {best.value} if round(best.margin, 3) else {best.value, best.second}
    assert getattr(registry.settings(registry.load(strategy), {}), field) in equals
    for preset in config.presets():
        own = presets.settings(preset, strategy).get(field)
        assert own is None or str(own) in presets.origin(preset, strategy), "another value is one that was tuned there"

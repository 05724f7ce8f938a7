"""Experiments: what a file says, which runs it leads to, what is left of them, and the real command at tiny scale."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Command
from rich.console import Console

from benchmark import presets
from benchmark.core.errors import UserError
from benchmark.core.runs.directory import Run, locate
from benchmark.engine.local import execute
from benchmark.engine.setup import resolve
from benchmark.experiments import paper, schedule
from benchmark.experiments.matrix import Choices, expand, load, load_each
from benchmark.experiments.measurements import Measurement

Write = Callable[[str], Path]
EQUAL = ROOT / "docs" / "examples" / "equal_parameters.yaml"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an experiment file."""

    def experiment(text: str) -> Path:
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return experiment


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("summary: nothing to run\n", ["it runs nothing", "strategies"]),
        ("strategies: [cmc]\nstreems: [four_tasks]\n", ["line 2", "streems"]),
        ("strategies: cmc\n", ["line 1", "strategies"]),
        ("strategies: [cmc]\nset:\n  epochs: 3\n", ["line 3", "section.field"]),
        ("strategies: [cmc]\nvary:\n  cmc.fraction: [0.1]\n  packnet.fraction: [0.1]\n", ["line 4", "packnet"]),
        ("strategies: [cmc]\nset:\n  cmc.fractoin: 0.1\n", ["line 3", "setting of cmc 'fractoin'", "fraction"]),
        ("strategies: [cmc]\nvary:\n  training.epoch: [3]\n", ["line 3", "setting of training 'epoch'", "epochs"]),
        ("strategies: [cmc]\npresets:\n  quick: {cmc.size: 1}\n", ["line 3", "setting of cmc 'size'"]),
        ("strategies: [cmc]\nvary:\n  cmc.fraction: []\n", ["line 3", "no values"]),
        ("strategies: [cmc]\npresets:\n  quik: {training.epochs: 1}\n", ["line 3", "quik", "quick"]),
        ("of: [table9]\n", ["line 1", "table9"]),
        ("of: [table6]\n", ["table6"]),
        ("strategies: [cmc]\nseeds: []\n", ["line 2", "seeds"]),
        ("strategies: [cmc]\nseeds: [true, 2]\n", ["line 2", "not true or false"]),
        ("strategies: [cmc]\norders: [[]]\n", ["line 2", "orders"]),
        ("strategies: [cmc]\nname:\n", ["line 2", "name = ''"]),
        ("strategies: [cmc\n", ["line"]),
    ],
)
def test_a_wrong_file_is_told_with_its_line(write: Write, text: str, parts: list[str]) -> None:
    with pytest.raises(UserError) as error:
        load(write(text))
    for part in ["mine.yaml", *parts]:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("strategies: [cmk]\n", "cmc"),
        ("strategies: [cmc]\nvary: {cmc.fraction: [1.5]}\n", "fraction"),
        ("strategies: [cmc]\nset: {training.epocs: 3}\n", "epochs"),
        ("strategies: [cmc]\norders: [[derain, defog]]\n", "defog"),
        ("strategies: [cmc]\nstreams: [five_tasks]\n", "five_tasks"),
    ],
)
def test_what_no_run_can_be_made_of(write: Write, text: str, part: str) -> None:
    with pytest.raises(UserError, match=part):
        [resolve(config) for config in expand(load(write(text)), Choices("smoke"))]


def test_every_combination_is_a_run(write: Write) -> None:
    text = """
        strategies: [cmc, packnet]
        streams: [four_tasks, noise_levels]
        set: {training.epochs: 2, cmc.t: 10}
        vary:
          cmc.fraction: [0.1, 0.05]
          backbone.width: [8, 16]
        presets:
          smoke: {training.batch_size: 3}
        seeds: [0, 1, 2]
    """
    configs = expand(load(write(text)), Choices("smoke"))
    assert len(configs) == 2 * 3 * (2 * 2 + 2)
    assert {config.training.epochs for config in configs} == {2}
    assert {config.training.batch_size for config in configs} == {3}
    for config in configs:  # what names a strategy goes to that one alone
        assert ("t" in config.settings) == (config.strategy == "cmc")
    assert {config.settings["fraction"] for config in configs if config.strategy == "cmc"} == {0.1, 0.05}


def test_what_a_file_says_of_a_preset_wins_over_what_it_says_of_every_run(write: Write) -> None:
    text = "strategies: [mas]\nset: {training.epochs: 2}\npresets:\n  smoke: {training.epochs: 3}\n"
    epochs = [expand(load(write(text)), Choices(preset))[0].training.epochs for preset in ("smoke", "quick")]
    assert epochs == [3, 2]


def test_runs_of_other_experiments_belong_to_one_and_each_is_there_once(write: Write) -> None:
    """Figure 6 is drawn from the runs of Table 3, which are of four orders."""
    configs = expand(load(write("of: [figure6, table3]\nstrategies: [mas]\n")), Choices("smoke"))
    assert [config.strategy for config in configs] == ["cmc"] * 4 + ["mas"]
    assert len({config.identity for config in configs}) == 5


def test_the_person_who_asks_decides(write: Write) -> None:
    experiment = load(write("strategies: [cmc, mas]\nset: {training.epochs: 2}\nseeds: [0, 1]\n"))
    configs = expand(experiment, Choices("smoke", seeds=(7,), assignments=("training.epochs=5", "cmc.fraction=0.05")))
    assert [(config.seed, config.training.epochs) for config in configs] == [(7, 5), (7, 5)]
    assert [config.settings.get("fraction") for config in configs] == [0.05, None]


def test_orders_are_runs_of_their_own(write: Write) -> None:
    configs = expand(load(write("strategies: [cmc]\norders: [[derain, deblur], [deblur, derain]]\n")), Choices("smoke"))
    assert [config.order for config in configs] == [["derain", "deblur"], ["deblur", "derain"]]


def test_far_too_many_runs_are_refused(write: Write) -> None:
    seeds = ", ".join(str(seed) for seed in range(101))
    fractions = ", ".join(str(0.0001 * (step + 1)) for step in range(100))
    text = f"strategies: [cmc]\nvary: {{cmc.fraction: [{fractions}]}}\nseeds: [{seeds}]\n"
    with pytest.raises(UserError, match="10100 runs"):
        expand(load(write(text)), Choices("smoke"))


def test_every_table_and_figure_of_the_paper_is_there() -> None:
    assert list(paper.names()) == [f"table{n}" for n in range(1, 8)] + [f"figure{n}" for n in range(4, 7)]
    with pytest.raises(UserError, match="table2"):
        paper.load("table22")


@pytest.mark.parametrize("name", paper.names())
def test_a_file_of_the_paper_is_one_that_anybody_could_write(name: str) -> None:
    assert load(paper.FOLDER / f"{name}.yaml") == paper.load(name)


@pytest.mark.parametrize("name", [name for name in paper.names() if not paper.load(name).measure])
def test_what_fills_a_row_of_the_paper_is_among_its_runs(name: str) -> None:
    experiment = paper.load(name)
    runs = list(experiment.combinations())
    for row in experiment.rows:
        assert not row.ours or experiment.filling(row) in runs, row.cells


def test_a_measurement_is_done_once(write: Write, tmp_path: Path) -> None:
    written = []

    def measure(path: Path, console: Console) -> None:
        written.append(path)
        path.write_text("a,b\n")

    one = Measurement("layer.csv", measure)
    assert one.of(tmp_path, Console()) == one.of(tmp_path, Console()) == tmp_path / "layer.csv"
    assert written == [tmp_path / "layer.csv"]
    assert expand(load(write("measure: layer\n")), Choices("smoke")) == []
    with pytest.raises(UserError, match=r"line 1.*network.*layer"):
        load(write("measure: network\n"))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_the_papers_runs_are_each_done_once(preset: str) -> None:
    """As the paper counts them: each table's rows, of which those in a table before are no new runs."""
    seen: set[str] = set()
    new = {}
    for name in paper.names():
        found = {resolve(config).identity for config in expand(paper.load(name), Choices(preset))}
        new[name] = len(found - seen)
        seen |= found
    # Figure 4 has two controls, which are not in the paper.
    # Table 2's CMC is a row of Table 1, Table 3's first order and Table 5's first row its row of 1.25 % with sharing.
    assert new == {
        "table1": 10,
        "table2": 7,
        "table3": 3,
        "table4": 2,
        "table5": 1,
        "table6": 0,
        "table7": 4,
        "figure4": 2,
        "figure5": 0,
        "figure6": 0,
    }


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["smoke", "quick", "paper"])
def test_cmc_and_packnet_at_equal_size(preset: str) -> None:
    """Of CMC-5 each preset has its own share, and a fifth of PackNet's, at which a task trains as much as PackNet's."""
    runs = expand(load(EQUAL), Choices(preset))
    own = {name: presets.settings(preset, name)["fraction"] for name in ("cmc", "packnet")}
    shares = [resolve(config).settings["fraction"] for config in runs if config.strategy == "cmc"]
    assert own["cmc"] in shares
    assert pytest.approx(own["packnet"] / 5) in shares
    (packnet,) = (resolve(config) for config in runs if config.strategy == "packnet")
    assert packnet.settings["fraction"] == own["packnet"]


def test_equal_size_stands_beside_the_claim(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "page"
    words = ["--preset", "smoke", "--out", str(tmp_path / "runs"), "--report", str(page)]
    done = command("sweep", str(EQUAL), *words)
    assert done.returncode == 0, done.stderr
    scored = pd.read_csv(page / "tables" / "scorecard.csv").set_index("key")
    measured = scored.loc["cmc-leads-packnet", "measured"]
    # A tenth of 5 · 504 values, 15 biases and 4 vectors of 5.
    assert "for a task CMC trains 287 parameters" in measured
    assert "at equal size (CMC-5 with 2.5 % of its memory" in measured


TINY = "strategies: [finetune, independent]\norders: [[derain, deblur]]\n"


@pytest.mark.slow
def test_a_finished_run_anywhere_below_is_reused(write: Write, tmp_path: Path) -> None:
    """Moved to another folder below, it is found by its content and left as it is."""
    configs = [resolve(config) for config in expand(load(write(TINY)), Choices("smoke"))][:1]
    out = tmp_path / "runs"
    (run,) = execute(configs, out)
    moved = out / "earlier" / run.name
    moved.parent.mkdir()
    run.path.rename(moved)
    before = (moved / "status.json").read_bytes()
    (again,) = execute(configs, out)
    assert again.path == moved
    assert (moved / "status.json").read_bytes() == before
    assert locate(out) == {configs[0].identity: moved}


def test_a_sweep_from_a_file_to_its_report(command: Command, write: Write, tmp_path: Path) -> None:
    out, page = tmp_path / "runs", tmp_path / "page"
    words = ["sweep", str(write(TINY)), "--preset", "smoke", "--out", str(out), "--report", str(page)]
    listed = command(*words, "--dry-run")
    assert listed.returncode == 0, listed.stderr
    assert not out.exists()
    assert "2 runs, 0 finished" in listed.stdout
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert "run 2 of 2" in done.stdout
    assert "ETA" in done.stdout
    assert (page / "index.html").exists()
    assert len(list(out.glob("[!.]*"))) == 2
    assert "2 runs, all finished." in command(*words, "--dry-run").stdout


def test_an_interrupted_experiment_goes_on(command: Command, write: Write, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    configs = [resolve(config) for config in expand(load(write(TINY)), Choices("smoke"))]
    first, second = execute(configs, out)
    whole = (second.path / "metrics.csv").read_bytes()
    for path in (first, second):
        path.update_status(started="2020-01-01T00:00:00+00:00")
    second.update_status(state="interrupted", tasks_done=1)
    second.update_status(seconds=0.0, seconds_per_task=[0.0, 0.0])
    done = command(
        "sweep", str(write(TINY)), "--preset", "smoke", "--out", str(out), "--report", str(tmp_path / "page")
    )
    assert done.returncode == 0, done.stderr
    assert "1 finished" in done.stdout
    assert first.status["started"] == "2020-01-01T00:00:00+00:00"
    assert Run(second.path).finished
    assert (second.path / "metrics.csv").read_bytes() == whole


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["reproduce", "table9"], ["table9", "table7", "figure4"]),
        (["reproduce", "table1", "--preset", "quik"], ["quik", "quick"]),
        (["reproduce", "table1", "--set", "cmc.fractoin=1"], ["fractoin", "fraction"]),
        (["sweep", "nowhere.yaml"], ["nowhere.yaml"]),
    ],
)
def test_bad_input_ends_with_2(command: Command, words: list[str], parts: list[str], tmp_path: Path) -> None:
    done = command(*words, "--out", str(tmp_path / "runs"), "--dry-run")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    told = re.sub(r"\s+", " ", done.stderr)
    for part in parts:
        assert part in told


@pytest.mark.slow
def test_a_figure_of_the_paper_at_tiny_scale(command: Command, tmp_path: Path) -> None:
    """Figure 4's runs, then its figure, and a second call that does nothing more than report."""
    out, page = tmp_path / "runs", tmp_path / "page"
    words = ["reproduce", "figure4", "--preset", "smoke", "--out", str(out), "--report", str(page)]
    done = command(*words)
    assert done.returncode == 0, done.stderr
    assert "6 runs, 0 finished" in done.stdout
    assert (page / "figures" / "paper-smoke-figure4.svg").exists()
    assert (page / "tables" / "paper-smoke-table1.tex").exists()
    again = command(*words)
    assert "6 runs, all finished." in again.stdout
    assert again.stdout.count("kept") == 6


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("strategies: [cmc]\nset: {cmc.t: 5}\nvary: {cmc.t: [1, 2]}\n", 2),
        ("strategies: [cmc]\nvary: {cmc.t: [1, 2]}\npresets:\n  smoke: {cmc.t: 5}\n", 4),
        ("strategies: [cmc]\nseeds: [0, -1]\n", 2),
    ],
)
def test_what_contradicts_itself_in_a_file_is_told(write: Write, text: str, line: int) -> None:
    with pytest.raises(UserError, match=f"line {line}: "):
        load(write(text))


def test_streams_of_one_name_are_told_apart(write: Write, tmp_path: Path) -> None:
    files = []
    for folder, std in (("a", 10), ("b", 20)):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "same.v2.yaml")
        files[-1].write_text(f"tasks: [{{name: n, degradation: noise, train: {{std: {std}}}, test: {{std: {std}}}}}]")
    text = f"strategies: [finetune]\nstreams: ['{files[0]}', '{files[1]}']\nseeds: [0, 1]\n"
    configs = expand(load(write(text)), Choices("smoke"))
    names = schedule.names(configs)
    assert len(set(names)) == len(configs) == 4
    assert "same.v2 (2)" in names[2]
    assert len({config.run_name for config in configs}) == 4
    assert configs[0].run_name.startswith("finetune-same.v2-smoke-seed0-")


def test_two_experiments_of_one_name_are_refused_and_one_named_twice_is_one(tmp_path: Path) -> None:
    for folder, name in (("a", "rates"), ("b", "rates"), ("c", "others")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.yaml").write_text(
            f"strategies: [finetune]\nset: {{training.epochs: {ord(folder)}}}\n"
        )
    one, other, third = (tmp_path / name for name in ("a/rates.yaml", "b/rates.yaml", "c/others.yaml"))
    assert [experiment.name for experiment in load_each([one, third, one])] == ["rates", "others"]
    with pytest.raises(UserError, match=r"a/rates\.yaml' and '.*b/rates\.yaml' are two experiments of one name"):
        load_each([one, third, other])
    other.write_text(f"name: slower\n{other.read_text()}")
    assert len(load_each([one, other])) == 2

"""What README, the guides and the Makefile print: every command runs, every snippet is complete, every path is there.

Commands run at ``smoke`` size, one after another in one process, in a folder with a copy of the guides. What is
long all the same is shortened (SHORTER).
"""

import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from made_datasets import brighter, picture, write

from benchmark.commands import app
from benchmark.data.datasets.bsd68 import NUMBERS
from benchmark.engine.setup import resolve
from benchmark.experiments import matrix
from benchmark.planning import plan
from benchmark.streams import definition
from strategies import registry
from strategies.built_in import BUILT_IN
from strategies.guide import guide

DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
COMMANDS = {
    *(command.name or command.callback.__name__ for command in app.app.registered_commands if command.callback),
    *(group.name for group in app.app.registered_groups),
}
COMPLETE = {"tune"}
"""Commands that are one without any further word; a single word is a mention of the others."""
PRESET = {"run", "sweep", "reproduce", "tune", "check"}
"""Commands that take a preset."""
OWN = ["--out", "many"]
"""A folder beside that of single runs, as the same reports of all of them are made again and again."""
SMALL = ["--set", "training.epochs=1", "--set", "data.test_size=32"]
SHORTER = {
    "run": ["--set", "training.epochs=1"],
    "sweep": [*SMALL, *OWN],
    "reproduce": [*SMALL, *OWN],
    "tune": OWN,
    "reference verify": ["--preset", "smoke"],
    "profile layer": ["--size", "16", "--channels", "4", "--repeats", "1"],
    "profile data": ["--preset", "smoke", "--step-ms", "50", "--repeats", "1"],
    "profile train": ["--preset", "smoke", "--updates", "1", "--repeats", "1"],
    "profile inference": ["--preset", "smoke", "--size", "16", "--repeats", "1"],
}
PLACEHOLDERS = {"DIR": "data", "NAME": "finetune"}
SURROUNDINGS = {**os.environ, "PYTHONPATH": str(ROOT)}
NOT_RUN = {
    "profile start": "starts a process for every command; tests/profiling does so",
    "make demo": "installs; what it runs is taken from the Makefile",
    "make test": "is what runs this test",
    "reference pack runs/mine": "writes into the suite; tests/reference does so elsewhere",
    "reference verify --against runs": "needs a run of full length; tests/reference does so with a small one",
    "reference page > docs/results.md": "a shell writes the file; tests/reference compares it",
    "run … --plugin my_package.anchor": "the module is the reader's",
    "run … --set data.root=...": "shows the form of an option, not a folder",
    "run … --set data.root=null": "speaks of a folder that is called null",
}
DRIVER = """
import contextlib, json, pathlib, shutil, sys, traceback
from benchmark.commands.app import main

results = []
for words in json.loads(sys.argv[1]):
    if words[0] == "report" and not pathlib.Path("shown").exists():
        shutil.copytree("runs", "shown")
    words = [str(next(pathlib.Path().glob(word))) if "*" in word else word for word in words]
    with open("log.txt", "w+", encoding="utf-8") as log:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            sys.argv = ["benchmark", *words]
            try:
                main()
                code = 0
            except SystemExit as end:
                code = end.code or 0
            except BaseException:
                traceback.print_exc()
                code = 70
        log.seek(0)
        results.append([code, log.read()])
pathlib.Path("results.json").write_text(json.dumps(results))
"""


def text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def snippets(language: str) -> list[tuple[str, str]]:
    """Every fenced block in a language, with the document and its place in it."""
    found = []
    for document in DOCUMENTS:
        blocks = re.findall(rf"^```{language}\n(.*?)^```", text(document), re.MULTILINE | re.DOTALL)
        found += [(f"{document} {place}", block) for place, block in enumerate(blocks, 1)]
    return found


def spans(document: str) -> list[str]:
    """What stands between backquotes in a line, outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text(document), flags=re.MULTILINE | re.DOTALL))


def printed() -> list[str]:
    """Every command in the documents, as printed: lines of indented blocks, and spans that begin with a command."""
    found = []
    for document in DOCUMENTS:
        lines = re.findall(r"^    ((?:\S*python -m benchmark|make) .*)$", text(document), re.MULTILINE)
        found += [re.sub(r"\s{2,}#.*", "", line).strip() for line in lines]
        for span in spans(document):
            words = span.removeprefix("python -m benchmark ").split()
            if words[0] in COMMANDS and (len(words) > 1 or words[0] in COMPLETE):
                found.append(span)
        found += [f"run … {span}" for span in spans(document) if re.match(r"--[a-z-]+ \S", span)]
    found += re.findall(r"^\t\$\(BIN\)/(python -m benchmark .*)$", text("Makefile"), re.MULTILINE)
    return [command for command in dict.fromkeys(found) if command.removeprefix("python -m benchmark ") not in NOT_RUN]


def replaced(words: list[str], option: str, value: str) -> list[str]:
    """The words with another value of an option, or with the option where it is not among them."""
    if option not in words:
        return [*words, option, value]
    place = words.index(option) + 1
    return [*words[:place], value, *words[place + 1 :]]


def small(command: str) -> list[str]:
    """The words after ``python -m benchmark``, at smoke size, with the placeholders filled in."""
    words = shlex.split(re.sub(r"^\S*python -m benchmark ", "", command))
    if words[:2] == ["run", "…"]:
        words[1:2] = ["--strategy", next((name for name in ("anchor", "cmc") if f" {name}." in command), "finetune")]
    if words[0] == "report":  # of the runs that there are when a report is first printed
        words[1] = "shown"
    if "anchor" in words and "--plugin" not in words:
        words += ["--plugin", "docs/examples/anchor.py"]
    if words == ["data", "prepare"]:
        words.append("DIR")
    if words[:2] == ["reproduce", "all"] and "--dry-run" not in words:
        words.append("--dry-run")
    if words[0] == "tune" and "--strategy" not in words:
        words += ["--strategy", "lwf"]
    if words[0] == "tune" and "--seed" not in words:
        words += ["--seed", "0"]
    if "--until-decided" in words:
        words = replaced(words, "--most-seeds", "2")
    if any(word.startswith("data.cache=") for word in words):  # is for datasets on disk, of which a few are here
        words += ["--fallback", "embedded"]
    if "--fallback" in words and "--data-root" not in words:
        words += ["--data-root", "some"]
    shorter = SHORTER.get(words[0], SHORTER.get(" ".join(words[:2]), []))
    for option, value in zip(shorter[::2], shorter[1::2], strict=True):
        words = [*words, option, value] if option == "--set" else replaced(words, option, value)
    if words[0] in PRESET and "--preset" in words:
        words[words.index("--preset") + 1] = "smoke"
    elif words[0] in PRESET:
        words += ["--preset", "smoke"]
    words = [re.sub(rf"\b({'|'.join(PLACEHOLDERS)})\b", lambda found: PLACEHOLDERS[found[1]], word) for word in words]
    return [word.replace("-quick-", "-smoke-").replace("…", "*") for word in words]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Exit code and output of every printed command, run in the order in which they are printed."""
    place = tmp_path_factory.mktemp("documents")
    shutil.copytree(ROOT / "docs", place / "docs")
    for number in (1, 2, 3, 801):
        write(place / "data" / "DIV2K" / f"{number:04}.png", picture(number, (64, 48)))
        write(place / "some" / "DIV2K" / f"{number:04}.png", picture(number, (64, 48)))
    for number in NUMBERS:
        write(place / "data" / "CBSD68" / f"{number}.png", picture(f"bsd {number}", (64, 48)))
    for side, numbers in (("train", "123"), ("test", "45")):
        for number in numbers:
            clean = picture(f"rain {number}", (64, 48))
            write(place / "data" / "Rain100L" / side / "norain" / f"norain-{number}.png", clean)
            write(place / "data" / "Rain100L" / side / "rain" / f"norain-{number}.png", brighter(clean))
    (place / "settings.yaml").write_text("training: {epochs: 1}\n", encoding="utf-8")
    (place / "experiment.yaml").write_text("strategies: [finetune]\n", encoding="utf-8")
    different = list(dict.fromkeys(tuple(small(command)) for command in printed()))
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(different)],
        cwd=place,
        env=SURROUNDINGS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((place / "results.json").read_text(encoding="utf-8"))
    by_words = dict(zip(different, told, strict=True))
    return {command: by_words[tuple(small(command))] for command in printed()}


@pytest.mark.parametrize("command", printed())
def test_a_printed_command_runs(results: dict[str, tuple[int, str]], command: str) -> None:
    code, said = results[command]
    made = small(command)[:2] == ["data", "check"] and "This may be another dataset" in said
    assert code == int(made), f"{small(command)}\n{said}"  # pictures made here are not the published ones, and told so
    assert "Traceback" not in said


def test_commands_are_found_wherever_they_are_printed() -> None:
    found = printed()
    for command in (
        "python -m benchmark report runs",
        "list strategies",
        "run … --seed 0,1,2",
        "check --strategy NAME",
        "profile layer",
        "python -m benchmark tune --table benchmark/experiments/tuning-quick.csv",
    ):
        assert command in found
    for document in ("README.md", "docs/experiments.md"):
        assert text(document).count("python -m benchmark ") <= sum("python -m benchmark" in one for one in found) + 1


@pytest.mark.parametrize(("where", "code"), snippets("python"), ids=lambda value: value.split("\n")[0])
def test_a_python_snippet_runs_as_it_stands(where: str, code: str) -> None:
    exec(compile(code, where, "exec"), {"__name__": "snippet"})


@pytest.mark.slow
@pytest.mark.parametrize(("where", "content"), snippets("yaml"), ids=lambda value: value.split("\n")[0])
def test_a_yaml_snippet_is_a_stream_or_an_experiment(where: str, content: str, tmp_path: Path) -> None:
    path = tmp_path / "snippet.yaml"
    path.write_text(content, encoding="utf-8")
    if "strategies" in yaml.safe_load(content):
        assert [resolve(config) for config in matrix.expand(matrix.load(path), matrix.Choices("smoke"))]
    else:
        assert definition.load(str(path)).order


@pytest.mark.parametrize(("where", "content"), snippets("toml"), ids=lambda value: value.split("\n")[0])
def test_a_toml_snippet_is_valid(where: str, content: str) -> None:
    assert tomllib.loads(content)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_printed_setting_is_accepted(document: str) -> None:
    registry.add_plugins(str(ROOT / "docs" / "examples" / name) for name in ("anchor.py", "unet.py"))
    for span in spans(document):
        if re.fullmatch(r"[a-z_]+\.[a-z_]+=\S+", span):
            section = span.partition(".")[0]
            strategy = section if section in registry.entries() else "finetune"
            for config in plan(strategy, "four_tasks", "smoke", "0", None, None, None, [span]):
                assert resolve(config).strategy == strategy


@pytest.mark.parametrize("document", [*DOCUMENTS, "CONTRIBUTING.md"])
def test_every_option_and_path_that_is_named_is_there(document: str) -> None:
    files = (ROOT / "benchmark" / "commands").glob("*.py")
    help_text = "".join(file.read_text(encoding="utf-8") for file in files)
    for span in spans(document):
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]+", span):
            known = f'"{option}"' in help_text or f"{option[2:].replace('-', '_')}: " in help_text
            assert known, f"{document}: no command takes {option}"
        if re.fullmatch(r"(benchmark|strategies|baselines|reports|docs|tests)/[\w/.-]*", span):
            assert (ROOT / span).exists(), f"{document}: {span}"
    for target in re.findall(r"\]\(([^)#:]+)\)", text(document)):
        assert ((ROOT / document).parent / target).exists(), f"{document}: {target}"


def test_the_guide_to_strategies_is_what_their_classes_say() -> None:
    written = guide(list(BUILT_IN))
    assert (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8") == written, "list strategies --guide"
    assert all(f"## {name}\n" in written for name in BUILT_IN)
    assert not re.search(r"::$", written, re.MULTILINE), "a mark of another language than Markdown"


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_guide_to_strategies_leaves_out_nothing_that_their_modules_say(name: str) -> None:
    written = re.sub(r"\W+", " ", guide([name]))
    about = inspect.getdoc(sys.modules[registry.load(name).__module__]) or ""
    for paragraph in re.sub(r":\w+:`", "`", about).split("\n\n"):
        assert re.sub(r"\W+", " ", paragraph).strip() in written

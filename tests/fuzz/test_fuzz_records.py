"""Records of runs as a stranger may have left them: a run that is read and shown, or an error in words."""

import io
import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import as_bytes, changed, disturbed, fuzz, written
from hypothesis import strategies as st
from made_runs import ORDER, made_run

from benchmark.core.errors import UserError
from benchmark.core.printing import Plain
from benchmark.core.runs import seals
from benchmark.core.runs.directory import find_runs
from reports import report, terminal
from reports.groups import collect
from reports.page import html

FEW, MANY = 20, 200
EXAMPLES = pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
TABLES = ("metrics.csv", "curves.csv", "outputs.csv", "ledger.csv")
CELLS = [
    "",
    "-1",
    "0",
    "5",
    "1e308",
    "-inf",
    "inf",
    "nan",
    "1e-320",
    "9" * 30,
    "<script>",
    "=1+1",
    "../../x",
    '"',
    ",",
    "\n",
    "\0",
]


def files(run: Path) -> st.SearchStrategy[dict[str, bytes]]:
    """Some files of a run, changed."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    found: dict[str, st.SearchStrategy[str]] = {"config.yaml": changed([config]).map(written)}
    for name in ("status.json", "environment.json"):
        found[name] = changed([json.loads((run / name).read_text())]).map(json.dumps)
    for name in TABLES:
        found[name] = disturbed(st.just((run / name).read_text()), CELLS)
    one = st.sampled_from(sorted(found)).flatmap(lambda name: st.fixed_dictionaries({name: found[name].map(as_bytes)}))
    two = st.fixed_dictionaries({name: found[name].map(as_bytes) for name in ("config.yaml", "status.json")})
    return st.one_of(one, one, two)


@pytest.mark.filterwarnings("ignore")
@EXAMPLES
def test_fuzz_records_of_runs(tmp_path: Path, examples: int) -> None:
    runs = tmp_path / "runs"
    task = {"degradation": "noise", "train": {"std": 5}, "test": {"std": 5}}
    side = {"name": "DIV2K", "release": "800 images", "digest": "0"}
    run = made_run(
        runs,
        "cmc",
        tasks=[{"name": name, **task} for name in ORDER],
        sources=[{"train": side, "test": {"name": "embedded"}, "leaks": 0} for _ in ORDER],
        revisions={"strategy": 2, "backbone": 1, "training": 1},
        imports=[],
    )
    traits = {"needs_task_id": True, "stores_data": False, "grows": True, "protects_exactly": True}
    run.update_status(peak_memory={"1": 5, "2": None}, traits=traits, settings_from="x", backbone_parameters=9)
    other = made_run(runs, "finetune", keeps=False)
    for one in (run, other):
        shutil.rmtree(one.path / "images")
        (one.path / seals.SEAL).write_text('{"sha256": {}}')  # a stranger's own
    original = {path.name: path.read_bytes() for path in run.path.iterdir()}

    def read(changes: dict[str, Any]) -> None:
        for name, content in (original | changes).items():
            (run.path / name).write_bytes(content)
        show()
        collection = collect([runs])
        sections = [html.Section(group, _tables(group)) for group in collection.groups]
        assert all(section.settings.variants and section.about and section.finding for section in sections)
        if examples == MANY:
            assert html.page(collection, [], sections, [], {}).count("<script") == 1

    def show() -> None:
        console = Plain()
        console.file = io.StringIO()
        for one in find_runs([runs]):
            with suppress(UserError):
                terminal.show(one, console)

    fuzz(files(run.path), read, examples)


def _tables(group: Any) -> list[Any]:
    """What a report holds of a group, without what it draws."""
    made = (make(group) for make in report.CONTENTS if make.__module__.startswith("reports.tables"))
    return [item for item in made if item]

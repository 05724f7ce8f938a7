"""The records that ship: whole, small, of committed code, and on the page."""

from collections.abc import Iterator

import pytest
from conftest import ROOT

from benchmark.core.runs.directory import Run
from benchmark.reference import SHIPPED
from benchmark.reference.records import LARGEST_SHIPPED, Records
from benchmark.reference.verifying import damaged
from reports.leaderboard import page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs() -> Iterator[list[Run]]:
    with Records() as held:
        yield held.runs()


def test_they_are_whole_and_small(runs: list[Run]) -> None:
    assert damaged(runs) == {}
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= LARGEST_SHIPPED


def test_each_says_what_made_it(runs: list[Run]) -> None:
    assert {run.config["preset"] for run in runs} >= {"smoke", "quick"}
    for run in runs:
        assert len(run.environment["git"]) == 40
        assert run.environment["git_changed"] is False
        assert f"--strategy {run.config['strategy']} " in run.status["command"]
        assert f"--seed {run.config['seed']}" in run.status["command"]
        assert (run.status["state"], "process" in run.status) == ("finished", False)
        data = run.config["data"]
        assert (data["source"], data["root"], run.config["plugin"]) == ("embedded", None, "")


def test_the_page_of_results_is_what_they_say() -> None:
    written = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert written == page(SHIPPED), "python -m benchmark reference page > docs/results.md"

"""The ranking of Table 2: which of its strategies beats which, over seeds and tasks."""

from benchmark.experiments import paper
from reports.figures import wins
from reports.items.item import Item
from reports.paper.evidence import Evidence


def item(evidence: Evidence) -> Item | None:
    """The strategies of Table 2 and further ones that were run with the preset's settings, each against each."""
    experiment = paper.load("table2")
    wanted = [experiment.filling(row) for row in experiment.rows]
    found = [entry for one in wanted if (entry := evidence.entry(one))]
    entries = [*found, *evidence.others([one.strategy for one in wanted])]
    title = f"{experiment.title}: {wins.TITLE.lower()}"
    return wins.made(entries, "ranking", evidence.key, title, evidence.title, title)

"""What a task took from earlier ones, on made runs that are half a dB over networks of their own."""

from pathlib import Path

from made_runs import ORDER, config, made_run

from reports.figures import transfer
from reports.groups import collect
from reports.items.item import Item

WIDER = config()["backbone"] | {"width": 32}


def item(folder: Path) -> Item | None:
    (group,) = collect([folder]).groups
    return transfer.item(group)


def test_a_gain_is_that_over_a_network_of_its_own_as_the_task_was_learned(tmp_path: Path) -> None:
    """Whatever is forgotten later, and whatever a seed has that the other strategy lacks."""
    made_run(tmp_path, "independent")
    made_run(tmp_path, "cmc", keeps=False, shift=0.5)
    made_run(tmp_path, "cmc", keeps=False, shift=9.0, seed=1)
    made_run(tmp_path, "mas", shift=7.0, backbone=WIDER)
    found = item(tmp_path)
    assert found is not None
    assert found.drawing is not None
    assert found.drawing.description == "cmc (width=16): mean +0.50 dB"
    assert found.drawing.svg.count(">+0.50<") == len(ORDER)


def test_each_is_compared_with_the_network_of_its_own_that_is_like_it(tmp_path: Path) -> None:
    made_run(tmp_path, "independent")
    made_run(tmp_path, "independent", shift=2.0, backbone=WIDER)
    made_run(tmp_path, "cmc", shift=0.5)
    made_run(tmp_path, "cmc", shift=2.75, backbone=WIDER)
    found = item(tmp_path)
    assert found is not None
    assert found.drawing is not None
    told = dict(part.split(": mean ") for part in found.drawing.description.split("; "))
    assert told == {"cmc (width=16)": "+0.50 dB", "cmc (width=32)": "+0.75 dB"}
    assert "(independent (width=16) and independent (width=32), each over" in found.drawing.caption


def test_without_networks_of_their_own_that_are_alike_there_is_no_figure(tmp_path: Path) -> None:
    made_run(tmp_path, "cmc", shift=0.5)
    assert item(tmp_path) is None
    made_run(tmp_path, "independent", backbone=WIDER)
    assert item(tmp_path) is None


def test_one_task_took_nothing_from_earlier_ones(tmp_path: Path) -> None:
    for name in ("independent", "cmc"):
        made_run(tmp_path, name, order=ORDER[:1])
    assert item(tmp_path) is None

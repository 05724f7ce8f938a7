"""Names as files: readable, within the limits of file systems, and never one for two."""

import itertools
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from made_runs import ORDER, made_run

import reports
from benchmark.core.errors import UserError
from benchmark.core.names import file_name
from benchmark.core.runs.directory import IMAGE_KINDS, Run
from benchmark.core.runs.schemas import OUTPUTS
from benchmark.core.runs.writing import is_temporary, temporary_name, write_table, write_text
from benchmark.planning import plan
from benchmark.streams import sources
from benchmark.streams.build import build
from benchmark.streams.sources import Images
from reports.groups import collect

NAMES = [
    *(
        "rose",
        "Rose",
        "ROSE",
        "rose ",
        " rose",
        "rose.",
        ".rose",
        "rose-",
        "-rose",
        "rose--1",
        "rose-1",
        "rose 1",
        "rose(1)",
    ),
    *(
        "大阪",
        "名古屋",
        "é",
        "e\u0301",
        "e",
        "🌹",
        "🌷",
        "..",
        "../rose",
        "a/b",
        "a\\b",
        "a:b",
        "CON",
        "con",
        "nul.png",
        "",
        " ",
    ),
    *("x" * 250, "x" * 249 + "y", "薔" * 80, "薔" * 79 + "薇", "a\nb", "a\tb", "\udcff", "\udcfe", "%41", "a+b", "a~b"),
]


def folded(name: str) -> str:
    """What a file system that knows no case and composes letters makes of it."""
    return unicodedata.normalize("NFC", name).casefold()


def test_no_two_names_share_a_file_on_any_file_system() -> None:
    names = [*NAMES, *(file_name(name) for name in NAMES)]
    found = {name: folded(file_name(name)) for name in names}
    assert len(set(found.values())) == len(set(names))


def test_file_names_are_portable_and_readable() -> None:
    for name in NAMES:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*[a-z0-9_]|[a-z0-9_]", file_name(name)), name
        assert len(file_name(name)) <= 80
        assert ".." not in file_name(name)
    assert [file_name(name) for name in ("rose", "img_01", "norain-001", "kodim01.v2")] == [
        *("rose", "img_01", "norain-001", "kodim01.v2")
    ]
    assert file_name("Rosé (1)").startswith("Rose-1+")


def test_pictures_of_different_images_are_different_files(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", {}, {})
    pairs = [
        *itertools.product(["task", "Task", "task_a"], NAMES),
        ("c", "a--b"),
        ("c--a", "b"),
        ("b", "c"),
        ("c", "b"),
    ]
    paths = {folded(str(run.image(*pair, kind))) for pair in pairs for kind in IMAGE_KINDS}
    assert len(paths) == len(pairs) * len(IMAGE_KINDS)
    assert all(run.image(*pair, "clean").parent == run.path / "images" for pair in pairs)
    assert max(len(Path(path).name.encode()) for path in paths) < 200


@pytest.mark.slow
def test_every_picture_of_a_report_is_its_own(tmp_path: Path) -> None:
    """Two images whose names differ in case, and two whose letters are no ASCII, each with the pictures kept of it."""
    names = {"chelsea": "名古屋", "china": "大阪"}
    run = made_run(tmp_path / "runs")
    kept = {path: path.read_bytes() for path in (run.path / "images").iterdir()}
    rows = [{**row, "image": names[row["image"]]} for row in run.rows("outputs.csv")]
    write_table(run.path / "outputs.csv", rows, OUTPUTS)
    for path in kept:
        task, image, kind = path.stem.split("--")
        path.rename(run.image(task, names[image], kind))
    assert len(list((run.path / "images").iterdir())) == len(kept)
    page = reports.build([tmp_path / "runs"], tmp_path / "page").index.read_text(encoding="utf-8")
    shown = dict(strips(page))
    assert set(shown) == {(task, name) for task in ORDER for name in names.values()}
    assert len(set(shown.values())) == len(shown)


def strips(page: str) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    """Task and image of each strip of a page, with the pictures that it shows."""
    for part in page.split('class="strip"')[1:]:
        task, image = (re.search(rf'data-{name}="([^"]*)"', part) for name in ("task", "image"))
        assert task
        assert image
        yield (task[1], image[1]), tuple(re.findall(r'<use href="#([0-9a-f]{16})"', part.split("</figure>")[0])[:3])


def test_two_test_images_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = plan("finetune", "four_tasks", "smoke", "0", "derain", None, None, [])
    image = np.zeros((40, 40, 3), np.uint8)
    monkeypatch.setattr(sources, "test_images", lambda *_: Images(("oak", "elm", "oak"), [image] * 3))
    with pytest.raises(UserError, match="'derain' has several test images that are called 'oak'"):
        build(config)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"stream": "garden"}, {"stream": "Garden"}),
        ({"stream": "big garden"}, {"stream": "big-garden"}),
        ({"stream": "庭"}, {"stream": "園"}),
        ({"stream": "a-b", "preset": "c"}, {"stream": "a", "preset": "b-c"}),
        ({"stream": "CON"}, {"stream": "con"}),
    ],
)
def test_groups_of_a_report_have_files_of_their_own(tmp_path: Path, one: dict, other: dict) -> None:
    for changes in (one, other):
        made_run(tmp_path / "runs", **changes)
    keys = [group.key for group in collect([tmp_path / "runs"]).groups]
    assert len({folded(key) for key in keys}) == 2


@pytest.mark.slow
def test_a_stream_may_be_called_paper(tmp_path: Path) -> None:
    for stream in ("paper", "four_tasks"):
        made_run(tmp_path / "runs", "mas", stream=stream, keeps=False)
    page = reports.build([tmp_path / "runs"], tmp_path / "page").index.read_text(encoding="utf-8")
    anchors = re.findall(r'\sid="([^"]+)"', page)
    assert len(anchors) == len(set(anchors))


@pytest.mark.parametrize("name", ["a" * 251 + ".csv", "é" * 125 + ".yaml", "a" * 255, "." + "b" * 254])
def test_a_file_may_have_the_longest_name_that_there_is(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "content")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    temporary = temporary_name(tmp_path / name)
    temporary.touch()
    assert is_temporary(temporary) == name.endswith((".csv", ".yaml"))

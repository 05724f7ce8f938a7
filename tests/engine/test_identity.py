"""Everything that decides a result is part of a run's identity: all pixels, the code, and nothing cosmetic."""

import importlib
import os
import py_compile
import shutil
import threading
from pathlib import Path
from typing import Any

import made_datasets as made
import numpy as np
import pytest
from made_datasets import brighter, picture, write
from made_runs import made_run
from scipy.io import savemat

from baselines.finetune import Finetune
from benchmark.config import Data, RunConfig, checked, presets
from benchmark.core.errors import UserError
from benchmark.core.plugins.catalogue import revision
from benchmark.core.plugins.plugin import read
from benchmark.data import digests, photographs
from benchmark.data.photographs import Photograph
from benchmark.data.pictures import Block
from benchmark.engine import setup
from benchmark.engine.local import execute
from benchmark.engine.setup import environment, resolve
from benchmark.planning import plan
from benchmark.streams import sources
from benchmark.streams.definition import Task
from reports.groups import collect
from strategies import registry
from strategies.base import Strategy

SIZE = (48, 40)
SIDES = ["train/input", "train/target", "test/input", "test/target"]
MINE = Task(name="one", degradation="noise", dataset="snow")


@pytest.fixture(autouse=True)
def _own_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is remembered from other tests, and nothing is written into the user's own folder."""
    monkeypatch.setattr(digests, "_known", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three pairs to train on and two to test on, in BMP files: of equal size whatever they show."""
    for side, count in (("train", 3), ("test", 2)):
        for number in range(count):
            clean = picture(f"{side} {number}", SIZE)
            write(tmp_path / f"data/snow/{side}/target/{number}.bmp", clean)
            write(tmp_path / f"data/snow/{side}/input/{number}.bmp", brighter(clean))
    return tmp_path / "data"


def told(root: Path) -> dict[str, str]:
    """The digests of both sides."""
    (found,) = sources.prepare([MINE], Data(source="datasets", root=str(root)))
    return {side: found[side]["digest"] for side in ("train", "test")}


def replace(path: Path, pixels: np.ndarray) -> None:
    """Other pixels in a file of the same size that claims to be as old as before."""
    before = path.stat()
    write(path, pixels)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


@pytest.mark.parametrize("place", SIDES)
def test_other_pixels_of_either_side_are_other_data(root: Path, place: str) -> None:
    before = told(root)
    replace(root / "snow" / place / "1.bmp", picture("new", SIZE))
    after = told(root)
    side = place.partition("/")[0]
    assert after[side] != before[side]
    other = {"train": "test", "test": "train"}[side]
    assert after[other] == before[other]


def test_a_changed_picture_is_read_again_in_the_same_process(root: Path) -> None:
    data = Data(source="datasets", root=str(root))
    (origins,) = sources.find([MINE], data)
    sources.test_images(origins, data)
    replace(root / "snow/test/target/0.bmp", picture("new", SIZE))
    assert np.array_equal(sources.test_images(origins, data).clean[0], picture("new", SIZE))


def test_arrays_are_read_again_though_they_claim_to_be_as_old(tmp_path: Path) -> None:
    made.sidd_blocks(tmp_path)
    path = tmp_path / "ValidationGtBlocksSrgb.mat"
    block = Block(path, path.stem, scene=0, block=0)
    before, state = block.read().pixels, path.stat()
    savemat(path, {path.stem: np.full((2, 3, *before.shape), 7, np.uint8)})
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    assert (block.read().pixels == 7).all()
    assert (before != 7).any()


@pytest.mark.parametrize("place", SIDES)
def test_images_that_change_between_two_runs_of_a_command_are_refused(root: Path, place: str) -> None:
    planned = config(
        tasks=[MINE.model_dump()], data={"source": "datasets", "root": str(root)}, training={"patch_size": 8}
    )
    resolved = resolve(planned)
    replace(root / "snow" / place / "1.bmp", picture("new", SIZE))
    out = root.parent / "runs"
    side = place.partition("/")[0]
    with pytest.raises(UserError, match=f"the {side} images"):
        execute([resolved], out)
    assert not list(out.iterdir())


def test_a_copy_and_a_touched_file_are_the_same_data(root: Path, tmp_path: Path) -> None:
    before = told(root)
    for path in root.rglob("*.bmp"):
        os.utime(path, ns=(10**18, 10**18))
    assert told(root) == before
    shutil.copytree(root, tmp_path / "copy", ignore=shutil.ignore_patterns(".*"))
    assert told(tmp_path / "copy") == before


def test_halves_and_blocks_count_by_what_they_hold(tmp_path: Path) -> None:
    def digest(name: str) -> str:
        task = Task(name="one", degradation="noise", dataset={"train": "", "test": name})
        data = Data(source="datasets", root=str(tmp_path), fallback="embedded")
        return sources.prepare([task], data)[0]["test"]["digest"]

    made.sidd_blocks(tmp_path)
    made.rain_side_by_side(tmp_path)
    blocks, halves = digest("sidd"), digest("rain100l")
    sources._survey.cache_clear()
    noisy = np.stack([[picture(f"other {scene} {block}") for block in range(3)] for scene in range(2)])
    savemat(tmp_path / "ValidationNoisyBlocksSrgb.mat", {"ValidationNoisyBlocksSrgb": noisy})
    clean = picture("other", (481, 321))
    write(tmp_path / "rain/test/1.png", np.concatenate([clean, brighter(clean)], axis=1))
    assert digest("sidd") != blocks
    assert digest("rain100l") != halves


def test_embedded_photographs_count_by_their_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    (usual,) = sources.prepare([MINE], Data())
    assert "digest" not in usual["train"]
    assert "digest" not in usual["test"]
    embedded = photographs.embedded

    def retouched(split: photographs.Split, choice: photographs.Choice = "few") -> list[Photograph]:
        return [Photograph(one.name, 255 - one.image) if split == "test" else one for one in embedded(split, choice)]

    told = {choice: sources.prepare([MINE], Data(photographs=choice)) for choice in ("few", "all")}
    monkeypatch.setattr(photographs, "embedded", retouched)
    (other,) = sources.prepare([MINE], Data())
    assert "digest" not in other["train"]
    assert other["test"]["digest"]
    (every,) = sources.prepare([MINE], Data(photographs="all"))
    assert "digest" not in every["train"]
    assert every["test"]["digest"] != other["test"]["digest"]
    for choice, before in told.items():
        with pytest.raises(UserError, match="the test images of task 'one' have changed"):
            sources.refuse_changed([MINE], Data(photographs=choice), before)


def test_the_choice_of_photographs_counts_where_some_are_used(tmp_path: Path) -> None:
    """The few leave the identity as it was before there was a choice; so do all where every image is of a dataset."""

    def identity(choice: str, **fields: Any) -> str:
        return config(data={"dead_leaves": 1, "photographs": choice}, **fields).identity

    usual = {"train": {"name": "embedded"}, "test": {"name": "embedded"}, "leaks": 0}
    mixed = {**snow("a"), "test": {"name": "embedded"}, "leaks": 0}
    assert config().identity == identity("few") != identity("all")
    for told in (usual, mixed):
        assert config(sources=[told]).identity == identity("few", sources=[told]) != identity("all", sources=[told])
    assert identity("few", sources=[snow("a")]) == identity("all", sources=[snow("a")])


def test_presets_say_which_photographs() -> None:
    found = {preset: plan("finetune", "four_tasks", preset, "0", None, None, None, [])[0] for preset in presets()}
    assert {preset: one.data.photographs for preset, one in found.items()} == {
        "smoke": "few",
        "quick": "few",
        "standard": "all",
        "paper": "all",
    }
    (told, *_) = sources.prepare([MINE], found["standard"].data)
    assert told["test"] == {"name": "embedded", "release": "8 photographs"}
    assert told["train"] == {"name": "embedded", "release": "6 photographs, 12 dead leaves"}


def config(**fields: Any) -> RunConfig:
    task = {"name": "one", "degradation": "noise", "test": {"std": 20}}
    parts: dict[str, Any] = {"data": {"dead_leaves": 1}, "backbone": {"width": 2, "blocks": 0}, "training": {}}
    return checked(**({"strategy": "finetune", "stream": "mine", "order": ["one"], "tasks": [task]} | parts | fields))


def test_words_for_people_are_no_part_of_it_and_degradations_are() -> None:
    task = {"name": "one", "degradation": "noise", "test": {"std": 20}}
    assert config(tasks=[{**task, "title": "Removing noise"}]).identity == config().identity
    assert config(tasks=[{**task, "test": {"std": 30}}]).identity != config().identity


class Derived(Finetune):
    name = "derived"


@pytest.mark.parametrize("kind", [Strategy, Finetune, Derived])
def test_a_changed_class_counts_for_all_that_derive_from_it(kind: type[Strategy], monkeypatch: Any) -> None:
    before = revision(Derived)
    monkeypatch.setattr(kind, "revision", vars(kind).get("revision", 1) + 1)
    assert revision(Derived) == before + 1


def test_a_revision_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Derived, "revision", "2", raising=False)
    with pytest.raises(UserError, match=r"Derived\.revision = '2': expected a whole number"):
        revision(Derived)


def test_changed_code_makes_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    before = resolve(config())
    assert before.revisions.training == setup.TRAINING
    monkeypatch.setattr("benchmark.engine.setup.TRAINING", setup.TRAINING + 1)
    shared = resolve(config())
    monkeypatch.setattr(Finetune, "revision", 2)
    own = resolve(config())
    assert len({before.identity, shared.identity, own.identity}) == 3
    assert resolve(config()).identity == own.identity


PLUGIN = "from strategies.base import Strategy\n{}class {}(Strategy):\n    'Mine.'\n    name = '{}'\n"


def test_a_plugin_counts_with_all_that_it_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "weights_of_mine.py").write_text("from losses_of_mine.inner import factor\n")
    (tmp_path / "losses_of_mine").mkdir()
    (tmp_path / "losses_of_mine/__init__.py").write_text("")
    (tmp_path / "losses_of_mine/inner.py").write_text("factor = 1\n")
    (tmp_path / "unrelated.py").write_text("factor = 1\n")
    plugin = tmp_path / "importing.py"
    plugin.write_text(PLUGIN.format("import numpy\nfrom weights_of_mine import factor\n", "Importing", "importing"))

    def origin() -> str:
        registry.add_plugin(str(plugin))
        return registry.entries()["importing"].origin

    before = origin()
    (tmp_path / "unrelated.py").write_text("factor = 2\n")
    assert origin() == before
    (tmp_path / "losses_of_mine/inner.py").write_text("factor = 3\n")
    changed = origin()
    assert changed != before
    (tmp_path / "losses_of_mine/__init__.py").write_text("x = 1\n")
    assert origin() != changed


def test_a_plugin_is_run_as_it_is_written_now(tmp_path: Path) -> None:
    """Also where Python compiled it before, and neither its size nor its time of change tells that it was changed."""
    file = tmp_path / "weighing.py"
    found = []
    for weight in (1, 2):
        file.write_text(f"weight = {weight}\n")
        os.utime(file, (1_700_000_000, 1_700_000_000))
        if weight == 1:
            py_compile.compile(str(file))
        found.append(read(str(file)))
    assert [one.module.weight for one in found] == [1, 2]
    assert found[0].origin != found[1].origin


def test_a_plugin_is_the_same_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origins = set()
    for folder in ("one", "two"):
        monkeypatch.setattr(registry.CATALOGUE, "plugins", {})
        plugin = tmp_path / folder / "resting.py"
        plugin.parent.mkdir()
        plugin.write_text(PLUGIN.format("", "Resting", "resting"))
        registry.add_plugin(str(plugin))
        origins.add(registry.entries()["resting"].origin)
    assert len(origins) == 1


def test_a_module_counts_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "package_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "help.py").write_text("factor = 1\n")
    lazy = "    def before_training(self, *args, **kwargs):\n        from .help import factor\n"
    (package / "learner.py").write_text(PLUGIN.format("", "Learner", "learner") + lazy)
    registry.add_plugin("package_of_mine.learner")
    before = registry.entries()["learner"].origin
    assert before.startswith("package_of_mine.learner#")
    (package / "help.py").write_text("factor = 2\n")
    importlib.invalidate_caches()
    registry.add_plugin("package_of_mine.learner")
    assert registry.entries()["learner"].origin != before


class TestMemory:
    @pytest.fixture
    def files(self, tmp_path: Path) -> list[Path]:
        """Three files that were changed long enough ago, as far as their state says."""
        paths = [tmp_path / f"{number}.bin" for number in range(3)]
        for number, path in enumerate(paths):
            path.write_bytes(bytes([number]) * 100)
        return paths

    @pytest.fixture
    def read(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """The files that are read, in any order; what is read counts as settled."""
        seen: list[Path] = []
        original = digests._read
        monkeypatch.setattr(digests, "UNSETTLED", -3600.0)
        monkeypatch.setattr(digests, "_read", lambda path: seen.append(path) or original(path))
        return seen

    def test_a_file_is_read_once(self, files: list[Path], read: list[Path], tmp_path: Path, monkeypatch: Any) -> None:
        found = digests.contents(files, tmp_path / "memory")
        assert len(set(found.values())) == 3
        monkeypatch.setattr(digests, "_known", {})
        assert digests.contents(files, tmp_path / "memory") == found
        assert len(read) == 3
        files[1].write_bytes(b"x" * 100)
        assert digests.contents(files, tmp_path / "memory")[files[1]] != found[files[1]]
        assert len(read) == 4

    def test_a_memory_is_for_those_for_whom_other_files_of_its_folder_are(
        self, files: list[Path], read: list[Path], tmp_path: Path
    ) -> None:
        digests.contents(files, tmp_path / "memory")
        other = tmp_path / "memory/other"
        other.touch()
        assert (tmp_path / "memory" / digests.FILE).stat().st_mode == other.stat().st_mode

    @pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 1, "files": [1]}', b"\xff" * 9])
    def test_a_damaged_memory_is_ignored(
        self, files: list[Path], damage: bytes, tmp_path: Path, monkeypatch: Any
    ) -> None:
        found = digests.contents(files, tmp_path / "memory")
        monkeypatch.setattr(digests, "_known", {})
        (tmp_path / "memory").mkdir(exist_ok=True)
        (tmp_path / "memory" / digests.FILE).write_bytes(damage)
        assert digests.contents(files, tmp_path / "memory") == found

    def test_what_was_just_changed_is_not_remembered(self, files: list[Path], tmp_path: Path) -> None:
        before = digests.contents(files, tmp_path / "memory")
        assert not (tmp_path / "memory" / digests.FILE).exists()
        replace_bytes = files[0].stat()
        files[0].write_bytes(b"y" * 100)
        os.utime(files[0], ns=(replace_bytes.st_atime_ns, replace_bytes.st_mtime_ns))
        assert digests.contents(files, tmp_path / "memory")[files[0]] != before[files[0]]

    def test_beside_data_that_cannot_be_written_to(self, files: list[Path], read: list[Path], tmp_path: Path) -> None:
        (tmp_path / "memory").write_text("a file where the folder should be")
        found = digests.contents(files, tmp_path / "memory")
        assert list((tmp_path / "user-cache").rglob("digests-*.json"))
        digests._known.clear()
        assert digests.contents(files, tmp_path / "memory") == found
        assert len(read) == 3

    @pytest.mark.parametrize(
        ("caches", "home", "there"),
        [("caches", "{}/home", "home/.cache"), ("./c", "home", ""), ("", "", ""), ("{}/caches", "home", "caches")],
    )
    def test_a_folder_for_caches_that_is_relative_does_not_count(
        self, caches: str, home: str, there: str, files: list[Path], tmp_path: Path, monkeypatch: Any
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(digests, "UNSETTLED", -3600.0)
        monkeypatch.setenv("XDG_CACHE_HOME", caches.format(tmp_path))
        monkeypatch.setenv("HOME", home.format(tmp_path))
        (tmp_path / "memory").write_text("a file where the folder should be")
        digests.contents(files, tmp_path / "memory")
        found = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("continual-restoration")]
        assert found == [f"{there}/continual-restoration"] * bool(there)

    @pytest.mark.parametrize("other", [b'{"a.png": "0a1b"}', b"[]", b"name,digest\n"])
    def test_a_file_of_somebody_elses_with_its_name_is_kept(
        self, other: bytes, files: list[Path], read: list[Path], tmp_path: Path
    ) -> None:
        (tmp_path / "memory").mkdir()
        (tmp_path / "memory" / digests.FILE).write_bytes(other)
        digests.contents(files, tmp_path / "memory")
        assert (tmp_path / "memory" / digests.FILE).read_bytes() == other
        assert list((tmp_path / "user-cache").rglob("digests-*.json"))

    def test_nowhere_to_write_is_no_error(self, files: list[Path], tmp_path: Path, monkeypatch: Any) -> None:
        (tmp_path / "memory").write_text("a file")
        (tmp_path / "user-cache").write_text("a file")
        assert len(digests.contents(files, tmp_path / "memory")) == 3

    def test_several_at_once(self, files: list[Path], read: list[Path], tmp_path: Path) -> None:
        found: list[dict[Path, str]] = []
        threads = [
            threading.Thread(target=lambda: found.append(digests.contents(files, tmp_path / "memory")))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 6
        assert all(one == found[0] for one in found)
        assert [path.name for path in (tmp_path / "memory").iterdir()] == [digests.FILE]

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"gone\.png' cannot be opened"):
            digests.contents([tmp_path / "gone.png"], tmp_path)


def test_the_suite_stands_in_the_record_and_not_in_the_identity() -> None:
    import torch

    assert {"suite", "git", "git_changed"} <= environment(torch.device("cpu"), config()).keys()
    assert "git" not in config().model_dump()


EMBEDDED = {"train": {"name": "embedded"}, "test": {"name": "embedded"}}


def snow(digest: str) -> dict[str, Any]:
    return {side: {"name": "snow", "release": "2 pairs", "digest": digest} for side in ("train", "test")}


@pytest.mark.parametrize(
    ("before", "after", "groups"),
    [
        ({"sources": [snow("a")] * 4}, {"sources": [snow("b")] * 4}, 2),
        ({"sources": [EMBEDDED] * 4}, {"sources": [{**EMBEDDED, "test": {"name": "embedded", "digest": "b"}}] * 4}, 2),
        ({}, {"revisions": {"training": 2}}, 2),
        ({}, {"revisions": {"strategy": 2}}, 1),
        ({"plugin": "mine.py#11111111"}, {"plugin": "mine.py#22222222"}, 1),
        ({"backbone_plugin": "net.py#11111111"}, {"backbone_plugin": "net.py#22222222"}, 1),
    ],
)
def test_a_report_does_not_average_what_differs(tmp_path: Path, before: Any, after: Any, groups: int) -> None:
    made_run(tmp_path, **before)
    made_run(tmp_path, seed=1, **before)
    made_run(tmp_path, seed=2, **after)
    found = collect([tmp_path]).groups
    assert len(found) == groups
    entries = [entry for group in found for entry in group.entries]
    assert sorted(len(entry.results) for entry in entries) == [1, 2]
    if groups == 1:
        assert len({entry.label for entry in entries}) == 2


def test_runs_that_do_not_tell_their_revision_are_of_the_first(tmp_path: Path) -> None:
    made_run(tmp_path)
    made_run(tmp_path, seed=1, revisions={"training": 1, "strategy": 1}, plugin="")
    (group,) = collect([tmp_path]).groups
    (entry,) = group.entries
    assert len(entry.results) == 2

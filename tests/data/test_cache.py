import json
import os
import pickle
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import made_datasets as made
import numpy as np
import pytest
import torch
from filelock import FileLock
from made_datasets import brighter, picture, write
from typer.main import get_command

from benchmark.commands.app import app
from benchmark.config import Training
from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from benchmark.core.printing import Plain
from benchmark.data import cache
from benchmark.data.datasets import find
from benchmark.data.degradations import make
from benchmark.data.patches import DegradedPatches
from benchmark.data.pictures import Whole
from benchmark.profiling import patches

LARGE = (100, 90)


@pytest.fixture
def data(tmp_path):
    """A root with five pairs for training and one for testing, and a folder for the cache."""
    for number in range(1, 7):
        side = "test" if number == 6 else "train"
        write(tmp_path / f"data/haze/{side}/target/{number}.png", picture(number, LARGE))
        write(tmp_path / f"data/haze/{side}/input/{number}.png", brighter(picture(number, LARGE)))
    return tmp_path / "data", tmp_path / "cache"


def dataset_in(root):
    return find(root).datasets[0]


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded, in order."""
    seen = []
    read = Whole.read
    monkeypatch.setattr(Whole, "read", lambda self: seen.append(self.path.name) or read(self))
    return seen


class TestContents:
    def test_pictures_are_those_of_the_files(self, data):
        root, folder = data
        dataset = dataset_in(root)
        cache.prepare(dataset, folder)
        clean, degraded = cache.load(dataset, folder), cache.load(dataset, folder, "degraded")
        assert len(clean) == len(degraded) == 5
        for item, one, other in zip(cache.cached_items(dataset), clean, degraded, strict=True):
            assert np.array_equal(one, item.clean.read().pixels)
            assert np.array_equal(other, item.degraded.read().pixels)

    def test_pictures_of_different_sizes(self, tmp_path):
        sizes = [(30, 20), (20, 30), (7, 5)]
        for number, size in enumerate(sizes):
            write(tmp_path / f"mine/{number}.png", picture(number, size))
        dataset = dataset_in(tmp_path)
        cache.prepare(dataset, tmp_path / cache.FOLDER)
        images = cache.load(dataset, tmp_path / cache.FOLDER)
        assert [image.shape for image in images] == [(20, 30, 3), (30, 20, 3), (5, 7, 3)]
        assert np.array_equal(images[-1], picture(2, (7, 5)))
        assert len(images[1:]) == 2
        with pytest.raises(IndexError):
            images[3]

    def test_pictures_are_mapped_and_read_only(self, data):
        root, folder = data
        cache.prepare(dataset_in(root), folder)
        images = cache.load(dataset_in(root), folder)
        assert np.shares_memory(images[0], images._bytes)
        assert np.shares_memory(images[3][5:20, 7:30], images._bytes)
        with pytest.raises(ValueError, match="read-only"):
            images[0][0, 0] = 0

    def test_a_copy_for_another_process_carries_no_pixels(self, data):
        root, folder = data
        cache.prepare(dataset_in(root), folder)
        images = cache.load(dataset_in(root), folder)
        images[0].sum()
        sent = pickle.dumps(images)
        assert len(sent) < 2000
        assert np.array_equal(pickle.loads(sent)[4], images[4])

    def test_patches_are_the_same_from_files_and_from_the_cache(self, data):
        root, folder = data
        dataset = dataset_in(root)
        cache.prepare(dataset, folder)
        sources = (
            DegradedPatches(images, make("jpeg", {"quality": [10, 70]}), 32)
            for images in ([item.clean.read().pixels for item in dataset.split("train")], cache.load(dataset, folder))
        )
        files, cached = ([source.draw(generator("patch", key)) for key in range(20)] for source in sources)
        assert np.array_equal(files, cached)

    def test_the_cache_is_no_dataset(self, data):
        root, _ = data
        before = find(root)
        cache.prepare_all(root)
        assert (root / cache.FOLDER).is_dir()
        assert find(root).datasets == before.datasets
        assert find(root).notes == ()


class TestAgain:
    def test_a_second_run_decodes_nothing(self, data, decoded):
        root, folder = data
        cache.prepare(dataset_in(root), folder)
        assert len(decoded) == 10
        advanced = []
        cache.prepare(dataset_in(root), folder, lambda: advanced.append(1))
        assert len(decoded) == 10
        assert len(advanced) == 10

    def test_it_moves_with_its_data(self, data, decoded, tmp_path):
        root, _ = data
        cache.prepare_all(root)
        root.rename(tmp_path / "moved")
        decoded.clear()
        cache.prepare_all(tmp_path / "moved")
        assert decoded == []

    @pytest.mark.parametrize("stop", range(1, 10))
    def test_an_interrupted_run_goes_on_after_the_last_whole_picture(self, data, decoded, monkeypatch, stop):
        root, folder = data
        dataset = dataset_in(root)

        def interrupt():
            if len(decoded) == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            cache.prepare(dataset, folder, interrupt)
        with pytest.raises(UserError, match=r"does not exist\. Write it with: python -m benchmark data prepare"):
            cache.load(dataset, folder, "clean" if stop < 5 else "degraded")
        cache.prepare(dataset, folder)
        assert len(decoded) == 10
        place = cache.prepare(dataset, folder)
        assert sorted(path.name for path in place.iterdir()) == [
            *("clean.json", "clean.rgb", "degraded.json", "degraded.rgb", "lock")
        ]
        assert np.array_equal(cache.load(dataset, folder, "degraded")[4], brighter(picture(5, LARGE)))

    @pytest.mark.parametrize("damage", ["cut", "changed", "half a line", "no text", "no journal"])
    def test_what_an_interruption_left_damaged_is_decoded_again(self, data, decoded, damage):
        root, folder = data
        dataset = dataset_in(root)
        with pytest.raises(ZeroDivisionError):
            cache.prepare(dataset, folder, lambda: 1 / (3 - len(decoded)))
        part = next(folder.rglob("clean.rgb.part"))
        journal = next(folder.rglob("clean.journal"))
        if damage == "cut":
            part.write_bytes(part.read_bytes()[:-1])
        elif damage == "changed":
            content = bytearray(part.read_bytes())
            content[-1] ^= 1
            part.write_bytes(content)
        elif damage == "half a line":
            journal.write_text(journal.read_text()[:-40])
        elif damage == "no text":
            journal.write_bytes(journal.read_bytes()[:-40] + b"\xff" * 40)
        else:
            journal.unlink()
        cache.prepare(dataset, folder)
        assert decoded[3] == ("1.png" if damage == "no journal" else "3.png")
        for number, image in enumerate(cache.load(dataset, folder), start=1):
            assert np.array_equal(image, picture(number, LARGE))

    @pytest.mark.parametrize("change", ["content", "time", "removed", "size"])
    def test_changed_sources_make_it_stale(self, data, change):
        root, folder = data
        cache.prepare(dataset_in(root), folder)
        path = root / "haze/train/target/2.png"
        if change == "content":
            write(path, picture("new", LARGE))
        elif change == "time":
            os.utime(path, ns=(1, 1))
        elif change == "removed":
            path.unlink()
            (root / "haze/train/input/2.png").unlink()
        else:
            write(path, picture(2, (95, 90)))
            write(root / "haze/train/input/2.png", brighter(picture(2, (95, 90))))
        dataset = dataset_in(root)
        with pytest.raises(UserError, match="does not fit its files any more"):
            cache.load(dataset, folder)
        cache.prepare(dataset, folder)
        for item, image in zip(dataset.split("train"), cache.load(dataset, folder), strict=True):
            assert np.array_equal(image, item.clean.read().pixels)

    def test_other_pixels_that_look_unchanged_make_it_stale(self, tmp_path):
        """A picture of equal size whose time of change was set back, as some copying programs do."""
        path = write(tmp_path / "mine/train/1.bmp", picture(1, LARGE))
        before = path.stat()
        cache.prepare(dataset_in(tmp_path), tmp_path / "cache")
        write(path, picture(2, LARGE))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
        with pytest.raises(UserError, match="does not fit its files any more"):
            cache.load(dataset_in(tmp_path), tmp_path / "cache")
        cache.prepare(dataset_in(tmp_path), tmp_path / "cache")
        assert np.array_equal(cache.load(dataset_in(tmp_path), tmp_path / "cache")[0], picture(2, LARGE))

    @pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 0}'])
    def test_a_damaged_index_is_written_anew(self, data, damage):
        root, folder = data
        dataset = dataset_in(root)
        place = cache.prepare(dataset, folder)
        (place / "clean.json").write_bytes(damage)
        cache.prepare(dataset, folder)
        assert json.loads((place / "clean.json").read_text())["format"] == cache.FORMAT


class TestRefused:
    def test_a_dataset_with_problems(self, data):
        root, folder = data
        (root / "haze/train/input/3.png").unlink()
        with pytest.raises(UserError, match=r"haze in .* cannot be used:\n.*target/3\.png' has no degraded partner"):
            cache.prepare(dataset_in(root), folder)

    def test_a_truncated_file_is_named_and_can_be_mended(self, data):
        root, folder = data
        path = root / "haze/train/target/4.png"
        whole = path.read_bytes()
        path.write_bytes(whole[:300])
        with pytest.raises(UserError, match=r"target/4\.png' cannot be read"):
            cache.prepare(dataset_in(root), folder)
        path.write_bytes(whole)
        cache.prepare(dataset_in(root), folder)
        assert len(cache.load(dataset_in(root), folder)) == 5

    def test_a_place_that_cannot_be_written(self, data):
        root, folder = data
        folder.write_text("a file where the folder should be")
        with pytest.raises(UserError, match=r"cannot be written: .* Choose another folder with --cache DIR"):
            cache.prepare(dataset_in(root), folder)

    def test_a_place_where_nothing_may_be_written_serves_as_long_as_it_fits(self, data, decoded, monkeypatch):
        root, folder = data
        place = cache.prepare(dataset_in(root), folder)
        decoded.clear()

        def refused(path):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(cache, "FileLock", refused)
        assert cache.prepare(dataset_in(root), folder) == place
        assert decoded == []
        (root / "haze/train/input/3.png").write_bytes((root / "haze/train/input/4.png").read_bytes())
        with pytest.raises(UserError, match=r"cannot be written: Permission denied\. Choose another folder"):
            cache.prepare(dataset_in(root), folder)

    @pytest.mark.parametrize("place", ["data/.cache-continual-restoration", "my cache", "-cache"])
    def test_the_hint_writes_the_cache_that_is_read(self, data, place, tmp_path, monkeypatch):
        root, _ = data
        monkeypatch.chdir(tmp_path)
        folder = Path(place)
        with pytest.raises(UserError, match="Write it with") as caught:
            cache.load(dataset_in(root), folder)
        words = shlex.split(str(caught.value).partition("with: ")[2])
        get_command(app).main(words[words.index("data") :], standalone_mode=False)
        assert len(cache.load(dataset_in(root), folder)) == 5

    def test_too_little_space(self, data, monkeypatch):
        root, folder = data
        usage = cache.shutil.disk_usage(root)
        monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage._replace(free=1000))
        with pytest.raises(UserError, match=r"needs 0\.0 GB and 0\.0 GB are free"):
            cache.prepare(dataset_in(root), folder)

    def test_two_processes_at_once(self, data):
        root, folder = data
        place = cache.prepare(dataset_in(root), folder)
        hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print('held', flush=True); input()"
        with subprocess.Popen(
            [sys.executable, "-c", hold, str(place / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            other.stdout.readline()
            with pytest.raises(UserError, match="Another process is writing the cache"):
                cache.prepare(dataset_in(root), folder)
            other.communicate("\n")
        cache.prepare(dataset_in(root), folder)

    def test_a_command_waits_for_another_that_writes_the_cache(self, data, decoded, capsys):
        root, folder = data
        (dataset,) = find(root).datasets
        cache._place(dataset, folder).mkdir(parents=True)
        waiting = [
            threading.Thread(target=cache.prepare_all, args=(root, folder, Plain())),
            threading.Thread(target=cache.prepare_shown, args=(dataset, folder)),
        ]
        with FileLock(cache._place(dataset, folder) / "lock"):
            for one in waiting:
                one.start()
            time.sleep(0.3)
            before = len(decoded)
        for one in waiting:
            one.join()
        assert (before, len(decoded)) == (0, 10), "by one of them, and the other finds it done"
        assert f"Another process is writing the cache '{cache._place(dataset, folder)}'" in capsys.readouterr().out


class TestAll:
    def test_one_bad_dataset_does_not_stop_the_others(self, data):
        root, _ = data
        made.bsd68_original(root)
        made.rain_flat(root)
        (root / "RainTrainL/rain-1.png").unlink()
        prepared = {one.dataset.name: one for one in cache.prepare_all(root)}
        assert prepared["haze"].place.parent == root / cache.FOLDER
        assert (prepared["CBSD68"].place, prepared["CBSD68"].problem) == (None, "")
        assert "norain-1.png' has no degraded partner" in prepared["Rain100L"].problem

    def test_what_cannot_be_listed_is_told(self, data):
        root, _ = data
        (root / "snow/train").mkdir(parents=True)
        (root / "snow/train/a.png").symlink_to(root / "nowhere.png")
        whole, problem = cache.prepare_all(root)
        assert (whole.dataset.name, whole.problem) == ("haze", "")
        assert (problem.dataset, problem.place) == (None, None)
        assert "snow/train/a.png' cannot be opened" in problem.problem
        assert get_command(app).main(["data", "prepare", str(root)], standalone_mode=False) == 1

    def test_nothing_to_prepare_is_an_error(self, tmp_path):
        with pytest.raises(UserError, match="holds no images"):
            cache.prepare_all(tmp_path)


class TestProfile:
    @pytest.mark.slow
    def test_tells_what_a_patch_costs_and_the_share_of_a_step(self):
        training = Training(batch_size=8, patch_size=48)
        rows = patches.profile(training, torch.device("cpu"), step_ms=100, repeats=1)
        assert [row.degradation for row in rows] == ["untouched", "noise", "jpeg", "blur", "rain"]
        for row in rows:
            assert row.share == pytest.approx(8 * row.cached / 100)
            assert row.per_second == pytest.approx(1000 / row.cached)
            for part in (row.drawn, row.computed):
                assert (part is None) == (row.degradation in ("untouched", "jpeg")), "what a device cannot compute"
                assert part is None or part > 0

"""What ``data check`` finds: sizes, conversions, inputs, leaks, and what it says of real datasets."""

import re
from pathlib import Path

import made_datasets as made
import numpy as np
import pytest
from made_datasets import picture, write
from rich.console import Console

from benchmark.core.errors import UserError
from benchmark.data.checks import leaks, view
from benchmark.data.checks.check import check
from benchmark.data.datasets import find
from benchmark.data.photographs import embedded

SHARED = Path(__file__).parents[3] / "shared/data"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the small real sets beside the repository")


@pytest.fixture
def root(tmp_path):
    """A data root whose own name says nothing of a side."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


class TestCheck:
    def test_exchanged_sides_of_rain_are_noticed(self, root):
        made.rain_two_folders(root, "norain", "rain")
        assert any("the two sides may be exchanged" in problem for problem in check(root).problems)

    def test_equal_sides_are_noticed(self, root):
        for folder in ("input", "target"):
            write(root / f"haze/{folder}/a.png", picture(1))
        assert "holds the same picture twice" in check(root).problems[0]

    def test_a_single_image_of_no_side_is_noted(self, root):
        write(root / "haze/input/a.png", picture(1))
        write(root / "haze/target/a.png", picture(2))
        report = check(root)
        assert report.problems == ()
        assert any("haze in " in note and "one more is needed for validation" in note for note in report.notes)
        write(root / "haze/input/b.png", picture(3))
        write(root / "haze/target/b.png", picture(4))
        assert not any("validation" in note for note in check(root).notes)

    @pytest.mark.parametrize("other", ["old/haze", "old/Haze"])
    def test_two_datasets_of_one_name_are_refused_as_a_run_does(self, root, other):
        for place, folder in enumerate(("new/haze", other)):
            for side, image in (("input", 1), ("target", 2)):
                write(root / folder / side / "a.png", picture(10 * place + image))
        assert any("2 datasets have one name" in problem and "old/" in problem for problem in check(root).problems)
        with pytest.raises(UserError, match="not one dataset but 2"):
            find(root).dataset("haze")

    def test_a_changed_copy_of_a_known_test_set_is_noticed(self, root):
        made.bsd68_original(root)
        report = check(root)
        assert len(report.problems) == 3
        assert "CBSD68, jpeg quality=20: the degraded test images have" in report.problems[1]
        assert "28.15 dB on RGB are expected" in report.problems[1]

    def test_sizes_and_input_psnr(self, root):
        made.rain_two_folders(root, "rain", "norain")
        (root / "Rain100L").rename(root / "streets")
        report = check(root)
        assert report.problems == ()
        assert report.datasets[0].sizes == {(24, 16): 15}
        (measured,) = report.datasets[0].inputs
        assert measured.psnr == pytest.approx(20 * np.log10(255 / 20))
        assert measured.reference is None

    def test_a_file_of_two_pictures_is_converted_once(self, root):
        clean = picture("grey", (481, 321))[:, :, 0] // 2
        write(root / "rain/test/1.png", np.concatenate([clean, clean + 20], axis=1))
        (found,) = check(root).datasets
        assert (found.dataset.release, found.conversions) == (
            "rain pairs, 1 test pair",
            {"grey to three equal channels": 1},
        )

    def test_training_images_in_a_test_set(self, root):
        one, two, three, *_ = (photograph.image for photograph in embedded("train"))
        write(root / "train/exact.png", one[:200, :300])
        write(root / "train/near.jpg", two[100:300:2, 100:400:2])
        write(root / "train/other.png", three[:200, :300])
        write(root / "test/1.png", one[:200, :300])
        write(root / "test/2.png", two[100:300, 100:400])
        found = check(root).leaks
        assert len(found) == 2
        assert re.search(r"train/exact\.png' equals test image '1\.png'", found[0])
        assert re.search(r"train/near\.jpg' nearly equals test image '2\.png'", found[1])

    def test_a_training_image_in_several_test_sets_is_one(self, root):
        one = embedded("train")[0].image[:100, :120]
        write(root / "mine/train/a.png", one)
        write(root / "mine/train/other.png", picture("other", (120, 100)))
        for number in range(4):
            write(root / f"mine/test/{number}.png", one)
        write(root / "holidays/test/near.png", one[::2, ::2])
        report = check(root)
        console = Console(record=True, width=200)
        view.render(report, console)
        printed = console.export_text()
        assert "1 training image also stands in a test set (1):" in printed
        assert "No problem found" not in printed
        assert "No other problem found; results on test images that were trained on flatter." in printed
        (told,) = report.leaks
        assert re.search(r"a\.png' nearly equals test image 'near\.png' of holidays, equals test image '0\.png'", told)
        assert told.endswith("equals test image '1.png' of mine, and 2 more.")

    def test_a_copy_among_a_thousand_images_is_found(self):
        def prints(key, count):
            signs = np.random.default_rng(key).random((count, 255)) > 0.5
            return [leaks.Fingerprint(bytes([key]) + str(i).encode(), row) for i, row in enumerate(signs)]

        train, test = prints(1, 900), prints(2, 100)
        assert leaks.find([*train, test[42]], test) == [leaks.Leak(900, 42, True)]

    @pytest.mark.parametrize("turns", range(4))
    @pytest.mark.parametrize("mirrored", [False, True])
    def test_a_turned_or_mirrored_copy_is_found_and_a_part_is_not(self, turns, mirrored):
        image = embedded("test")[0].image[:250, :400]
        copy = np.rot90(image[:, ::-1] if mirrored else image, turns)
        others = [photograph.image for photograph in embedded("train")]
        train = [leaks.fingerprint(np.ascontiguousarray(one)) for one in (*others, copy, image[50:200, 90:330])]
        exact = turns == 0 and not mirrored
        assert leaks.find(train, [leaks.fingerprint(image)]) == [leaks.Leak(len(others), 0, exact)]

    def test_flat_images_are_alike_only_if_equal(self):
        flat = [leaks.fingerprint(np.full((40, 40, 3), value, np.uint8)) for value in (0, 7, 7)]
        assert leaks.find(flat[:1], flat[1:]) == []
        assert leaks.find(flat[1:2], flat[2:]) == [leaks.Leak(0, 0, True)]


@shared
class TestSharedData:
    def test_what_is_found(self):
        survey = find(SHARED)
        assert survey.problems == ()
        assert {dataset.name: dataset.release for dataset in survey.datasets} == {
            "CBSD68": "68 test photographs",
            "rain_sample": "rain pairs, 20 training pairs, 5 test pairs",
        }

    @pytest.mark.slow
    def test_check_agrees_with_the_references_and_finds_the_leaks(self):
        report = check(SHARED)
        assert report.problems == ()
        inputs = {(one.dataset, one.setting): one for result in report.datasets for one in result.inputs}
        for setting, expected in (("noise std=50", 15.00), ("jpeg quality=20", 28.15), ("blur std=2.5", 23.82)):
            assert inputs["CBSD68", setting].psnr == pytest.approx(expected, abs=0.01)
        assert len(report.leaks) == 9
        assert all("equals test image" in leak and "nearly" not in leak for leak in report.leaks)

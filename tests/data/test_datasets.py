import os
import re

import made_datasets as made
import numpy as np
import pytest
from made_datasets import brighter, picture, write, write_pair
from made_runs import made_run
from rich.console import Console
from scipy.io import savemat

import reports
from benchmark.core.errors import UserError
from benchmark.data.checks import view
from benchmark.data.checks.check import check
from benchmark.data.datasets import bsd68, find, tree


@pytest.fixture
def root(tmp_path):
    """A data root whose own name says nothing of a side."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def only(root):
    survey = find(root)
    assert survey.problems == ()
    assert len(survey.datasets) == 1
    return survey.datasets[0]


def names(dataset, split):
    return [item.name for item in dataset.split(split)]


def assert_paired(dataset):
    """Every degraded picture is its own clean one under the tests' rain, so no pair is crossed."""
    assert dataset.problems == ()
    for item in dataset.items:
        clean = item.clean.read().pixels
        assert np.array_equal(item.degraded.read().pixels, brighter(clean))
        assert item.size() == clean.shape[1::-1]


class TestDIV2K:
    def test_in_its_folders(self, root):
        made.div2k_folders(root / "DIV2K")
        dataset = only(root)
        assert (dataset.family, dataset.name) == ("div2k", "DIV2K")
        assert names(dataset, "train") == ["0001", "0002", "0800"]
        assert names(dataset, "test") == ["0801", "0900"]
        assert dataset.release == "3 training photographs, 2 test photographs"
        assert "797 of 800 training photographs are missing: 0003, 0004" in dataset.notes[0]
        assert "DIV2K_train_LR_bicubic' holds low-resolution pictures and is left out" in dataset.notes[2]
        assert np.array_equal(dataset.items[1].clean.read().pixels, picture(2))

    def test_in_one_folder_it_is_split_by_number(self, root):
        made.div2k_one_folder(root)
        dataset = only(root)
        assert (names(dataset, "train"), names(dataset, "test")) == (["0001", "0800"], ["0801", "0900"])

    @pytest.mark.parametrize(
        ("name", "side"),
        [("RainTrainL", "train"), ("trainset", "train"), ("unconstrained", "undivided"), ("testset", "test")],
    )
    def test_a_folders_name_says_its_side(self, root, name, side):
        write(root / f"{name}/a.png", picture("a"))
        assert names(only(root), side) == ["a.png"]

    def test_low_resolution_pictures_in_a_folder_for_a_factor_are_left_out(self, root):
        write(root / "DIV2K_valid_LR_bicubic/X2/0801.png", picture("small"))
        assert not any(found.family == "div2k" for found in find(root).datasets)

    def test_complete_numbering_needs_no_name(self, root):
        for number in range(1, 901):
            path = root / f"photos/{number:04}.png"
            path.parent.mkdir(exist_ok=True)
            path.touch()
        dataset = only(root)
        assert dataset.release == "800 training photographs, 100 test photographs"
        assert dataset.notes == ()

    def test_crops(self, root):
        made.div2k_crops(root)
        dataset = only(root)
        assert dataset.name == "DIV2K crops"
        assert dataset.release == "sub-images of 3 photographs, 3 training crops, 1 test crop"

    def test_a_test_photograph_in_the_training_folder_is_a_problem(self, root):
        made.div2k_folders(root)
        write(root / "DIV2K_train_HR/0850.png", picture(850))
        with pytest.raises(UserError, match=r"0850\.png' stands in the wrong folder: 0001 to 0800 are expected"):
            find(root).dataset("DIV2K")


class TestRain100L:
    @pytest.mark.parametrize("layout", [made.rain_above, made.rain_beside])
    def test_rainy_with_norain_above_or_beside(self, root, layout):
        layout(root)
        dataset = only(root)
        assert (dataset.family, dataset.name, dataset.release) == ("rain100l", "Rain100L", "3 test pairs")
        assert names(dataset, "test") == ["001", "002", "003"]
        assert_paired(dataset)

    def test_flat_without_the_masks(self, root):
        made.rain_flat(root)
        dataset = only(root)
        assert (dataset.name, dataset.release) == ("Rain100L", "11 training pairs")
        assert names(dataset, "train")[-1] == "011"
        assert dataset.notes == ("22 masks (rainregion-*, rainstreak-*) are left out.",)
        assert_paired(dataset)

    @pytest.mark.parametrize("rainy", ["rain", "rainy"])
    @pytest.mark.parametrize("clean", ["norain", "gt"])
    @pytest.mark.parametrize("name", ["norain-{}.png", "rain-{}.png", "norain-{:03}x2.png"])
    def test_two_folders_below_train_and_test(self, root, rainy, clean, name):
        made.rain_two_folders(root, rainy, clean, name)
        dataset = only(root)
        assert (dataset.name, dataset.release) == ("Rain100L", "12 training pairs, 3 test pairs")
        assert_paired(dataset)

    def test_the_second_release(self, root):
        made.rain_second_release(root)
        dataset = only(root)
        assert (dataset.name, dataset.release) == ("Rain100L", "2 training pairs, 2 test pairs")
        assert_paired(dataset)

    def test_training_and_test_side_of_different_layouts_are_one_dataset(self, root):
        made.rain_flat(root / "train")
        made.rain_input_target(root)
        dataset = only(root)
        assert dataset.release == "11 training pairs, 3 test pairs"
        assert dataset.layout == "rain-N and norain-N in one folder + input/ and target/"
        assert dataset.root == root

    @pytest.mark.slow
    @pytest.mark.parametrize(("pairs", "words"), [(200, "200 training pairs"), (1800, "1,800 training pairs")])
    def test_both_releases_are_told_apart(self, root, pairs, words):
        folder = root / "RainTrainL"
        folder.mkdir()
        for number in range(1, pairs + 1):
            (folder / f"rain-{number}.png").touch()
            (folder / f"norain-{number}.png").touch()
        assert only(root).release == words

    def test_side_by_side(self, root):
        made.rain_side_by_side(root)
        dataset = only(root)
        assert (dataset.family, dataset.release) == ("rain100l", "rain pairs, 2 test pairs")
        assert_paired(dataset)

    def test_heavy_rain_is_not_called_rain100l(self, root):
        made.rain_flat(root, "RainTrainH")
        assert only(root).name == "Rain100H"

    def test_pairs_without_the_name_are_called_after_their_folder(self, root):
        made.rain_two_folders(root, "rain", "norain")
        (root / "Rain100L").rename(root / "streets")
        dataset = only(root)
        assert (dataset.name, dataset.release) == ("streets", "rain pairs, 12 training pairs, 3 test pairs")

    def test_a_missing_partner_is_named_on_either_side(self, root):
        made.rain_flat(root)
        (root / "RainTrainL/norain-7.png").unlink()
        (root / "RainTrainL/rain-9.png").unlink()
        dataset = only(root)
        assert len(dataset.items) == 9
        assert re.search(r"norain-9\.png' has no degraded partner", dataset.problems[0])
        assert re.search(r"/rain-7\.png' has no clean partner", dataset.problems[1])
        with pytest.raises(UserError, match=r"Rain100L in .*RainTrainL' cannot be used:\n.*norain-9"):
            find(root).dataset("Rain100L")

    def test_the_same_number_twice_and_a_stranger_are_problems(self, root):
        made.rain_flat(root)
        write(root / "RainTrainL/rain-007.png", picture("again"))
        write(root / "RainTrainL/cover.png", picture("cover"))
        problems = "\n".join(only(root).problems)
        assert re.search(r"rain-7\.png' and '.*rain-007\.png' have the same number", problems)
        assert re.search(r"cover\.png' does not fit the names around it", problems)


class TestBSD68:
    @pytest.mark.parametrize("layout", [made.bsd68_original, made.bsd68_counted])
    def test_in_colour(self, root, layout):
        layout(root)
        dataset = only(root)
        assert (dataset.name, dataset.release, dataset.problems) == ("CBSD68", "68 test photographs", ())

    def test_noisy_copies_are_left_out(self, root):
        made.bsd68_counted(root)
        assert "noisy50' holds noisy copies" in only(root).notes[0]

    def test_original_numbers_need_no_name(self, root):
        made.bsd68_original(root)
        (root / "CBSD68").rename(root / "photos")
        assert only(root).name == "CBSD68"

    def test_a_missing_photograph_is_named(self, root):
        made.bsd68_original(root)
        (root / "CBSD68/3096.png").unlink()
        assert re.search(r"67 of the 68 photographs\. Missing: 3096\.", only(root).problems[0])

    @pytest.mark.parametrize("channels", [1, 3])
    def test_grey_is_refused_with_the_reason(self, root, channels):
        made.bsd68_grey(root)
        if channels == 3:
            for path in (root / "BSD68").iterdir():
                write(path, np.repeat(picture(path.name)[:, :, :1], 3, axis=2))
        assert only(root).name == "BSD68 (grey)"
        with pytest.raises(UserError, match=r"is the grey BSD68\. Every task here is in colour"):
            find(root).dataset("bsd68")

    def test_one_grey_photograph_among_colour_ones_is_refused(self, root):
        made.bsd68_original(root)
        write(root / "CBSD68/3096.png", picture(1)[:, :, 0])
        report = check(root)
        assert [problem for problem in report.problems if "3096.png' is a grey image" in problem]

    def test_68_numbers(self):
        assert len(bsd68.NUMBERS) == bsd68.COUNT


class TestSIDD:
    @pytest.mark.parametrize(("edition", "instances"), [("Medium", 2), ("Small", 1)])
    def test_nested_scenes(self, root, edition, instances):
        made.sidd_scenes(root, f"SIDD_{edition}_sRGB_Only", instances)
        dataset = only(root)
        assert (dataset.name, dataset.release) == ("SIDD", f"{edition}, {2 * instances} training pairs")
        assert_paired(dataset)

    @pytest.mark.parametrize("clean", ["target_crops", "gt_crops"])
    def test_crops(self, root, clean):
        made.sidd_crops(root, clean)
        dataset = only(root)
        assert dataset.release == "crops, 2 training pairs, 2 test pairs"
        assert_paired(dataset)

    def test_validation_blocks_join_the_scenes(self, root):
        made.sidd_scenes(root)
        clean = made.sidd_blocks(root / "validation")
        dataset = only(root)
        assert dataset.release == "Medium + validation blocks, 4 training pairs, 6 test pairs"
        assert names(dataset, "test")[4] == "02-02"
        assert np.array_equal(dataset.split("test")[4].clean.read().pixels, clean[1, 1])
        assert_paired(dataset)

    def test_half_of_the_blocks_is_a_problem(self, root):
        made.sidd_blocks(root)
        (root / "ValidationGtBlocksSrgb.mat").unlink()
        assert "lacks ValidationGtBlocksSrgb.mat" in only(root).problems[0]

    def test_a_damaged_or_strange_mat_file_is_a_problem(self, root):
        made.sidd_blocks(root)
        path = root / "ValidationGtBlocksSrgb.mat"
        whole = path.read_bytes()
        for length in (300, 100, 0):
            path.write_bytes(whole[:length])
            problems = check(root).problems
            assert len(problems) == 1
            assert "Srgb.mat' cannot be read as a MATLAB file" in problems[0]
        savemat(path, {"ValidationGtBlocksSrgb": np.zeros((2, 3, 16, 24, 3))})
        assert "it holds double of shape (2, 3, 16, 24, 3)" in only(root).problems[0]

    def test_a_missing_partner_is_named(self, root):
        made.sidd_scenes(root)
        next(root.rglob("0002_GT_SRGB_011.PNG")).unlink()
        assert re.search(r"0002_NOISY_SRGB_011\.PNG' has no clean partner", only(root).problems[0])


class TestFolders:
    def test_clean_images_with_any_name(self, root):
        write(root / "holidays/mit Leerzeichen.png", picture(1))
        write(root / "holidays/雨 [red].PNG", picture(2))
        dataset = only(root)
        assert (dataset.family, dataset.name, dataset.release) == ("clean", "holidays", "2 images")
        assert names(dataset, "undivided") == ["mit Leerzeichen.png", "雨 [red].PNG"]

    def test_train_and_test_by_name(self, root):
        write(root / "mine/train/a.png", picture(1))
        write(root / "mine/test/b.png", picture(2))
        dataset = only(root)
        assert dataset.release == "1 training image, 1 test image"

    def test_pairs_with_equal_names(self, root):
        for name in ("a", "b"):
            write_pair(root / f"haze/train/input/{name}.png", root / f"haze/train/target/{name}.png", name)
        dataset = only(root)
        assert (dataset.family, dataset.name, dataset.release) == ("pairs", "haze", "2 training pairs")
        assert_paired(dataset)

    def test_two_folders_of_unknown_sides_are_refused(self, root):
        write_pair(root / "one/a.png", root / "two/a.png", 1)
        assert re.search(r"'.*one' and '.*two' hold equal names, but not which side is clean", only(root).problems[0])

    def test_equal_names_in_train_and_test_are_no_pairs(self, root):
        write(root / "mine/train/1.png", picture(1))
        write(root / "mine/test/1.png", picture(2))
        assert only(root).release == "1 training image, 1 test image"

    def test_a_degraded_side_alone_is_not_taken_for_clean_images(self, root):
        write(root / "haze/noisy/1.png", picture(1))
        assert "noisy' is named like the degraded side of pairs" in only(root).problems[0]

    def test_several_datasets_under_one_root(self, root):
        for layout in (made.div2k_folders, made.bsd68_original, made.rain_above, made.sidd_scenes):
            layout(root)
        write(root / "mine/a.png", picture(1))
        found = [dataset.name for dataset in find(root).datasets]
        assert sorted(found) == ["CBSD68", "DIV2K", "Rain100L", "SIDD", "mine"]
        assert find(root).dataset("cbsd68").name == find(root).dataset("bsd68").name == "CBSD68"
        with pytest.raises(UserError, match=r"Unknown dataset under '.*data': 'CBSD86'\. Did you mean 'CBSD68'"):
            find(root).dataset("CBSD86")


class TestHostileTrees:
    """Each ends in a precise problem or a documented conversion; nothing hangs, nothing is skipped in silence."""

    def test_an_empty_folder(self, root):
        report = check(root)
        assert re.fullmatch(r"'.*data' holds no images\.", report.problems[0])
        with pytest.raises(UserError, match="is not a folder"):
            find(root / "nowhere")

    def test_links_pipes_and_other_files(self, root):
        write(root / "mine/a.png", picture(1))
        (root / "mine/up").symlink_to(root)
        (root / "mine/self.png").symlink_to(root / "mine/self.png")
        (root / "mine/gone.png").symlink_to(root / "nothing.png")
        os.mkfifo(root / "mine/pipe.png")
        (root / "mine/scan.tif").touch()
        report = check(root)  # which would wait for ever if it opened the pipe
        problems = "\n".join(report.problems)
        assert len(report.problems) == 3
        for name, reason in (("self", "symbolic links"), ("gone", "No such file"), ("pipe", "not a regular file")):
            assert re.search(rf"{name}\.png' .*{reason}", problems)
        assert re.search(r"up' leads to '.*data', which is listed already", report.notes[0])
        assert ".tif (1)" in report.notes[1]

    def test_a_linked_dataset_is_found(self, root, tmp_path):
        made.bsd68_original(tmp_path / "elsewhere")
        (root / "bsd").symlink_to(tmp_path / "elsewhere")
        assert only(root).name == "CBSD68"

    def test_a_linked_folder_goes_by_the_name_of_its_link_too(self, root, tmp_path):
        for name in ("rain", "snow"):
            write(tmp_path / f"disk/{name}/v2/train/a.png", picture(f"{name} train"))
            write(tmp_path / f"disk/{name}/v2/test/b.png", picture(f"{name} test"))
            root.mkdir(exist_ok=True)
            (root / name).symlink_to(tmp_path / f"disk/{name}/v2")
        for name in ("rain", "snow"):
            assert find(root).dataset(name).root == root / name
        with pytest.raises(UserError, match="not one dataset but 2"):
            find(root).dataset("v2")
        write(root / "v2/train/c.png", picture("own"))
        (root / "snow").unlink()
        (root / "rain").unlink()
        (root / "v3").symlink_to(root / "v2")
        assert find(root).dataset("v2").root == root / "v2/train"

    def test_runs_and_reports_in_a_data_root_are_no_datasets(self, root):
        for side in ("train", "test"):
            write(root / f"mine/{side}/{side}.png", picture(side))
        for number in range(2):
            made_run(root / "runs", seed=number)
            reports.build([root / "runs"], root / f"report{number}")
        report = check(root)
        assert [one.dataset.name for one in report.datasets] == ["mine"]
        assert not report.leaks
        assert [one for one in report.problems if "single" not in one] == []
        assert report.notes == ("What the suite itself has written is left out: 2 reports, 2 runs.",)
        (root / "mine/train/files.txt").write_text("a.png\n")
        assert "mine" in [one.name for one in find(root).datasets]

    def test_too_many_files_or_folders(self, root, monkeypatch):
        made.bsd68_original(root)
        monkeypatch.setattr(tree, "ENTRIES", 60)
        with pytest.raises(UserError, match="More than 60 files"):
            find(root)
        monkeypatch.setattr(tree, "ENTRIES", 10**6)
        write(root.joinpath(*"abcdefghijklmnop") / "a.png", picture(1))
        assert "folders deep and is not listed" in find(root).problems[0]

    def test_sizes_that_differ_within_a_pair(self, root):
        write_pair(root / "haze/input/a.png", root / "haze/target/a.png", 1)
        write(root / "haze/input/a.png", picture(1, (20, 16)))
        assert re.search(r"'a' differs in size: '.*target/a\.png' is 24×16, .*is 20×16", check(root).problems[0])

    def test_every_bad_file_is_named_and_every_conversion_told(self, root):
        write(root / "mine/fine.png", picture(1))
        write(root / "mine/grey.png", picture(2)[:, :, 0])
        (root / "mine/deep.png").write_bytes(made.sixteen_bit_png(picture(3).astype(np.uint16) * 257))
        cut = write(root / "mine/cut.png", picture(4))
        cut.write_bytes(cut.read_bytes()[:200])
        (root / "mine/bomb.png").write_bytes(made.png(50_000, 50_000, 8, 2, b""))
        report = check(root)
        assert len(report.problems) == 2
        assert re.search(r"bomb\.png' claims 50000×50000 pixels", report.problems[0])
        assert re.search(r"cut\.png' cannot be read, it may be truncated", report.problems[1])
        assert report.datasets[0].conversions == {"16 bits to 8": 1, "grey to three equal channels": 1}

    def test_names_are_printed_as_they_are(self, root):
        write(root / "mine[/red]/a\x1b[31m.png", picture(1)).write_bytes(b"")
        console = Console(record=True, width=200)
        view.render(check(root), console)
        text = console.export_text()
        assert "mine[/red]" in text
        assert "\\x1b[31m.png' is empty" in text
        assert "\x1b" not in text

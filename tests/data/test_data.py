import itertools
import math

import numpy as np
import pytest

from benchmark.config import Data
from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from benchmark.core.images import centre, to_float, to_uint8
from benchmark.data import patches, photographs
from benchmark.data.checks.leaks import find, fingerprint
from benchmark.data.dead_leaves import _pile, _texture, dead_leaves, radii
from benchmark.data.degradations import CONTEXT, Degradation, make
from benchmark.data.degradations.blur import GaussianBlur
from benchmark.data.degradations.jpeg import JPEG
from benchmark.data.degradations.noise import GaussianNoise
from benchmark.data.degradations.rain import Rain
from benchmark.data.patches import DegradedPatches, PairedPatches, Squares
from benchmark.data.photographs import Photograph, embedded

SPLITS = ("train", "validation", "test")
CHOICES = ("few", "all")


class Recorder(Degradation):
    """Changes nothing, and keeps what it was given."""

    def numbers(self, height, width, rng):
        return None

    def apply(self, image, numbers):
        _seen.append(image)
        return image


_seen: list[np.ndarray] = []


class TestPhotographs:
    @pytest.mark.parametrize("choice", CHOICES)
    @pytest.mark.parametrize("split", SPLITS)
    def test_are_rgb_and_read_only(self, split, choice):
        for photograph in embedded(split, choice):
            assert photograph.image.dtype == np.uint8
            assert photograph.image.ndim == 3
            assert photograph.image.shape[2] == 3
            with pytest.raises(ValueError, match="read-only"):
                photograph.image[0, 0] = 0

    def test_names_are_on_one_side_only(self):
        names = [photograph.name for split in SPLITS for photograph in embedded(split)]
        assert len(names) == len(set(names)) == 11
        names = [photograph.name for split in SPLITS for photograph in embedded(split, "all")]
        assert len(names) == len(set(names)) == 24

    def test_all_begin_with_the_few_and_train_on_the_same(self):
        for split, more in zip(SPLITS, (0, 8, 5), strict=True):
            few, every = embedded(split), embedded(split, "all")
            assert len(every) == len(few) + more
            assert all(one is two or np.array_equal(one.image, two.image) for one, two in zip(few, every, strict=False))
            assert [one.name for one in every[: len(few)]] == [one.name for one in few]

    def test_what_all_adds_is_grey_and_large_enough_to_measure(self):
        for split in SPLITS:
            for photograph in embedded(split, "all"):
                image = photograph.image
                assert min(image.shape[:2]) >= 160
                if photograph.name in photographs._MORE:
                    assert (image == image[..., :1]).all()

    def test_no_scene_is_on_two_sides(self):
        """By the fingerprints that find leaks in datasets; crops are of validation photographs alone."""
        sides = [[fingerprint(one.image) for one in embedded(split, "all")] for split in SPLITS]
        assert all(one.signs is not None for side in sides for one in side)
        for one, other in itertools.combinations(sides, 2):
            assert not find(one, other)
        assert find(sides[0], [fingerprint(embedded("train")[0].image[::2, ::2])])
        assert {of for of, *_ in photographs._CROPS.values()} <= {one.name for one in embedded("validation")}

    def test_crops_share_no_pixel_with_the_middle_or_each_other(self):
        seen = {one.name: np.zeros(one.image.shape[:2], int) for one in embedded("validation")}
        for taken in seen.values():
            centre(taken, 256)[:] += 1
        for of, top, left in photographs._CROPS.values():
            box = seen[of][top : top + 160, left : left + 160]
            assert box.shape == (160, 160)
            box += 1
        assert all(taken.max() == 1 for taken in seen.values())
        crops = {one.name: one.image for one in embedded("validation", "all")}
        for name, (of, top, left) in photographs._CROPS.items():
            assert np.array_equal(crops[name], crops[of][top : top + 160, left : left + 160])

    @pytest.mark.parametrize("choice", CHOICES)
    @pytest.mark.parametrize("side", ["train", "test"])
    def test_pixels_are_those_that_were_chosen(self, side, choice):
        assert photographs.as_ever(side, choice)
        assert photographs.digest(side, "few") != photographs.digest(side, "all")

    def test_pixels_are_on_one_side_only(self):
        """No two photographs are alike as thumbnails, so none is a crop-free copy of another at any scale."""

        def thumbnail(image):
            rows, columns = (np.linspace(0, side, 17).astype(int) for side in image.shape[:2])
            cells = itertools.product(itertools.pairwise(rows), itertools.pairwise(columns))
            flat = np.array([image[top:bottom, left:right].mean() for (top, bottom), (left, right) in cells])
            return (flat - flat.mean()) / flat.std()

        every = [thumbnail(photograph.image) for split in SPLITS for photograph in embedded(split)]
        for a, b in itertools.combinations(every, 2):
            assert np.mean(a * b) < 0.8
        assert np.mean(every[0] * thumbnail(embedded("train")[0].image[::2, ::2])) > 0.99

    def test_the_retina_has_no_black_surroundings(self):
        retina = {photograph.name: photograph.image for photograph in embedded("train")}["retina"]
        assert retina.max(axis=2).min() > 50

    def test_a_missing_file_names_the_package(self, monkeypatch):
        monkeypatch.setitem(photographs._FILES["test"], "chelsea", ("skimage", "data/no_such_cat.png"))
        message = r"'chelsea' .* scikit-image .* skimage/data/no_such_cat\.png\. .* pip install"
        with pytest.raises(UserError, match=message):
            embedded("test")

    def test_a_missing_package_is_named(self, monkeypatch):
        monkeypatch.setattr(photographs, "find_spec", lambda package: None)
        with pytest.raises(UserError, match="scikit-learn"):
            photographs._read("china", *photographs._FILES["test"]["china"])


class TestDeadLeaves:
    def test_the_number_decides_the_image(self):
        first, second, again = dead_leaves(3, 128), dead_leaves(4, 128), dead_leaves(3, 128)
        assert first.shape == (128, 128, 3)
        assert first.dtype == np.uint8
        assert np.array_equal(first, again)
        assert not np.array_equal(first, second)

    def test_all_that_a_run_can_have_are_made_once(self, monkeypatch):
        few = [Photograph("one", np.zeros((8, 8, 3), np.uint8))]
        monkeypatch.setattr("benchmark.data.dead_leaves.embedded", lambda split: few)
        monkeypatch.setattr("benchmark.data.dead_leaves._RADII", (3.0, 10.0))
        made = [dead_leaves(index, 9) for index in range(100)]
        assert all(image is dead_leaves(index, 9) for index, image in enumerate(made))
        accepted = [one.le for one in Data.model_fields["dead_leaves"].metadata if hasattr(one, "le")]
        assert accepted == [dead_leaves.cache_info().maxsize]

    def test_radii_follow_an_inverse_cube(self):
        """P(r > R) falls as R⁻², far from the upper end."""
        drawn = radii(200_000, generator("radii"))
        assert drawn.min() >= 3
        assert drawn.max() <= 150
        assert np.mean(drawn > 6) == pytest.approx(1 / 4, rel=0.02)
        assert np.mean(drawn > 12) == pytest.approx(1 / 16, rel=0.05)

    def test_six_leaves_lie_over_a_point(self):
        """One point in e⁶ would show the ground; fewer do, as discs drawn to whole points are a little larger."""
        ground = np.mean([(_pile(256, generator("pile", key)) == 0).mean() for key in range(16)])
        assert math.exp(-6.6) < ground < math.exp(-6)

    def test_gratings_have_wavelengths_from_6_to_300_pixels_evenly_by_their_logarithm(self):
        """Of a sine, s(x + k) + s(x − k) = 2 cos(k f) s(x); the texture has two points for each pixel."""
        step, lengths = 4, []
        for key in range(400):
            wave = _texture(np.zeros((64, 64), int), 1, generator("wave", key)).astype(float)
            frequencies = []
            for one in (wave, wave.T):
                sums = one[:, 2 * step :] + one[:, : -2 * step]
                middle = one[:, step:-step]
                cosine = (sums * middle).sum() / (2 * (middle**2).sum())
                frequencies.append(math.acos(min(1, max(-1, cosine))) / step)
            lengths.append(2 * math.pi / math.hypot(*frequencies) / 2)
        assert min(lengths) == pytest.approx(6, rel=0.05)
        assert max(lengths) == pytest.approx(300, rel=0.05)
        quarters = [6 * 50 ** (quarter / 4) for quarter in range(5)]
        assert np.histogram(lengths, [0, *quarters[1:4], 1000])[0] == pytest.approx([100] * 4, abs=30)

    def test_power_falls_with_frequency_as_in_photographs(self):
        slopes = [power_slope(dead_leaves(index)) for index in range(3)]
        photographs = [power_slope(photograph.image) for photograph in embedded("train")]
        assert np.mean(slopes) == pytest.approx(np.mean(photographs), abs=0.6)
        white = [power_slope(generator("white", key).integers(0, 256, (256, 256, 3))) for key in range(8)]
        assert np.mean(white) == pytest.approx(0, abs=0.2)

    def test_colours_come_from_training_photographs(self, monkeypatch):
        """With a single colour to draw from, only the texture is left."""
        one = photographs.Photograph("one", np.full((2, 2, 3), (200, 100, 50), np.uint8))
        asked = []
        monkeypatch.setattr("benchmark.data.dead_leaves.embedded", lambda split: asked.append(split) or [one])
        image = dead_leaves(0, 64)
        assert asked == ["train"]
        assert np.abs(image - np.array([200.0, 100.0, 50.0])).max() <= 12


def power_slope(image: np.ndarray) -> float:
    """The exponent of the radially averaged power spectrum, from 4 cycles an image to half of Nyquist's frequency."""
    grey = image.mean(axis=2)
    side = min(grey.shape)
    window = np.hanning(side)
    power = np.abs(np.fft.fft2((grey[:side, :side] - grey.mean()) * np.outer(window, window))) ** 2
    frequency = np.fft.fftfreq(side, 1 / side)
    ring = np.rint(np.hypot(frequency[:, None], frequency)).astype(int).ravel()
    mean = np.bincount(ring, power.ravel()) / np.bincount(ring)
    rings = np.arange(4, side // 4)
    return float(np.polyfit(np.log(rings), np.log(mean[rings]), 1)[0])


@pytest.fixture
def ramp() -> np.ndarray:
    """An image in which every pixel tells its own place."""
    rows, columns = np.mgrid[:160, :200].astype(np.uint8)
    return np.stack([rows, columns, np.zeros_like(rows)], axis=2)


class TestPatchSource:
    def test_draws_channels_first_in_float32(self):
        source = DegradedPatches([photograph.image for photograph in embedded("train")], GaussianNoise(), 40)
        for patch in source.draw(generator("shape")):
            assert patch.shape == (3, 40, 40)
            assert patch.dtype == np.float32
            assert patch.flags.c_contiguous

    def test_draws_by_address_do_not_depend_on_their_order(self):
        source = DegradedPatches([photograph.image for photograph in embedded("train")], Rain(), 32)
        forwards = [source.draw(generator("order", key)) for key in range(6)]
        backwards = [source.draw(generator("order", key)) for key in reversed(range(6))][::-1]
        assert np.array_equal(forwards, backwards)
        assert len({clean.tobytes() for _, clean in forwards}) == 6

    def test_images_are_chosen_by_area(self):
        small, large = np.zeros((80, 80, 3), np.uint8), np.ones((160, 120, 3), np.uint8)
        source = DegradedPatches([small, large], GaussianNoise(), 32)
        chosen = [source.draw(generator("area", key))[1].max() > 0 for key in range(600)]
        assert np.mean(chosen) == pytest.approx(0.75, abs=0.06)

    def test_all_eight_orientations_occur(self, ramp):
        """Seen by how the row and column number change along the patch."""
        source = DegradedPatches([ramp], GaussianNoise(std=0), 8)
        seen = set()
        for key in range(200):
            clean = np.rint(source.draw(generator("turn", key))[1] * 255).astype(int)
            seen.add((*(clean[:2, 1, 0] - clean[:2, 0, 0]), *(clean[:2, 0, 1] - clean[:2, 0, 0])))
        assert len(seen) == 8

    def test_every_place_can_be_drawn(self, ramp):
        squares = Squares([ramp], 96, "squares")
        drawn = np.stack([squares.draw(generator("place", key)).cut(ramp) for key in range(800)])
        rows, columns = drawn[..., 0], drawn[..., 1]
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 159, 0, 199)

    @pytest.mark.parametrize("size", [16, 48, 50])
    def test_the_cut_has_all_phases_of_the_jpeg_grid_and_enough_surroundings(self, ramp, size):
        _seen.clear()
        source = DegradedPatches([ramp], Recorder(), size)
        cuts = []
        for key in range(400):
            _, clean = source.draw(generator("cut", key))
            region = _seen[-1]
            cuts.append(np.argwhere((region[:, :, :2] == clean[:2, 0, 0]).all(axis=2))[0])
            assert np.array_equal(region[cuts[-1][0] :, cuts[-1][1] :][:size, :size], clean.transpose(1, 2, 0))
        cuts = np.array(cuts)
        for axis in (0, 1):
            assert set(cuts[:, axis]) == set(range(CONTEXT // 2, CONTEXT // 2 + 16))
        assert (source.region - size - cuts).min() >= CONTEXT // 2
        assert source.region % 16 == 0

    def test_jpeg_patches_show_block_edges_at_every_phase(self):
        """The largest jumps between neighbouring columns are at the block edges, eight pixels apart."""
        source = DegradedPatches([embedded("test")[0].image], JPEG(quality=5), 48)
        phases = []
        for key in range(120):
            degraded, _ = source.draw(generator("phase", key))
            jumps = np.abs(np.diff(degraded.mean(axis=0), axis=1)).mean(axis=0)
            phases.append(np.argmax([jumps[phase::8].mean() for phase in range(8)]))
        assert np.bincount(phases, minlength=8).min() >= 5

    @pytest.mark.parametrize("degradation", [JPEG(quality=20), GaussianBlur(size=17, std=3)], ids=["jpeg", "blur"])
    @pytest.mark.parametrize("size", [48, 50])
    def test_a_patch_is_what_degrading_the_whole_photograph_gives(self, degradation, size):
        """For regions that start on the photograph's own JPEG grid; the pixels, cut with the least surroundings."""
        image = to_float(embedded("test")[1].image)
        whole = degradation(image, generator("unused"))
        side = DegradedPatches([embedded("test")[1].image], degradation, size).region
        for top, left in [(64, 96), (160, 32), (304, 512)]:
            region = degradation(image[top : top + side, left : left + side], generator("unused"))
            for cut in (CONTEXT // 2, 3 * CONTEXT // 2 - 1):
                patch = region[cut : cut + size, cut : cut + size]
                assert np.array_equal(patch, whole[top + cut :, left + cut :][:size, :size])

    def test_a_patch_is_cut_from_the_degraded_region(self):
        """Repeats the draw of a deterministic degradation by hand."""
        image = embedded("test")[2].image
        _seen.clear()
        _, clean = DegradedPatches([image], Recorder(), 48).draw(generator("same"))
        degraded, also_clean = DegradedPatches([image], JPEG(quality=20), 48).draw(generator("same"))
        assert np.array_equal(clean, also_clean)
        region = JPEG(quality=20)(_seen[-1], generator("unused")).transpose(2, 0, 1)
        matches = [
            (top, left)
            for top in range(8, 24)
            for left in range(8, 24)
            if np.array_equal(_seen[-1].transpose(2, 0, 1)[:, top : top + 48, left : left + 48], clean)
        ]
        assert len(matches) == 1
        top, left = matches[0]
        assert np.array_equal(region[:, top : top + 48, left : left + 48], degraded)

    def test_too_small_an_image_is_named_with_what_it_needs(self):
        enough, small = np.zeros((80, 80, 3), np.uint8), np.zeros((79, 300, 3), np.uint8)
        DegradedPatches([enough], GaussianNoise(), 48)
        with pytest.raises(UserError, match=r"Image 1 is 300×79.*80×80"):
            DegradedPatches([enough, small], GaussianNoise(), 48)

    def test_a_named_image_is_named(self):
        with pytest.raises(UserError, match=r"Image 'tiny.png' is 20×20"):
            DegradedPatches([np.zeros((20, 20, 3), np.uint8)], GaussianNoise(), 48, ["tiny.png"])

    def test_a_blend_gets_the_surroundings_of_all_its_steps(self, ramp):
        """A patch equals that part of the whole degraded region that its steps would give in the whole photograph."""
        blend = make("blend", {"steps": [{"blur": {"std": 3}}, {"jpeg": {"quality": 20}}]})
        source = DegradedPatches([embedded("test")[0].image], blend, 48)
        assert source.region >= 48 + 2 * blend.context == 48 + 4 * CONTEXT
        place = DegradedPatches([ramp], make("blend", {"steps": [{"noise": {"std": 0}}] * 2}), 16)
        _, clean = place.draw(generator("same"))
        region = to_float(Squares([ramp], place.region, "squares").draw(generator("same")).cut(ramp))
        top, left = np.argwhere((region[:, :, :2] == clean[:2, 0, 0]).all(axis=2))[0]
        assert min(top, left) >= 2 * CONTEXT - 8
        assert max(top, left) + 16 <= place.region - 2 * CONTEXT + 8

    def test_no_image_is_an_error(self):
        with pytest.raises(UserError, match="no images"):
            DegradedPatches([], GaussianNoise(), 48)


class TestTestPair:
    def test_the_address_fixes_the_pair(self):
        image = embedded("test")[0].image
        degraded, clean = patches.test_pair(image, Rain(), "derain", "chelsea")
        assert np.array_equal(clean, image)
        assert degraded.shape == image.shape
        assert degraded.dtype == np.float32
        assert np.array_equal(degraded, patches.test_pair(image, Rain(), "derain", "chelsea")[0])
        assert not np.array_equal(degraded, patches.test_pair(image, Rain(), "derain", "china")[0])

    def test_training_noise_is_never_test_noise(self):
        image = embedded("test")[0].image
        degraded, _ = patches.test_pair(image, GaussianNoise(), "a")
        assert not np.array_equal(degraded, GaussianNoise()(to_float(image), generator("a")))

    def test_eight_bit_and_unit_are_inverse(self):
        image = embedded("test")[0].image
        assert np.array_equal(to_uint8(to_float(image)), image)


class TestPairSource:
    def test_draws_the_same_square_of_both(self, ramp):
        source = PairedPatches([ramp + np.uint8(3)], [ramp], 32)
        for key in range(20):
            degraded, clean = source.draw(generator("pair", key))
            assert degraded.shape == clean.shape == (3, 32, 32)
            assert degraded.dtype == clean.dtype == np.float32
            assert (to_uint8(degraded) == to_uint8(clean) + np.uint8(3)).all()

    def test_partners_are_not_mixed_up(self):
        clean = [np.full((40, 40, 3), level, np.uint8) for level in (10, 60, 110)]
        degraded = [image + np.uint8(1) for image in clean]
        source = PairedPatches(degraded, clean, 32)
        pairs = [source.draw(generator("pair", key)) for key in range(30)]
        assert {int(np.rint(255 * clean.max())) for _, clean in pairs} == {10, 60, 110}
        assert all(np.allclose(255 * (degraded - clean), 1, atol=1e-4) for degraded, clean in pairs)


@pytest.mark.parametrize(
    ("side", "rows", "columns"), [(4, (3, 6), (4, 7)), (11, (0, 9), (1, 11)), (99, (0, 9), (0, 12))]
)
def test_the_middle_is_as_far_from_either_edge(side, rows, columns):
    image = np.stack(np.meshgrid(np.arange(10), np.arange(13), indexing="ij"), axis=2)
    middle = centre(image, side)
    assert (tuple(middle[0, 0]), tuple(middle[-1, -1])) == tuple(zip(rows, columns, strict=True))

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter

from benchmark.core.addresses import generator
from benchmark.core.errors import UserError
from benchmark.core.images import to_float
from benchmark.data.degradations import CONTEXT, DEGRADATIONS, Degradation, make
from benchmark.data.degradations.blur import GaussianBlur
from benchmark.data.degradations.camera_noise import CameraNoise, _demosaiced, to_linear, to_srgb
from benchmark.data.degradations.jpeg import JPEG
from benchmark.data.degradations.noise import GaussianNoise
from benchmark.data.degradations.rain import Rain, Streaks, _splat
from benchmark.data.photographs import embedded

CBSD68 = Path(__file__).resolve().parents[3] / "shared" / "data" / "CBSD68"

EACH: list[Degradation] = [GaussianNoise(), JPEG(quality=(10, 70)), GaussianBlur(std=(0.2, 3)), Rain(), CameraNoise()]


@pytest.fixture(scope="module")
def china() -> np.ndarray:
    return to_float(embedded("test")[1].image)


@pytest.mark.parametrize("degradation", EACH, ids=lambda degradation: degradation.name)
class TestEvery:
    def test_keeps_size_and_type_and_leaves_its_input_alone(self, degradation, china):
        before = china.copy()
        result = degradation(china[:61, :83], generator("size"))
        assert result.shape == (61, 83, 3)
        assert result.dtype == np.float32
        assert np.array_equal(china, before)

    def test_the_generator_alone_decides(self, degradation, china):
        small = china[100:180, 100:180]
        first, second, again = (degradation(small, generator("draw", key)) for key in (1, 2, 1))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, second)

    @pytest.mark.parametrize("rows", [slice(20, 37), slice(0, 9), slice(33, 61)])
    @pytest.mark.parametrize("columns", [slice(9, 40), slice(0, 83), slice(82, 83)])
    def test_within_a_window_it_is_the_same_to_the_bit(self, degradation, china, rows, columns):
        image, window = china[:61, :83], (rows, columns)
        for key in range(5):
            numbers = degradation.numbers(61, 83, generator("window", key))
            part = degradation.apply_within(image, numbers, window)
            assert np.array_equal(part, degradation.apply(image, numbers)[window])

    def test_survives_a_round_trip_through_its_parameters(self, degradation):
        assert make(degradation.name, degradation.model_dump()) == degradation


def test_a_degradation_made_of_another_is_within_a_window_what_it_is_as_a_whole(china):
    class Stronger(Rain):
        def apply(self, image, numbers):
            return super().apply(super().apply(image, numbers), numbers)

    class Plain(Rain):
        pass

    image, window = china[:61, :83], np.s_[20:37, 9:40]
    for made in (Stronger(), Plain()):
        numbers = made.numbers(61, 83, generator("window"))
        assert np.array_equal(made.apply_within(image, numbers, window), made.apply(image, numbers)[window])
    assert Plain.apply_within is Rain.apply_within


class TestNoise:
    @pytest.mark.parametrize("std", [5, 25, 50])
    def test_has_the_std_asked_for_and_no_mean(self, std):
        grey = np.full((400, 400, 3), 0.5, np.float32)
        noise = (GaussianNoise(std=std)(grey, generator("std", std)) - grey) * 255
        assert noise.std() == pytest.approx(std, rel=0.003)
        assert abs(noise.mean()) < 4 * std / np.sqrt(noise.size)

    def test_channels_are_independent(self):
        noise = GaussianNoise()(np.zeros((300, 300, 3), np.float32), generator("channels"))
        correlation = np.corrcoef(noise.reshape(-1, 3).T)
        assert np.abs(correlation - np.eye(3)).max() < 0.02

    def test_is_not_clipped_unless_asked(self):
        white = np.ones((100, 100, 3), np.float32)
        free, clipped = (GaussianNoise(clip=clip)(white, generator("clip")) for clip in (False, True))
        assert np.mean(free > 1) == pytest.approx(0.5, abs=0.02)
        assert clipped.max() == 1
        assert np.array_equal(clipped * 255, np.rint(clipped * 255))

    def test_a_range_is_drawn_from_uniformly(self):
        grey = np.zeros((40, 40, 3), np.float32)
        stds = [GaussianNoise(std=(10, 50))(grey, generator("range", key)).std() * 255 for key in range(200)]
        assert np.histogram(stds, [0, 9.5, 20, 30, 40, 51.5])[0] == pytest.approx([0, 50, 50, 50, 50], abs=25)


class TestBlurRounding:
    def test_is_not_rounded_unless_asked(self, china):
        free, rounded = (GaussianBlur(std=2.5, clip=clip)(china, generator("blur")) for clip in (False, True))
        assert np.array_equal(rounded * 255, np.rint(rounded * 255))
        assert 0 < np.abs(free - rounded).max() <= 0.5 / 255 + 1e-6


class TestJPEG:
    quality20 = JPEG(quality=20)

    def interior(self, image, top, left):
        crop = image[top : top + 96, left : left + 96]
        return self.quality20(crop, generator("unused"))[8:-8, 8:-8]

    @pytest.mark.parametrize(("top", "left", "aligned"), [(32, 48, True), (33, 48, False), (32, 49, False)])
    def test_blocks_are_aligned_to_the_corner(self, china, top, left, aligned):
        whole = self.quality20(china, generator("unused"))[top + 8 : top + 88, left + 8 : left + 88]
        assert np.array_equal(self.interior(china, top, left), whole) == aligned

    def test_chroma_is_subsampled_in_blocks_of_16(self, china):
        """A shift by 8 keeps the luma grid but not the chroma grid."""
        whole = self.quality20(china, generator("unused"))[48:128, 56:136]
        assert not np.array_equal(self.interior(china, 40, 48), whole)

    def test_quality_decides_the_loss(self, china):
        losses = [np.mean((JPEG(quality=quality)(china, generator("q")) - china) ** 2) for quality in (10, 20, 40, 70)]
        assert losses == sorted(losses, reverse=True)

    def test_both_ends_of_a_range_are_drawn(self, china):
        small = china[200:248, 200:248]
        expected = {JPEG(quality=quality)(small, generator("x")).tobytes() for quality in (20, 21, 22)}
        drawn = {JPEG(quality=(20, 22))(small, generator("ends", key)).tobytes() for key in range(40)}
        assert len(expected) == 3
        assert drawn == expected


class TestBlur:
    @pytest.mark.parametrize("std", [0.2, 1, 2.5, 3])
    def test_kernel_sums_to_one_and_is_symmetric(self, std):
        kernel = GaussianBlur(std=std).kernel(std)
        assert len(kernel) == 15
        assert kernel.sum() == pytest.approx(1, abs=1e-12)
        assert np.array_equal(kernel, kernel[::-1])

    def test_separable_equals_direct_convolution_over_a_mirrored_border(self):
        image = generator("blur").random((24, 31, 3), dtype=np.float32)
        blur = GaussianBlur(std=2.5)
        distance = np.arange(-7, 8)
        square = np.exp(-(distance[:, None] ** 2 + distance**2) / (2 * 2.5**2))
        padded = np.pad(image.astype(np.float64), [(7, 7), (7, 7), (0, 0)], mode="reflect")
        direct = convolve(padded, square[:, :, None] / square.sum(), mode="constant")[7:-7, 7:-7]
        assert blur(image, generator("unused")) == pytest.approx(direct, abs=1e-6)

    def test_a_tiny_std_changes_nothing(self, china):
        assert np.abs(GaussianBlur(std=0.01)(china, generator("unused")) - china).max() < 1e-7


def streaks(rain: Rain, height: int, width: int, *address: str | int) -> np.ndarray:
    """The light of one draw alone."""
    return rain.numbers(height, width, generator(*address)).light(height, width)


class TestRain:
    def test_only_adds_light_and_adds_it_alike_to_every_channel(self):
        grey = np.full((120, 160, 3), np.float32(20 / 255))
        added = np.rint((Rain(strength=0.3, density=0.002)(grey, generator("light")) - grey) * 255)
        assert added.min() == 0
        assert added.max() > 20
        assert np.ptp(added, axis=2).max() == 0

    def test_no_rain_without_density(self, china):
        assert np.array_equal(Rain(density=0)(china, generator("dry")), china)

    def test_light_is_proportional_to_every_parameter_of_amount(self):
        def light(**parameters):
            settings = {"length": 30, "width": 1.5, "density": 0.005, "strength": 0.5, **parameters}
            return np.mean([streaks(Rain(**settings), 300, 300, "amount", key).mean() for key in range(4)])

        reference = light()
        for name, value in [("length", 60), ("width", 3), ("density", 0.01), ("strength", 1)]:
            assert light(**{name: value}) == pytest.approx(2 * reference, rel=0.1), name

    def test_the_amount_of_light_is_that_of_the_model(self):
        """Of density · pixels streaks each gives length · width · brightness, 0.6 of the strength on average.

        Along a streak the brightness falls as a cosine, whose mean is 2/π.
        """
        settings = {"length": 40, "width": 1.5, "density": 0.01, "strength": 0.5}
        mean = np.mean([streaks(Rain(**settings), 300, 300, "light", key).mean() for key in range(10)])
        assert mean == pytest.approx(0.01 * 0.5 * 0.6 * (2 / math.pi) * 40 * 1.5, rel=0.03)

    def test_light_is_the_same_at_the_border_as_inside(self):
        rain = Rain(length=40, density=0.01)
        mean = np.mean([streaks(rain, 100, 100, "border", key) for key in range(100)], axis=0)
        border = np.mean([mean[0], mean[-1], mean[:, 0], mean[:, -1]])
        assert border == pytest.approx(mean[40:60, 40:60].mean(), rel=0.1)

    @pytest.mark.parametrize("angle", [-60, 0, 30])
    def test_streaks_follow_the_angle(self, angle):
        """The mean squared gradient is least along the streaks."""
        rain = Rain(angle=angle, spread=1, density=0.001, length=80)
        down, across = np.gradient(gaussian_filter(streaks(rain, 300, 300, "angle", angle), 2))
        tensor = np.array([[np.mean(across**2), np.mean(across * down)], [np.mean(across * down), np.mean(down**2)]])
        x, y = np.linalg.eigh(tensor)[1][:, 0]
        assert np.degrees(np.arctan(x / y)) == pytest.approx(angle, abs=3)

    def test_streaks_vary_around_what_is_drawn_for_the_image(self):
        """Of those whose middle lies in the image, as beside it only those that reach into it are kept."""
        rain = Rain(angle=20, spread=5, length=40, width=1.5, strength=0.5, density=0.03)
        numbers = rain.numbers(400, 400, generator("vary"))
        y, x, down, right, lengths, brightness = numbers.each
        inside = (y > 0) & (y < 400) & (x > 0) & (x < 400)
        angles = np.degrees(np.arctan2(right, down))[inside]
        assert inside.sum() == pytest.approx(0.03 * 400**2, rel=0.05)
        assert (angles.mean(), angles.std()) == (pytest.approx(20, abs=0.3), pytest.approx(5, rel=0.05))
        assert np.mean(np.abs(angles - 20) < 5) == pytest.approx(0.683, abs=0.03)
        for values, low, high in ((lengths[inside], 20, 60), (brightness[inside], 0.1, 0.5)):
            quarters = np.histogram(values, np.linspace(low, high, 5))[0]
            assert quarters == pytest.approx([inside.sum() / 4] * 4, rel=0.1)
        assert y.min() < -0.6 * 40, "the longest reach in from as far as that"
        assert numbers.lines >= numbers.thickness == 1.5
        assert numbers.points >= lengths.max()

    def test_a_streak_is_as_wide_and_in_its_middle_as_bright_as_it_says(self):
        each = np.array([[25.0], [20.0], [1.0], [0.0], [40.0], [0.8]])
        light = Streaks(each, thickness=6, points=80, lines=6).light(50, 40)
        assert light[25, 18:23] == pytest.approx(0.8, abs=0.01)
        assert light[25].sum() == pytest.approx(6 * 0.8, rel=0.01)
        assert not light[:, :16].any()
        assert not light[:, 24:].any()
        assert not light[:4].any()
        assert light[15, 20] == pytest.approx(0.8 * math.cos(math.pi / 4), abs=0.01)

    def test_points_of_light_are_shared_among_their_neighbours(self):
        """The second point lies half outside, the third wholly."""
        y, x, light = np.array([[0.25, 2.5, 5], [1.75, 0, 0], [16, 2, 1]])
        expected = np.zeros((3, 4))
        expected[:2, 1:3] = 16 * np.outer([0.75, 0.25], [0.25, 0.75])
        expected[2, 0] = 1
        assert np.array_equal(_splat(y, x, light, 3, 4), expected)

    @pytest.mark.parametrize("settings", [{}, {"angle": (-90, 90), "spread": 45, "length": (1, 200), "width": 10}])
    @pytest.mark.parametrize("size", [(1, 1), (16, 48), (90, 37)])
    def test_streaks_that_are_left_out_would_have_added_nothing(
        self, settings: dict[str, Any], size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        few = [streaks(Rain(**settings), *size, "near", key) for key in range(5)]
        monkeypatch.setattr("benchmark.data.degradations.rain._reaches", lambda middle, *_: np.ones(len(middle), bool))
        for key, found in enumerate(few):
            assert np.array_equal(found, streaks(Rain(**settings), *size, "near", key))


class TestCameraNoise:
    SHOT = 0.02

    def residual(self, level: float, runs: int = 40) -> np.ndarray:
        """The noise in linear light on a flat image of this brightness; runs × height × width × 3."""
        flat = np.full((40, 60, 3), to_srgb(np.array(level)), np.float32)
        noise = CameraNoise(shot=self.SHOT)
        return np.stack([to_linear(noise(flat, generator("camera", key))) - level for key in range(runs)])

    @pytest.mark.parametrize("level", [0.3, 0.5])
    def test_the_variance_is_that_of_shot_and_read_noise(self, level):
        """Of the pixels that the mosaic saw; the mean of the four phases, for each of which a quarter of red is seen.

        A bilinear interpolation of independent values keeps 1, 1/2, 1/2 and 1/4 of the variance; at the edge,
        where there are fewer of them, more.
        """
        raw = self.SHOT * level + math.exp(2.18 * math.log(self.SHOT) + 1.20)
        inner = self.residual(level)[:, 2:-2, 2:-2]
        red, green, blue = (inner[..., channel].var() for channel in range(3))
        assert blue == pytest.approx(raw * (1 + 0.5 + 0.5 + 0.25) / 4, rel=0.04)
        assert red == pytest.approx(raw * (1 + 0.5 + 0.5 + 0.25) / 4, rel=0.04)
        assert green == pytest.approx(raw * (1 + 1 + 0.25 + 0.25) / 4, rel=0.04)

    def test_each_pixel_of_the_mosaic_has_the_noise_of_the_colour_that_it_sees(self):
        levels = np.array([0.6, 0.3, 0.15])
        flat = np.broadcast_to(to_srgb(levels), (40, 60, 3)).astype(np.float32)
        noise = [to_linear(CameraNoise(shot=self.SHOT)(flat, generator("colour", key))) for key in range(20)]
        red, _, blue = np.stack(noise)[:, 2:-2, 2:-2].reshape(-1, 3).var(0)
        read = CameraNoise.read(self.SHOT)
        assert red / blue == pytest.approx((self.SHOT * 0.6 + read) / (self.SHOT * 0.15 + read), rel=0.05)

    @pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (1, 0), (1, 1)])
    @pytest.mark.parametrize("size", [(6, 8), (7, 9)])
    def test_even_colours_are_interpolated_to_themselves_up_to_the_edge(self, row, column, size):
        colours = np.array([0.2, 0.5, 0.8], np.float32)
        mosaic = np.zeros((*size, 3), np.float32)
        for down, across, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
            mosaic[(row + down) % 2 :: 2, (column + across) % 2 :: 2, channel] = colours[channel]
        assert np.allclose(_demosaiced(mosaic), colours, atol=1e-6)

    def test_brighter_pixels_are_noisier_in_linear_light(self):
        assert self.residual(0.5).std() > 1.3 * self.residual(0.2).std()

    def test_neighbours_are_correlated_and_far_pixels_are_not(self):
        noise = self.residual(0.4)[..., 0]
        assert np.mean(noise[:, :, 1:] * noise[:, :, :-1]) > 0.4 * noise.var()
        assert abs(np.mean(noise[:, :, 2:] * noise[:, :, :-2])) < 0.3 * noise.var()
        assert abs(np.mean(noise[:, :, 5:] * noise[:, :, :-5])) < 0.02 * noise.var()

    def test_does_not_shift_the_mean(self):
        assert abs(self.residual(0.4).mean()) < 0.002

    def test_the_phase_of_the_mosaic_is_drawn(self):
        """Where a red pixel is seen, its noise is not smoothed; that place differs from draw to draw."""
        loudest = {
            int(np.argmax([[one[a::2, b::2, 0].var() for b in (0, 1)] for a in (0, 1)])) for one in self.residual(0.4)
        }
        assert loudest == {0, 1, 2, 3}

    def test_srgb_there_and_back(self):
        values = np.linspace(0, 1, 300, dtype=np.float32)
        assert np.allclose(to_srgb(to_linear(values)), values, atol=1e-6)
        assert to_linear(np.array(0.5)) == pytest.approx(0.21404, abs=1e-5)


class TestBlend:
    def test_is_its_steps_in_turn_with_one_generator(self):
        image = generator("blend image").random((32, 32, 3), dtype=np.float32)
        steps = [GaussianNoise(std=20), GaussianBlur(std=1)]
        blended = make("blend", {"steps": [{"noise": {"std": 20}}, {"blur": {"std": 1}}]})(image, generator("b"))
        rng = generator("b")
        assert np.array_equal(blended, steps[1](steps[0](image, rng), rng))

    def test_needs_the_surroundings_of_all_steps(self):
        assert GaussianBlur(std=1).context == CONTEXT
        assert (
            make("blend", {"steps": [{"blur": {"std": 1}}, {"jpeg": {"quality": 9}}, {"noise": {}}]}).context
            == 3 * CONTEXT
        )

    @pytest.mark.parametrize(
        ("steps", "words"),
        [
            ([], "at least 1"),
            ("blur", "a list"),
            ([{"blur": {"std": 999}}], "999"),
            (["blur"], "a step"),
            ([{}], "a step"),
        ],
    )
    def test_bad_steps_are_told(self, steps, words):
        with pytest.raises(UserError, match=words):
            make("blend", {"steps": steps})


class TestMake:
    def test_names_and_types_agree(self):
        assert {name: kind.name for name, kind in DEGRADATIONS.items()} == {name: name for name in DEGRADATIONS}
        assert set(DEGRADATIONS) == {"noise", "jpeg", "blur", "rain", "camera_noise", "blend"}

    @pytest.mark.parametrize(
        ("name", "parameters", "parts"),
        [
            ("blurr", {}, ["blurr", "Did you mean 'blur'"]),
            ("noise", {"sdt": 5}, ["sdt", "Did you mean 'std'", "clip"]),
            ("noise", {3: 5}, ["3"]),
            ("noise", {"std": float("nan")}, ["std = nan", "0 to 255"]),
            ("noise", {"std": True}, ["std = True", "0 to 255"]),
            ("jpeg", {}, ["needs 'quality'", "1 to 95"]),
            ("jpeg", {"quality": 0}, ["quality = 0", "1 to 95"]),
            ("jpeg", {"quality": [70, 10]}, ["quality = [70, 10]", "[low, high]"]),
            ("jpeg", {"quality": 20.5}, ["quality = 20.5", "whole number"]),
            ("blur", {"std": 2, "size": 14}, ["size = 14", "odd"]),
            ("blur", {"std": 2, "size": 19}, ["size = 19", "17"]),
            ("rain", {"angle": "left"}, ["angle = 'left'", "-90 to 90"]),
        ],
    )
    def test_an_unusable_request_names_what_was_given_and_what_is_accepted(self, name, parameters, parts):
        with pytest.raises(UserError) as caught:
            make(name, parameters)
        for part in parts:
            assert part in str(caught.value)

    def test_is_frozen(self):
        with pytest.raises(ValueError, match="frozen"):
            make("noise", {"std": 5}).std = 6  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.skipif(not CBSD68.is_dir(), reason="CBSD68 is not here")
@pytest.mark.parametrize(
    ("degradation", "decibels"),
    [
        (GaussianNoise(std=50), 14.16),
        (GaussianNoise(std=50, clip=True), 15.00),
        (JPEG(quality=20), 28.15),
        (GaussianBlur(std=2.5), 23.82),
        (Rain(), 12.84),
        (Rain(density=(0.0005, 0.002)), 26.00),
    ],
    ids=["noise", "clipped noise", "jpeg", "blur", "rain", "light rain"],
)
def test_inputs_made_from_cbsd68_have_the_known_psnr(degradation, decibels):
    found = []
    for path in sorted(CBSD68.glob("*.png")):
        clean = to_float(np.asarray(Image.open(path).convert("RGB")))
        found.append(-10 * np.log10(np.mean((degradation(clean, generator(path.name)) - clean) ** 2)))
    assert len(found) == 68
    assert np.mean(found) == pytest.approx(decibels, abs=0.05)

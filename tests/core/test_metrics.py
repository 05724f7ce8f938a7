import warnings

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmark.core.addresses import generator
from benchmark.core.images import to_uint8
from benchmark.core.metrics import backward_transfer, forgetting, forward_transfer, luma, measure, psnr, ssim
from benchmark.data.photographs import embedded

WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}


@pytest.fixture(scope="module", params=[3, 60])
def pair(request) -> tuple[np.ndarray, np.ndarray]:
    clean = embedded("test")[0].image
    noise = generator("metrics", request.param).normal(0, request.param, clean.shape)
    return np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8), clean


class TestImages:
    def test_rounding_clamps_and_goes_half_to_even(self):
        image = np.array([-1, -0.001, 0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 0.999, 1, 1.2, np.inf])
        assert to_uint8(image).tolist() == [0, 0, 0, 0, 2, 2, 255, 255, 255, 255]

    def test_every_8_bit_value_survives_the_way_through_float32(self):
        values = np.arange(256, dtype=np.uint8)
        assert np.array_equal(to_uint8(values.astype(np.float32) / np.float32(255)), values)

    def test_nan_is_an_error(self):
        with pytest.raises(ValueError, match="NaN"):
            to_uint8(np.array([0, np.nan]))

    def test_psnr_by_hand(self):
        a, b = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
        assert psnr(a, b) == 0
        assert psnr(a, a) == float("inf")
        assert psnr(a + np.uint8(1), a) == psnr(a, a + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)

    def test_psnr_agrees_with_scikit_image(self, pair):
        assert psnr(*pair) == pytest.approx(peak_signal_noise_ratio(*pair), abs=1e-10)

    def test_ssim_agrees_with_scikit_image(self, pair):
        assert ssim(*pair) == pytest.approx(structural_similarity(*pair, channel_axis=-1, **WANG), abs=1e-10)

    def test_ssim_of_one_channel_agrees_with_scikit_image(self, pair):
        a, b = (luma(image) for image in pair)
        assert ssim(a, b) == pytest.approx(structural_similarity(a, b, **WANG), abs=1e-10)

    def test_ssim_of_the_smallest_image_is_one_window(self):
        a, b = generator("smallest").integers(0, 256, (2, 11, 11), dtype=np.uint8)
        assert ssim(a, a) == pytest.approx(1, abs=1e-12)
        assert ssim(a, b) == pytest.approx(structural_similarity(a, b, **WANG), abs=1e-10)

    def test_luma_of_the_primary_colours(self):
        """The values of the BT.601 studio range as MATLAB's rgb2ycbcr gives them."""
        colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
        assert luma(colours).tolist() == [[16, 235, 81, 145, 41]]

    def test_measure_clamps_and_rounds_before_it_compares(self):
        clean = np.full((16, 16, 3), 255, np.uint8)
        result = measure(np.full((16, 16, 3), 1.3), clean)
        assert result["psnr"] == result["psnr_y"] == float("inf")
        assert result["ssim"] == result["ssim_y"] == pytest.approx(1)
        nearly = np.full((16, 16, 3), 99.51) / 255
        assert measure(nearly, np.full((16, 16, 3), 100, np.uint8))["psnr"] == float("inf"), "rounded, not cut off"
        assert measure(nearly, np.full((16, 16, 3), 99, np.uint8))["psnr"] == pytest.approx(48.1308, abs=1e-4)

    def test_measure_keeps_colour_and_luma_apart(self, pair):
        output, clean = pair
        result = measure(output / 255, clean)
        assert result["psnr"] == psnr(output, clean)
        assert result["ssim"] == ssim(output, clean)
        assert result["psnr_y"] == psnr(luma(output), luma(clean)) != result["psnr"]
        assert result["ssim_y"] == ssim(luma(output), luma(clean)) != result["ssim"]

    @pytest.mark.parametrize("metric", [psnr, ssim])
    def test_unlike_images_are_errors(self, metric):
        image = np.zeros((16, 16, 3), np.uint8)
        with pytest.raises(ValueError, match="uint8"):
            metric(image, image.astype(float))
        with pytest.raises(ValueError, match="equal size"):
            metric(image, image[:1])

    def test_ssim_of_less_than_a_window_is_an_error(self):
        with pytest.raises(ValueError, match=r"11 × 11 .* 10 × 30"):
            ssim(np.zeros((10, 30), np.uint8), np.zeros((10, 30), np.uint8))


class TestTransfer:
    matrix = np.array(
        [
            [30.0, 14.0, 27.0],  # after task 0
            [31.0, 25.0, 26.0],  # after task 1: task 0 gained 1 dB
            [28.0, 25.5, 29.0],  # after task 2: task 0 lost 3 dB of its best, task 1 gained 0.5 dB
        ]
    )

    def test_forgetting_is_positive_for_what_was_lost(self):
        assert forgetting(self.matrix)[:2].tolist() == [3.0, -0.5]
        assert np.isnan(forgetting(self.matrix)[2])

    def test_forgetting_looks_at_a_task_only_once_it_was_learned(self):
        matrix = self.matrix.copy()
        matrix[0, 1] = 99
        assert forgetting(matrix)[1] == -0.5

    def test_backward_transfer_is_negative_for_what_was_lost(self):
        assert backward_transfer(self.matrix) == pytest.approx(((28 - 30) + (25.5 - 25)) / 2)

    def test_forward_transfer_is_measured_from_the_degraded_input(self):
        inputs = np.array([99.0, 15.0, 24.0])
        assert forward_transfer(self.matrix, inputs) == pytest.approx(((14 - 15) + (26 - 24)) / 2)

    def test_one_task_has_no_transfer(self):
        one = np.array([[30.0]])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isnan(forgetting(one)).tolist() == [True]
            assert np.isnan(backward_transfer(one))
            assert np.isnan(forward_transfer(one, np.array([20.0])))

    @pytest.mark.parametrize("shape", [(2, 3), (3,), (0, 0)])
    def test_other_shapes_are_errors(self, shape):
        for function in (forgetting, backward_transfer, lambda matrix: forward_transfer(matrix, np.zeros(2))):
            with pytest.raises(ValueError, match="square matrix"):
                function(np.zeros(shape))

    def test_an_input_is_needed_for_every_task(self):
        with pytest.raises(ValueError, match="3 input values"):
            forward_transfer(self.matrix, np.zeros(2))

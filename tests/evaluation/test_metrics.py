import numpy as np
import pytest

from interp_cli.evaluation.metrics import finite_psnr, interpolation_error, psnr, ssim


def noise(shape: tuple[int, ...], dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def test_psnr_of_a_known_error() -> None:
    a = np.full((20, 30, 3), 100, np.uint8)
    # Every value off by 5: mean square 25, 10 log10(255² / 25).
    assert psnr(a, a + np.uint8(5)) == pytest.approx(34.1514, abs=1e-4)
    assert psnr(a + np.uint8(5), a) == pytest.approx(34.1514, abs=1e-4)


def test_psnr_counts_all_pixels_and_channels() -> None:
    a = np.zeros((10, 10, 3), np.uint8)
    b = a.copy()
    b[0, 0, 1] = 255
    assert psnr(a, b) == pytest.approx(10 * np.log10(300))


def test_psnr_does_not_wrap_around_at_the_extremes() -> None:
    for dtype in (np.uint8, np.uint16):
        black = np.zeros((4, 4), dtype)
        assert psnr(black, black + np.iinfo(dtype).max) == 0


def test_psnr_of_equal_pictures_is_infinite() -> None:
    assert psnr(noise((8, 8, 3)), noise((8, 8, 3))) == float("inf")


def test_sixteen_bits_score_like_eight() -> None:
    a, b = noise((40, 50, 3)), noise((40, 50, 3), seed=1)
    wide_a, wide_b = (picture.astype(np.uint16) * 257 for picture in (a, b))
    assert psnr(wide_a, wide_b) == pytest.approx(psnr(a, b))
    assert interpolation_error(wide_a, wide_b) == pytest.approx(interpolation_error(a, b))
    assert ssim(wide_a, wide_b) == pytest.approx(ssim(a, b))


def test_interpolation_error_is_the_mean_absolute_one_not_the_root_mean_square() -> None:
    a = np.full((10, 10, 3), 128, np.uint8)
    b = a.copy()
    b[:5] += 8
    assert interpolation_error(a, b) == 4.0
    assert interpolation_error(b, a) == 4.0


def test_ssim_of_equal_pictures_is_one() -> None:
    assert ssim(noise((30, 40, 3)), noise((30, 40, 3))) == 1.0


def test_ssim_of_flat_pictures_is_the_luminance_term() -> None:
    a, b = np.full((20, 20, 3), 100, np.uint8), np.full((20, 20, 3), 120, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b) == pytest.approx((2 * 100 * 120 + c1) / (100**2 + 120**2 + c1))


def test_ssim_agrees_with_the_paper_written_out_window_by_window() -> None:
    a = noise((24, 31, 3))
    b = (0.7 * a + 0.3 * noise(a.shape, seed=1)).astype(np.uint8)
    offsets = np.arange(11) - 5
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for channel in range(3):
        for top in range(24 - 10):
            for left in range(31 - 10):
                x = a[top : top + 11, left : left + 11, channel].astype(float)
                y = b[top : top + 11, left : left + 11, channel].astype(float)
                mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
                var_x = (weights * (x - mean_x) ** 2).sum()
                var_y = (weights * (y - mean_y) ** 2).sum()
                covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
                values.append(
                    (2 * mean_x * mean_y + 2.55**2)
                    * (2 * covariance + 7.65**2)
                    / ((mean_x**2 + mean_y**2 + 2.55**2) * (var_x + var_y + 7.65**2))
                )
    assert ssim(a, b) == pytest.approx(np.mean(values), abs=1e-9)
    assert 0.5 < ssim(a, b) < 0.95


def test_ssim_takes_pictures_smaller_than_its_window() -> None:
    assert ssim(noise((3, 40, 3)), noise((3, 40, 3))) == 1.0
    assert ssim(noise((3, 40, 3)), noise((3, 40, 3), seed=1)) < 0.5


@pytest.mark.parametrize("metric", [psnr, ssim, interpolation_error])
def test_what_cannot_be_compared_is_refused(metric) -> None:
    with pytest.raises(ValueError, match=r"one shape and type, not \(4, 4\) uint8 and \(4, 5\)"):
        metric(np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8))
    with pytest.raises(ValueError, match="one shape and type"):
        metric(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint16))
    with pytest.raises(ValueError, match=r"uint8 or uint16, not .* float32"):
        metric(np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="uint8 or uint16"):
        metric(np.zeros((0, 4), np.uint8), np.zeros((0, 4), np.uint8))


def test_equal_pictures_have_a_finite_psnr_for_means() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert finite_psnr(black, black) == 100.0
    assert finite_psnr(black, black + 1) == psnr(black, black + 1)

import clips
import numpy as np
import pytest

from interp_cli.errors import VideoError
from interp_cli.evaluation.vmaf import Vmaf


def scores(size: tuple[int, int], blur: int) -> list[float]:
    width, height = size
    with Vmaf((height, width)) as vmaf:
        for time in range(6):
            frame = clips.true_frame(time, size)
            if time % 2 == 0:
                vmaf.add_shown(frame)
            else:
                vmaf.add((frame // blur) * blur, frame)
        return vmaf.finish()


def test_equal_frames_reach_the_top_and_coarser_ones_do_not() -> None:
    equal, coarse = scores((101, 67), 1), scores((101, 67), 32)
    assert len(equal) == len(coarse) == 3
    assert min(equal) > 97
    assert max(coarse) < min(equal) - 10


def test_frames_of_another_size_are_refused() -> None:
    with Vmaf((96, 128)) as vmaf, pytest.raises(ValueError, match=r"must be \(96, 128, 3\)"):
        vmaf.add_shown(clips.true_frame(0, (64, 64)))


def test_ffmpeg_that_stops_is_one_clear_error() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)  # so small that libvmaf crashes
    with Vmaf((16, 16)) as vmaf:
        vmaf.add_shown(picture)
        with pytest.raises(
            VideoError, match=r"libvmaf did not score 1 frames of 16x16 .*`vmaf=False`"
        ):
            vmaf.finish()


def test_an_unfinished_one_leaves_nothing(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Vmaf((96, 128)) as vmaf:
        vmaf.add_shown(clips.true_frame(0))
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []

"""Motion as files and pictures."""

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from interp_cli.errors import InterpError, OpenError
from interp_cli.inference.flow import OpticalFlow
from interp_cli.pipeline.flow_export import FlowWriter, flow_picture, read_flo, write_flo


@pytest.fixture
def flow() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 5, (5, 7, 2)).astype(np.float32)


def test_flo_files_come_back_as_they_were(flow, tmp_path):
    write_flo(tmp_path / "a.flo", flow)
    np.testing.assert_array_equal(read_flo(tmp_path / "a.flo"), flow)
    # OpenCV reads the same.
    np.testing.assert_array_equal(cv2.readOpticalFlow(str(tmp_path / "a.flo")), flow)


def test_the_bytes_of_a_flo_file(tmp_path):
    flow = np.zeros((2, 3, 2), np.float32)
    flow[0, 1] = 1.5, -2
    write_flo(tmp_path / "a.flo", flow)
    data = (tmp_path / "a.flo").read_bytes()
    assert data[:4] == b"PIEH"
    assert struct.unpack("<fii", data[:12]) == (202021.25, 3, 2)
    assert struct.unpack("<12f", data[12:])[:4] == (0, 0, 1.5, -2)
    assert len(data) == 12 + 2 * 3 * 8


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "a.flo: cannot be read .No such file"),
        (b"PNG", "a.flo: is no .flo file"),
        (b"x" * 40, "a.flo: is no .flo file"),
        (struct.pack("<fii5f", 202021.25, 3, 2, *range(5)), "20 bytes of vectors, expected 48"),
    ],
)
def test_what_is_no_flo_file_is_named(data, message, tmp_path):
    if data is not None:
        (tmp_path / "a.flo").write_bytes(data)
    with pytest.raises(OpenError, match=message):
        read_flo(tmp_path / "a.flo")


def test_only_vectors_of_two_are_written(tmp_path):
    with pytest.raises(ValueError, match=r"flow must be \(H, W, 2\), not \(4, 4\)"):
        write_flo(tmp_path / "a.flo", np.zeros((4, 4), np.float32))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("vector", "colour"),
    [  # worked out from the published code
        ((0, 0), (255, 255, 255)),
        ((2, 0), (255, 0, 0)),  # right: red
        ((0, 2), (255, 229, 0)),  # down: yellow
        ((-2, 0), (0, 209, 255)),  # left: cyan
        ((0, -2), (87, 0, 255)),  # up: violet
        ((1, 0), (255, 127, 127)),  # half as far: half as full
        ((4, 0), (191, 0, 0)),  # beyond the scale: darker
        ((np.nan, 0), (0, 0, 0)),
        ((0, 2e9), (0, 0, 0)),
    ],
)
def test_the_colour_wheel_is_middleburys(vector, colour):
    picture = flow_picture(np.array([[vector]], np.float32), full_px=2)
    assert picture.dtype == np.uint8
    assert picture[0, 0].tolist() == pytest.approx(colour, abs=1)


def motion(flow: np.ndarray) -> OpticalFlow:
    return OpticalFlow(-flow, flow, np.full(flow.shape[:2], 0.25, np.float32))


def test_displacement_is_the_whole_way(flow):
    np.testing.assert_allclose(motion(flow).displacement, 2 * flow)


def test_a_folder_is_filled_and_explained(flow, tmp_path):
    flow[0, 0] = 30, 40
    with FlowWriter(tmp_path / "m", (7, 5), {"source": "a.mp4"}, 8.0) as writer:
        writer.write(1, motion(flow), timestep=0.5)
        writer.write(12, motion(flow / 2), timestep=0.25)
        assert not (tmp_path / "m").exists()
    names = [
        f"{n:06d}_{k}"
        for n in (1, 12)
        for k in ("blend_mask.png", "flow_t0.flo", "flow_t0.png", "flow_t1.flo", "flow_t1.png")
    ]
    found = sorted(path.name for path in (tmp_path / "m").iterdir())
    assert found == [*names, "colour_wheel.png", "flow.json"]
    np.testing.assert_array_equal(read_flo(tmp_path / "m/000001_flow_t0.flo"), -flow)
    picture = cv2.cvtColor(cv2.imread(str(tmp_path / "m/000012_flow_t1.png")), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(picture, flow_picture(flow / 2, 8.0))
    mask = cv2.imread(str(tmp_path / "m/000001_blend_mask.png"), cv2.IMREAD_UNCHANGED)
    assert (mask.shape, np.unique(mask).tolist()) == ((5, 7), [64])
    assert json.loads((tmp_path / "m/flow.json").read_text()) == {
        "source": "a.mp4",
        "width": 7,
        "height": 5,
        "full_colour_px": 8.0,
        "longest_px": 50.0,
        "frames": [{"number": 1, "timestep": 0.5}, {"number": 12, "timestep": 0.25}],
    }
    wheel = cv2.imread(str(tmp_path / "m/colour_wheel.png"))[..., ::-1]
    assert wheel[75, 75].tolist() == [255, 255, 255]
    assert wheel[75, -1].tolist() == [255, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_the_scale_follows_the_size():
    assert FlowWriter(Path("m"), (1280, 720), {}).scale_px == 20
    assert FlowWriter(Path("m"), (64, 48), {}).scale_px == 1


def test_a_failure_leaves_nothing(flow, tmp_path):
    writer = FlowWriter(tmp_path / "m", (7, 5), {})
    with pytest.raises(RuntimeError, match="stop"), writer:
        writer.write(1, motion(flow))
        raise RuntimeError("stop")
    assert not list(tmp_path.iterdir())


def test_what_a_crash_leaves_in_a_finished_folder_may_be_replaced(flow, tmp_path):
    folder = tmp_path / "m"
    with FlowWriter(folder, (7, 5), {}) as writer:
        writer.write(1, motion(flow))
    (folder / "frames.jsonl").touch()  # as before it is removed
    with FlowWriter(folder, (7, 5), {}, overwrite=True) as writer:
        writer.write(3, motion(flow))
    assert not (folder / "frames.jsonl").exists()
    assert (folder / "000003_flow_t0.flo").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "frames.jsonl").write_text("{}")
    with pytest.raises(InterpError, match=r"other files than flow, such as frames.jsonl"):
        FlowWriter(other, (7, 5), {}, overwrite=True)


def test_what_lies_in_a_folder_stays(flow, tmp_path):
    folder = tmp_path / "m"
    folder.mkdir()
    with FlowWriter(folder, (7, 5), {}) as writer:  # empty: fine
        writer.write(1, motion(flow))
    with pytest.raises(InterpError, match="m: holds flow already; use `overwrite`"):
        FlowWriter(folder, (7, 5), {})
    with FlowWriter(folder, (7, 5), {}, overwrite=True) as writer:
        writer.write(3, motion(flow))
    assert not (folder / "000001_flow_t0.flo").exists()
    assert (folder / "000003_flow_t0.flo").exists()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(InterpError, match=r"other files than flow, such as thesis.tex"):
        FlowWriter(folder, (7, 5), {}, overwrite=True)
    with pytest.raises(InterpError, match="is a file; a folder"):
        FlowWriter(folder / "thesis.tex", (7, 5), {})
    with pytest.raises(InterpError, match=r"folder .*none does not exist"):
        FlowWriter(tmp_path / "none" / "m", (7, 5), {})


@pytest.mark.parametrize("folder", [".", "", "..", "/"])
def test_a_folder_without_a_name_of_its_own_is_refused(folder):
    with pytest.raises(InterpError, match="is no name for a new folder; choose one"):
        FlowWriter(Path(folder), (64, 48), {})

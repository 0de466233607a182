"""Optical flow as files to measure in and as pictures to look at.

The files are those of the Middlebury optical flow benchmark, which most flow tools read: `.flo` for
the vectors, and its colour wheel for the pictures (Baker et al. 2011, "A database and evaluation
methodology for optical flow", and the code published with it).
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from interp_cli import forced_exit
from interp_cli.atomic import hidden, move_aside, real_path, rename_new
from interp_cli.errors import InterpError, OpenError
from interp_cli.inference.flow import Array, OpticalFlow
from interp_cli.video.writers.work_folder import WorkFolder, remove_files

__all__ = [
    "FlowWriter",
    "OpticalFlow",
    "flow_picture",
    "full_colour_px",
    "read_flo",
    "write_flo",
]


# "PIEH" as a float: a check of the byte order.
_FLO_TAG = 202021.25
# Vectors longer than this mean "unknown" in the benchmark's files.
_UNKNOWN_PX = 1e9
# Steps of the colour wheel between red, yellow, green, cyan, blue, magenta and red again.
_WHEEL_STEPS = (15, 6, 4, 11, 13, 6)
# Side of the picture that explains the colours.
_LEGEND_PX = 151
_INDEX, _LEGEND = "flow.json", "colour_wheel.png"
# In an unfinished folder: one line for each frame, from which the index is made.
_FRAMES = "frames.jsonl"
_OUR_FILES = re.compile(
    rf"{re.escape(_INDEX)}|{re.escape(_LEGEND)}|\d{{6,}}_(flow_t[01]\.(flo|png)|blend_mask\.png)"
)
_OLD_FILES = re.compile(rf"{re.escape(_FRAMES)}|{_OUR_FILES.pattern}")
_UNFINISHED = re.compile(rf"flow/({re.escape(_FRAMES)}|{_OUR_FILES.pattern})")


def write_flo(path: str | Path, flow: Array) -> None:
    """Write vectors in Middlebury's format: 32-bit numbers, little-endian.

    Args:
        path: The file to make, usually `.flo`.
        flow: Offsets in pixels, (H, W, 2), (dx, dy).

    Raises:
        ValueError: `flow` has another shape.
        InterpError: The file cannot be written.
    """
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise ValueError(f"flow must be (H, W, 2), not {flow.shape}")
    height, width = flow.shape[:2]
    header = np.float32(_FLO_TAG).tobytes() + np.array((width, height), "<i4").tobytes()
    _write(Path(path), header + np.ascontiguousarray(flow, "<f4").tobytes())


def read_flo(path: str | Path) -> Array:
    """Read vectors in Middlebury's format.

    Returns:
        Offsets in pixels, (H, W, 2), (dx, dy).

    Raises:
        OpenError: There is no such file, or it is no complete one of that format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise OpenError(f"{path}: cannot be read ({error.strerror}).") from error
    if len(data) < 12 or np.frombuffer(data, "<f4", 1)[0] != np.float32(_FLO_TAG):
        raise OpenError(f"{path}: is no .flo file (it does not begin with 'PIEH').")
    width, height = (int(side) for side in np.frombuffer(data, "<i4", 2, offset=4))
    found, expected = len(data) - 12, width * height * 8
    if found != expected:
        raise OpenError(
            f"{path}: holds {found} bytes of vectors, expected {expected} for {width}x{height}."
            " Copy it again."
        )
    vectors = np.frombuffer(data, "<f4", offset=12).reshape(height, width, 2)
    return vectors.astype(np.float32)


def flow_picture(flow: Array, full_px: float) -> npt.NDArray[np.uint8]:
    """Colour vectors by the wheel: hue for the direction, saturation for the length.

    No motion is white, right is red, down yellow, left cyan, up violet.

    Args:
        flow: Offsets in pixels, (H, W, 2), (dx, dy).
        full_px: Length in pixels with the full colour; longer vectors are darker.

    Returns:
        RGB, (H, W, 3); black where a vector is unknown (not finite, or above 1e9).
    """
    wheel = _wheel()
    known = (np.abs(flow) < _UNKNOWN_PX).all(-1, keepdims=True)
    dx, dy = np.moveaxis(np.where(known, flow, 0) / full_px, -1, 0)
    length = np.hypot(dx, dy)[..., None]
    place = (np.arctan2(-dy, -dx) / np.pi + 1) / 2 * (len(wheel) - 1)
    first = place.astype(int)
    fraction = (place - first)[..., None]
    colour = (1 - fraction) * wheel[first] + fraction * wheel[(first + 1) % len(wheel)]
    colour = np.where(length <= 1, 1 - length * (1 - colour), 0.75 * colour)
    picture: npt.NDArray[np.uint8] = (255 * colour * known).astype(np.uint8)
    return picture


def full_colour_px(width: int, height: int) -> float:
    """Default length with the full colour in pixels: 1/64 of the longer side, at least 1."""
    return max(1.0, max(width, height) / 64)


class FlowWriter:
    """Fills a folder with the flow of each synthesized frame; a context manager.

    Files are named by the number of the output frame, from 0: `000001_flow_t0.flo` and `.png`,
    `000001_flow_t1.flo` and `.png`, `000001_blend_mask.png` (white: all from `frame0`).
    `flow.json` holds the video's name, the length of a full colour and the data of each frame.
    `colour_wheel.png` is the legend: the vector from its centre to a pixel has that pixel's
    colour, and the rim is a full one.

    The folder appears under its name when the block ends without an error; otherwise nothing is
    left.
    """

    def __init__(
        self,
        folder: Path,
        size: tuple[int, int],
        metadata: dict[str, Any],
        scale_px: float | None = None,
        *,
        overwrite: bool = False,
        completed_frames: Callable[[], int] | None = None,
    ) -> None:
        """Check that the folder may be written.

        Args:
            folder: Folder to make; an empty one may exist.
            size: Width and height of the frames.
            metadata: Further entries of `flow.json`, such as the video's name.
            scale_px: Length in pixels with the full colour; `None`: see `full_colour_px`.
            overwrite: Whether flow of an earlier job in the folder may be replaced, also flow that
                appears there meanwhile.
            completed_frames: Returns the number of output frames that a resumed job will not make
                again; their flow stays when the job stops. `None`: nothing stays.

        Raises:
            InterpError: The folder holds something, or cannot be made.
        """
        check_folder(folder, overwrite=overwrite)
        self.folder = folder
        self.scale_px = scale_px or full_colour_px(*size)
        self._metadata = {**metadata, "width": size[0], "height": size[1]}
        self._frames: list[dict[str, Any]] = []
        self._longest_px = 0.0
        self._overwrite = overwrite
        self._completed_frames = completed_frames
        work = hidden(real_path(folder), ".interp-flow")
        self._work = WorkFolder(work, folder, _UNFINISHED, re.compile("flow"))
        self._part = work / "flow"

    def __enter__(self) -> FlowWriter:
        try:
            self._work.__enter__()
        except OSError as error:
            raise InterpError(f"{self.folder}: cannot be made ({error.strerror}).") from error
        try:
            self._restore(self._completed_frames() if self._completed_frames else 0)
            self._part.mkdir(exist_ok=True)
            (self._part / _FRAMES).touch()
        except OSError as error:
            self._work.unlock()
            raise InterpError(f"{self.folder}: cannot be made ({error.strerror}).") from error
        except BaseException:
            self._work.unlock()
            raise
        forced_exit.register(self._end_at_once)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._publish()
            else:
                self._work.is_kept = self._has_completed
        finally:
            self._work.close()

    @property
    def _has_completed(self) -> bool:
        """Whether a resumed job goes on with what is here."""
        return self._completed_frames is not None and self._completed_frames() > 0

    def _end_at_once(self) -> None:
        """Do what the end of the block does after an error."""
        self._work.is_kept = self._has_completed
        self._work.close()

    def write(self, number: int, flow: OpticalFlow, **metadata: Any) -> None:
        """Add one frame's files.

        Args:
            number: Number of the output frame, from 0.
            flow: Flow of one frame, not of a batch.
            metadata: Entries of `flow.json` for the frame, such as its timestep.

        Raises:
            InterpError: A file cannot be written.
        """
        longest_px = 0.0
        files = []
        for name in ("flow_t0", "flow_t1"):
            vectors: Array = getattr(flow, name)
            stem = self._part / f"{number:06d}_{name}"
            files += [stem.with_suffix(".flo"), stem.with_suffix(".png")]
            write_flo(files[-2], vectors)
            _write_png(files[-1], flow_picture(vectors, self.scale_px))
            longest = float(np.hypot(vectors[..., 0], vectors[..., 1]).max())
            longest_px = max(longest_px, longest)
        mask = np.rint(flow.blend_mask * 255).astype(np.uint8)
        files.append(self._part / f"{number:06d}_blend_mask.png")
        _write_png(files[-1], mask)
        self._longest_px = max(self._longest_px, longest_px)
        self._frames.append({"number": number, **metadata})
        try:
            sizes = {path.name: path.stat().st_size for path in files}
            with (self._part / _FRAMES).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps([longest_px, self._frames[-1], sizes]) + "\n")
        except OSError as error:
            raise InterpError(f"{self.folder}: cannot be written ({error.strerror}).") from error

    def _restore(self, frames: int) -> None:
        """Read the entries of the first `frames` output frames; 0: remove what is there.

        Raises:
            InterpError: The flow of such a frame is damaged.
        """
        if not frames:
            self._work.clear()
            return
        entries = self._part / _FRAMES
        completed, names = [], []
        content = entries.read_bytes() if entries.exists() else b""
        for line in content.splitlines(keepends=True):
            try:
                longest_px, metadata, sizes = json.loads(line)
                if metadata["number"] >= frames:
                    continue
                self._longest_px = max(self._longest_px, float(longest_px))
                whole = all((self._part / n).stat().st_size == sizes[n] for n in sizes)
            except (ValueError, TypeError, LookupError, AttributeError, OSError):
                whole = False  # unless it is the last one, which a crash may have cut off
            if whole:
                completed.append(line)
                names += [f"{self._part.name}/{name}" for name in sizes]
                self._frames.append(metadata)
            elif line.endswith(b"\n"):
                raise InterpError(
                    f"{self._part}: the flow that was kept is damaged; start over with `overwrite` "
                    "and without `resume`."
                )
        self._work.clear(keep=frozenset((f"{self._part.name}/{_FRAMES}", *names)))
        entries.write_bytes(b"".join(completed))

    def _publish(self) -> None:
        """Put the finished folder in its place."""
        _write_png(self._part / _LEGEND, _legend())
        index = {
            **self._metadata,
            "full_colour_px": self.scale_px,
            "longest_px": round(self._longest_px, 3),
            "frames": self._frames,
        }
        _write(self._part / _INDEX, (json.dumps(index, indent=1) + "\n").encode())
        try:
            (self._part / _FRAMES).unlink()
            check_folder(self.folder, overwrite=self._overwrite)  # hours may have passed
            if self.folder.exists():
                remove_files(real_path(self.folder), _OLD_FILES)
            rename_new(self._part, real_path(self.folder))
        except (InterpError, OSError) as error:
            kept = move_aside(self._part, self.folder, "finished")
            where = f" The finished flow is kept as {kept}." if kept else ""
            if isinstance(error, InterpError):
                raise InterpError(f"{error}{where}") from error
            raise InterpError(
                f"{self.folder}: cannot be replaced ({error.strerror}).{where}"
            ) from error


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that flow must not be written to.

    Raises:
        InterpError: It is a file, its parent does not exist, it has no name of its own, or it
            holds something that must stay.
    """
    if folder.name in ("", ".."):  # it is replaced as a whole
        raise InterpError(f"{folder}: is no name for a new folder; choose one, such as flow.")
    if not folder.parent.is_dir():
        raise InterpError(f"{folder}: the folder {folder.parent} does not exist; create it first.")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InterpError(f"{folder}: is a file; a folder for the flow is expected.")
    names = sorted(path.name for path in folder.iterdir())
    # After a crash the list of frames may lie next to the index; alone it is somebody else's.
    ours = {_FRAMES} if _INDEX in names else set()
    foreign = [
        name
        for name in names
        if not (name in ours or _OUR_FILES.fullmatch(name)) or not _is_file(folder / name)
    ]
    if foreign:
        raise InterpError(
            f"{folder}: holds other files than flow, such as {foreign[0]}; choose another folder."
        )
    if names and not overwrite:
        raise InterpError(f"{folder}: holds flow already; use `overwrite` to replace it.")


def _is_file(path: Path) -> bool:
    """Whether a path is a file, not a link or a folder."""
    return stat.S_ISREG(path.lstat().st_mode)


@cache
def _wheel() -> npt.NDArray[np.float64]:
    """Colours around the wheel, (55, 3), 0 to 1, beginning with red."""
    corners = np.array(
        [(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 0, 0)], float
    )
    parts = []
    for start, end, steps in zip(corners[:-1], corners[1:], _WHEEL_STEPS, strict=True):
        rising = np.floor(255 * np.arange(steps) / steps)[:, None] / 255
        # As published: what falls is one minus the rounded rise.
        parts.append(start + (end - start) * rising)
    return np.concatenate(parts)


def _legend() -> npt.NDArray[np.uint8]:
    reach = np.linspace(-1, 1, _LEGEND_PX, dtype=np.float32)
    vectors = np.stack(np.meshgrid(reach, reach), -1)
    picture = flow_picture(vectors, 1.0)
    picture[np.hypot(vectors[..., 0], vectors[..., 1]) > 1] = 255
    return picture


def _write_png(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write RGB or grey."""
    if picture.ndim == 3:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)
    _, data = cv2.imencode(".png", picture)
    _write(path, data.tobytes())


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InterpError(f"{path}: cannot be written ({error.strerror}).") from error

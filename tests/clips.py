"""Clips drawn for the tests: motion whose middle frame is known exactly.

A textured square and a textured disc move over a textured ground by an even number of pixels a
frame, so that halfway between two frames everything stands on whole pixels and `true_frame(i +
0.5)` is drawn, not resampled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np

SIZE = (128, 96)
RATE = Fraction(25)
SAMPLE_RATE = 48_000

# Pixels a frame (dx, dy); even, so that half of them is a whole number.
SQUARE_STEP = (4, 0)
DISC_STEP = (-2, 2)


@cache
def _texture(seed: int, height: int, width: int) -> np.ndarray:
    """Grain of three sizes around a colour of its own, (height, width, 3) uint8."""
    random = np.random.default_rng(seed)
    colour = random.uniform(70, 185, 3)
    grain = np.zeros((height, width), np.float32)
    for cell, weight in ((32, 60), (12, 40), (5, 25)):
        grid = random.uniform(-1, 1, (height // cell + 2, width // cell + 2)).astype(np.float32)
        grain += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(colour + grain[..., None], 0, 255).round().astype(np.uint8)


def _swing(time: float, step: int, room: int) -> int:
    """Offset after `time` frames of going to and fro by `step` a frame within 0..`room`.

    It turns on a whole frame, so that the way between any two frames is straight.
    """
    frames_there = max(room // abs(step), 1)
    phase = time % (2 * frames_there)
    way = (phase if phase <= frames_there else 2 * frames_there - phase) * abs(step)
    offset = way if step > 0 else room - way
    if offset != int(offset):
        raise ValueError(f"time {time!r} puts the drawing between pixels")
    return int(offset)


def true_frame(
    time: float, size: tuple[int, int] = SIZE, scene: int = 0, still: bool = False
) -> np.ndarray:
    """The drawing at `time`, counted in frames.

    Args:
        time: A multiple of 0.5.
        size: Width and height, at least 32 each.
        scene: Another number gives other colours and textures: a cut.
        still: Nothing moves.

    Returns:
        RGB, (height, width, 3) uint8.
    """
    width, height = size
    time = 0.0 if still else time
    picture = _texture(10 * scene, height, width).copy()
    side = min(width, height) // 3

    left = _swing(time, SQUARE_STEP[0], width - side)
    top = height // 8
    picture[top : top + side, left : left + side] = _texture(10 * scene + 1, side, side)

    left = _swing(time, DISC_STEP[0], width - side)
    top = _swing(time, DISC_STEP[1], height - side)
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    disc = rows**2 + columns**2 <= (side / 2) ** 2
    picture[top : top + side, left : left + side][disc] = _texture(10 * scene + 2, side, side)[disc]
    return picture


def moving_clip(
    path: Path,
    frames: int = 12,
    size: tuple[int, int] = SIZE,
    rate: Fraction | int = RATE,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    audio: str | None = None,
    cuts: Sequence[int] = (),
    duplicates: Sequence[int] = (),
    still: bool = False,
    options: dict[str, str] | None = None,
    pictures: Sequence[np.ndarray] | None = None,
) -> Path:
    """Write a drawn clip, colours tagged BT.709, limited range.

    Args:
        path: Where; the ending gives the container.
        frames: Number of frames.
        size: Width and height.
        rate: Frames a second, unless `pts` says otherwise.
        codec: An encoder of FFmpeg's.
        pix_fmt: A pixel format of FFmpeg's.
        pts: A time stamp for each frame, in units of `time_base`: a variable frame rate.
        time_base: Unit of `pts`; 1/1000 s unless given.
        audio: An audio encoder's name: a tone as long as the picture.
        cuts: Frames that begin a new scene.
        duplicates: Frames that show again what the one before showed.
        still: Nothing moves.
        options: Further encoder options.
        pictures: What is shown instead, RGB (height, width, 3) uint8, of this number and size.

    Returns:
        `path`.
    """
    rate = Fraction(rate)
    if pts is None:
        pts, time_base = range(frames), 1 / rate
    time_base = time_base or Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height = size
        video.pix_fmt = pix_fmt
        video.time_base = time_base
        video.codec_context.time_base = time_base
        if not pix_fmt.startswith(("rgb", "gbr", "bgr", "gray", "pal8")):
            tag_bt709(video.codec_context)
        sound = container.add_stream(audio, rate=SAMPLE_RATE, layout="mono") if audio else None
        drawn = drawn_frames(frames, size, cuts, duplicates, still)
        for index, image in enumerate(drawn if pictures is None else pictures):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format=pix_fmt, dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            frame.pts, frame.time_base = pts[index], time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if sound is not None:
            # The last frame is shown as long as the one before it.
            span = (pts[-1] - pts[0]) * Fraction(frames, max(frames - 1, 1)) or 1 / rate / time_base
            for block in _tone(float(span * time_base)):
                container.mux(sound.encode(block))
            container.mux(sound.encode(None))
    return path


def write_triplet(folder: Path, *pictures: np.ndarray) -> None:
    """A folder of im1.png, im2.png, im3.png; RGB."""
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures, 1):
        assert cv2.imwrite(str(folder / f"im{number}.png"), picture[..., ::-1])


def tone_file(path: Path, seconds: float = 0.5, codec: str = "aac") -> Path:
    """Write a file with sound and no picture."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream(codec, rate=SAMPLE_RATE, layout="mono")
        for block in _tone(seconds):
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))
    return path


def drawn_frames(
    frames: int,
    size: tuple[int, int] = SIZE,
    cuts: Sequence[int] = (),
    duplicates: Sequence[int] = (),
    still: bool = False,
) -> Iterator[np.ndarray]:
    """The pictures of `moving_clip`, in RGB and before any encoder."""
    scene = 0
    shown = 0
    for index in range(frames):
        scene += index in cuts
        if index not in duplicates:
            shown = index
        yield true_frame(shown, size, scene, still)


def tag_bt709(codec_context: av.VideoCodecContext) -> None:
    """Say in the stream that its colours are BT.709, limited range."""
    codec_context.colorspace = 1
    codec_context.color_primaries = 1
    codec_context.color_trc = 1
    codec_context.color_range = 1


def _tone(seconds: float) -> Iterator[av.AudioFrame]:
    """440 Hz, mono, float samples, in blocks that every encoder takes."""
    count = round(seconds * SAMPLE_RATE)
    wave = 0.2 * np.sin(2 * np.pi * 440 / SAMPLE_RATE * np.arange(count, dtype=np.float64))
    for start in range(0, count, 960):
        block = av.AudioFrame.from_ndarray(
            wave[None, start : start + 960].astype(np.float32), format="fltp", layout="mono"
        )
        block.sample_rate, block.pts = SAMPLE_RATE, start
        block.time_base = Fraction(1, SAMPLE_RATE)
        yield block


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    with av.open(str(path)) as container:
        yield container


def decoded(path: Path) -> list[av.VideoFrame]:
    """Every frame of the first picture stream, as FFmpeg decodes it."""
    with _opened(path) as container:
        return list(container.decode(video=0))


def planes(frame: av.VideoFrame) -> list[np.ndarray]:
    """The frame's planes without the padding at the end of a row, as bytes (rows, bytes a row)."""
    found = []
    for index, plane in enumerate(frame.planes):
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        component = frame.format.components[min(index, len(frame.format.components) - 1)]
        packed = len(frame.planes) < len(frame.format.components)
        bits = frame.format.padded_bits_per_pixel if packed and index == 0 else component.bits
        used = plane.width * (bits // 8 if packed and index == 0 else (bits + 7) // 8)
        found.append(rows[:, :used])
    return found


def times(path: Path) -> list[Fraction]:
    """When each frame is shown, in seconds, exactly."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        stamps = [frame.pts for frame in container.decode(stream)]
        return [stamp * stream.time_base for stamp in stamps]


def packets(path: Path, kind: str = "audio") -> list[bytes]:
    """What the packets of every stream of a kind hold, in the order of the file."""
    with _opened(path) as container:
        return [
            bytes(packet)
            for packet in container.demux()
            if packet.stream.type == kind and packet.size
        ]


def noise_image(name: str, width: int, height: int) -> av.VideoFrame:
    """A frame of random codes, all of them legal."""
    random = np.random.default_rng(1)
    image = av.VideoFrame(width, height, name)
    bits = image.format.components[0].bits
    for plane in image.planes:
        codes = np.frombuffer(memoryview(plane), np.uint16 if bits > 8 else np.uint8)
        codes[...] = random.integers(0, 1 << bits, codes.shape)
        if name.startswith("p0"):  # P010 keeps its ten bits at the top
            codes <<= 16 - bits
    return image

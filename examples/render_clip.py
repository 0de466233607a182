"""Render the clip that `make demo` doubles: a steam train, drawn and heard.

    python examples/render_clip.py clip.mp4
    python examples/render_clip.py truth.mp4 --fps 30   # the same seconds with the frames between

The scene holds what makes a middle frame hard: layers at many speeds, turning wheels, posts that
pass in front, smoke, and a caption that stands still. Everything is a function of the time in
seconds, so any frame rate shows the same motion, and every run draws the same pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from clip_scene.landscape import (
    HORIZON,
    RAIL,
    Ground,
    draw_clouds,
    draw_forest,
    draw_mountains,
    draw_sky,
    draw_trees,
)
from clip_scene.painting import HEIGHT, WIDTH, Picture, layer, mix, over, rgb
from clip_scene.railway import (
    CHIMNEY,
    WHEEL_RADIUS,
    Smoke,
    Train,
    blurred,
    draw_fence,
    draw_pole,
    draw_track,
)

SECONDS = 3.0
FPS = 15
SAMPLE_RATE = 48_000

# Pixels of the canvas a second: the camera runs along the line, and the train gains on it.
CAMERA_SPEED, TRAIN_GAIN = 200.0, 22.0
# A puff of smoke and a beat of sound for each quarter turn of the driving wheels.
BEAT_SECONDS = float(np.pi / 2 * WHEEL_RADIUS / (CAMERA_SPEED + TRAIN_GAIN))


def draw_caption() -> Picture:
    """White words on a dark plate that fades out to the right."""
    fine = np.zeros((60 * 2, 520 * 2), np.uint8)
    cv2.putText(
        fine, "THE 4.15 TO HALFWAY", (40, 78), cv2.FONT_HERSHEY_DUPLEX, 1.7, 255, 3, cv2.LINE_AA
    )
    text = cv2.resize(fine, (520, 60), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    plate = np.full((60, 520), 0.45, np.float32)
    plate[:, 460:] *= np.linspace(1, 0, 60, dtype=np.float32)
    colour = mix(rgb(16, 20, 30), rgb(255, 250, 240), text[..., None])
    return layer(colour, np.maximum(plate, text))


def cab_at(time: float) -> float:
    """Where the back of the engine's cab is, across the canvas."""
    return 640 + TRAIN_GAIN * time


class Scene:
    """All layers, drawn once; `at` puts them where they are at a time."""

    def __init__(self) -> None:
        self.sky, self.clouds, self.mountains = draw_sky(), draw_clouds(), draw_mountains()
        self.far_forest = draw_forest(120, 16, 0.3, 23, 0.55)
        self.near_forest = draw_forest(116, 30, 0.1, 25, 0.22)
        self.trees, self.ground, self.track = draw_trees(27), Ground(), draw_track()
        self.train, self.smoke = Train(), Smoke(BEAT_SECONDS)
        shutter = 1 / 90
        self.fence = blurred(draw_fence(), 2.1 * CAMERA_SPEED * shutter)
        self.pole = blurred(draw_pole(), 1.7 * CAMERA_SPEED * shutter)
        self.caption = draw_caption()

    def at(self, time: float) -> npt.NDArray[np.uint8]:
        """The picture `time` seconds from the start, RGB, (HEIGHT / 2, WIDTH / 2, 3)."""
        camera = CAMERA_SPEED * time + 60
        canvas = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        canvas[: len(self.sky)] = self.sky
        over(canvas, self.clouds, -7 * time, 10, repeat=True)
        over(canvas, self.mountains, -0.04 * camera, HORIZON - 190, repeat=True)
        over(canvas, self.far_forest, -0.09 * camera, HORIZON - 92, repeat=True)
        self.ground.draw(canvas, camera)
        # What stands on the ground moves with the row that it stands on.
        over(
            canvas,
            self.near_forest,
            -self.ground.speed(HORIZON + 32) * camera,
            HORIZON - 84,
            repeat=True,
        )
        over(
            canvas, self.trees, -self.ground.speed(HORIZON + 74) * camera, HORIZON - 90, repeat=True
        )
        over(canvas, self.track, -camera, RAIL - 16, repeat=True)
        self.smoke.draw(canvas, time, lambda t: cab_at(t) + CHIMNEY, CAMERA_SPEED)
        self.train.draw(canvas, cab_at(time), (CAMERA_SPEED + TRAIN_GAIN) * time)
        for number in range(-1, 3):
            over(canvas, self.pole, 1000 + number * 1050 - 1.7 * camera, 130)
        over(canvas, self.fence, -2.1 * camera, HEIGHT - 190, repeat=True)
        over(canvas, self.caption, 0, 40)
        small = cv2.resize(canvas, (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA)
        return np.clip(np.round(small), 0, 255).astype(np.uint8)


def sound(seconds: float) -> Picture:
    """Steam at every beat of the engine, the rails' joints, and a whistle; mono, -1 to 1."""
    count = round(seconds * SAMPLE_RATE)
    time = np.arange(count) / SAMPLE_RATE
    random = np.random.default_rng(81)
    hiss = random.standard_normal(count + SAMPLE_RATE)
    low = np.convolve(hiss, np.hanning(48) / 12, "same")
    wave = 0.05 * np.convolve(hiss, np.hanning(600) / 60, "same")[:count]

    for beat in range(int(seconds / BEAT_SECONDS) + 1):
        age = time - beat * BEAT_SECONDS
        puff = np.where(age >= 0, np.exp(-17 * np.abs(age)) * np.clip(age / 0.008, 0, 1), 0)
        wave += (0.30 if beat % 4 == 0 else 0.21) * puff * low[:count]
    for joint in np.arange(0.35, seconds, 1.3):
        for wheel in (0.0, 0.19):
            age = time - joint - wheel
            ring = np.sin(2 * np.pi * 190 * age) + 0.5 * np.sin(2 * np.pi * 1130 * age)
            wave += np.where(age >= 0, 0.10 * np.exp(-55 * np.abs(age)) * ring, 0)
    age = time - 1.7
    swell = np.clip(age / 0.06, 0, 1) * np.clip((1.15 - age) / 0.3, 0, 1)
    for pitch in (466.2, 587.3, 698.5):
        bend = pitch * (1 - 0.03 * np.exp(-9 * np.clip(age, 0, None)))
        wave += 0.045 * swell * np.sin(2 * np.pi * bend * age)
    return np.clip(wave + 0.01 * swell * hiss[:count], -1, 1).astype(np.float32)


def audio_frames(wave: Picture) -> Iterator[av.AudioFrame]:
    """The wave in blocks of 20 ms."""
    block = SAMPLE_RATE // 50
    for start in range(0, len(wave), block):
        frame = av.AudioFrame.from_ndarray(
            wave[None, start : start + block], format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = SAMPLE_RATE, start
        frame.time_base = Fraction(1, SAMPLE_RATE)
        yield frame


def render(target: Path, seconds: float = SECONDS, fps: int = FPS) -> None:
    """Write the clip as MP4 (H.264, AAC)."""
    scene = Scene()
    # One thread, so that every run writes the same bytes.
    how = {"crf": "21", "preset": "slow", "threads": "1"}
    with av.open(str(target), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=fps, options=how)
        video.width, video.height, video.pix_fmt = WIDTH // 2, HEIGHT // 2, "yuv420p"
        # The numbers of BT.709 and of limited range in H.264's own table.
        context = video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for number in range(round(seconds * fps)):
            frame = av.VideoFrame.from_ndarray(scene.at(number / fps), format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for block in audio_frames(sound(seconds)):
            container.mux(audio.encode(block))
        container.mux(audio.encode(None))


def main() -> None:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(description="Render the example clip.")
    parser.add_argument("target", type=Path, help="an .mp4 file to write")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length (%(default)s)")
    parser.add_argument("--fps", type=int, default=FPS, help="frames a second (%(default)s)")
    arguments = parser.parse_args()
    render(arguments.target, arguments.seconds, arguments.fps)
    print(f"{arguments.target}: {arguments.seconds:g} s at {arguments.fps} frames/s")


if __name__ == "__main__":
    main()

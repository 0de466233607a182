#!/usr/bin/env python
"""Score the recognition of repeated frames on footage that a codec has been through.

    scripts/score_repeats.py FOLDER … [--runs 25] [--codec libx264]

FOLDERs are those of `score_cuts.py`, split by source in the same way. Of each run are encoded, at a
quality by chance from crf 18 to 28: the frames with repeats (on twos, on threes or in 3:2
pulldown), the first frames as they are, and one frame in slow motion (a steady pan, one that comes
to rest, or one that goes on slowly after it was fast); chance decides which. Printed is how many of
the repeats are found, and what else is taken for one.
"""

from __future__ import annotations

import argparse
import io
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from score_cuts import is_for_test

from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.pairs import PairClassifier
from interp_cli.scenes.base import PairKind
from interp_cli.video.pixel_format import native_format

Picture = NDArray[np.uint8]  # planes of 4:2:0 below each other

LENGTH = 26
# Which frame is shown at each place.
REPEATS = {
    "on twos": [i // 2 for i in range(LENGTH)],
    "on threes": [i // 3 for i in range(LENGTH)],
    "3:2 pulldown": [2 * (i // 5) + (i % 5 > 1) for i in range(LENGTH)],
}
QUALITIES = (18, 20, 23, 26, 28)
# Steps of the slow pans, in pixels a frame.
RESTING = (4.0, 4.0, 3.0, 2.0, 1.2, 0.8, 0.5, 0.35, 0.3, 0.3, 0.3, 0.3)
GOING_ON = (5.0, 5.0, 5.0, 5.0, 0.35, 0.3, 0.3, 5.0, 5.0, 0.3, 0.3, 0.3)


def runs_of(folders: Sequence[Path], count: int, *, for_test: bool) -> list[Path]:
    """Runs by chance, at most three of a source, whose sizes the encoders take."""
    found, taken = [], defaultdict[str, int](int)
    for folder in folders:
        for entry in json.loads((folder / "manifest.json").read_text("utf-8")):
            if is_for_test(entry["source"]) == for_test:
                found.append((entry["source"], folder / entry["file"]))
    random.Random(1).shuffle(found)
    chosen = []
    for source, path in found:
        with av.open(str(path)) as container:
            context = container.streams.video[0].codec_context
            fits = not (context.width % 4 or context.height % 4)
        taken[source] += fits
        if fits and taken[source] <= 3:
            chosen.append(path)
    return chosen[:count]


def pictures_of(path: Path) -> list[Picture]:
    """The first frames of a run."""
    with av.open(str(path)) as container:
        frames = (image for image, _ in zip(container.decode(video=0), range(LENGTH), strict=False))
        return [image.to_ndarray(format="yuv420p") for image in frames]


def panned(picture: Picture, steps: Sequence[float]) -> list[Picture]:
    """A picture that moves on by so many pixels before each frame."""
    height, width = picture.shape[0] * 2 // 3, picture.shape[1]
    quarter = height // 4
    planes = [
        picture[:height],
        *(picture[top : top + quarter].reshape(height // 2, width // 2)
          for top in (height, height + quarter)),
    ]  # fmt: skip
    frames = []
    for place in np.cumsum(steps):
        moved = []
        for plane in planes:
            x = place * plane.shape[1] / width
            move = np.array([[1, 0, x], [0, 1, 0.3 * x]])
            size, border = (plane.shape[1], plane.shape[0]), cv2.BORDER_REFLECT
            smooth = cv2.warpAffine(
                plane.astype(np.float32), move, size, flags=cv2.INTER_CUBIC, borderMode=border
            )
            moved.append(np.rint(smooth).clip(0, 255).astype(np.uint8).reshape(-1, width))
        frames.append(np.concatenate(moved))
    return frames


def encoded(pictures: Sequence[Picture], codec: str, crf: int, speed: str) -> list[av.VideoFrame]:
    """What a codec makes of them."""
    file = io.BytesIO()
    options = {"crf": str(crf), "preset": speed}
    if codec == "libx265":
        options["x265-params"] = "log-level=none"
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = pictures[0].shape[0] * 2 // 3, pictures[0].shape[1]
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            image = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            image.pts = number
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file) as container:
        return [native_format(image) for image in container.decode(video=0)]


def scenes_of(
    paths: Sequence[Path], codec: str
) -> Iterator[tuple[str, int, list[av.VideoFrame], list[bool]]]:
    """Kind, crf, frames, and which of them repeat the one before."""
    chance = random.Random(2)
    for path in paths:
        pictures = pictures_of(path)
        crf, speed = chance.choice(QUALITIES), chance.choice(("veryfast", "medium"))
        kind = chance.choice(list(REPEATS))
        shown = [place for place in REPEATS[kind] if place < len(pictures)]
        steady = (chance.choice((0.2, 0.35, 0.5, 1.0)),) * 12
        made = {kind: [pictures[place] for place in shown], "motion": pictures[:12]}
        slow = chance.choice((("slow pan", steady), ("resting", RESTING), ("going on", GOING_ON)))
        made[slow[0]] = panned(pictures[0], slow[1])
        for name, frames in made.items():
            same = [a == b for a, b in pairwise(shown)]
            labels = same if name in REPEATS else [False] * (len(frames) - 1)
            yield name, crf, encoded(frames, codec, crf, speed), labels


def found_in(frames: Sequence[av.VideoFrame]) -> list[bool]:
    """For each pair, whether the product takes it for a repeat."""
    judge = PairClassifier(None, 10)
    found = [judge.add(SourceFrame(n, n, f)) for n, f in enumerate(frames)]
    return [between is PairKind.DUPLICATE for between in found[1:]]


def share(part: int, whole: int) -> str:
    """A share in three digits; there is none of nothing."""
    return f"{part / whole:.3f}" if whole else "none"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="folders of runs with manifest.json")
    parser.add_argument("--runs", type=int, default=25, help="runs of each part")
    parser.add_argument("--codec", default="libx264", help="libx264 or libx265")
    arguments = parser.parse_args()
    for part, for_test in (("tuning part", False), ("test part", True)):
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        paths = runs_of(arguments.folders, arguments.runs, for_test=for_test)
        for kind, crf, frames, labels in scenes_of(paths, arguments.codec):
            for label, found in zip(labels, found_in(frames), strict=True):
                for name in (kind, f"crf {crf}", "all"):
                    row = counts[name]
                    row[0] += 1
                    row[1] += label
                    row[2] += found and not label
                    row[3] += label and not found
        print(f"\n{part}          pairs  repeats  false  missed")
        for name in sorted(counts, key=lambda name: (name == "all", name)):
            pairs, duplicates, false, missed = counts[name]
            print(f"{name:20}{pairs:6}{duplicates:9}{false:7}{missed:8}")
        _, duplicates, false, missed = counts["all"]
        hits = duplicates - missed
        precision, recall = share(hits, hits + false), share(hits, duplicates)
        print(f"precision {precision}, recall {recall}", flush=True)


if __name__ == "__main__":
    main()

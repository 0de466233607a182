#!/usr/bin/env python
"""Score the detector of cuts on clips that are joined at known frames.

    scripts/score_cuts.py FOLDER … [--known FOLDER] [--scenes 3] [--cache FILE] [--tune]

FOLDERs hold short runs without cuts and a `manifest.json` that names the `file`, `source` and
`mean_abs_diff` (motion) of each. They are split by source into a part for tuning and one for
testing. From both, scenes with and without cuts are made in memory, as they are and with noise, low
light and black bars. Printed are precision and recall of the detector and of `change` alone at its
old threshold; a flash counts as found where it is found as either. `--tune` fits the rule's weights
to the tuning part and prints them. `--known` names the folder of real clips whose cuts a person has
listed below.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from interp_cli.options import DoubleOptions
from interp_cli.scenes.base import PairKind, Thumbnail
from interp_cli.scenes.cuts import CutDetector, change
from interp_cli.scenes.thumbnails import luma_thumbnail
from interp_cli.video.pixel_format import native_format, planes_of

Frames = NDArray[np.float32]

SIDE_PX = 112
LOOKS = ("as it is", "as it is", "noise", "low light", "letterbox", "pillarbox")
BLACK, WHITE = 16.0, 235.0
# The rule that was used first: a pair with a larger `change` is a cut.
EARLIER_CHANGE = 0.27
# First frames of new shots, and of steps within whip pans that may count as either.
KNOWN: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "phone_repeats.mp4": (
        (52, 62, 72, 80, 87, 91, 96, 101, 107, 159, 173, 186, 192, 197, 204, 211),
        (),
    ),
    "promo_cuts.mp4": ((72, 146, 213, 235, 278, 336, 363), (212, 214, 335, 337, 362, 364)),
    "fpv_cuts_hevc.mov": ((10, 21, 44, 52, 62, 73, 89, 98, 112, 131, 151, 174, 202, 247), ()),
}

# Runs that hold a cut or a damaged frame all the same, as a person sees; all pairs that either
# detector marks in runs were looked at.
NOT_ONE_SHOT = (
    *("v0021_00.mp4", "v0037_02.mp4", "w0143_01.mp4", "w0146_00.mp4", "w0147_00.mp4"),
    *("w0231_00.mp4", "w0241_00.mp4", "w0809_00.mp4", "w0809_01.mp4", "w0809_02.mp4"),
    *("w0809_06.mp4", "w0850_02.mp4"),
)


@dataclass(frozen=True)
class Run:
    """Luma of a run without cuts, (N, H, W), and how much moves in it."""

    source: str
    motion: float
    luma: NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """Frames (N, H, W), and for each pair 0: no cut, 1: a cut, 2: a flash begins or ends."""

    kind: str
    look: str
    frames: NDArray[np.uint8]
    labels: NDArray[np.int64]


class Maker:
    """Makes scenes from runs, by chance but always the same ones."""

    def __init__(self, runs: Sequence[Run], seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._shapes = [
            [r for r in runs if r.luma.shape[2] > r.luma.shape[1]],
            [r for r in runs if r.luma.shape[2] <= r.luma.shape[1]],
        ]
        self._runs = self._shapes[0]  # wide or upright ones, for all shots of a scene

    def scenes(self, count: int) -> list[Scene]:
        """Make `count` scenes of each kind and look."""
        kinds: dict[str, Callable[[], tuple[Frames, dict[int, int]]]] = {
            "cut, other shots": lambda: joined([self._shot() for _ in range(4)]),
            "cut, fast shots": lambda: joined([self._fast_shot(8) for _ in range(4)]),
            "cut, same source": self._same_source,
            "cut, same run": self._jump,
            "cut, stills": lambda: joined([np.repeat(self._shot()[:1], 5, 0) for _ in range(3)]),
            "cut, on twos": lambda: joined([twice(self._shot(5, 2)) for _ in range(3)]),
            "cut, to black": self._through_black,
            "cut, short shots": lambda: joined([self._shot(n) for n in (7, self._whole(2, 4), 7)]),
            "flash": self._flash,
            "motion": lambda: (self._fast_shot(14), {}),
            "motion, on twos": lambda: (twice(self._fast_shot(8)), {}),
            "motion, sudden": lambda: (self._sudden(), {}),
            "pan": lambda: (self._camera(zooms=False), {}),
            "zoom": lambda: (self._camera(zooms=True), {}),
            "passing object": lambda: (self._passing(), {}),
            "dissolve": lambda: (self._dissolve(), {}),
            "fade": lambda: (self._fade(), {}),
        }
        made = []
        for look in LOOKS:
            for kind, make in kinds.items():
                for _ in range(count):
                    self._runs = self._shapes[int(self._random.random() < 0.3)]
                    frames, marks = make()
                    labels = np.zeros(len(frames) - 1, np.int64)
                    for frame, label in marks.items():
                        labels[frame - 1] = label
                    made.append(Scene(kind, look, self._looking(frames, look), labels))
        return made

    def _whole(self, low: int, high: int) -> int:
        return int(self._random.integers(low, high + 1))

    def _pick(self, runs: Sequence[Run], length: int = 0) -> Run:
        fits = [run for run in runs if len(run.luma) >= length]
        return fits[int(self._random.integers(len(fits)))]

    def _part(self, run: Run, length: int, stride: int = 1) -> Frames:
        length = min(length, len(run.luma) // stride)
        start = self._whole(0, len(run.luma) - length * stride)
        return run.luma[start : start + length * stride : stride].astype(np.float32)

    def _shot(self, length: int = 0, stride: int = 1) -> Frames:
        length = length or self._whole(7, 13)
        return self._part(self._pick(self._runs, length * stride), length, stride)

    def _fast_shot(self, length: int) -> Frames:
        stride = self._whole(2, 4)
        moving = [run for run in self._runs if run.motion > 6]
        return self._part(self._pick(moving, length * stride), length, stride)

    def _same_source(self) -> tuple[Frames, dict[int, int]]:
        """Different runs of one source."""
        sources = defaultdict(list)
        for run in self._runs:
            sources[run.source].append(run)
        several = [runs for runs in sources.values() if len(runs) >= 3]
        runs = several[int(self._random.integers(len(several)))]
        order = self._random.permutation(len(runs))[:4]
        return joined([self._part(runs[i], self._whole(7, 13)) for i in order])

    def _jump(self) -> tuple[Frames, dict[int, int]]:
        """From the beginning of a run to its end, where that is more than motion.

        Seen as a jump is a change above 10 of 255 that is four times that of any pair around it.
        """
        while True:
            luma = self._pick(self._runs, 60).luma
            frames = np.concatenate([luma[:10], luma[-10:]]).astype(np.float32)
            steps = np.abs(np.diff(frames, axis=0)).mean((1, 2))
            if steps[9] >= max(10.0, 4 * np.delete(steps, 9).max()):
                return frames, {10: 1}

    def _through_black(self) -> tuple[Frames, dict[int, int]]:
        one, other = fitted([self._shot(), self._shot()])
        black = np.full((self._whole(1, 5), *one.shape[1:]), BLACK, np.float32)
        return joined([one, black, other])

    def _flash(self) -> tuple[Frames, dict[int, int]]:
        """One or two frames much brighter, in part up to white."""
        frames = self._shot(12)
        first, length = self._whole(3, 7), self._whole(1, 2)
        share = self._random.uniform(0.35, 1)
        lit = np.clip(1.5 * frames[first : first + length] + 90, 0, WHITE)
        frames[first : first + length] += share * (lit - frames[first : first + length])
        return frames, {first: 2, first + length: 2}

    def _sudden(self) -> Frames:
        """A shot at rest that begins to move at once: a still, then every fourth frame."""
        shot = self._part(self._pick(self._runs, 36), 9, 4)
        rest = np.repeat(shot[:1], 6, 0)
        return np.concatenate([rest + self._random.normal(0, 0.7, rest.shape), shot[1:]])

    def _camera(self, zooms: bool) -> Frames:
        """A window that moves by 2 to 15 % a frame over a run, or grows and shrinks."""
        luma = self._pick(self._runs, 14).luma
        height, width = luma.shape[1:]
        size = (width // 2, height // 2)
        room = np.array([width - size[0], height - size[1]], np.float64)
        speed = self._random.uniform(0.02, 0.12 if zooms else 0.15)
        angle = self._random.uniform(0, 2 * math.pi)
        step = speed * size[0] * np.array([math.cos(angle), math.sin(angle)])
        place, scale = room / 2, self._random.choice([0.5, 1.9])
        growth = 1 + speed if scale < 1 else 1 / (1 + speed)
        views = []
        for picture in luma[:14]:
            used = min(max(scale, 0.4), 1.95) if zooms else 1.0
            corner = room / 2 + (1 - used) * np.array(size) / 2 if zooms else place
            matrix = np.array([[used, 0, corner[0]], [0, used, corner[1]]])
            views.append(
                cv2.warpAffine(
                    picture,
                    matrix,
                    size,
                    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                    borderMode=cv2.BORDER_REFLECT,
                )
            )
            step = np.where((place + step < 0) | (place + step > room), -step, step)
            place, scale = np.clip(place + step, 0, room), scale * growth
        return np.stack(views).astype(np.float32)

    def _passing(self) -> Frames:
        """A part of another shot slides over a shot by 6 to 20 % of the width a frame."""
        ground, thing = fitted([self._shot(12), self._shot(12)])
        height, width = ground.shape[1:]
        thing_width = int(width * self._random.uniform(0.25, 0.55))
        thing_height = int(height * self._random.uniform(0.5, 1))
        top = self._whole(0, height - thing_height)
        left, step = -0.8 * thing_width, width * self._random.uniform(0.06, 0.2)
        for index in range(len(ground)):
            begin, end = int(max(left, 0)), int(min(left + thing_width, width))
            if end > begin:
                shown = slice(begin - int(left), end - int(left))
                rows = slice(top, top + thing_height)
                ground[index, rows, begin:end] = thing[0, rows, shown]
            left += step
        return ground

    def _dissolve(self) -> Frames:
        length = int(self._random.choice([4, 6, 8, 12, 24]))
        one, other = fitted([self._shot(length + 8), self._shot(length + 8)])
        share = (np.arange(1, length + 1) / (length + 1))[:, None, None]
        mixed = one[8:] * (1 - share) + other[:length] * share
        return np.concatenate([one[:8], mixed, other[length:]]).astype(np.float32)

    def _fade(self) -> Frames:
        """To or from black, or (a quarter) white."""
        length = int(self._random.choice([4, 6, 8, 12, 24]))
        shot = self._shot(length + 6)
        colour = BLACK if self._random.random() < 0.75 else WHITE
        share = (np.arange(1, length + 1) / length)[:, None, None]
        mixed = shot[6:] * (1 - share) + colour * share
        end = np.full((3, *shot.shape[1:]), colour)
        frames = np.concatenate([shot[:6], mixed, end]).astype(np.float32)
        return frames[::-1] if self._random.random() < 0.5 else frames

    def _looking(self, frames: Frames, look: str) -> NDArray[np.uint8]:
        frames = frames.copy()
        if look == "noise":
            frames += self._random.normal(0, self._random.uniform(4, 12), frames.shape)
        elif look == "low light":
            frames = BLACK + (frames - BLACK) * self._random.uniform(0.06, 0.25)
            frames += self._random.normal(0, 1, frames.shape)
        elif look == "letterbox":
            bar = int(frames.shape[1] * self._random.uniform(0.08, 0.16))
            frames[:, :bar] = frames[:, -bar:] = BLACK
        elif look == "pillarbox":
            bar = int(frames.shape[2] * self._random.uniform(0.12, 0.34))
            frames[:, :, :bar] = frames[:, :, -bar:] = BLACK
        return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def twice(frames: Frames) -> Frames:
    """Each frame two times, as in animation on twos."""
    return np.repeat(frames, 2, 0)


def fitted(shots: Sequence[Frames]) -> list[Frames]:
    """The middle of each shot, all at the size of the smallest."""
    height, width = (min(shot.shape[axis] for shot in shots) for axis in (1, 2))
    found = []
    for shot in shots:
        scale = max(height / shot.shape[1], width / shot.shape[2])
        size = (max(width, round(shot.shape[2] * scale)), max(height, round(shot.shape[1] * scale)))
        same = size == (shot.shape[2], shot.shape[1])
        scaled = shot if same else np.stack([cv2.resize(f, size) for f in shot])
        top, left = (scaled.shape[1] - height) // 2, (scaled.shape[2] - width) // 2
        found.append(scaled[:, top : top + height, left : left + width].copy())
    return found


def joined(shots: Sequence[Frames]) -> tuple[Frames, dict[int, int]]:
    """Shots one after the other, and where cuts are."""
    starts = np.cumsum([len(shot) for shot in shots])[:-1]
    return np.concatenate(fitted(shots)), {int(start): 1 for start in starts}


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Luma of all runs in the folders, scaled down."""
    runs = []
    for folder in folders:
        for entry in json.loads((folder / "manifest.json").read_text("utf-8")):
            if entry["file"] in NOT_ONE_SHOT:
                continue
            pictures = []
            with av.open(str(folder / entry["file"])) as container:
                for image in container.decode(video=0):
                    luma = planes_of(native_format(image))[0]
                    scale = SIDE_PX / max(luma.shape)
                    size = (round(luma.shape[1] * scale), round(luma.shape[0] * scale))
                    pictures.append(cv2.resize(luma, size, interpolation=cv2.INTER_AREA))
            runs.append(Run(entry["source"], entry["mean_abs_diff"], np.stack(pictures)))
    return runs


def is_for_test(source: str) -> bool:
    """Whether a source is in the part that is not used for tuning."""
    return hashlib.sha256(source.encode()).digest()[0] % 2 == 1


def thumbnails_of(frames: NDArray[np.uint8]) -> list[Thumbnail]:
    """As the product sees the frames."""
    return [luma_thumbnail(av.VideoFrame.from_ndarray(frame, "gray")) for frame in frames]


def judged(
    thumbnails: Sequence[Thumbnail],
) -> tuple[list[PairKind], list[tuple[float, ...] | None]]:
    """What the detector says of each pair, and what it weighed."""
    detector = CutDetector(DoubleOptions().scene_threshold or 1.0)
    for thumbnail in thumbnails:
        detector.add(thumbnail)
    features = [detector.features(i) for i in range(len(thumbnails) - 1)]
    return [detector.judge(i) for i in range(len(thumbnails) - 1)], features


def earlier_rule(thumbnails: Sequence[Thumbnail]) -> list[bool]:
    """Cuts by `change` of each pair alone."""
    return [change(a, b) > EARLIER_CHANGE for a, b in pairwise(thumbnails)]


@dataclass
class Count:
    """Pairs, cuts in them, and mistakes of both detectors: false and missed ones."""

    pairs: int = 0
    cuts: int = 0
    false: int = 0
    missed: int = 0
    earlier_false: int = 0
    earlier_missed: int = 0

    def add(self, label: int, found: bool, earlier: bool) -> None:
        """Count a pair."""
        self.pairs += 1
        self.cuts += label > 0
        self.false += found and not label
        self.missed += bool(label) and not found
        self.earlier_false += earlier and not label
        self.earlier_missed += bool(label) and not earlier

    def row(self, name: str) -> str:
        """A line of the table."""
        return (
            f"{name:18}{self.pairs:7}{self.cuts:6}{self.false:8}{self.missed:8}"
            f"{self.earlier_false:12}{self.earlier_missed:8}"
        )

    def ratios(self) -> str:
        """Precision and recall of both."""
        pairs = ((self.false, self.missed), (self.earlier_false, self.earlier_missed))
        values = [
            (hit / max(1, hit + false), hit / max(1, self.cuts))
            for false, missed in pairs
            for hit in (self.cuts - missed,)
        ]
        return "precision {:.3f}, recall {:.3f}; earlier rule {:.3f}, {:.3f}".format(
            *values[0], *values[1]
        )


def score(scenes: Sequence[Scene], part: str) -> list[tuple[tuple[float, ...], int]]:
    """Print the table of a part; return what was weighed for each pair, and its label."""
    counts: dict[str, Count] = defaultdict(Count)
    weighed = []
    kinds: dict[str, int] = defaultdict(int)
    for scene in scenes:
        thumbnails = thumbnails_of(scene.frames)
        between, features = judged(thumbnails)
        before = earlier_rule(thumbnails)
        for label, found, old, weights in zip(scene.labels, between, before, features, strict=True):
            for name in (scene.kind, scene.look, "all"):
                counts[name].add(int(label), found is not PairKind.CONTINUOUS, old)
            if weights is not None:
                weighed.append((weights, int(label > 0)))
            if label == 2:
                kinds[found.value] += 1
    print(f"\n{part}: {counts['all'].ratios()}")
    print("                    pairs  cuts   false  missed  before: false  missed")
    for name in (*dict.fromkeys(scene.kind for scene in scenes), *dict.fromkeys(LOOKS), "all"):
        print(counts[name].row(name))
    print("flashes found as:", dict(kinds), flush=True)
    return weighed


def fit(weighed: Sequence[tuple[tuple[float, ...], int]]) -> None:
    """Print the weights of a logistic regression with a small ridge, by Newton's method."""
    values = np.array([features for features, _ in weighed])
    labels = np.array([label for _, label in weighed], np.float64)
    mean, spread = values.mean(0), values.std(0)
    design = np.c_[(values - mean) / spread, np.ones(len(values))]
    ridge = 0.01 * np.eye(design.shape[1])
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        likely = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (likely - labels) + ridge @ weights
        curvature = (design.T * (likely * (1 - likely))) @ design + ridge
        weights -= np.linalg.solve(curvature, slope)
    scaled = weights[:-1] / spread
    rounded = ", ".join(f"{w:.2f}" for w in scaled)
    print(f"_WEIGHTS = ({rounded})\n_BIAS = {weights[-1] - scaled @ mean:.2f}")


def score_known(folder: Path) -> None:
    """Print what is found in real clips, beside what a person sees."""
    for name, (cuts, either) in KNOWN.items():
        with av.open(str(folder / name)) as container:
            thumbnails = [luma_thumbnail(native_format(i)) for i in container.decode(video=0)]
        between, _ = judged(thumbnails)
        for title, found in (
            ("now", [i + 1 for i, b in enumerate(between) if b is not PairKind.CONTINUOUS]),
            ("earlier", [i + 1 for i, cut in enumerate(earlier_rule(thumbnails)) if cut]),
        ):
            false = sorted(set(found) - set(cuts) - set(either))
            missed = sorted(set(cuts) - set(found))
            print(f"{name} ({title}): {len(cuts)} cuts, false {false}, missed {missed}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="*", help="folders of runs with manifest.json")
    parser.add_argument("--known", type=Path, help="folder of the clips whose cuts are listed")
    parser.add_argument("--scenes", type=int, default=3, help="scenes of each kind and look")
    parser.add_argument("--cache", type=Path, help="keep the decoded runs there (.npz)")
    parser.add_argument("--tune", action="store_true", help="fit the rule to the tuning part")
    arguments = parser.parse_args()
    if arguments.known:
        score_known(arguments.known)
    if not arguments.folders:
        return
    if arguments.cache and arguments.cache.is_file():
        with np.load(arguments.cache) as kept:
            facts = zip(kept["sources"], kept["motions"], strict=True)
            runs = [Run(str(s), float(m), kept[f"luma{i}"]) for i, (s, m) in enumerate(facts)]
    else:
        runs = read_runs(arguments.folders)
    if arguments.cache and not arguments.cache.is_file():
        arrays = {f"luma{i}": run.luma for i, run in enumerate(runs)}
        sources, motions = [run.source for run in runs], [run.motion for run in runs]
        np.savez(arguments.cache, sources=np.array(sources), motions=np.array(motions), **arrays)
    for part, seed, wanted in (("tuning part", 1, False), ("test part", 2, True)):
        chosen = [run for run in runs if is_for_test(run.source) == wanted]
        if wanted and arguments.tune:
            return
        weighed = score(Maker(chosen, seed).scenes(arguments.scenes), part)
        if arguments.tune:
            fit(weighed)


if __name__ == "__main__":
    main()

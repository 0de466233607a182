"""Real clips through `double_video` into .mkv and .mp4, each promise checked on what comes out.

    PYTHONPATH=. python tests/footage.py FOLDER      every video of a folder; prints a line for each

The model is an average: what is checked is everything but the network. Into Matroska the video is
FFV1, so originals must be bit for bit what they were; into MP4 it is the default encoder, so they
must be close. Interlaced clips must be refused.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
import matrix
import numpy as np

from interp_cli.errors import DecodeError, OpenError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import DoubleResult, double_video
from interp_cli.video.pixel_format import Planes, format_traits, planes_of
from interp_cli.video.probe import VideoInfo, probe
from interp_cli.video.readers.file import VideoReader

ENCODERS = {
    "mkv": EncodeOptions(encoder="ffv1"),
    "mp4": EncodeOptions(preset="superfast"),
}
# The default quality of the default encoders, at its fastest, on the noisiest of clips.
MIN_PSNR_DB = 33.0


def images(path: Path) -> Iterator[tuple[Fraction, str, Planes]]:
    """Time, pixel format and planes of every frame."""
    with VideoReader(path) as reader:
        for frame in reader:
            yield frame.seconds, frame.image.format.name, planes_of(frame.image)


def sound(path: Path) -> list[bytes]:
    """Each sound stream's data, without the header that MPEG-TS puts before each packet."""
    with av.open(str(path)) as container:
        found = {stream.index: b"" for stream in container.streams.audio}
        for packet in container.demux(*container.streams.audio) if found else ():
            data = bytes(packet)
            adts = data[:1] == b"\xff" and data[1:2] and data[1] & 0xF6 == 0xF0
            found[packet.stream.index] += data[7:] if adts else data
    return list(found.values())


def broken_promises(
    source: Path, folder: Path, ending: str, interpolator: Interpolator
) -> Iterator[str]:
    """Double a clip and say what is not as it should be."""
    target = folder / f"{source.stem}.{ending}"
    options = DoubleOptions(encode=ENCODERS[ending], overwrite=True)
    result = double_video(source, target, options, interpolator=interpolator)
    if [path.name for path in folder.iterdir()] != [target.name]:
        yield "something is left beside the target"
    before, after = probe(source), probe(target)
    yield from _frames_at_fault(source, target, before, result, exact=ending == "mkv")
    yield from _facts_at_fault(before, after, ending)
    if sound(target) != sound(source):
        yield "the sound is another"
    target.unlink()


def _frames_at_fault(
    source: Path, target: Path, before: VideoInfo, result: DoubleResult, *, exact: bool
) -> Iterator[str]:
    # Matroska counts milliseconds; a clock that may start anywhere (MPEG-TS) starts at zero.
    shift = before.start_seconds if before.clock_is_arbitrary else Fraction(0)
    unit = Fraction(1, 1000) if exact else Fraction(0)
    count, last, worst_db = 0, Fraction(0), 99.0
    outputs = images(target)
    for original, doubled in zip_longest(images(source), outputs):
        if original is None or doubled is None or next(outputs, None) is None:
            yield f"the frames are not twice those of the input (at frame {count})"
            return
        last = original[0]
        if abs(doubled[0] - (last - shift)) > unit:
            yield f"frame {count} stands at {doubled[0]} instead of {last - shift} s"
            return
        if exact:
            if not all(np.array_equal(a, b) for a, b in zip(doubled[2], original[2], strict=True)):
                yield f"frame {count} is not what it was"
                return
        elif doubled[1].replace("yuvj", "yuv") == original[1].replace("yuvj", "yuv"):
            error = np.mean((doubled[2][0].astype(np.float32) - original[2][0]) ** 2)
            peak = 255 if original[2][0].dtype == np.uint8 else 1023
            worst_db = min(worst_db, 10 * float(np.log10(peak**2 / max(error, 1e-9))))
        count += 1
    if worst_db < MIN_PSNR_DB:
        yield f"an original has {worst_db:.1f} dB"
    if (result.frames_in, result.frames_out) != (count, 2 * count):
        yield f"counted {result.frames_in} and {result.frames_out} instead of {count} frames"
    step = (before.last_duration or 0) * before.time_base
    length = float(last + step - before.video_start_seconds)
    if abs(result.video_seconds - length) > 1e-3:
        yield f"lasts {result.video_seconds:.3f} instead of {length:.3f} s"


def _facts_at_fault(before: VideoInfo, after: VideoInfo, ending: str) -> Iterator[str]:
    for fact in (
        *("width", "height", "sample_aspect", "rotation", "mirrored", "chapters"),
        *("mastering_display", "light_level"),
    ):
        if getattr(after, fact) != getattr(before, fact):
            yield f"{fact}: {getattr(after, fact)} instead of {getattr(before, fact)}"
    traits = format_traits(before.pixel_format)
    has_place = traits.chroma_width * traits.chroma_height > 1
    if has_place and before.chroma_location not in ("", after.chroma_location):
        yield f"chroma location: {after.chroma_location} instead of {before.chroma_location}"
    was, now = before.colour, after.colour
    # RGB says so of itself, or is stored as BT.709.
    rgb = before.pixel_format.startswith(("bgr", "rgb", "gbr"))
    if now.matrix != was.matrix and not (rgb and now.matrix in (0, 1)):
        yield f"matrix: {now.matrix} instead of {was.matrix}"
    if (now.primaries, now.transfer) != (was.primaries, was.transfer):
        yield "other primaries or transfer"
    if was.full_range is not None and bool(now.full_range) != was.full_range and not rgb:
        yield f"range: {now.full_range} instead of {was.full_range}"
    # MP4 holds no attachments, and keeps its chapters in a stream.
    gone = ("data",) if ending == "mkv" else ("data", "attachment")
    streams = [
        [
            (s.kind, s.language.replace("und", ""), s.title)
            for s in info.streams
            if s.kind not in gone
        ]
        for info in (before, after)
    ]
    if streams[0] != streams[1]:
        yield f"streams: {streams[1]} instead of {streams[0]}"
    tags = [{k.lower(): v for k, v in info.metadata.items()} for info in (before, after)]
    for name in {"title", "artist", "comment"} & tags[0].keys():
        if tags[1].get(name) != tags[0][name]:
            yield f"{name}: {tags[1].get(name)!r} instead of {tags[0][name]!r}"


def main() -> int:
    """Check every video of a folder in both containers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    clips = sorted(path for path in parser.parse_args().folder.iterdir() if path.is_file())
    interpolator = Interpolator(matrix.Averaging().eval())
    failed = False
    for clip in clips:
        for ending in ENCODERS:
            begun = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                try:
                    faults = list(broken_promises(clip, Path(folder), ending, interpolator))
                except OpenError:
                    continue  # no video
                except DecodeError as error:
                    refused = "is interlaced" in str(error)
                    faults = [] if refused else [str(error)]
                    ending += " refused: interlaced" if refused else ""
            failed = failed or bool(faults)
            text = "; ".join(faults) or "as promised"
            sys.stdout.write(
                f"{clip.name} to {ending}: {text} ({time.monotonic() - begun:.1f} s)\n"
            )
            sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Count false alarms: whole files that are called damaged.

    scripts/check_health.py [FILES AND FOLDERS…]

The script encodes a drawn clip with each video encoder of ffmpeg, at a constant and at a variable
rate, with 1, 2 and 15 frames, and copies each into every container that takes it, with and without
sound. It also cuts streams without encoding them, as people do, and begins transport streams in the
middle. Every file is read to its end. The files given are read as well.

A file that even ffmpeg complains of is no false alarm, and is counted by itself.
"""

from __future__ import annotations

import argparse
import collections
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from interp_cli.errors import DecodeError, InterpError
from interp_cli.options import DoubleOptions
from interp_cli.video.ffmpeg import ffmpeg_path
from interp_cli.video.readers.open import open_source

# Containers of video files, by file type.
_CONTAINERS = """
    3g2 3gp amv apng asf avi dv f4v flv gif gxf h261 h263 h264 hevc ismv ivf m1v m2ts m2v m4v
    mjpeg mkv mov mp4 mpg mts mxf nut obu ogv rm swf ts vob webm webp wmv wtv y4m
"""
_SIZES = {"h261": "176x144", "h263": "176x144", "dvvideo": "720x576", "dnxhd": "1280x720"}
_OPTIONS = {
    "dvvideo": ["-r", "25", "-pix_fmt", "yuv420p"],
    "dnxhd": ["-b:v", "36M", "-pix_fmt", "yuv422p", "-r", "25"],
    "libsvtav1": ["-preset", "12"],
    "libaom-av1": ["-cpu-used", "8"],
    "librav1e": ["-speed", "10"],
    "libx264": ["-bf", "3", "-g", "6"],
    "libx265": ["-bf", "3", "-g", "6", "-x265-params", "log-level=none"],
    "mpeg2video": ["-bf", "2", "-g", "6"],
    "mpeg4": ["-bf", "2", "-g", "6"],
}
_SOUND = {
    "webm": "libopus",
    "ogv": "libvorbis",
    "mxf": "pcm_s16le",
    "rm": "ac3",
    "swf": "libmp3lame",
}
_VARIABLE = "select='not(eq(n,3)+eq(n,4)+eq(n,9))'"
# (name, number of frames, filter)
_SHAPES = (
    ("constant", 15, "null"),
    ("variable", 15, _VARIABLE),
    ("one", 1, "null"),
    ("two", 2, "null"),
)


def main() -> int:
    """Make, read and count; returns 1 if there was a false alarm."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, help="files or folders that are whole")
    parser.add_argument("--encoders", nargs="*", help="only these; default: all of ffmpeg")
    parser.add_argument(
        "--shapes", nargs="*", help="only these: constant, variable, one, two, cuts"
    )
    options = parser.parse_args()
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    alarms = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoders = options.encoders if options.encoders is not None else _encoders()
        for kind, path in [*_given(options.files), *_made(folder, encoders, options.shapes)]:
            if not path.is_file():
                continue
            verdict, message = _read(path)
            counts[kind][verdict] += 1
            if verdict in ("false alarm", "not read"):
                alarms.append(f"{verdict}: {message.replace(f'{path.parent}/', '')}")
            if kind != "given":
                path.unlink()
    _print(counts, alarms)
    return any(alarm.startswith("false") for alarm in alarms)


def _print(counts: dict[str, collections.Counter[str]], alarms: list[str]) -> None:
    columns = ("whole", "not read", "ffmpeg complains", "false alarm")
    print(f"{'':24}" + "".join(f"{column:>18}" for column in columns))
    for kind, found in sorted(counts.items()):
        print(f"{kind:24}" + "".join(f"{found[column]:18}" for column in columns))
    total = sum((Counter for Counter in counts.values()), collections.Counter())
    print(f"{'all':24}" + "".join(f"{total[column]:18}" for column in columns))
    for alarm in alarms:
        print(alarm)


def _read(path: Path) -> tuple[str, str]:
    """Read a file to its end; returns what came of it, and the message."""
    try:
        with open_source(path, DoubleOptions()) as reader:
            for _ in reader:
                pass
        return "whole", ""
    except DecodeError as error:
        if "changes its" in str(error):
            return "not read", str(error)
        return ("ffmpeg complains" if _complains(path) else "false alarm"), str(error)
    except InterpError as error:
        return "not read", str(error)


def _complains(path: Path) -> bool:
    command = [
        ffmpeg_path(),
        "-v",
        "error",
        "-i",
        f"file:{path}",
        "-map",
        "0:v:0",
        "-f",
        "null",
        "-",
    ]
    ran = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return bool(ran.returncode or ran.stderr.strip())


def _given(paths: list[Path]) -> Iterator[tuple[str, Path]]:
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            yield "given", file


def _made(
    folder: Path, encoders: list[str], shapes: list[str] | None
) -> Iterator[tuple[str, Path]]:
    for encoder in encoders:
        for shape, frames, chain in _SHAPES:
            if shapes and shape not in shapes:
                continue
            source = folder / f"{encoder}_{shape}.nut"
            if not _encode(source, encoder, frames, chain):
                continue
            for ending in _CONTAINERS.split():
                for sound in ("", "_sound"):
                    target = folder / f"{encoder}_{shape}{sound}.{ending}"
                    if _copy(source, target, sound=bool(sound)):
                        yield ending, target
            yield "nut", source
    if not shapes or "cuts" in shapes:
        yield from _cuts(folder)


def _cuts(folder: Path) -> Iterator[tuple[str, Path]]:
    """Parts of streams that were not encoded anew."""
    for encoder in ("libx264", "libx265", "mpeg2video", "mpeg4", "libvpx-vp9", "libsvtav1"):
        source = folder / f"{encoder}_cuts.nut"
        extra = {"libx264": ["-x264-params", "open-gop=1"], "mpeg2video": ["-flags", "-cgop"]}
        if not _encode(source, encoder, 60, "null", [*extra.get(encoder, ()), "-g", "12"]):
            continue
        for ending in ("mkv", "mp4", "mov", "ts", "avi", "flv", "nut", "mpg", "asf"):
            whole = folder / f"{encoder}_whole.{ending}"
            if ending == "ts":  # with parameters in the stream
                made = _encode(whole, encoder, 60, "null", [*extra.get(encoder, ()), "-g", "12"])
            else:
                made = _copy(source, whole, sound=True)
            if not made:
                continue
            for name, before, after in (
                ("t", [], ["-t", "1.3"]),
                ("ss", ["-ss", "0.9"], []),
                ("ss_t", ["-ss", "0.7"], ["-t", "0.8"]),
                ("after", [], ["-ss", "0.9"]),
                ("zero", ["-ss", "0.9"], ["-avoid_negative_ts", "make_zero"]),
            ):
                target = folder / f"{encoder}_{name}.{ending}"
                if _run(*before, "-i", whole, "-map", "0", "-c", "copy", *after, target):
                    yield f"cut {ending}", target
            if ending == "ts":
                data = whole.read_bytes()
                for part in (3, 5, 7):
                    target = folder / f"{encoder}_from_{part}.ts"
                    target.write_bytes(data[len(data) // 188 * part // 10 * 188 :])
                    yield "begins anywhere", target
                joined = folder / f"{encoder}_joined.ts"
                joined.write_bytes(2 * data)
                yield "joined ts", joined
            whole.unlink()
        source.unlink()


def _encode(
    target: Path, encoder: str, frames: int, chain: str, extra: list[str] | None = None
) -> bool:
    size = _SIZES.get(encoder, "64x48")
    picture = f"testsrc2=s={size}:r=25,trim=end_frame={frames},{chain}"
    options = extra if extra is not None else _OPTIONS.get(encoder, [])
    return _run(
        *("-f", "lavfi", "-i", picture, "-fps_mode", "passthrough"),
        *("-c:v", encoder, "-strict", "-2", *options, target),
    )


def _copy(source: Path, target: Path, *, sound: bool) -> bool:
    sounds = ["-f", "lavfi", "-i", "sine=d=0.6"] if sound else []
    codec = ["-c:a", _SOUND[ending]] if (ending := target.suffix[1:]) in _SOUND else []
    return _run(
        "-i", source, *sounds, "-map", "0:v", *(["-map", "1:a"] if sound else []), "-c:v", "copy",
        *codec, "-strict", "-2", target,
    )  # fmt: skip


def _run(*arguments: object) -> bool:
    """Run ffmpeg; returns whether it wrote a file without complaint."""
    command = [ffmpeg_path(), "-v", "error", "-y", "-xerror", *map(str, arguments)]
    target = Path(command[-1])
    try:
        ran = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=20
        )
    except subprocess.TimeoutExpired:
        ran = None
    if ran is None or ran.returncode or not target.exists() or not target.stat().st_size:
        target.unlink(missing_ok=True)
        return False
    return True


def _encoders() -> list[str]:
    ran = subprocess.run(
        [ffmpeg_path(), "-hide_banner", "-encoders"], capture_output=True, text=True, check=True
    )
    lines = (line.split() for line in ran.stdout.splitlines())
    names = [words[1] for words in lines if len(words) > 2 and words[0].startswith("V")]
    return [name for name in names if name != "="]


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python
"""Hashes of what `interp double` makes of a folder of clips, to show that a change changes nothing.

    scripts/fingerprint_outputs.py CLIPS before.json
    scripts/fingerprint_outputs.py CLIPS after.json --compare before.json

Each clip is doubled with ffv1, with the default encoder, threefold and at 60 frames a second, as an
animation, a picture sequence and through a pipe where it is one, and once with its flow. A hash
covers every packet of every stream with its time stamps, or every file of a folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from interp_cli.video.ffmpeg import ffmpeg_path

INTERP = (sys.executable, "-m", "interp_cli", "double")
VIDEO_ENDINGS = {".mp4", ".mov", ".mkv", ".webm", ".ts", ".avi", ".y4m"}
# `auto` is settled by timing, and a busy machine may settle it otherwise.
PRECISION = ("--precision", "fp32")
# Of each clip, what two cores can double in minutes.
SHORT, LONG = ("--end", "1"), ("--end", "3")
SAVE_FLOW = "--save-flow"


def cases(clips: Path) -> list[tuple[str, Path, str, tuple[str, ...]]]:
    """Name, input, name of the output and options of each run."""
    found = []
    for clip in sorted(clips.iterdir()):
        name = clip.name
        if clip.is_dir():
            found.append((f"{name} sequence", clip, "pictures", ()))
        elif clip.suffix == ".gif":
            found.append((f"{name} animation", clip, "out.gif", ()))
        elif clip.suffix in VIDEO_ENDINGS:
            fields = ("--deinterlace",) if "1080i" in name else ()
            found += [
                (f"{name} ffv1", clip, "out.mkv", ("--encoder", "ffv1", *LONG, *fields)),
                (f"{name} default", clip, "out.mp4", (*LONG, *fields)),
                (
                    f"{name} x3",
                    clip,
                    "out.mkv",
                    ("--encoder", "ffv1", "--factor", "3", *SHORT, *fields),
                ),
                (
                    f"{name} 60 fps",
                    clip,
                    "out.mkv",
                    ("--encoder", "ffv1", "--fps", "60", *SHORT, *fields),
                ),
            ]
    return found


def packets_hash(path: Path) -> str:
    """Of every packet of every stream, its time stamps and durations."""
    command = [ffmpeg_path(), "-v", "error", "-i", str(path), "-map", "0", "-c", "copy"]
    done = subprocess.run(
        [*command, "-copyts", "-f", "framehash", "-"], capture_output=True, check=True
    )
    rows = [row for row in done.stdout.splitlines() if not row.startswith(b"#software")]
    return hashlib.sha256(b"\n".join(rows)).hexdigest()[:16]


def folder_hash(folder: Path) -> str:
    """Of every file's name and content."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:16]


def run(source: str, target: str, options: tuple[str, ...], stdin: bytes | None = None) -> bytes:
    """Double one input; what it wrote on stdout."""
    done = subprocess.run(
        [*INTERP, source, target, *PRECISION, *options, "--quiet"], input=stdin, capture_output=True
    )
    if done.returncode:
        sys.exit(f"{source}: {done.stderr.decode()}")
    return done.stdout


def fingerprints(clips: Path, only: str = "") -> dict[str, str]:
    """Hashes by the name of each case that contains `only`."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (case, clip, out, options) in enumerate(cases(clips)):
            if only not in case:
                continue
            target = folder / f"{number}-{out}"
            run(str(clip), str(target), options)
            found[case] = folder_hash(target) if target.is_dir() else packets_hash(target)
            print(f"{found[case]}  {case}", flush=True)
        pipe, toy = clips / "park_joy_50.y4m", clips / "toy_bt601.mp4"
        if pipe.exists() and only in "pipe":
            made = run("-", "-", (), pipe.read_bytes())
            found["pipe"] = hashlib.sha256(made).hexdigest()[:16]
            print(f"{found['pipe']}  pipe", flush=True)
        if toy.exists() and only in "flow":
            run(str(toy), str(folder / "flow.mkv"), (*SHORT, SAVE_FLOW, str(folder / "flow")))
            for path in (folder / "flow").glob("*.json"):
                path.unlink()  # its keys are names, not pixels
            found["flow"] = folder_hash(folder / "flow")
            print(f"{found['flow']}  flow", flush=True)
    return found


def main() -> None:
    """Write the hashes; with `--compare` say which differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="part of the names of the cases to run")
    parser.add_argument("--compare", type=Path, help="hashes of an earlier run")
    arguments = parser.parse_args()
    found = fingerprints(arguments.clips, arguments.only)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if arguments.compare:
        before = json.loads(arguments.compare.read_text(encoding="utf-8"))
        wanted = {case for case in before if arguments.only in case}
        different = [case for case in found.keys() | wanted if found.get(case) != before.get(case)]
        print(f"{len(found)} cases, {len(different)} differ: {', '.join(sorted(different)) or '-'}")
        sys.exit(bool(different))


if __name__ == "__main__":
    main()

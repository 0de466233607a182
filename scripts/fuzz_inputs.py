#!/usr/bin/env python
"""Damage small videos by chance and see that `interp double` copes.

    scripts/fuzz_inputs.py [--mutants 1000] [--seed 1] [--jobs 2] [--only NAME] [--keep FOLDER]

Each mutant is a drawn video of one container and codec, in which some bytes are changed, cleared,
removed or repeated. `interp double` runs on it in a forked process, on every second one with
`--keep-going`. ffmpeg decodes the same file, which says what is lost. Printed is how the mutants
ended:

    equal        done, and nothing is lost
    refused      one line and exit code 1
    told         done, with a warning that the input is damaged
    unseen       done, without a word; pictures differ, but ffmpeg finds no fault in the file either
    SILENT       done, without a word, though ffmpeg reports damage and pictures differ
    TRACEBACK    anything else than one line, or another exit code
    CRASH, HANG  the process died, or did not end
    LEFT         files are left behind

The exit code is 1 if there are any of those in capitals. `--keep` stores those mutants.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from interp_cli.inference.process import tune_process

tune_process()  # before torch is loaded

from interp_cli.cli import app  # noqa: E402
from interp_cli.inference.interpolator import Interpolator  # noqa: E402
from interp_cli.video.ffmpeg import run_ffmpeg  # noqa: E402

FRAMES = 15
# A run takes a second. Only a run that never ends takes this long, however busy the machine is.
LIMIT_SECONDS = 300
LIMIT_BYTES = 12 << 30

_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
SOURCES: dict[str, tuple[str, ...]] = {
    "h264.mp4": (*_X264, "-movflags", "+faststart"),
    "frag.mp4": (*_X264, "-movflags", "frag_keyframe+empty_moov", "-g", "5"),
    "bframes.mov": ("-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p"),
    "h264.ts": (*_X264, "-g", "5"),
    "sound.mkv": (*_X264, "-c:a", "aac"),
    "hevc.mkv": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"),
    "av1.mkv": ("-c:v", "libsvtav1", "-preset", "12"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "vp8.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8"),
    "mpeg4.avi": (
        "-c:v",
        "mpeg4",
    ),
    "mjpeg.avi": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
    "mpeg2.ts": ("-c:v", "mpeg2video", "-pix_fmt", "yuv420p"),
    "mpeg2.mpg": ("-c:v", "mpeg2video", "-pix_fmt", "yuv420p"),
    "mpeg1.mpg": ("-c:v", "mpeg1video", "-pix_fmt", "yuv420p"),
    "wmv.asf": (
        "-c:v",
        "wmv2",
    ),
    "flv.flv": (
        "-c:v",
        "flv",
    ),
    "ffv1.nut": (
        "-c:v",
        "ffv1",
    ),
    "ffv1.mkv": ("-c:v", "ffv1", "-level", "3", "-slicecrc", "1"),
    "prores.mov": (
        "-c:v",
        "prores_ks",
    ),
    "qtrle.mov": (
        "-c:v",
        "qtrle",
    ),
    "theora.ogv": (
        "-c:v",
        "libtheora",
    ),
    "raw.y4m": ("-pix_fmt", "yuv420p"),
    "anim.gif": (),
    "anim.webp": ("-c:v", "libwebp_anim", "-lossless", "1"),
    "anim.apng": ("-f", "apng", "-plays", "0"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a mutant ended.

    Attributes:
        name: Name of the source.
        number: Number of the mutant.
        kind: One of the words in the module's docstring.
        detail: The line that was said, or the end of the traceback.
        peak_mb: Most memory that the process took.
    """

    name: str
    number: int
    kind: str
    detail: str
    peak_mb: int

    @property
    def is_bad(self) -> bool:
        """Whether this must not happen."""
        return self.kind.isupper()


def draw(folder: Path, name: str) -> Path | None:
    """Draw a source; `None` if this ffmpeg has no such encoder."""
    path = folder / name
    video = ("-f", "lavfi", "-i", f"testsrc2=size=64x48:rate=15:duration={FRAMES / 15}")
    sound = ("-f", "lavfi", "-i", "sine=duration=1") if name.startswith("sound") else ()
    run = run_ffmpeg("-v", "error", "-y", *video, *sound, *SOURCES[name], f"file:{path}")
    return path if run.returncode == 0 else None


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, cleared, removed or repeated."""
    changed = bytearray(content)
    kind = rng.choice(("bytes", "bits", "clear", "noise", "remove", "repeat", "cut", "move"))
    begin = rng.randrange(len(changed))
    length = min(len(changed) - begin, rng.choice((1, 4, 16, 188, 600, 2000)))
    if kind in ("bytes", "bits"):
        for _ in range(rng.choice((1, 3, 10))):
            place = rng.randrange(len(changed))
            changed[place] = (
                rng.randrange(256) if kind == "bytes" else changed[place] ^ 1 << rng.randrange(8)
            )
    elif kind == "clear":
        changed[begin : begin + length] = bytes(length)
    elif kind == "noise":
        changed[begin : begin + length] = rng.randbytes(length)
    elif kind == "remove":
        del changed[begin : begin + length]
    elif kind == "repeat":
        changed[begin:begin] = changed[begin : begin + length]
    elif kind == "cut":
        del changed[max(64, begin) :]
    else:
        block = changed[begin : begin + length]
        del changed[begin : begin + length]
        place = rng.randrange(len(changed) + 1)
        changed[place:place] = block
    return bytes(changed)


def decoded(path: Path) -> tuple[list[str], bool]:
    """Hashes of the pictures that ffmpeg decodes, and whether it reports a fault of the video."""
    keep = ("-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framehash", "-")
    run = run_ffmpeg("-v", "error", "-nostdin", "-i", f"file:{path}", *keep)
    lines = [line for line in run.stdout.splitlines() if not line.startswith("#")]
    # ffmpeg opens every stream with its decoder to describe it, also those that are not mapped.
    # What the decoder of sound complains of says nothing of the pictures.
    complaints = [
        line
        for line in run.stderr.splitlines()
        if not re.match(r"\[aac @ |\s+Last message repeated", line)
    ]
    return [line.rpartition(",")[2].strip() for line in lines], bool(complaints or run.returncode)


def double(folder: Path, source: Path, keep_going: bool) -> tuple[int, str, int]:
    """Run `interp double` in a forked process.

    Returns:
        Exit code (negative: the signal that ended it), what it said, and its peak memory in MB.
    """
    said = folder.parent / f"{folder.name}.said"
    child = os.fork()
    if child == 0:
        _run_child(folder, source, said, keep_going)
    timer = threading.Timer(LIMIT_SECONDS, os.kill, (child, signal.SIGKILL))
    timer.start()
    _, status, usage = os.wait4(child, 0)
    timer.cancel()
    text = said.read_text(errors="replace")
    said.unlink()
    return os.waitstatus_to_exitcode(status), text, usage.ru_maxrss // 1024


def _run_child(folder: Path, source: Path, said: Path, keep_going: bool) -> NoReturn:
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(folder)
    code = 70
    try:
        sys.argv = ["interp", "double", source.name, "out.mkv", "--encoder", "ffv1"]
        sys.argv += ["--quality", "fast", "--device", "cpu", "--precision", "fp32"]
        sys.argv += ["--keep-going"] if keep_going else []
        app.main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 70
    except BaseException:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def judge(
    code: int, said: str, left: Sequence[str], before: list[str], after: list[str], fault: bool
) -> tuple[str, str]:
    """The kind of outcome, and the line that shows it.

    Args:
        code: Exit code of `interp double`.
        said: What it printed.
        left: Files in the folder besides the input and the output.
        before: Pictures of the whole file.
        after: Pictures of the mutant.
        fault: Whether ffmpeg reports one.
    """
    lines = [line for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    if code == -signal.SIGKILL:
        return "HANG", last
    if code < 0:
        return "CRASH", f"{signal.Signals(-code).name}: {last}"
    if "Traceback (most recent call last)" in said or code not in (0, 1):
        return "TRACEBACK", f"{code}: {last}"
    if left:
        return "LEFT", " ".join(left)
    if code == 1:
        return "refused", last
    # The terminal's width breaks lines anywhere.
    if re.search(
        r"damaged|incomplete|is missing|left out|did not grow|not be decoded", " ".join(lines)
    ):
        return "told", last
    if after == before:
        return "equal", ""
    return ("SILENT" if fault else "unseen"), f"{len(after)} of {len(before)} frames; {last}"


def work(
    job: int, options: argparse.Namespace, folder: Path, sources: dict[str, Path], out: int
) -> NoReturn:
    """Try every mutant of this process, and write the outcomes as lines of JSON."""
    names = list(sources)
    whole = {name: decoded(path)[0] for name, path in sources.items()}
    with os.fdopen(out, "w") as results:
        for number in range(job, options.mutants, options.jobs):
            name = names[number % len(names)]
            place = folder / f"{number}"
            place.mkdir()
            rng = random.Random(f"{options.seed} {number}")
            mutant = place / f"mutant{Path(name).suffix}"
            mutant.write_bytes(mutated(sources[name].read_bytes(), rng))
            code, said, peak = double(place, mutant, keep_going=number // len(names) % 2 == 1)
            left = sorted(each.name for each in place.iterdir())
            for expected in (mutant.name, *(["out.mkv"] if code == 0 else [])):
                if expected in left:
                    left.remove(expected)
            after, fault = decoded(mutant)
            kind, detail = judge(code, said, left, whole[name], after, fault)
            outcome = Outcome(name, number, kind, detail, peak)
            if outcome.is_bad and options.keep:
                (options.keep / f"{options.seed}_{number}_{name}").write_bytes(mutant.read_bytes())
            subprocess.run(["rm", "-rf", place], check=True)
            results.write(json.dumps(asdict(outcome)) + "\n")
            results.flush()
    os._exit(0)


def fork_workers(options: argparse.Namespace, body: Callable[[int, int], NoReturn]) -> list[int]:
    """Start the processes; returns the pipes from which their outcomes come."""
    pipes = []
    for job in range(options.jobs):
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.close(reading)
            body(job, writing)
        os.close(writing)
        pipes.append(reading)
    return pipes


def main() -> None:
    """Run the mutants and print how they ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", help="a source, such as h264.mp4")
    parser.add_argument("--keep", type=Path, help="folder for the mutants that show a fault")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    Interpolator("flow", device="cpu", precision="fp32")  # whatever loads late is loaded once
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        chosen = [options.only] if options.only else list(SOURCES)
        drawn = {name: path for name in chosen if (path := draw(folder, name))}
        pipes = fork_workers(options, lambda job, out: work(job, options, folder, drawn, out))
        outcomes = []
        for pipe in pipes:
            with os.fdopen(pipe) as lines:
                outcomes += [Outcome(**json.loads(line)) for line in lines]
    report(sorted(outcomes, key=lambda each: each.number), options.mutants)


def report(outcomes: list[Outcome], wanted: int) -> None:
    """Print a table by source, then each outcome that must not be."""
    kinds = sorted({each.kind for each in outcomes}, key=str.swapcase)
    print(f"{'':12}" + "".join(f"{kind:>11}" for kind in kinds))
    by_name = Counter((each.name, each.kind) for each in outcomes)
    for name in dict.fromkeys(each.name for each in outcomes):
        print(f"{name:12}" + "".join(f"{by_name[name, kind]:11}" for kind in kinds))
    totals = Counter(each.kind for each in outcomes)
    print(f"{'all':12}" + "".join(f"{totals[kind]:11}" for kind in kinds))
    peak = max((each.peak_mb for each in outcomes), default=0)
    print(f"{len(outcomes)} of {wanted} mutants; most memory {peak} MB")
    bad = [each for each in outcomes if each.is_bad]
    for each in bad:
        print(f"{each.kind} {each.name} {each.number}: {each.detail}")
    sys.exit(1 if bad or len(outcomes) < wanted else 0)


if __name__ == "__main__":
    main()

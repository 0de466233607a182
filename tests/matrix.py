"""Every kind of picture through `double_video`, and what comes out: a table for the documents.

    PYTHONPATH=. python tests/matrix.py                    prints the whole table as Markdown
    PYTHONPATH=. python tests/matrix.py docs/formats.md    writes it below the heading Results

A cell is one drawn video: a pixel format, a colour matrix, a range, a container and a kind of
frame rate. It is doubled losslessly and decoded again. Its originals must be bit for bit what
they were, its tags the same as PyAV reads them and as ffmpeg reads them, and its time stamps
exact.
"""

from __future__ import annotations

import argparse
import functools
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import groupby, pairwise, product
from pathlib import Path

import av
import numpy as np
import torch

from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions, EncodeOptions
from interp_cli.pipeline.double import double_video
from interp_cli.video.ffmpeg import ffmpeg_path
from interp_cli.video.pixel_format import native_format, pixel_format_of, planes_of
from interp_cli.video.probe import ColourTags

SIZE = (34, 18)
FRAMES = 4
FORMATS = """
    yuv420p yuv422p yuv444p yuv420p9le yuv420p10le yuv422p10le yuv444p10le yuv420p12le yuv422p12le
    yuv444p12le yuv420p14le yuv420p16le yuv444p16le nv12 p010le yuv411p gray gray10le gray12le
    gray16le gbrp gbrp10le gbrp12le gbrp16le rgb24 bgra yuva420p yuva444p yuva444p10le
""".split()  # noqa: SIM905 - a list of strings would be longer to read
# What a file says of its matrix, primaries and transfer.
MATRICES = {
    "BT.601": (6, 6, 6),
    "BT.709": (1, 1, 1),
    "BT.2020 PQ": (9, 9, 16),
    "BT.2020 HLG": (9, 9, 18),
    "untagged": (2, 2, 2),
}
RANGES = {"limited": 1, "full": 2}
# Time stamps in units of the source's time base.
RATES = {
    "constant": (Fraction(1, 25), range(FRAMES)),
    "NTSC": (Fraction(1001, 30000), range(FRAMES)),
    "variable": (Fraction(1, 1000), (0, 40, 61, 201)),
}
# A lossless encoder of each container, and the unit of its clock where that is coarser.
CONTAINERS = {
    "mkv": ("ffv1", Fraction(1, 1000)),
    "mov": ("ffv1", None),
    "mp4": ("libx264", None),
    "webm": ("libvpx-vp9", Fraction(1, 1000)),
}
LOSSLESS = {"libx264": (("qp", "0"),), "libvpx-vp9": (("lossless", "1"), ("deadline", "realtime"))}
# What no option can put right, and is warned of: MOV cannot store the range of FFV1's frames.
_WARNED = re.compile(r"\.mov cannot store the range of ffv1's frames")


@dataclass(frozen=True)
class Cell:
    """One video of the table."""

    pixel_format: str
    matrix: str
    range: str
    rate: str
    container: str

    def __str__(self) -> str:
        """For a test's name."""
        values = (str(getattr(self, field.name)) for field in fields(self))
        return "-".join(value.replace(" ", "") for value in values)


class Averaging(torch.nn.Module):
    """A model without weights: the mean of both frames."""

    supports_timestep = True

    def size_multiple(self, height: int, width: int) -> int:
        """Any size will do."""
        return 1

    def forward(self, frame0: torch.Tensor, frame1: torch.Tensor, timestep: torch.Tensor):
        """Mix both frames by their distance in time."""
        return (1 - timestep) * frame0 + timestep * frame1


def cells() -> Iterator[Cell]:
    """Every cell that there is: RGB has no matrix, and not all encoders store every format."""
    for values in product(FORMATS, MATRICES, RANGES, RATES, CONTAINERS):
        cell = Cell(*values)
        name = cell.pixel_format
        rgb = name.startswith(("gbr", "rgb", "bgr"))
        if rgb and (cell.matrix, cell.range) != ("untagged", "full"):
            continue
        if name.startswith("gray") and cell.matrix not in ("BT.709", "untagged"):
            continue
        stored = {
            "libx264": r"(yuv42[02]p|yuv444p|nv12|gray)(10le)?$|p010le$",
            "libvpx-vp9": r"yuv4(20|22|44)p(10le|12le)?$|nv12$|p010le$|gbrp(10le|12le)?$",
        }.get(CONTAINERS[cell.container][0])
        if stored is None or re.match(stored, name):
            yield cell


def draw(cell: Cell, path: Path) -> Path:
    """Write the cell's video as raw frames in NUT: random codes that move, tagged by ffmpeg."""
    time_base, stamps = RATES[cell.rate]
    raw = path.with_suffix(".raw.nut")
    with av.open(str(raw), "w") as container:
        stream = container.add_stream("rawvideo", rate=1 / time_base)
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.time_base = cell.pixel_format, time_base
        stream.codec_context.time_base = time_base
        random = np.random.default_rng(5)
        for stamp in stamps:
            image = av.VideoFrame(*SIZE, cell.pixel_format)
            fill(image, random, limited=cell.range == "limited")
            image.pts, image.time_base = stamp, time_base
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    matrix, primaries, transfer = MATRICES[cell.matrix]
    tags = f"colorspace={matrix}:color_primaries={primaries}:color_trc={transfer}"
    # FFV1 in Matroska holds every format and tag; its clock counts milliseconds, so NTSC's times
    # come from MOV, which cannot say the rarer range.
    grey = cell.pixel_format.startswith("gray")
    exact = cell.rate == "NTSC" and (cell.range == "full") == grey
    source = path.with_suffix(".mov" if exact else ".mkv")
    ranged = ["-color_range", "pc"] if cell.range == "full" else []
    form = native_format(av.VideoFrame(*SIZE, cell.pixel_format)).format.name
    form = {"gbrp": "bgr0", "rgb24": "bgr0"}.get(form, form)
    command = [ffmpeg_path(), "-v", "error", "-y", "-i", str(raw), "-fps_mode", "passthrough"]
    command += ["-enc_time_base", "demux", "-vf", f"setparams=range={RANGES[cell.range]}:{tags}"]
    command += [*ranged, "-pix_fmt", form, "-c:v", "ffv1", "-level", "3", str(source)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return source


def fill(image: av.VideoFrame, random: np.random.Generator, *, limited: bool) -> None:
    """Random codes: all that there are, or all that limited range has."""
    bits = image.format.components[0].bits
    low, high = (16, 236) if limited else (0, 256)
    for plane in image.planes:
        dtype = np.uint16 if bits > 8 else np.uint8
        codes = np.frombuffer(memoryview(plane), dtype)
        scale = 1 << (bits - 8)
        codes[...] = random.integers(low * scale, high * scale, codes.shape)
        if image.format.name.startswith("p0"):  # P010 keeps its ten bits at the top
            codes <<= 16 - bits


def check(
    cell: Cell, folder: Path, interpolator: Interpolator, source: Path | None = None
) -> list[str]:
    """Make the cell's video unless it is there, double it, and say what is not as it should be."""
    source = source or draw(cell, folder / "source")
    encoder, clock = CONTAINERS[cell.container]
    options = EncodeOptions(encoder=encoder, options=LOSSLESS.get(encoder, ()))
    target = folder / f"doubled.{cell.container}"
    result = double_video(
        source, target, DoubleOptions(encode=options, overwrite=True), interpolator=interpolator
    )
    if any(_WARNED.match(warning) for warning in result.warnings):
        return ["warned"]
    with av.open(str(source)) as container:
        before = list(container.decode(video=0))
    with av.open(str(target)) as container:
        after = list(container.decode(video=0))
    if len(after) != 2 * len(before):
        return [f"{len(before)} frames became {len(after)}"]
    faults = []
    grey = cell.pixel_format.startswith("gray")  # to which H.264's decoder adds empty chroma
    for number, (original, kept) in enumerate(zip(before, after[::2], strict=True)):
        pairs = zip(colours(original), colours(kept), strict=not grey)
        if not all(np.array_equal(a, b) for a, b in pairs):
            faults.append(f"frame {number} has other samples")
            break
    faults += times_at_fault(before, after, clock)
    faults += tags_at_fault(cell, source, target, before[0], after[0])
    return faults


def colours(image: av.VideoFrame) -> list[np.ndarray]:
    """A plane a channel; RGB in one order, without the unused fourth byte of some formats."""
    image = native_format(image)
    layout, planes = pixel_format_of(image, ColourTags()), planes_of(image)
    if layout.kind != "rgb":
        return list(planes)
    channels = np.moveaxis(planes[0], -1, 0) if layout.packed else planes
    named = dict(zip(layout.order, channels, strict=True))
    return [named[name] for name in "RGBA" if name in named]


def times_at_fault(
    before: Sequence[av.VideoFrame], after: Sequence[av.VideoFrame], clock: Fraction | None
) -> list[str]:
    """Originals at their own times, middles halfway, to half a unit of a coarse clock."""
    shown = [frame.pts * frame.time_base for frame in before]
    wanted = [time for a, b in pairwise(shown) for time in (a, (a + b) / 2)]
    got = [frame.pts * frame.time_base for frame in after]
    room = clock / 2 if clock else Fraction(0)
    wrong = [n for n, (a, b) in enumerate(zip(wanted, got, strict=False)) if abs(a - b) > room]
    # The last original has no successor; it stands at its own time all the same.
    if abs(got[-2] - shown[-1]) > room:
        wrong.append(len(got) - 2)
    return [f"frame {wrong[0]} stands at another time"] if wrong else []


def tags_at_fault(
    cell: Cell, source: Path, target: Path, before: av.VideoFrame, after: av.VideoFrame
) -> list[str]:
    """Matrix, primaries, transfer and range as PyAV and as ffmpeg read them."""
    faults = []
    rgb = before.format.is_rgb
    wanted = MATRICES[cell.matrix]
    found = (int(after.colorspace), int(after.color_primaries), int(after.color_trc))
    if rgb or cell.pixel_format.startswith("gray"):  # which have none; files say so or nothing
        wanted, found = wanted[1:], found[1:]
    if found != wanted:
        faults.append(f"PyAV reads the tags {found} instead of {wanted}")
    # Where nothing is said, luma is limited, grey and RGB are not.
    usual = 2 if rgb or cell.pixel_format.startswith("gray") else 1
    is_full = after.format.name.startswith("yuvj") or (int(after.color_range) or usual) == 2
    if is_full != (cell.range == "full"):
        faults.append("PyAV reads the other range")
    said = [ffmpeg_tags(path, usual) for path in (source, target)]
    if said[0][-len(wanted) :] != said[1][-len(wanted) :] or said[0][0] != said[1][0]:
        faults.append(f"ffmpeg reads {said[1]} instead of {said[0]}")
    return faults


@functools.cache
def ffmpeg_tags(path: Path, usual: int) -> list[str]:
    """Range, matrix, primaries and transfer of the frames that ffmpeg's own decoder hands on."""
    command = [ffmpeg_path(), "-hide_banner", "-i", str(path), "-vf", "showinfo", "-frames:v", "1"]
    run = subprocess.run([*command, "-f", "null", "-"], capture_output=True, text=True, check=True)
    found = re.findall(r"color_(?:range|space|primaries|trc):(\S+)", run.stderr)[:4]
    return [{"unknown": "pc" if usual == 2 else "tv"}.get(found[0], found[0]), *found[1:]]


def table(results: dict[Cell, list[str]]) -> str:
    """The results as Markdown: formats down, containers across, faults below."""
    lines = [
        "| Pixel format | " + " | ".join(f".{name}" for name in CONTAINERS) + " |",
        "|---|" + "---|" * len(CONTAINERS),
    ]
    for name in FORMATS:
        row = []
        for container in CONTAINERS:
            here = [
                faults
                for cell, faults in results.items()
                if (cell.pixel_format, cell.container) == (name, container)
            ]
            warned = here.count(["warned"])
            text = f"{here.count([])} of {len(here)}" + (f", {warned} warned" if warned else "")
            row.append(text if here else "–")
        lines.append(f"| `{name}` | " + " | ".join(row) + " |")
    found = {cell: faults for cell, faults in results.items() if faults not in ([], ["warned"])}
    counts = f"{list(results.values()).count([])} of {len(results)} videos came out as they were"
    warned = f"{list(results.values()).count(['warned'])} with a warning that says what they lack"
    faults = [f"- {cell}: {'; '.join(words)}" for cell, words in found.items()]
    return "\n".join([*lines, "", f"{counts}, {warned}, {len(found)} otherwise.", *faults])


def same_source(cell: Cell) -> tuple[str, ...]:
    """All but the container: cells that agree in it have one source."""
    return cell.pixel_format, cell.matrix, cell.range, cell.rate


def check_all(group: list[Cell]) -> dict[Cell, list[str]]:
    """Check the cells of one source."""
    torch.set_num_threads(1)
    interpolator = Interpolator(Averaging().eval())
    with tempfile.TemporaryDirectory() as folder:
        source = draw(group[0], Path(folder) / "source")
        return {cell: check(cell, Path(folder), interpolator, source) for cell in group}


def main() -> int:
    """Check every cell; print the table or put it into a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("document", type=Path, nargs="?", help="file with the heading Results")
    document = parser.parse_args().document
    groups = [list(group) for _, group in groupby(cells(), key=same_source)]
    results: dict[Cell, list[str]] = {}
    total = sum(map(len, groups))
    with ProcessPoolExecutor(2) as pool:
        for part in pool.map(check_all, groups):
            results |= part
            sys.stderr.write(f"\r{len(results)} of {total}")
    sys.stderr.write("\n")
    made = table(results)
    if document is None:
        sys.stdout.write(f"{made}\n")
    else:
        above, heading, _ = document.read_text(encoding="utf-8").partition("## Results\n")
        document.write_text(f"{above}{heading}\n{made}\n", encoding="utf-8")
    return int(any(faults not in ([], ["warned"]) for faults in results.values()))


if __name__ == "__main__":
    sys.exit(main())

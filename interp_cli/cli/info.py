"""`interp info`: the properties of a video or a weights file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from interp_cli.cli import flags
from interp_cli.cli.messages import with_flags
from interp_cli.cli.render import print_json, results, size_text

if TYPE_CHECKING:
    from interp_cli.video.probe import VideoInfo

_WEIGHTS_ENDINGS = (".safetensors", ".pt", ".pth")

# Frames whose times are read to tell a constant rate from a variable one: minutes of video, and
# read in well under a second.
_TIMED_FRAMES = 5000

# Code points of ITU-T H.273 that people meet; others are shown as numbers.
_MATRIX = {0: "RGB", 1: "BT.709", 2: "untagged", 5: "BT.601", 6: "BT.601", 9: "BT.2020"}
_PRIMARIES = {1: "BT.709", 2: "untagged", 5: "BT.601", 6: "BT.601", 9: "BT.2020", 12: "P3"}
_TRANSFER = {1: "BT.709", 2: "untagged", 6: "BT.601", 13: "sRGB", 16: "PQ", 18: "HLG"}
# Transfer curves of HDR, and the primaries and depth that make PQ into HDR10.
_PQ, _HLG, _BT2020, _HDR10_BITS = 16, 18, 9, 10
_RANGE = {None: "untagged", False: "limited", True: "full"}


def info(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A video, an image sequence, a weights file, or a model's name."
        ),
    ],
    json: flags.Json = False,
    quiet: flags.Silent = False,
) -> None:
    """Show the properties of a video, an image sequence, an animation or a weights file."""
    path = Path(file)
    # A model's name has no ending and is no file.
    named = path.suffix or path.exists() or file == "-"
    is_weights = path.suffix in _WEIGHTS_ENDINGS or not named
    metadata = _weights_metadata(file) if is_weights else _video_metadata(path)
    if json:
        print_json(metadata)
    if json or quiet:
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in (_weights_rows if is_weights else _video_rows)(metadata):
        table.add_row(name, escape(value))
    results.print(table)


def _video_metadata(path: Path) -> dict[str, Any]:
    from interp_cli.options import DoubleOptions
    from interp_cli.video.images.animation_timing import read_animation_timing
    from interp_cli.video.readers.open import open_source
    from interp_cli.video.readers.sequence import SequenceReader

    with open_source(path, DoubleOptions()) as reader:
        video, files = reader.info, [path] if path.is_file() else []
        if isinstance(reader, SequenceReader):
            files = [*reader.pictures.files]
    animation = read_animation_timing(path)
    shortest, longest, variable = None, None, False
    if animation and animation.delays:
        shortest, longest = float(min(animation.delays)), float(max(animation.delays))
        variable = shortest < longest
    elif path.is_file():
        shortest, longest, variable = _frame_steps(path)
    return {
        "kind": "video",
        **asdict(video),
        "dynamic_range": _dynamic_range(video),
        "plays": animation and animation.plays,
        "warnings": reader.warnings,
        "size_bytes": sum(file.stat().st_size for file in files),
        "variable_frame_rate": variable,
        "shortest_step_seconds": shortest,
        "longest_step_seconds": longest,
    }


def _dynamic_range(video: VideoInfo) -> str:
    """HDR, with its kind, or SDR."""
    transfer = video.colour.transfer
    if transfer == _HLG:
        return "HDR (HLG)"
    if transfer != _PQ:
        return "SDR"
    import av

    depth = max(part.bits for part in av.VideoFormat(video.pixel_format).components)
    is_hdr10 = video.colour.primaries == _BT2020 and depth == _HDR10_BITS
    return "HDR10 (PQ)" if is_hdr10 else "HDR (PQ)"


def _frame_steps(path: Path) -> tuple[float | None, float | None, bool]:
    """Shortest and longest time between frames, and whether the rate is variable.

    It is constant where every time stamp lies within one unit of an even grid: containers round.
    """
    from contextlib import suppress
    from itertools import islice, pairwise

    import av.error

    from interp_cli.video.opening import open_video
    from interp_cli.video.timestamps import PictureClock

    stamps: list[int] = []
    container, stream = open_video(path)
    clock, unit = PictureClock(container, stream), float(stream.time_base or 0)
    # What is damaged further on is told by whoever decodes it.
    with container, suppress(av.error.FFmpegError, OSError):
        for packet in islice(clock.corrected(container.demux(stream)), _TIMED_FRAMES):
            if packet.pts is not None:
                stamps.append(packet.pts)
    stamps.sort()
    if len(stamps) < 2:
        return None, None, False
    steps = [after - before for before, after in pairwise(stamps)]
    even = (stamps[-1] - stamps[0]) / (len(stamps) - 1)
    variable = any(abs(stamp - stamps[0] - index * even) > 1 for index, stamp in enumerate(stamps))
    return min(steps) * unit, max(steps) * unit, variable


def _video_rows(metadata: dict[str, Any]) -> list[tuple[str, str]]:
    rate, aspect = metadata["frame_rate"], metadata["sample_aspect"]
    kind = "variable" if metadata["variable_frame_rate"] else "constant"
    timing = "unknown" if rate is None else f"{float(rate):.6g}/s ({rate}), {kind}"
    if metadata["variable_frame_rate"]:
        shortest, longest = metadata["shortest_step_seconds"], metadata["longest_step_seconds"]
        timing += f", {1000 * shortest:.4g} to {1000 * longest:.4g} ms between frames"
    picture = f"{metadata['width']}x{metadata['height']}, {metadata['pixel_format']}"
    if aspect != 1:
        picture += f", pixels {aspect}"
    if metadata["rotation"]:
        picture += f", shown turned by {metadata['rotation']}°"
    if metadata["mirrored"]:
        picture += ", mirrored"
    if any(metadata["cropping"]):
        picture += ", cropped by its container"
    if metadata["interlaced"]:
        picture += ", interlaced"
    count, duration = metadata["frame_count"], metadata["duration_seconds"]
    rows = [
        (
            "file",
            f"{metadata['path']}, {size_text(metadata['size_bytes'])}"
            if metadata["size_bytes"]
            else str(metadata["path"]),
        ),
        ("container", metadata["container"]),
        ("video", f"{metadata['codec']}, {picture}"),
        ("colour", _colour_text(metadata["colour"])),
        ("dynamic range", metadata["dynamic_range"]),
        ("frame rate", timing),
        ("time base", f"{metadata['time_base']} s"),
        ("frames", "not stated" if count is None else str(count)),
        ("duration", "not stated" if duration is None else f"{duration:.3f} s"),
        ("first frame", f"at {float(metadata['video_start_seconds']):.3f} s"),
    ]
    if metadata["mastering_display"]:
        display = metadata["mastering_display"]
        levels = f"{float(display['darkest']):g} to {float(display['brightest']):g} cd/m²"
        rows.insert(5, ("mastered on", f"a display of {levels}"))
    if metadata["light_level"]:
        light = metadata["light_level"]
        levels = f"{light['brightest_pixel']}, a frame up to {light['brightest_frame']} cd/m²"
        rows.insert(6, ("light level", f"a pixel up to {levels}"))
    if metadata["dropped_metadata"]:
        rows.append(("kept by no output", ", ".join(metadata["dropped_metadata"])))
    for stream in metadata["streams"]:
        name = stream["codec"] or stream["tag"] or "unknown codec"
        words = (name, stream["language"], stream["title"], *stream["roles"])
        rows.append((stream["kind"], ", ".join(word for word in words if word)))
    if metadata["plays"] is not None:
        rows.append(("plays", str(metadata["plays"] or "without end")))
    if metadata["chapters"]:
        rows.append(("chapters", str(metadata["chapters"])))
    if metadata["missing_bytes"]:
        rows.append(("damage", f"{metadata['missing_bytes']:,} bytes are missing at the end"))
    rows += [("warning", with_flags(text)) for text in metadata["warnings"]]
    return rows


def _colour_text(colour: dict[str, Any]) -> str:
    return (
        f"matrix {_MATRIX.get(colour['matrix'], colour['matrix'])},"
        f" {_RANGE[colour['full_range']]} range,"
        f" primaries {_PRIMARIES.get(colour['primaries'], colour['primaries'])},"
        f" transfer {_TRANSFER.get(colour['transfer'], colour['transfer'])}"
    )


def _weights_metadata(name_or_path: str) -> dict[str, Any]:
    from interp_cli.models.weights import bundled_models, load_model

    model = load_model(name_or_path)
    return {
        "kind": "weights",
        "name": model.path.stem,
        "path": model.path,
        "size_bytes": model.path.stat().st_size,
        "bundled": model.path in bundled_models().values(),
        "architecture": model.architecture,
        "config": model.config,
        "parameters": sum(parameter.numel() for parameter in model.net.parameters()),
        "stored_dtypes": _stored_dtypes(model.path),
        "record": model.record,
    }


def _stored_dtypes(path: Path) -> list[str]:
    """Types of the stored tensors, as safetensors calls them; none for a PyTorch file."""
    from interp_cli.models.weights import open_safetensors

    if path.suffix != ".safetensors":
        return []
    with open_safetensors(path) as file:
        return sorted({file.get_slice(name).get_dtype() for name in file.keys()})  # noqa: SIM118


def _weights_rows(metadata: dict[str, Any]) -> list[tuple[str, str]]:
    origin = "bundled, SHA-256 as recorded" if metadata["bundled"] else "a file of your own"
    config = ", ".join(f"{name}={value}" for name, value in metadata["config"].items())
    dtypes = ", ".join(metadata["stored_dtypes"])
    rows = [
        ("model", metadata["name"]),
        ("file", f"{metadata['path']}, {size_text(metadata['size_bytes'])}, {origin}"),
        ("architecture", metadata["architecture"] + (f" ({config})" if config else "")),
        ("parameters", f"{metadata['parameters']:,}" + (f" in {dtypes}" if dtypes else "")),
    ]
    for name, value in metadata["record"].items():
        if name not in ("sha256", "parameters", "architecture", "config"):
            rows.append((name.replace("_", " "), _record_text(value)))
    return rows


def _record_text(value: Any) -> str:
    """A record's value without JSON's brackets and quotes."""
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_record_text(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_record_text(inner) for inner in value)
    return str(value)

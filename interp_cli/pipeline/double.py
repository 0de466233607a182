"""A video in, the same video at twice its rate, or another, out.

Everything happens at once, joined by bounded queues: the reader decodes, this thread plans, the
synthesizer's threads make the middle frames, and one more hands finished frames to the encoder.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

from interp_cli.errors import DecodeError, WeightsError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions
from interp_cli.pipeline.flow_export import FlowWriter, check_folder
from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.job import (
    expected_frames,
    frames_for_each,
    input_times,
    longest_gap,
    shift_seconds_of,
    side_streams,
)
from interp_cli.pipeline.pairs import PairClassifier
from interp_cli.pipeline.planner import Planner
from interp_cli.pipeline.synthesizer import WAITING_FRAMES, Synthesizer
from interp_cli.pipeline.timeline import Timeline, timeline_of
from interp_cli.scenes.base import PairKind
from interp_cli.scenes.registry import create_detector
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.ffmpeg import ffmpeg_path
from interp_cli.video.images.sequence_names import find_pictures, is_sequence
from interp_cli.video.pixel_format import PixelFormat, pixel_format_of
from interp_cli.video.probe import refuse_interlaced
from interp_cli.video.readers.base import FrameReader
from interp_cli.video.readers.interlaced import LOOKED_AT, FieldReader, is_soft_telecine
from interp_cli.video.readers.open import open_source
from interp_cli.video.writers.base import reserving
from interp_cli.video.writers.journal import SegmentJournal, job_facts
from interp_cli.video.writers.open import (
    OutputTiming,
    check_target,
    is_resumable,
    notes_on,
    open_target,
)
from interp_cli.video.writers.queued import QueuedWriter

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class DoubleResult:
    """What `double_video` did.

    Attributes:
        source: The input.
        target: The output.
        frames_in: Frames read.
        frames_out: Frames written.
        frames_resumed: Those of them that an earlier run had made.
        synthesized: Frames that the network made.
        cuts: Pairs with a cut between them; there the nearer frame is shown, or a blend.
        flashes: Flashes; the pairs at both ends are treated like cuts.
        duplicates: Pairs of equal frames; they are passed through, or retimed.
        retimed: Repeated frames in whose place one was made that follows the motion.
        gaps: Pairs too far apart in time, where the earlier frame is held.
        frame_rate: Nominal rate of the output.
        video_seconds: Duration of the output's video.
        seconds: Time it took.
        output_bytes: Size of the output.
        model: Name of the model.
        device: Where it ran.
        precision: In which arithmetic.
        quality: In how large a picture motion was sought; `best` for a model without motion.
        trajectory: Whether ways of what moves were `cubic` or `linear`.
        encoder: ffmpeg's name of the encoder.
        warnings: What could not be kept as it was.
    """

    source: Path
    target: Path
    frames_in: int
    frames_out: int
    frames_resumed: int
    synthesized: int
    cuts: int
    flashes: int
    duplicates: int
    retimed: int
    gaps: int
    frame_rate: Fraction
    video_seconds: float
    seconds: float
    output_bytes: int
    model: str
    device: str
    precision: str
    quality: str
    trajectory: str
    encoder: str
    warnings: tuple[str, ...]


def double_video(
    source: str | Path,
    target: str | Path,
    options: DoubleOptions | None = None,
    *,
    interpolator: Interpolator | None = None,
    progress: Progress | None = None,
) -> DoubleResult:
    """Double the frame rate of a video, or do with it what `options` say.

    Every original frame stays, at its own time; only at a rate that is asked for, those stay that
    coincide with a frame of that rate.

    Args:
        source: The video to read, a folder or a pattern of pictures, or `-`, the standard input.
        target: The file to make, whose ending chooses the container; a folder or a pattern of
            pictures, or `-`, the standard output.
        options: See `DoubleOptions`.
        interpolator: One that is already loaded; otherwise `options.inference` describes it.
        progress: Called with the frames done and their expected number (`None`: unknown); where
            a job goes on, first with those that were done before.

    What is finished of a long output is kept when the job fails or is interrupted: the exception
    has a note that says so, and the same job with `options.resume` goes on.

    Raises:
        InterpError: The input, the output or the model is no good; then no output is left.
    """
    options = options or DoubleOptions()
    source, target = Path(source), Path(target)
    begun = time.monotonic()
    check_target(source, target, options)
    if options.save_flow is not None:
        check_folder(options.save_flow, overwrite=options.overwrite)
    with _open(source, options) as reader:
        info = reader.info
        interpolator = interpolator or Interpolator.from_options(options.inference)
        if options.save_flow is not None:
            interpolator.require_flow()
        frames = iter(reader)
        first = next(frames, None)
        if first is None:
            raise DecodeError(f"{source}: no frame lies between the start and end asked for.")
        layout = pixel_format_of(first.image, info.colour)
        shift_seconds = shift_seconds_of(info, options)
        shift = round(shift_seconds / first.time_base)
        times = input_times(info, options, first, shift)
        timeline = timeline_of(
            times, options.frames_for_each, options.frame_rate, options.slow_motion or 1
        )
        _check_model(interpolator, timeline, options)
        detector = create_detector(options.scene_threshold, options.scene_detector)
        judge = PairClassifier(detector, longest_gap(times, options))
        planner = Planner(timeline, judge, layout, options.at_cut, options.duplicates)
        total = expected_frames(info, options)
        interlaced = 0
        stamps: list[int] = []  # of the first frames

        def neighbours() -> Iterator[SourceFrame]:
            nonlocal interlaced
            for index, frame in enumerate(itertools.chain((first,), frames)):
                interlaced += bool(frame.image.interlaced_frame)
                if len(stamps) < LOOKED_AT:
                    stamps.append(frame.pts)
                yield SourceFrame(index, frame.pts - shift, frame.image)

        picture = FrameTags.of(info, layout)
        side = None
        if reader.has_side_streams:
            side = side_streams(info, options, shift_seconds, times)
        facts = {"video": target.name, "source": source.name, "model": interpolator.name}
        # What a pipe carries cannot be read again, and a short output is soon made anew.
        long = total is None or total * frames_for_each(info, options) > options.segment_frames
        with (
            _kept_work(source, target, options, interpolator, layout)
            if long and is_resumable(source, target)
            else contextlib.nullcontext() as kept,
            _motion_writer(options, layout, facts, kept) as motions,
            QueuedWriter(
                open_target(target, reader, picture, _timing(timeline), options, side, kept),
                WAITING_FRAMES,
            ) as writer,
        ):
            synthesizer = Synthesizer(
                interpolator,
                layout,
                with_motion=bool(options.save_flow),
                batch=kept.batch if kept else None,
                every=kept.every if kept else None,
            )
            frames_resumed = kept.frames if kept else 0
            last_pts, frames_out, frames_done = 0, 0, 0
            plan = planner.plan(neighbours())
            for image, shown, motion in synthesizer.images(plan, frames_resumed):
                if image is None:
                    writer.skip(shown.before.image if shown.after is None else None, shown.pts)
                else:
                    writer.write(image, shown.pts)
                if motions is not None and motion is not None and shown.after is not None:
                    interval = (shown.after.pts - shown.before.pts) * first.time_base
                    motions.write(
                        frames_out,
                        motion,
                        seconds=float(shown.pts * timeline.time_base),
                        timestep=float(shown.timestep),
                        interval_seconds=float(interval),
                    )
                last_pts, frames_out = shown.pts, frames_out + 1
                if progress and frames_out >= frames_resumed and shown.frames_done > frames_done:
                    frames_done = shown.frames_done
                    progress(frames_done, total)
        frames_in = planner.frames_in
        warnings = [*notes_on(reader, target, options), *interpolator.notes, *writer.warnings]
        if reader.damage:
            warnings.append(
                f"the input is damaged ({reader.damage}); {frames_in} good frames were doubled."
            )
        if interlaced and options.fields == "refuse":
            warnings.append(
                f"{interlaced} of {frames_in} frames are marked as interlaced; "
                "if they look combed, use --deinterlace."
            )
        if options.fields == "refuse" and is_soft_telecine(stamps, first.time_base):
            warnings.append(
                "it is film whose frames stand for three and two fields of television in turn; "
                "--detelecine gives them even times."
            )
        if reader.repaired_times:
            warnings.append(f"{reader.repaired_times} time stamps did not grow and were moved.")
    duration = last_pts * timeline.time_base + timeline.last_seconds - timeline.start_seconds
    return DoubleResult(
        source=source,
        target=target,
        frames_in=frames_in,
        frames_out=frames_out,
        frames_resumed=frames_resumed,
        synthesized=synthesizer.synthesized,
        cuts=planner.counts[PairKind.CUT],
        flashes=planner.counts[PairKind.FLASH],
        duplicates=planner.counts[PairKind.DUPLICATE],
        retimed=planner.retimed,
        gaps=planner.counts[PairKind.GAP],
        frame_rate=timeline.frame_rate,
        video_seconds=float(duration),
        seconds=time.monotonic() - begun,
        output_bytes=writer.output_bytes,
        model=interpolator.name,
        device=str(interpolator.device),
        precision=interpolator.precision,
        quality=interpolator.quality,
        trajectory=interpolator.trajectory,
        encoder=writer.encoder,
        warnings=tuple(warnings),
    )


def _open(source: Path, options: DoubleOptions) -> FrameReader:
    """Open what is to be doubled, and refuse what cannot be."""
    reader = open_source(source, options)
    try:
        if options.fields != "refuse":
            return FieldReader(reader, options.fields)
        refuse_interlaced(reader.info)
    except BaseException:
        reader.close()
        raise
    return reader


@contextlib.contextmanager
def _kept_work(
    source: Path,
    target: Path,
    options: DoubleOptions,
    interpolator: Interpolator,
    layout: PixelFormat,
) -> Iterator[SegmentJournal]:
    """Where the finished frames of a long job are kept."""
    versions = (f"{name} {version(name)}" for name in ("interp-cli", "torch", "av"))
    facts = job_facts(
        find_pictures(source).files if is_sequence(source) else (source,),
        options,
        {
            # Where weights lie does not matter.
            "model": f"{Path(interpolator.name).name} {interpolator.digest[:12]}",
            "device": interpolator.device,
            "precision": interpolator.precision,
            "quality": interpolator.quality,
            "trajectory": interpolator.trajectory,
            "batch": options.inference.batch,
            "tile": options.inference.tile,
            "software": ", ".join((*versions, Path(ffmpeg_path()).name)),
        },
    )
    batch = interpolator.batch_size(layout.height, layout.width)
    kept = SegmentJournal(target, options.segment_frames, batch, facts, resume=options.resume)
    with reserving(target, kept.folder.parent):
        kept.__enter__()
    with contextlib.ExitStack() as stack:
        stack.push(kept)
        yield kept


def _timing(timeline: Timeline) -> OutputTiming:
    return OutputTiming(timeline.time_base, timeline.frame_rate, timeline.last_seconds)


def _motion_writer(
    options: DoubleOptions, layout: PixelFormat, facts: dict[str, str], kept: SegmentJournal | None
) -> contextlib.AbstractContextManager[FlowWriter | None]:
    if options.save_flow is None:
        return contextlib.nullcontext()
    return FlowWriter(
        options.save_flow,
        (layout.width, layout.height),
        facts,
        options.flow_scale_px,
        overwrite=options.overwrite,
        completed_frames=(lambda: kept.frames) if kept else None,
    )


def _check_model(interpolator: Interpolator, timeline: Timeline, options: DoubleOptions) -> None:
    asked = timeline.timesteps
    if options.duplicates == "retime" and not interpolator.net.supports_timestep:
        raise WeightsError(
            f"model {interpolator.name} makes only middles, which do not make a run of repeated "
            "frames even; use --model flow."
        )
    if interpolator.net.supports_timestep or (asked and all(map(interpolator.can_make, asked))):
        return
    raise WeightsError(
        f"model {interpolator.name} makes only middles, which do for a factor or a slow motion of "
        "2, 4, 8 and so on up to 64, not for others and not for a rate; use --model flow."
    )

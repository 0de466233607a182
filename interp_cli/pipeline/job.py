"""One video to double: what is read, what is written, and the run between the two.

A run is a pipeline of threads with bounded queues: the reader decodes, the calling thread plans,
the synthesizer's threads make the new frames, and another thread feeds the encoder.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from interp_cli.errors import DecodeError, OpenError, SideStreamsError
from interp_cli.inference.flow import OpticalFlow
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions
from interp_cli.pipeline.checks import check_model
from interp_cli.pipeline.clock import SourceClock
from interp_cli.pipeline.description import JobDescription, settled_inference
from interp_cli.pipeline.flow_export import FlowWriter, check_folder
from interp_cli.pipeline.frames import SourceFrame
from interp_cli.pipeline.memory import check_memory
from interp_cli.pipeline.planner import PlannedFrame, Planner, create_planner
from interp_cli.pipeline.result import DoubleResult
from interp_cli.pipeline.resumed_output import ResumedOutput
from interp_cli.pipeline.synthesizer import WAITING_FRAMES, Synthesizer
from interp_cli.scenes.base import PairKind
from interp_cli.video.encoding.frame_tags import FrameTags
from interp_cli.video.pixel_format import pixel_format_of, planes_of
from interp_cli.video.readers.base import Frame, FrameReader
from interp_cli.video.readers.interlaced import LOOKED_AT, is_soft_telecine
from interp_cli.video.readers.open import (
    STANDARD_STREAM,
    Source,
    identify_source,
    open_whole_frames,
)
from interp_cli.video.writers.base import FrameWriter, reserving
from interp_cli.video.writers.journal import SegmentJournal
from interp_cli.video.writers.kept_frames import earlier_description, work_folder
from interp_cli.video.writers.open import (
    Output,
    Target,
    check_target,
    identify_target,
    input_warnings,
    open_target,
)
from interp_cli.video.writers.queued import QueuedWriter

Progress = Callable[[int, int | None], None]


class Job:
    """One input, one output and the options between them, each looked at once.

        with Job.open("clip.mp4", "clip_2x.mp4") as job:
            result = job.run()

    Attributes:
        source: The input.
        target: The output.
        options: Settings.
        reader: The open reader; `run` reads its frames.
        info: What the input is.
        pixel_format: What the frames are.
        tags: What the frames are, with colour, rotation and the like.
        clock: Times of input and output, and how many frames are expected.
    """

    def __init__(
        self,
        source: Source,
        target: Target,
        options: DoubleOptions,
        reader: FrameReader,
    ) -> None:
        """Read the first frame; use `open` instead.

        Raises:
            DecodeError: The used part of the input has no frame, or is damaged.
        """
        self.source, self.target, self.options, self.reader = source, target, options, reader
        self._begun = time.monotonic()
        self.info = reader.info
        self._frames: Iterator[Frame] | None = iter(reader)
        first = next(self._frames, None)
        if first is None:
            found = reader.damage or "no frame lies between the start and end asked for"
            raise DecodeError(f"{source.path}: {found}.")
        self._first = first
        self.pixel_format = pixel_format_of(first.image, self.info.colour)
        self.tags = FrameTags.of(self.info, self.pixel_format)
        self.clock = SourceClock(self.info, options, first)
        self._video_alone = False  # whether other streams come to it in a second step
        self._interlaced = 0  # frames that are marked so
        self._first_stamps: list[int] = []

    @classmethod
    def open(
        cls, source: str | Path, target: str | Path, options: DoubleOptions | None = None
    ) -> Job:
        """Decide what input and output are, check the output and open the input.

        Args:
            source: A video, a folder or a pattern of pictures, an animation, or `-`, the standard
                input.
            target: The file to make; its ending chooses the container. A folder or a pattern of
                pictures, or `-`, the standard output.
            options: Settings.

        Raises:
            InterpError: The input cannot be read, or the output could not be written in the end.
        """
        options = options or DoubleOptions()
        identified = identify_source(Path(source))
        output = identify_target(Path(target), identified)
        check_target(output, options)
        if options.save_flow is not None:
            check_folder(options.save_flow, overwrite=options.overwrite)
        with contextlib.ExitStack() as stack:
            reader = open_whole_frames(identified, options)
            stack.push(reader)
            job = cls(identified, output, options, reader)
            stack.pop_all()
        return job

    @classmethod
    def from_description(cls, description: JobDescription) -> Job:
        """Open the job that another process described.

        Raises:
            InterpError: As for `open`, or the input is another one by now.
        """
        job = cls.open(description.source, description.target, description.double_options)
        if job.description.input_hash != description.input_hash:
            job.close()
            raise OpenError(
                f"{description.source}: was changed since the job was described "
                f"({description.input_hash}, now {job.description.input_hash}). Describe it again."
            )
        return job

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the reader; safe to call twice."""
        self.reader.close()

    @cached_property
    def description(self) -> JobDescription:
        """The job as plain data."""
        files = self.source.files
        return JobDescription.of(self.source.path, self.target.path, files, self.options)

    def describe(self, interpolator: Interpolator) -> JobDescription:
        """The job as plain data, with what an interpolator settled."""
        inference = {
            # Where weights lie does not matter.
            "model": f"{Path(interpolator.name).name} {interpolator.digest[:12]}",
            "device": str(interpolator.device),
            "precision": interpolator.precision,
            "quality": interpolator.quality,
            "trajectory": interpolator.trajectory,
            "batch": str(self.options.inference.batch),
            "tile": str(self.options.inference.tile),
        }
        return replace(self.description, inference=inference)

    def create_planner(self) -> Planner:
        """A planner for the frames of the input."""
        timeline, max_gap = self.clock.timeline, self.clock.max_gap
        return create_planner(timeline, max_gap, self.pixel_format, self.options)

    def open_writer(
        self,
        scratch: Path,
        journal: SegmentJournal | None = None,
        *,
        with_side_streams: bool = True,
    ) -> FrameWriter:
        """Open the writer of the output.

        Args:
            scratch: Folder for what is unfinished, on the file system of the output.
            journal: Journal of finished segments; `None`: the output is made in one go.
            with_side_streams: Whether audio and the other streams come along.

        Raises:
            EncodeError: The output cannot be written, or not with these settings.
        """
        timeline = self.clock.timeline
        has_side = with_side_streams and self.reader.has_side_streams
        output = Output(
            self.reader,
            self.tags,
            timeline.time_base,
            timeline.frame_rate,
            timeline.last_seconds,
            self.options,
            scratch,
            self.clock.side_streams if has_side else None,
            journal,
        )
        return open_target(self.target, output)

    def run(
        self, interpolator: Interpolator | None = None, progress: Progress | None = None
    ) -> DoubleResult:
        """Make the output; once for each opened job.

        Args:
            interpolator: One that is already loaded; otherwise `options.inference` describes it.
            progress: Called with the frames of the output that are done and their expected number
                (`None`: unknown). When a job is resumed, first with those that were done before.

        If the job fails or is interrupted, finished segments of the output are kept, and so are
        new frames if the work took longer than `checkpoint_seconds`. The exception has a note
        that says so, and the same job with the option `resume` goes on. Its output equals that of
        an uninterrupted run.

        Raises:
            InterpError: The input, the output or the model cannot be used; no output is left.
        """
        if interpolator is None:
            earlier = earlier_description(self.target.path) if self.options.resume else {}
            inference = settled_inference(self.options.inference, earlier)
            interpolator = Interpolator.from_options(inference)
        check_model(interpolator, self.options, self.clock.timeline.timesteps)
        self._check_memory(interpolator)
        try:
            return self._run(interpolator, progress)
        except SideStreamsError:
            # A broken packet far into a stream. Segments of the video do not depend on other
            # streams, of which those that fail are converted or left out when all are joined.
            options = replace(self.options, resume=True)
            with Job.open(self.source.path, self.target.path, options) as again:
                again._video_alone = True
                return again._run(interpolator, progress)

    def _run(self, interpolator: Interpolator, progress: Progress | None) -> DoubleResult:
        planner = self.create_planner()
        frames = self._source_frames()
        # An output that is short, as far as is known, is one segment, without the work of joining.
        expected = self.clock.expected_output_frames
        is_long = expected is None or expected > self.options.segment_frames
        has_segments = is_long or self._video_alone
        with (
            self._open_work(interpolator) as (scratch, journal),
            self._open_flow_writer(interpolator, journal) as flow_writer,
            _superseding(journal),
            QueuedWriter(
                self.open_writer(scratch, journal if has_segments else None), WAITING_FRAMES
            ) as writer,
        ):
            synthesizer = Synthesizer(
                interpolator,
                self.pixel_format,
                with_flow=flow_writer is not None,
                batch=journal.batch if journal else None,
                every=journal.segment_frames if journal and has_segments else None,
            )
            output = ResumedOutput(writer, journal, self.pixel_format)
            resumed = journal.resumed if journal else 0
            frames_out, last_pts = 0, 0
            for image, planned, flow in synthesizer.images(planner.plan(frames), resumed):
                if flow_writer is not None and flow is not None:
                    self._write_flow(flow_writer, frames_out, planned, flow)
                output.write(frames_out, image, planned, synthesizer.delivered)
                frames_out, last_pts = frames_out + 1, planned.pts
                if progress and frames_out >= resumed:
                    progress(frames_out, expected)
            if progress and frames_out != expected:
                progress(frames_out, frames_out)
        timeline = self.clock.timeline
        end_seconds = last_pts * timeline.time_base + timeline.last_seconds
        return DoubleResult(
            source=self.source.path,
            target=self.target.path,
            frames_in=planner.frames_in,
            frames_out=frames_out,
            frames_resumed=resumed,
            synthesized=synthesizer.synthesized,
            cuts=planner.counts[PairKind.CUT],
            flashes=planner.counts[PairKind.FLASH],
            duplicates=planner.counts[PairKind.DUPLICATE],
            retimed=planner.retimed,
            gaps=planner.counts[PairKind.GAP],
            frame_rate=timeline.frame_rate,
            video_seconds=float(end_seconds - timeline.start_seconds),
            seconds=time.monotonic() - self._begun,
            output_bytes=writer.output_bytes,
            model=interpolator.name,
            device=str(interpolator.device),
            precision=interpolator.precision,
            quality=interpolator.quality,
            trajectory=interpolator.trajectory,
            encoder=writer.encoder,
            warnings=(
                *(journal.warnings if journal else ()),
                *self._warnings(interpolator, writer, planner.frames_in),
            ),
        )

    def _check_memory(self, interpolator: Interpolator) -> None:
        check_memory(
            self.source.path,
            planes_of(self._first.image),
            interpolator,
            self.clock.expected_output_frames,
            self.options.max_memory_gb,
        )

    def _source_frames(self) -> Iterator[SourceFrame]:
        """The frames of the input, on the output's clock."""
        frames, self._frames = self._frames, None
        if frames is None:
            raise ValueError(f"{self.source.path}: a job can be run only once")
        for index, frame in enumerate(itertools.chain((self._first,), frames)):
            self._interlaced += bool(frame.image.interlaced_frame)
            if len(self._first_stamps) < LOOKED_AT:
                self._first_stamps.append(frame.pts)
            yield SourceFrame(index, frame.pts - self.clock.shift, frame.image)

    @contextlib.contextmanager
    def _open_work(
        self, interpolator: Interpolator
    ) -> Iterator[tuple[Path, SegmentJournal | None]]:
        """The folder of unfinished work, and its journal if the job can be resumed."""
        target = self.target.path
        if target == STANDARD_STREAM:
            yield target.parent, None  # there is nothing to put there
            return
        if not self.target.is_resumable:
            work = work_folder(target)
            with reserving(target, work.path.parent):
                work.__enter__()
            with contextlib.ExitStack() as stack:
                stack.push(work)
                work.clear()
                yield work.path, None
            return
        journal = SegmentJournal(
            self.target.path,
            self.options.segment_frames,
            interpolator.batch_size(self.pixel_format.height, self.pixel_format.width),
            self.describe(interpolator),
            resume=self.options.resume,
            checkpoint_seconds=self.options.checkpoint_seconds,
            expected_frames=self.clock.expected_output_frames,
        )
        with reserving(self.target.path, journal.folder.parent):
            journal.__enter__()
        with contextlib.ExitStack() as stack:
            stack.push(journal)
            yield journal.folder, journal

    @contextlib.contextmanager
    def _open_flow_writer(
        self, interpolator: Interpolator, journal: SegmentJournal | None
    ) -> Iterator[FlowWriter | None]:
        options = self.options
        if options.save_flow is None:
            yield None
            return
        writer = FlowWriter(
            options.save_flow,
            (self.pixel_format.width, self.pixel_format.height),
            {
                "video": self.target.path.name,
                "source": self.source.path.name,
                "model": interpolator.name,
            },
            options.flow_scale_px,
            overwrite=options.overwrite,
            completed_frames=(lambda: journal.resumable) if journal else None,
        )
        with writer:
            yield writer

    def _write_flow(
        self, writer: FlowWriter, number: int, planned: PlannedFrame, flow: OpticalFlow
    ) -> None:
        if planned.after is None:  # an original has none
            return
        interval = (planned.after.pts - planned.before.pts) * self.clock.times.time_base
        writer.write(
            number,
            flow,
            seconds=float(planned.pts * self.clock.timeline.time_base),
            timestep=float(planned.timestep),
            interval_seconds=float(interval),
        )

    def _warnings(
        self, interpolator: Interpolator, writer: QueuedWriter, frames_in: int
    ) -> Iterator[str]:
        """What a user should know, once everything is done."""
        yield from input_warnings(self.reader, self.target, self.options)
        yield from interpolator.warnings
        yield from writer.warnings
        if self.reader.damage:
            yield f"the input is damaged: {self.reader.damage}."
        if self._interlaced and self.options.fields == "refuse":
            yield (
                f"{self._interlaced} of {frames_in} frames are marked as interlaced; if they look "
                'combed, use `fields="deinterlace"`.'
            )
        if self.options.fields == "refuse" and is_soft_telecine(
            self._first_stamps, self.clock.times.time_base
        ):
            yield (
                "it is film whose frames are shown for three and two fields in turn, as on "
                'television; `fields="detelecine"` gives them even times.'
            )
        if self.reader.repaired_times:
            yield f"{self.reader.repaired_times} time stamps did not grow and were moved."


@contextlib.contextmanager
def _superseding(journal: SegmentJournal | None) -> Iterator[None]:
    """Once the block has completed the output, no failure afterwards makes its frames needed."""
    yield
    if journal is not None:
        journal.supersede()

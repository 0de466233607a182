"""What an earlier run has left of an output, read without taking its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from interp_cli.atomic import hidden, real_path
from interp_cli.errors import EncodeError
from interp_cli.options import DoubleOptions
from interp_cli.video.writers.frame_store import usable_frames
from interp_cli.video.writers.journal_file import (
    LIST_ENDING,
    OUR_FOLDERS,
    OUR_NAMES,
    PICTURES,
    Journal,
    Segment,
    is_unchanged,
    read_journal,
)
from interp_cli.video.writers.work_folder import WorkFolder


def journal_folder(target: Path) -> Path:
    """Where the work on a target is kept while it is unfinished."""
    target = real_path(target)
    inside = hidden(target, ".interp")
    if "%" not in target.name or inside.exists():
        return inside
    # The folder of a picture sequence appears with its pictures.
    outside = target.parent.parent / inside.name
    return outside if outside.exists() or not target.parent.is_dir() else inside


def work_folder(target: Path) -> WorkFolder:
    """The folder of the unfinished work on a target, which is not taken or created yet."""
    return WorkFolder(journal_folder(target), target, OUR_NAMES, OUR_FOLDERS)


def completed_frames(target: Path, *, verify: bool = False) -> int:
    """Number of finished frames that an earlier, unfinished run has left.

    Args:
        target: The output.
        verify: Whether the content of the segments is checked, not only their sizes.

    Raises:
        EncodeError: They cannot be used, or the folder that they should be in is not ours.
    """
    work_folder(target).refuse_foreign()
    folder = journal_folder(target)
    journal = read_journal(folder)
    if journal is None:
        return 0
    segments = whole_segments(folder, journal, verify=verify)
    finished = sum(segment.frames for segment in segments)
    stored = usable_frames(folder, journal.stored, finished, verify=verify)
    return finished + sum(frames.frames for frames in stored)


def earlier_description(target: Path) -> dict[str, Any]:
    """Description of the job that an earlier, unfinished run did; empty where there is none.

    Raises:
        EncodeError: It cannot be used.
    """
    work_folder(target).refuse_foreign()
    journal = read_journal(journal_folder(target))
    return journal.description if journal else {}


def check_completed(target: Path, options: DoubleOptions, *, can_resume: bool = True) -> None:
    """Refuse to lose what an earlier run has left, unless that was asked for.

    Args:
        target: The output.
        options: Of which `resume` and `overwrite` ask for it.
        can_resume: Whether this job could go on from it.

    Raises:
        EncodeError: There is something, and neither is set, or it cannot be used.
    """
    frames = 0 if options.resume or options.overwrite else completed_frames(target)
    if frames:
        resuming = "`resume` to go on, or " if can_resume else ""
        raise EncodeError(
            f"{target}: {frames} finished frames of an earlier run are kept; use {resuming}"
            "`overwrite` to start over."
        )


def whole_segments(folder: Path, journal: Journal, *, verify: bool) -> list[Segment]:
    """The finished segments up to the first that is not there as the journal has it.

    Args:
        folder: The journal's folder.
        journal: The journal.
        verify: Whether their content is checked, not only their sizes.
    """
    found: list[Segment] = []
    for segment in journal.segments:
        path = folder / segment.name
        if not path.is_file() or path.stat().st_size != segment.size_bytes:
            break
        if verify and not is_unchanged(path, segment.size_bytes, segment.digest):
            break
        if path.suffix == LIST_ENDING and not _are_there(folder / PICTURES, path, verify=verify):
            break
        found.append(segment)
    return found


def _are_there(pictures: Path, listing: Path, *, verify: bool) -> bool:
    """Whether the pictures of a segment are."""
    listed = listed_pictures(listing)
    for name, digest in listed.items():
        path = pictures / name
        if not path.is_file():
            return False
        if verify and not is_unchanged(path, path.stat().st_size, digest):
            return False
    return bool(listed)


def listed_pictures(listing: Path) -> dict[str, str]:
    """Digests of the pictures of a segment, by name; none if the list is damaged."""
    try:
        content = json.loads(listing.read_bytes())
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    return {Path(name).name: str(digest) for name, digest in content.items()}

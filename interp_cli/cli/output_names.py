"""Names of results that are derived from the names of their inputs."""

from __future__ import annotations

import os
from pathlib import Path

from interp_cli.errors import EncodeError
from interp_cli.options import DoubleOptions


def usual_suffix(options: DoubleOptions) -> str:
    """The addition to a name that says what was done: `_2x`, `_slow4x`, `_60fps`."""
    slow = f"_slow{options.slow_motion}x" if options.slow_motion else ""
    if options.frame_rate is not None:
        return f"{slow}_{float(options.frame_rate):.5g}fps"
    return slow or f"_{options.frames_for_each}x"


def result_of(source: Path, options: DoubleOptions, suffix: str | None = None) -> Path:
    """The output of a single input for which none is given, in the folder of the input.

    Args:
        source: The input, which is not a pipe.
        options: What is done, for the usual suffix.
        suffix: Addition to the name (default: the usual one); it may include a file type.

    Raises:
        EncodeError: The name would be that of the input, or the input is a pattern of images.
    """
    from interp_cli.video.images.sequence_names import is_sequence

    if is_sequence(source) and not source.is_dir():
        raise EncodeError(f"{source}: a pattern of images needs an output, such as out.mkv.")
    folder = _real(source).parent if source.name in ("", "..") else source.parent
    suffix = usual_suffix(options) if suffix is None else suffix
    return results_of([source], folder, suffix)[source]


def results_of(sources: list[Path], output_dir: Path, suffix: str) -> dict[Path, Path]:
    """The output for each of many inputs, checked before any work because names may collide.

    Args:
        sources: The inputs; one that is given twice counts once.
        output_dir: Folder of the results.
        suffix: Addition to the input's name; it may include a file type.

    Raises:
        EncodeError: Two results would have the same name, or a result that of an input, or the
            suffix names a folder.
    """
    from interp_cli.video.writers.open import is_written

    named = Path(f"x{suffix}")
    if named.name != str(named):
        raise EncodeError(f"--suffix is added to a name, so it cannot contain a folder: {suffix!r}")
    ending = named.suffix if is_written(named) else ""
    added = suffix.removesuffix(ending) if ending else suffix
    targets: dict[Path, Path] = {}
    taken = {_real(source): source for source in sources}
    for source in dict.fromkeys(sources):
        own = source.suffix.lower() if is_written(source) else ".mkv"
        stem = source.stem or _real(source).stem  # of "." as well
        target = output_dir / f"{stem}{added}{ending or own}"
        other = taken.get(_real(target))
        if other is not None:
            raise EncodeError(
                f"{target}: would be the result of {source}, but is the result of {other} or an "
                "input. Rename one of them, or choose another --suffix or --output-dir."
            )
        taken[_real(target)] = source
        targets[source] = target
    return targets


def _real(path: Path) -> Path:
    """The path without links; unlike `Path.resolve` also of links that lead to themselves."""
    return Path(os.path.realpath(path))


def refuse_one_folder_for_two(jobs: dict[Path, Path], save_flow: Path) -> None:
    """Refuse results that would share a folder of optical flow, which has their name.

    Args:
        jobs: Each input with its result.
        save_flow: Folder that holds the folders.

    Raises:
        EncodeError: Two results differ in their file types only.
    """
    names: dict[str, Path] = {}
    for target in jobs.values():
        other = names.setdefault(target.stem, target)
        if other != target:
            raise EncodeError(
                f"{save_flow / target.stem}: would hold the flow of both {other} and {target}. "
                "Rename an input, or convert them one by one."
            )

"""What the results of many inputs are called."""

from __future__ import annotations

from pathlib import Path

from interp_cli.errors import EncodeError
from interp_cli.options import DoubleOptions


def usual_suffix(options: DoubleOptions) -> str:
    """What was done: `_2x`, `_slow4x`, `_60fps`."""
    slow = f"_slow{options.slow_motion}x" if options.slow_motion else ""
    if options.frame_rate is not None:
        return f"{slow}_{float(options.frame_rate):.5g}fps"
    return slow or f"_{options.frames_for_each}x"


def results_of(sources: list[Path], output_dir: Path, suffix: str) -> dict[Path, Path]:
    """Where each result goes: checked before any work, since names may meet.

    Args:
        sources: The inputs; one that is given twice counts once.
        output_dir: Where all results go.
        suffix: What a result's name has more than the input's; it may end in an ending of its own.

    Raises:
        EncodeError: Two results would have one name, or a result that of an input.
    """
    from interp_cli.video.writers.open import is_written

    ending = Path(suffix).suffix if is_written(Path(f"x{suffix}")) else ""
    added = suffix.removesuffix(ending) if ending else suffix
    targets: dict[Path, Path] = {}
    taken = {source.resolve(): source for source in sources}
    for source in dict.fromkeys(sources):
        own = source.suffix.lower() if is_written(source) else ".mkv"
        target = output_dir / f"{source.stem}{added}{ending or own}"
        other = taken.get(target.resolve())
        if other is not None:
            raise EncodeError(
                f"{target}: would be the result of {source}, but is that of {other} or an input "
                "itself; rename one of them or choose another --suffix or --output-dir."
            )
        taken[target.resolve()] = source
        targets[source] = target
    return targets


def refuse_one_folder_for_two(jobs: dict[Path, Path], save_flow: Path) -> None:
    """Refuse results whose motion would go to the same folder, which is named as they are.

    Args:
        jobs: Each input with its result.
        save_flow: The folder of all.

    Raises:
        EncodeError: Two results differ in their endings alone.
    """
    names: dict[str, Path] = {}
    for target in jobs.values():
        other = names.setdefault(target.stem, target)
        if other != target:
            raise EncodeError(
                f"{save_flow / target.stem}: would hold the motion of both {other} and {target}; "
                "rename an input or double them one after the other."
            )

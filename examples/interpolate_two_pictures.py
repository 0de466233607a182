"""Make the picture halfway between two pictures.

    python examples/interpolate_two_pictures.py first.png second.png out/

Writes `middle.png`, and `side_by_side.png` with the first, the middle and the second. Without
pictures it takes two neighbours out of the example clip.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from interp_cli import InterpError, Interpolator

CLIP = Path(__file__).parent / "clip.mp4"


def read_picture(path: Path) -> npt.NDArray[Any]:
    """Return a picture file as RGB, (H, W, 3), uint8 or uint16."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if picture is None:
        sys.exit(f"{path}: is not a picture that OpenCV can read.")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def write_picture(path: Path, picture: npt.NDArray[Any]) -> None:
    """Write RGB, (H, W, 3), as a picture file."""
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def neighbours_in_clip(index: int = 20) -> list[npt.NDArray[Any]]:
    """Return two frames of the example clip that follow each other."""
    with av.open(str(CLIP)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return frames[index : index + 2]


def main() -> None:
    """Read the command line, interpolate and write."""
    parser = argparse.ArgumentParser(description="Make the picture between two pictures.")
    parser.add_argument("pictures", type=Path, nargs="*", metavar="FIRST SECOND")
    parser.add_argument("folder", type=Path, help="where the results go")
    arguments = parser.parse_args()
    if len(arguments.pictures) not in (0, 2):
        parser.error("two pictures are needed, or none")

    frame0, frame1 = [read_picture(path) for path in arguments.pictures] or neighbours_in_clip()
    try:
        middle = Interpolator()(frame0, frame1)
    except InterpError as error:
        sys.exit(str(error))
    arguments.folder.mkdir(parents=True, exist_ok=True)
    write_picture(arguments.folder / "middle.png", middle)
    write_picture(arguments.folder / "side_by_side.png", np.hstack([frame0, middle, frame1]))
    print(f"{arguments.folder / 'middle.png'}: {middle.shape[1]}x{middle.shape[0]}, {middle.dtype}")


if __name__ == "__main__":
    main()

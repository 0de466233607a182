"""Clips and an interpolator for jobs that are stopped and resumed."""

from fractions import Fraction
from pathlib import Path

import clips
import crafted
import pytest
import torch
from resuming import Counting

from interp_cli.inference.interpolator import Interpolator
from interp_cli.models.registry import create_model
from interp_cli.models.weights import save_weights

FILM = Fraction(24000, 1001)


@pytest.fixture
def counting() -> Interpolator:
    return Interpolator(Counting().eval(), device="cpu")


@pytest.fixture(scope="session")
def source(clip_folder: Path) -> Path:
    """24 frames with sound, a cut and repeats."""
    return clips.moving_clip(
        clip_folder / "resume.mp4", 24, cuts=(13,), duplicates=(5, 17), audio="aac", size=(64, 48)
    )


@pytest.fixture(scope="session")
def vfr_source(clip_folder: Path) -> Path:
    """24 frames at times that are no multiples of anything, from 0.3 s on."""
    pts = [27_000 + 3000 * i + 7 * i * i + 11 * (i % 3) for i in range(24)]
    return clips.moving_clip(
        clip_folder / "resume_vfr.mp4", 24, pts=pts, time_base=Fraction(1, 90_000), size=(64, 48)
    )


@pytest.fixture(scope="session")
def film(clip_folder: Path) -> Path:
    """48 frames at the rate of film, with sound."""
    path = clip_folder / "resume_film.mkv"
    return clips.moving_clip(path, 48, rate=FILM, codec="ffv1", audio="aac", size=(64, 48))


@pytest.fixture(scope="session")
def interlaced_source(clip_folder: Path, film: Path) -> Path:
    return crafted.interlaced(film, clip_folder / "resume_interlaced.mkv")


@pytest.fixture(scope="session")
def telecined_source(clip_folder: Path, film: Path) -> Path:
    return crafted.telecined(film, clip_folder / "resume_telecined.mov")


@pytest.fixture(scope="session")
def soft_source(clip_folder: Path, film: Path) -> Path:
    return crafted.soft_telecined(film, clip_folder / "resume_soft.mkv")


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_weights(path, create_model("flow"), "flow", {})
    return path

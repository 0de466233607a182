"""A small set of prepared footage, and options for runs of seconds."""

from __future__ import annotations

from dataclasses import replace

import clips
import pytest

from interp_cli.training.options import TrainOptions, fusion_preset
from interp_cli.training.prepare import Shot, prepare


@pytest.fixture(scope="session")
def footage_folder(tmp_path_factory: pytest.TempPathFactory):
    """Four clips of 14 frames, 96x64."""
    folder = tmp_path_factory.mktemp("footage")
    for number in range(4):
        # Other sizes of the same drawing, so that no two clips show the same.
        clips.moving_clip(folder / f"clip{number}.mp4", frames=14, size=(96 + 16 * number, 64))
    return folder


@pytest.fixture(scope="session")
def prepared_folder(footage_folder, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("prepared")
    prepare([footage_folder], folder)
    return folder


@pytest.fixture(scope="session")
def shots(footage_folder, prepared_folder) -> list[Shot]:
    return prepare([footage_folder], prepared_folder)


@pytest.fixture
def options() -> TrainOptions:
    """Six steps of two small crops."""
    return replace(
        fusion_preset(),
        epochs=None,
        steps=6,
        crop=16,
        batch=2,
        val_samples=2,
        processes=1,
        device="cpu",
        precision="fp32",
    )

"""What a job is refused for before its work begins, once the model is known."""

from __future__ import annotations

from fractions import Fraction

from interp_cli.errors import WeightsError
from interp_cli.inference.interpolator import Interpolator
from interp_cli.options import DoubleOptions


def check_model(
    interpolator: Interpolator, options: DoubleOptions, timesteps: tuple[Fraction, ...] | None
) -> None:
    """Refuse a model that cannot make what is asked for.

    Args:
        interpolator: The model.
        options: What is asked for.
        timesteps: All timesteps that can come up; `None`: any.

    Raises:
        WeightsError: The model cannot make it.
    """
    if options.save_flow is not None:
        interpolator.require_flow()
    if interpolator.net.supports_timestep:
        return
    if options.duplicates == "retime":
        raise WeightsError(
            f"model {interpolator.name} makes only the frame halfway between two, which does "
            'not make a run of repeated frames even; use `model="flow"`.'
        )
    if timesteps and all(map(interpolator.can_make, timesteps)):
        return
    raise WeightsError(
        f"model {interpolator.name} makes only the frame halfway between two, which is enough "
        "for a `factor` or `slow_motion` of 2, 4, 8 and so on up to 64, not for others and not "
        'for a `frame_rate`; use `model="flow"`.'
    )

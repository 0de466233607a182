import pytest
import torch

from interp_cli.devices import choose_device, choose_precision
from interp_cli.errors import ResourceError


def test_devices_and_precisions_that_are_not_there():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="`device` must be auto, cpu"):
        choose_device("gpu")
    with pytest.raises(ResourceError, match="cuda:99 is not here"):
        choose_device("cuda:99")
    with pytest.raises(ResourceError, match="fp16 needs a GPU"):
        choose_precision(torch.device("cpu"), "fp16")
    assert choose_precision(torch.device("cuda"), "auto") == "fp16"


@pytest.mark.parametrize(
    ("has", "faster", "chosen"), [(1, 1, "bf16"), (1, 0, "fp32"), (0, 1, "fp32")]
)
def test_bf16_is_chosen_where_it_is_there_and_faster(monkeypatch, has, faster, chosen):
    monkeypatch.setattr("interp_cli.devices.cpu_has_bf16", lambda: bool(has))
    monkeypatch.setattr("interp_cli.devices._bf16_is_faster", lambda: bool(faster))
    assert choose_precision(torch.device("cpu"), "auto") == chosen

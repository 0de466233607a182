import resource
import sys

import pytest
import torch

from interp_cli.devices import choose_device, choose_precision, keep_freed_memory
from interp_cli.errors import ResourceError


def test_devices_and_precisions_that_are_not_there():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="device must be auto, cpu"):
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


@pytest.mark.skipif(sys.platform != "linux", reason="what glibc does with freed memory")
def test_freed_memory_is_kept_for_the_next_frame():
    """A large block that was freed comes back, in the end, without new pages."""
    keep_freed_memory()
    faults = []
    for _ in range(12):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(100 << 20, dtype=torch.uint8)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(faults[-3:]) < 100  # a new block has 25,600 pages

"""Planes to a device and back; what a GPU adds is the order of events, tried on stand-ins."""

import pytest
import torch

from interp_cli.inference.transfers import Download, upload

CPU = torch.device("cpu")


def test_on_a_cpu_nothing_is_copied():
    planes = (torch.arange(12).view(1, 3, 4), torch.ones(1, 2, 2))
    (first, second) = upload(iter(planes), CPU)
    assert (first.data_ptr(), second.data_ptr()) == tuple(p.data_ptr() for p in planes)
    download = Download(planes)
    assert download.is_done
    assert [t.data_ptr() for t in download.wait()] == [p.data_ptr() for p in planes]


@pytest.mark.needs_cuda
def test_a_gpu_gets_and_returns_what_it_was_given():
    device = torch.device("cuda")
    planes = tuple(torch.randint(0, 256, (1, 270, 480), dtype=torch.uint8) for _ in range(20))
    downloads = [Download((p.int() * 3,)) for p in upload(planes, device)]
    assert not downloads[0].is_done
    for download, plane in zip(downloads, planes, strict=True):
        (there,) = download.wait()
        assert there.is_pinned()
        torch.testing.assert_close(there, plane.int() * 3)

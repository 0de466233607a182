"""Weights: found, checked, loaded; and every file that is none gets its own line."""

import hashlib
import json
import os
import pickle
import random
import sys

import pytest
import torch
from safetensors.torch import save_file

from interp_cli.errors import WeightsError
from interp_cli.models import weights
from interp_cli.models.registry import create_model
from interp_cli.models.weights import find_weights, load_model, save_weights


@pytest.fixture
def net():
    torch.manual_seed(0)
    return create_model("fusion")


@pytest.fixture
def good(net, tmp_path):
    path = tmp_path / "own.safetensors"
    save_weights(path, net, "fusion", dtype=torch.float32)
    return path


@pytest.fixture
def bundle(net, tmp_path, monkeypatch):
    """A folder of bundled weights with one model, `small`."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    digest = save_weights(folder / "small.safetensors", net, "fusion")
    (folder / "small.json").write_text(json.dumps({"sha256": digest, "licence": "MIT"}))
    monkeypatch.setattr(weights, "_BUNDLED", (folder,))
    return folder


def test_comes_back_bit_for_bit_in_float32(net, good):
    loaded = load_model(good)
    assert loaded.name == str(good.with_suffix(""))
    assert (loaded.architecture, loaded.config) == ("fusion", {})
    assert not loaded.net.training
    for name, value in net.state_dict().items():
        assert torch.equal(loaded.net.state_dict()[name], value)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_utf_8(net, good, tmp_path):
    path = tmp_path / os.fsdecode(b"own \xff.safetensors")
    good.rename(path)
    loaded = load_model(path)
    assert loaded.path == path
    assert torch.equal(loaded.net.state_dict()["fuse.weight"], net.state_dict()["fuse.weight"])
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(WeightsError, match=r"own .*: not a complete safetensors file \("):
        load_model(path)


def test_float16_halves_the_file_and_rounds(net, good, tmp_path):
    small = tmp_path / "half.safetensors"
    digest = save_weights(small, net, "fusion")
    assert digest == hashlib.sha256(small.read_bytes()).hexdigest()
    assert small.stat().st_size < 0.51 * good.stat().st_size
    value = load_model(small).net.state_dict()["fuse.weight"]
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, net.state_dict()["fuse.weight"], atol=1e-4, rtol=1e-3)
    assert not list(tmp_path.glob("*.part"))
    assert small.stat().st_mode & 0o777 == 0o644


def test_a_bundled_model_is_found_by_name_with_its_record(bundle):
    assert find_weights("small") == bundle / "small.safetensors"
    loaded = load_model("small")
    assert (loaded.name, loaded.record["licence"]) == ("small", "MIT")


def test_an_unknown_name_lists_the_known(bundle):
    with pytest.raises(WeightsError, match="large: no model of that name; bundled models: small"):
        find_weights("large")


def test_a_bundled_file_that_changed_is_refused(bundle):
    path = bundle / "small.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"SHA-256 is .*, expected .*damaged"):
        load_model("small")


def test_a_bundled_file_without_a_record_is_refused(bundle):
    (bundle / "small.json").unlink()
    with pytest.raises(WeightsError, match="states no sha256"):
        load_model("small")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(WeightsError, match=r"nosuch.safetensors: missing"):
        load_model(tmp_path / "nosuch.safetensors")
    with pytest.raises(WeightsError, match="a folder; expected a weights file"):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not weights, only words", b"\xff" * 64])
def test_a_file_of_something_else(tmp_path, content):
    path = tmp_path / "text.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"text.safetensors: not a complete safetensors file"):
        load_model(path)


def test_a_truncated_file(good):
    good.write_bytes(good.read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"own.safetensors: not a complete safetensors file"):
        load_model(good)


def test_a_file_that_names_no_architecture(tmp_path):
    path = tmp_path / "plain.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="does not say which architecture"):
        load_model(path)


def test_an_architecture_of_another_version(tmp_path):
    path = tmp_path / "future.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"architecture": "fusion9", "config": "{}"})
    with pytest.raises(WeightsError, match=r"architecture 'fusion9'; this version knows .*fusion"):
        load_model(path)


def test_a_configuration_that_the_architecture_has_not(tmp_path):
    path = tmp_path / "odd.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"architecture": "fusion", "config": '{"depth": 3}'})
    with pytest.raises(WeightsError, match=r"\{'depth': 3\} does not fit 'fusion'"):
        load_model(path)


@pytest.mark.parametrize("config", ["{", "[1]"])
def test_a_configuration_that_is_none(tmp_path, config):
    path = tmp_path / "odd.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"architecture": "fusion", "config": config})
    with pytest.raises(WeightsError, match="its configuration is no JSON"):
        load_model(path)


def test_tensors_that_are_missing_or_of_another_size(net, tmp_path):
    path = tmp_path / "odd.safetensors"
    described = {"architecture": "fusion", "config": "{}"}
    tensors = net.state_dict()
    save_file({k: v for k, v in tensors.items() if k != "fuse.bias"}, path, described)
    with pytest.raises(WeightsError, match=r"1 missing and 0 unknown, such as 'fuse.bias'"):
        load_model(path)
    save_file({**tensors, "fuse.bias": torch.zeros(127)}, path, described)
    with pytest.raises(WeightsError, match=r"'fuse.bias' is \(127,\), but 'fusion' needs \(128,\)"):
        load_model(path)


def test_a_checkpoint_gives_its_averaged_weights(net, tmp_path):
    path = tmp_path / "last.pt"
    averaged = {name: value + 1 for name, value in net.state_dict().items()}
    content = {"architecture": "fusion", "config": {}, "net": net.state_dict(), "ema": averaged}
    torch.save(content, path)
    loaded = load_model(path).net.state_dict()
    assert torch.equal(loaded["fuse.bias"], averaged["fuse.bias"])


class Code:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path):
    trace = tmp_path / "it-ran"
    path = tmp_path / "evil.pt"
    torch.save({"architecture": "fusion", "net": Code(trace)}, path)
    with pytest.raises(WeightsError, match=r"evil.pt: refused, .* loading it could run code"):
        load_model(path)
    renamed = tmp_path / "evil.safetensors"
    renamed.write_bytes(pickle.dumps(Code(trace)))
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        load_model(renamed)
    assert not trace.exists()


def test_a_damaged_pytorch_file(tmp_path):
    path = tmp_path / "cut.pt"
    torch.save({"net": {"x": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(WeightsError, match=r"cut.pt: not a complete PyTorch file"):
        load_model(path)


def test_saving_to_an_unknown_architecture_is_a_mistake(net, tmp_path):
    with pytest.raises(ValueError, match="not 'nosuch'"):
        save_weights(tmp_path / "x.safetensors", net, "nosuch")


def _with(net, change):
    """The network's tensors, of which `change` makes another `fuse.bias`."""
    tensors = dict(net.state_dict())
    return {**tensors, "fuse.bias": change(tensors["fuse.bias"].clone())}


def _one_value(value):
    def change(tensor):
        tensor[5] = value
        return tensor

    return change


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_one_value(float("nan")), "holds values that are no finite numbers"),
        (_one_value(float("-inf")), "holds values that are no finite numbers"),
        (lambda x: x.to(torch.int8), "is of type int8, but 'fusion' needs float32"),
        (lambda x: x.to(torch.complex64), "is of type complex64, but 'fusion' needs float32"),
        (lambda x: x > 0, "is of type bool, but 'fusion' needs float32"),
        (lambda x: x.reshape(2, 64), r"is \(2, 64\), but 'fusion' needs \(128,\)"),
    ],
)
def test_tensors_that_no_network_could_use(net, tmp_path, ending, change, message):
    path = tmp_path / f"odd{ending}"
    tensors = _with(net, change)
    if ending == ".pt":
        torch.save({"architecture": "fusion", "config": {}, "net": tensors}, path)
    else:
        save_file(tensors, path, {"architecture": "fusion", "config": "{}"})
    with pytest.raises(WeightsError, match=f"'fuse.bias' {message}"):
        load_model(path)


def test_a_sparse_tensor_is_refused(net, tmp_path):
    path = tmp_path / "odd.pt"
    torch.save({"architecture": "fusion", "net": _with(net, lambda x: x.to_sparse())}, path)
    with pytest.raises(WeightsError, match=r"'fuse.bias' holds no plain values"):
        load_model(path)


_NESTED = "[" * 100_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected a dictionary of tensors, found list"),
        ("flow", "expected a dictionary of tensors, found str"),
        ({}, "does not say which architecture"),
        ({"architecture": ["fusion"]}, r"made for the architecture \['fusion'\]"),
        ({"architecture": "x" * 9000}, r"made for the architecture 'x.{,40}'; this version"),
        ({"architecture": "fusion", "config": [1]}, "its configuration is no JSON object"),
        ({"architecture": "fusion", "config": {1: 2}}, "its configuration is no JSON object"),
        ({"architecture": "fusion", "config": _NESTED}, "its configuration is no JSON"),
        ({"architecture": "fusion", "net": "text"}, "its tensors are not those of 'fusion'"),
        ({"architecture": "fusion", "net": [1], "ema": 5}, "its tensors are not those of"),
        ({"architecture": "fusion", "net": {7: torch.zeros(1)}}, "missing and 1 unknown"),
    ],
)
def test_a_pytorch_file_of_another_content(tmp_path, content, message):
    path = tmp_path / "odd.pt"
    torch.save(content, path)
    with pytest.raises(WeightsError, match=message) as caught:
        load_model(path)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_a_configuration_of_endless_brackets(tmp_path):
    path = tmp_path / "odd.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"architecture": "fusion", "config": _NESTED})
    with pytest.raises(WeightsError, match="its configuration is no JSON"):
        load_model(path)


class _Sized(torch.nn.Module):
    """A network as large as its configuration says."""

    supports_timestep = False

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(channels, channels)


def test_a_network_that_no_memory_holds(tmp_path, monkeypatch):
    monkeypatch.setitem(weights.ARCHITECTURES, "sized", _Sized)
    path = tmp_path / "huge.safetensors"
    described = {"architecture": "sized", "config": '{"channels": 4000000}'}  # 64 TB
    save_file({"layer.weight": torch.zeros(1, 1), "layer.bias": torch.zeros(1)}, path, described)
    with pytest.raises(WeightsError, match=r"\{'channels': 4000000\} does not fit 'sized'"):
        load_model(path)


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
def test_a_damaged_byte_anywhere_is_one_error_or_none(tmp_path, monkeypatch, ending):
    monkeypatch.setitem(weights.ARCHITECTURES, "sized", _Sized)
    path = tmp_path / f"sized{ending}"
    if ending == ".pt":
        torch.save({"architecture": "sized", "config": {}, "net": _Sized().state_dict()}, path)
    else:
        save_file(_Sized().state_dict(), path, {"architecture": "sized", "config": "{}"})
    good = path.read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(150):
        content = bytearray(good)
        for _ in range(rng.choice((1, 1, 2, 8))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content[: rng.choice((len(content), rng.randrange(len(content))))])
        try:
            load_model(path)
        except WeightsError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 75

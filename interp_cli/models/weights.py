"""Find, check and load trained weights, and write them.

A weights file is a `.safetensors` file whose header names the architecture and its configuration,
so that one file is enough. Bundled weights have a record in the same folder (`<name>.json`:
SHA-256, parameters, licence, data, recipe, scores) and a card (`<name>.md`). Nothing in a weights
file is executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from interp_cli.atomic import temporary_folder, write_whole
from interp_cli.errors import WeightsError
from interp_cli.models.registry import ARCHITECTURES, create_model

_PACKAGE = Path(__file__).parent.parent
# In a wheel the first is there, in a checkout the second.
_BUNDLED = (_PACKAGE / "bundled_weights", _PACKAGE.parent / "weights")
_PICKLES = (".pt", ".pth")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A network with its trained weights.

    Attributes:
        net: The network, float32, on the CPU, in evaluation mode.
        name: Name of the bundled model, or the file's path as given, without its extension. The
            path is included because many files are called `best`.
        path: The file.
        architecture: A name of the registry.
        config: Arguments of the network's constructor.
        record: Content of a bundled file's record; empty where there is none.
    """

    net: nn.Module
    name: str
    path: Path
    architecture: str
    config: dict[str, Any]
    record: dict[str, Any] = field(default_factory=dict)


def bundled_models() -> dict[str, Path]:
    """The weights in the package: name and file."""
    found: dict[str, Path] = {}
    for folder in _BUNDLED:
        for path in sorted(folder.glob("*.safetensors")):
            found.setdefault(path.stem, path)
    return found


def find_weights(name_or_path: str | Path) -> Path:
    """Find the weights file of a model's name or a path.

    Raises:
        WeightsError: There is no such bundled model and no such file.
    """
    bundled = bundled_models()
    if str(name_or_path) in bundled:
        return bundled[str(name_or_path)]
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.suffix or len(path.parts) > 1:
        found = "a folder" if path.is_dir() else "missing"
        raise WeightsError(f"{path}: {found}; expected a weights file (.safetensors).")
    known = ", ".join(bundled) or "none"
    raise WeightsError(
        f"{path}: no model of that name; bundled models: {known}. A weights file of your own is"
        " given by its path."
    )


def read_record(path: Path) -> dict[str, Any]:
    """Read the record of a weights file; empty where there is none.

    Raises:
        WeightsError: The record is no JSON object.
    """
    record = path.with_suffix(".json")
    if not record.is_file():
        return {}
    try:
        content = json.loads(record.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{record}: not JSON ({error}). Install the package again.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{record}: expected a JSON object. Install the package again.")
    return content


def load_model(name_or_path: str | Path) -> LoadedModel:
    """Load a network with its weights.

    Args:
        name_or_path: Name of a bundled model, or a `.safetensors`, `.pt` or `.pth` file.

    Raises:
        WeightsError: The file is missing, damaged, of an unknown architecture, holds other
            tensors than the network, or could run code.
    """
    path = find_weights(name_or_path)
    name = str(path.with_suffix(""))
    record: dict[str, Any] = {}
    if path in bundled_models().values():
        name, record = path.stem, read_record(path)
        _verify(path, record)
    tensors, metadata = (
        _pickled_weights(path) if path.suffix in _PICKLES else _read_safetensors(path)
    )
    architecture, config = _described(path, metadata)
    return LoadedModel(
        net=_fill(path, architecture, config, tensors).eval(),
        name=name,
        path=path,
        architecture=architecture,
        config=config,
        record=record,
    )


def save_weights(
    path: str | Path,
    net: nn.Module,
    architecture: str,
    config: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float16,
) -> str:
    """Write a network's weights; the name appears only when the file is complete.

    Args:
        path: A `.safetensors` file. An existing file is replaced.
        net: The network.
        architecture: Name of the network in the registry.
        config: Arguments of the network's constructor.
        dtype: Type of the stored floating-point tensors.

    Returns:
        SHA-256 of the file, in hexadecimal digits.

    Raises:
        ValueError: There is no such architecture.
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ValueError(f"architecture must be one of {known}, not {architecture!r}")
    path = Path(path)
    tensors = {
        name: value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype)
        for name, value in net.state_dict().items()
    }
    metadata = {"architecture": architecture, "config": json.dumps(dict(config or {}))}
    content = save({name: value.contiguous() for name, value in tensors.items()}, metadata)
    write_whole(path, content)
    return hashlib.sha256(content).hexdigest()


def _verify(path: Path, record: dict[str, Any]) -> None:
    """Check a bundled file against the hash in its record."""
    expected = record.get("sha256")
    if not expected:
        raise WeightsError(f"{path}: its record {path.stem}.json states no sha256.")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise WeightsError(
            f"{path}: SHA-256 is {found[:12]}…, expected {expected[:12]}…. The file is damaged:"
            " install the package again."
        )


@contextlib.contextmanager
def open_safetensors(path: Path) -> Iterator[Any]:
    """Open a safetensors file whatever its name is: the library takes UTF-8 names only.

    Returns:
        The `safe_open` of the library.

    Raises:
        SafetensorError: The file is damaged.
        OSError: It cannot be read.
    """
    with contextlib.ExitStack() as stack:
        if str(path) != os.fsencode(path).decode(errors="replace"):
            folder = Path(stack.enter_context(temporary_folder("interp-")))
            link = folder / "weights.safetensors"
            link.symlink_to(path.absolute())
            path = link
        yield stack.enter_context(safe_open(path, framework="pt"))


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with open_safetensors(path) as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path}: not a complete safetensors file ({_first_line(error)}). Copy it again, or"
            " give another file."
        ) from error


def read_pickle(path: Path) -> dict[str, Any]:
    """Read a `torch.save` file, which may hold tensors and plain values but no code.

    Raises:
        WeightsError: The file is damaged, holds no dictionary, or could run code.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: refused, since it is damaged, or holds more than tensors so that loading it"
            " could run code. Convert it to .safetensors where you trust it."
        ) from error
    except Exception as error:  # a malformed file makes torch raise nearly any of them
        is_readable = isinstance(error, RuntimeError | OSError | ValueError)
        reason = _first_line(error) if is_readable else type(error).__name__
        raise WeightsError(
            f"{path}: not a complete PyTorch file ({reason}). Copy it again, or give another file."
        ) from error
    if not isinstance(content, dict):
        raise WeightsError(
            f"{path}: expected a dictionary of tensors, found {_type_name(content)}."
        )
    return content


def _pickled_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights in a `torch.save` file; of a checkpoint of `interp train` the averaged ones."""
    content = read_pickle(path)
    for name in ("ema", "net"):
        tensors = content.get(name)
        if isinstance(tensors, dict) and tensors:
            break
    else:
        tensors = content
    return {str(k): v for k, v in tensors.items() if isinstance(v, Tensor)}, content


def _described(path: Path, metadata: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Check and return the architecture and the configuration that a file names."""
    architecture, config = metadata.get("architecture"), metadata.get("config") or {}
    known = ", ".join(sorted(ARCHITECTURES))
    if not architecture:
        raise WeightsError(
            f"{path}: does not say which architecture it is for; expected one of {known}, as"
            " `interp train` writes it."
        )
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise WeightsError(
            f"{path}: made for the architecture {_shortened(architecture)}; this version knows"
            f" {known}."
        )
    if isinstance(config, str):
        try:
            config = json.loads(config)
        except (ValueError, RecursionError) as error:
            raise WeightsError(
                f"{path}: its configuration is no JSON ({_first_line(error)})."
            ) from error
    if not isinstance(config, dict) or not all(isinstance(name, str) for name in config):
        raise WeightsError(f"{path}: its configuration is no JSON object.")
    return architecture, config


def _fill(
    path: Path, architecture: str, config: dict[str, Any], tensors: Mapping[str, Tensor]
) -> nn.Module:
    """Build the network and load the tensors: exactly its own, and finite numbers."""
    try:
        net = create_model(architecture, **config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"{path}: its configuration {_shortened(config)} does not fit {architecture!r}"
            f" ({_first_line(error)})."
        ) from error
    expected = net.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    foreign = sorted(tensors.keys() - expected.keys())
    if missing or foreign:
        count = f"{len(missing)} missing and {len(foreign)} unknown"
        raise WeightsError(
            f"{path}: its tensors are not those of {architecture!r} ({count}, such as"
            f" {_shortened((missing or foreign)[0])})."
        )
    for name, value in expected.items():
        found = tensors[name]
        if found.shape != value.shape:
            raise WeightsError(
                f"{path}: tensor {name!r} is {tuple(found.shape)}, but {architecture!r}"
                f" needs {tuple(value.shape)}."
            )
        if found.layout != torch.strided or found.device.type != "cpu":
            raise WeightsError(f"{path}: tensor {name!r} holds no plain values.")
        if found.is_floating_point() != value.is_floating_point() or found.is_complex():
            raise WeightsError(
                f"{path}: tensor {name!r} is of type {_type_name(found.dtype)}, but"
                f" {architecture!r} needs {_type_name(value.dtype)}."
            )
        if not found.float().isfinite().all():
            raise WeightsError(
                f"{path}: tensor {name!r} holds values that are no finite numbers (NaN or"
                " infinity). The file is damaged, or its training diverged."
            )
    net.load_state_dict(tensors)
    return net


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".")


def _shortened(value: object) -> str:
    """How Python writes a value, on one line of moderate length."""
    return reprlib.repr(value)


def _type_name(value: object) -> str:
    """Name of a tensor's or an object's type: `int8`, `list`."""
    name = str(value) if isinstance(value, torch.dtype) else type(value).__name__
    return name.removeprefix("torch.")

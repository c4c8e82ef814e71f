"""Reads weights files of every kind, recognised by their content, without running code in them."""

import json
import mmap
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pointrend_ext.checkpoint.errors import UnsafeWeightsError, WeightsFileError
from pointrend_ext.checkpoint.pickle_names import LEGACY_TORCH
from pointrend_ext.checkpoint.pickle_values import ValueBuilder
from pointrend_ext.checkpoint.torch_files import (
    read_archive,
    read_legacy_file,
    read_packed_storage,
)
from pointrend_ext.checkpoint.unpickler import restricted_load

Reader = Callable[[Path, bool], Any]


def read_weights_file(path: str | Path, *, allow_code: bool = False) -> Any:
    """Read a file written by ``torch.save``, ``pickle`` or safetensors, whatever its ending.

    With ``allow_code`` also where that runs code in the file: only for authors whom you trust. The
    result is what was saved, in general a dictionary, with tensors on the CPU or NumPy arrays.

    Raises:
        OSError: there is no such file.
        UnsafeWeightsError: the file names a class or function that weights do not need.
        WeightsFileError: empty, cut off, damaged, of another kind, or its reader is not installed.
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(512)
    try:
        kind = _find_kind(path, head)
        if not isinstance(kind, str):
            return kind(path, allow_code)
    # torch, zipfile and the unpickler fail in many ways on damaged bytes.
    except Exception as error:
        raise _explained(error, path) from error
    raise WeightsFileError(
        f"{path} ({path.stat().st_size} bytes, beginning with {head[:12]!r}) is not a weights file "
        f"but {kind}."
    )


def _find_kind(path: Path, head: bytes) -> str | Reader:
    """Find the reader of a file, or say what it is instead of weights."""
    kind = next(kind for pattern, kind in KINDS if re.match(pattern, head, re.DOTALL))
    if kind is not _read_zip:
        return kind
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        return "an exported TorchScript model; give the checkpoint it was made from"
    if any(name.endswith("/data.pkl") for name in names):
        return kind
    found = ", ".join(names[:3])
    return f"a zip archive (of {found}, ...); unpack it and give the weights file in it"


def _explained(error: Exception, path: Path) -> WeightsFileError:
    """Say what a user can do about a file that could not be read."""
    if isinstance(error, ModuleNotFoundError):
        return WeightsFileError(f"{path} was not read: {error}; pip install {error.name}.")
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if refused and isinstance(error, pickle.UnpicklingError):
        return UnsafeWeightsError(
            f"{path} was not read: it needs {refused[1]}, which weights do not need and which "
            "could run code on this machine. Get the weights from a source you trust, or, if you "
            "trust this one, pass allow_code=True (--allow-code on the command line)."
        )
    reason = f"{type(error).__name__}: {error}"
    return WeightsFileError(
        f"{path} ({path.stat().st_size} bytes) is damaged or was cut off ({reason:.300}): compare "
        "its size and checksum with the source, and download or copy it again."
    )


def _read_pickle(path: Path, allow_code: bool) -> Any:
    with path.open("rb") as file:
        if allow_code:
            return pickle.load(file, encoding="latin1")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            result = restricted_load(mapped, ValueBuilder(len(mapped), read_packed_storage))
            if mapped.tell() != len(mapped):
                raise ValueError("something is left over behind the end of the pickle")
            return result


def _read_zip(path: Path, allow_code: bool) -> Any:
    return _read_with_code(path) if allow_code else read_archive(path)


def _read_torch(path: Path, allow_code: bool) -> Any:
    return _read_with_code(path) if allow_code else read_legacy_file(path)


def _read_with_code(path: Path) -> Any:
    with path.open("rb") as file:  # of a path torch would judge the extension
        return torch.load(file, map_location="cpu", weights_only=False)


def _read_safetensors(path: Path, _allow_code: bool) -> Any:
    from safetensors import safe_open

    with safe_open(str(path), framework="pt", device="cpu") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        class_names = (file.metadata() or {}).get("class_names")
    if class_names is None:
        return state
    return {"model": state, "class_names": json.loads(class_names)}  # as we write them


# How a file may begin, the first that fits, with its reader or what it is instead of weights.
KINDS: tuple[tuple[bytes, str | Reader], ...] = (
    (rb"\Z", "empty; download or copy it again"),
    (rb"version https://git-lfs", "a Git LFS pointer; run git lfs pull"),
    (
        rb"(?i)\s*(<!doctype|<html|<head|<\?xml|<error)",
        "a web page (say, an error or a login page); download the file itself",
    ),
    (rb"\s*[{\[]\s*[\"{\]}]", "JSON text; give the weights file that belongs to it"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "a compressed archive; unpack it first"),
    (rb".{257}ustar", "a tar archive; unpack it first"),
    (rb"\x89HDF", "an HDF5 file; only PyTorch's and pickled weights can be loaded"),
    (rb"\0+\Z", "nothing but zeros; the download was not completed"),
    (rb"PK\x03\x04", _read_zip),
    (re.escape(LEGACY_TORCH), _read_torch),
    (rb".{8}\{", _read_safetensors),
    # Protocol 2 and later by their mark, 0 and 1 by the operations that can open one.
    (rb"\x80[\x02-\x05]|[(}\]c]", _read_pickle),
    (b"", "unknown: torch.save, pickle and safetensors can be read; the download may be damaged"),
)

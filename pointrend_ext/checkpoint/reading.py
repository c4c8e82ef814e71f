"""Reads weights files of every kind, recognised by their content, without running code in them."""

from __future__ import annotations

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
from pointrend_ext.checkpoint.unpickler import PickleError, RefusedGlobal, restricted_load

__all__ = ["ALLOW_CODE_HINT", "read_weights_file"]

ALLOW_CODE_HINT = "allow_code=True (--allow-code on the command line)"
HEAD = 512
ZIP = b"PK\x03\x04"
# The first pickle of a file of torch before 1.6: its magic number, protocol 2.
LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# What may open a file that is no weights file, and what to say about it.
WRONG_KINDS: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (
        re.compile(rb"version https://git-lfs"),
        "a Git LFS pointer; run git lfs pull",
    ),
    (
        re.compile(rb"\s*(<!doctype|<html|<head|<\?xml|<error)", re.IGNORECASE),
        "a web page (say, an error or a login page); download the file itself",
    ),
    (re.compile(rb"\s*[{\[]\s*[\"{\]}]"), "JSON text; give the weights file that belongs to it"),
    (
        re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!"),
        "a compressed archive; unpack it first",
    ),
    (re.compile(rb".{257}ustar", re.DOTALL), "a tar archive; unpack it first"),
    (re.compile(rb"\x89HDF"), "an HDF5 file; only PyTorch's and pickled weights can be loaded"),
    (re.compile(rb"\0+\Z"), "nothing but zeros; the download was not completed"),
)


def read_weights_file(path: str | Path, *, allow_code: bool = False) -> Any:
    """Read a file written by ``torch.save``, ``pickle`` (Detectron, Detectron2) or safetensors.

    Args:
        path: a local file; its extension does not matter.
        allow_code: read it even if that runs code in the file. Only for files whose author you
            trust.

    Returns:
        What was saved: in general a dictionary, with tensors on the CPU or NumPy arrays.

    Raises:
        FileNotFoundError: no such file.
        UnsafeWeightsError: the file names a class or function that weights do not need.
        WeightsFileError: empty, cut off, damaged, or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        kind = "is a folder, not a file" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"The weights file {path} {kind}; correct MODEL.WEIGHTS.")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD)
    reader = _find_reader(path, head, size)
    try:
        return reader(path, size, allow_code)
    except (UnsafeWeightsError, WeightsFileError):
        raise
    except RefusedGlobal as error:
        raise UnsafeWeightsError(
            f"{path} was not read: it needs {error}, which weights do not need and which could run "
            "code on this machine. Get the weights from a source you trust, or, if you trust "
            f"this one, pass {ALLOW_CODE_HINT}."
        ) from None
    # torch and zipfile fail in many ways on damaged bytes.
    except Exception as error:
        raise WeightsFileError(_damaged(path, size, f"{type(error).__name__}: {error}")) from error


def _find_reader(path: Path, head: bytes, size: int) -> Callable[[Path, int, bool], Any]:
    if size == 0:
        raise WeightsFileError(f"{path} is empty (0 bytes): download or copy it again.")
    for pattern, kind in WRONG_KINDS:
        if pattern.match(head):
            raise WeightsFileError(f"{path} ({size} bytes) is not a weights file but {kind}.")
    if head.startswith(ZIP):
        return _read_zip
    if head.startswith(LEGACY_TORCH):
        return _read_torch
    if head[8:9] == b"{":
        return _read_safetensors
    # Protocol 2 and later by their mark, 0 and 1 by the operations that can open one.
    if re.match(rb"\x80[\x02-\x05]|[(}\]c]", head):
        return _read_pickle
    raise WeightsFileError(
        f"{path} ({size} bytes) is not a weights file: it begins with {head[:12]!r}. Known are "
        "files of torch.save, pickle and safetensors; the download may be damaged."
    )


def _read_pickle(path: Path, size: int, allow_code: bool) -> Any:
    if allow_code:
        with path.open("rb") as file:
            return pickle.load(file, encoding="latin1")
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        return restricted_load(mapped, size)


def _read_zip(path: Path, size: int, allow_code: bool) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if not any(name.endswith("/data.pkl") for name in names):
            raise WeightsFileError(
                f"{path} is a zip archive without weights of torch.save (it holds "
                f"{', '.join(names[:3])}, ...); unpack it and give the weights file in it."
            )
        if any(name.endswith("/constants.pkl") for name in names):
            raise WeightsFileError(
                f"{path} is an exported TorchScript model; give the checkpoint it was made from."
            )
        unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > 20 * size:
            raise PickleError(f"unpacks to {unpacked} bytes")
        _check_sums(archive)
    return _read_torch(path, size, allow_code)


def _check_sums(archive: zipfile.ZipFile) -> None:
    """Compare the checksums, which torch writes but does not read.

    Where all are wrong they were switched off (``torch.serialization.set_crc32_options``).
    """
    entries = [entry for entry in archive.infolist() if entry.file_size]
    wrong = [entry.filename for entry in entries if not _is_sound(archive, entry)]
    if wrong and len(wrong) < len(entries):
        raise PickleError(f"wrong checksum of {', '.join(wrong[:3])}")


def _is_sound(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(entry) as file:
            while file.read(1 << 20):
                pass
    except zipfile.BadZipFile:
        return False
    return True


def _read_torch(path: Path, size: int, allow_code: bool) -> Any:
    try:
        with path.open("rb") as file:  # of a path torch would judge the extension
            return torch.load(file, map_location="cpu", weights_only=not allow_code)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)|unsupported GLOBAL ([\w.]+)", str(error))
        if found:
            raise RefusedGlobal(found[1] or found[2]) from None
        raise


def _read_safetensors(path: Path, size: int, _allow_code: bool) -> Any:
    try:
        from safetensors import safe_open
    except ModuleNotFoundError as error:
        raise WeightsFileError(
            f"{path} is a safetensors file, and the package that reads it is not installed: "
            "pip install safetensors."
        ) from error
    with safe_open(str(path), framework="pt", device="cpu") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        class_names = (file.metadata() or {}).get("class_names")
    if class_names is None:
        return state
    return {"model": state, "class_names": json.loads(class_names)}  # as we write them


def _damaged(path: Path, size: int, reason: str) -> str:
    return (
        f"{path} ({size} bytes) is damaged or was cut off ({reason:.300}): compare its size and "
        "checksum with the source, and download or copy it again."
    )

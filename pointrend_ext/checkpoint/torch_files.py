"""Reads what ``torch.save`` writes, archives and the format before, without running code in them.

``torch.load(weights_only=True)`` refuses plain values that training scripts save (NumPy's numbers,
a ``Namespace``), hashes what it reads unchecked, compares no checksum, and finds the parts of an
archive otherwise than ``zipfile`` does. Here there is one reader, with the limits of
``pickle_values``.
"""

import io
import mmap
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from pointrend_ext.checkpoint.pickle_values import ValueBuilder, checked, sizes_of
from pointrend_ext.checkpoint.unpickler import restricted_load

CHUNK = 1 << 24
ABOVE_FILE = 1 << 30  # bytes that a compressed archive may hold above its own size
LEGACY_VERSION = 1001


class _Storages:
    """Makes the storages that a pickle refers to, each once."""

    def __init__(self, values: ValueBuilder, fill: Callable[[str, torch.Tensor], None]) -> None:
        """Take what counts their bytes, and what reads them into uint8 vectors by their key."""
        self.by_key: dict[str, torch.Tensor] = {}
        self._values, self._fill = values, fill

    def __call__(self, reference: Any) -> torch.Tensor:
        """Return a vector (count,).

        Args:
            reference: "storage", a type, key, device, count and, in old files, None or a part of
                another storage.
        """
        word, dtype, key, _device, count, *part = checked(reference, tuple)
        if word != "storage" or part not in ([], [None]):
            raise ValueError("a part of a module's code or of another storage")
        dtype, key, (count,) = checked(dtype, torch.dtype), checked(key, str), sizes_of((count,))
        if key not in self.by_key:
            self._values.spend("arrays", count * dtype.itemsize)
            self.by_key[key] = torch.empty(count, dtype=dtype)
            self._fill(key, self.by_key[key].view(torch.uint8))
        vector = self.by_key[key]
        if (vector.dtype, len(vector)) != (dtype, count):
            raise ValueError("one storage has two types or sizes")
        return vector


def _fill(data: torch.Tensor, file: Any) -> None:
    """Read exactly a vector of bytes (count,), without a second copy of all of it."""
    view = memoryview(data.numpy())  # type: ignore[arg-type]
    for start in range(0, len(view), CHUNK):
        part = view[start : start + CHUNK]
        part[:] = file.read(len(part))  # fails if there is less


def read_archive(path: Path) -> Any:
    """Read a zip archive of torch; every part that is read is compared with its checksum."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > min(20 * size, size + ABOVE_FILE):
            raise ValueError(f"unpacks to {unpacked} bytes")
        if not any(entry.CRC for entry in entries.values()):
            # They were switched off (torch.serialization.set_crc32_options).
            for entry in entries.values():
                entry.CRC = None  # type: ignore[assignment]  # zipfile then compares nothing
        (pickled,) = (name for name in entries if name.endswith("/data.pkl"))
        root = pickled.removesuffix("data.pkl")
        if f"{root}byteorder" in entries:
            _check_byte_order(archive.read(f"{root}byteorder").decode())

        def fill(key: str, data: torch.Tensor) -> None:
            entry = entries[f"{root}data/{key}"]
            if entry.file_size != len(data):
                raise ValueError(f"{entry.filename} has {entry.file_size} bytes, not {len(data)}")
            with archive.open(entry) as file:
                _fill(data, file)

        values = ValueBuilder(unpacked)
        with io.BytesIO(archive.read(pickled)) as file:
            result = restricted_load(file, values, _Storages(values, fill))
            _check_end(file, entries[pickled].file_size)
    return result


def read_legacy_file(path: Path) -> Any:
    """Read a file of torch before 1.6."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        result = read_legacy(mapped, ValueBuilder(len(mapped)))
        _check_end(mapped, len(mapped))
    return result


def read_packed_storage(raw: bytes, values: ValueBuilder) -> torch.Tensor:
    """Read the file of a storage that a pickle holds, as a vector (count,)."""
    with io.BytesIO(raw) as file:
        result = read_legacy(file, values)
        _check_end(file, len(raw))
    return checked(result, torch.Tensor)


def read_legacy(file: BinaryIO | mmap.mmap, values: ValueBuilder) -> Any:
    """Read what torch before 1.6 wrote, one pickle behind the other.

    That is a magic number, a version, the machine, the object, and the keys of its storages, which
    follow, each behind its length.
    """
    restricted_load(file, values)  # the magic number, by which the file was recognised
    if restricted_load(file, values) != LEGACY_VERSION:
        raise ValueError("an unknown version of torch's format")
    machine = checked(restricted_load(file, values), dict)
    _check_byte_order("little" if machine["little_endian"] is True else "big")
    storages = _Storages(values, lambda _key, _data: None)  # they follow
    result = restricted_load(file, values, storages)
    keys = checked(restricted_load(file, values), list)
    if sorted(keys) != sorted(storages.by_key):
        raise ValueError("storages that are not used, or not there")
    for vector in map(storages.by_key.__getitem__, keys):
        if int.from_bytes(file.read(8), sys.byteorder) != len(vector):
            raise ValueError("a storage of another size")
        _fill(vector.view(torch.uint8), file)
    return result


def _check_byte_order(order: str) -> None:
    if order != sys.byteorder:
        raise ValueError("numbers in another machine's byte order")


def _check_end(file: BinaryIO | mmap.mmap, size: int) -> None:
    if file.tell() != size:
        raise ValueError("something is left over behind the end of the data")

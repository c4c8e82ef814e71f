"""The table of what a restricted pickle may build: arrays, tensors and plain containers."""

from __future__ import annotations

import io
import math
import re
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

__all__ = ["Global", "Pending", "RefusedGlobal", "ValueBuilder", "check_hashable"]

# Numbers and booleans of fixed width; no objects, strings, records or sub-arrays.
PLAIN_DTYPE = re.compile(r"[=|]?(?:[biufc]\d{1,2}|\?)")
NATIVE = "<" if sys.byteorder == "little" else ">"
# The same names by Python 2, NumPy 1 and NumPy 2.
MODULES = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy",
    "numpy._core.multiarray": "numpy",
    "numpy.core.numeric": "numpy",
    "numpy._core.numeric": "numpy",
}


class RefusedGlobal(ValueError):
    """A pickle names something that is not in the table; the text is that name."""


@dataclass(frozen=True)
class Global:
    """A name in a pickle. It stands for the thing and cannot do what the thing does."""

    name: str


@dataclass
class Pending:
    """An array or dtype whose content the pickle states after its creation."""

    dtype: np.dtype | None = None
    memo_indices: list[int] = field(default_factory=list)


def check_hashable(key: Any) -> Any:
    """Return ``key`` if it may be the key of a dictionary: nested tuples hash in exponential time.

    Raises:
        TypeError: not a string, bytes, number, boolean or None.
    """
    if not isinstance(key, str | bytes | int | float | complex | None):
        raise TypeError(f"a key of type {type(key).__name__}")
    return key


class ValueBuilder:
    """Builds the values of one pickle, with at most ``max_bytes`` in all arrays together."""

    def __init__(self, max_bytes: int) -> None:
        self._bytes_left = max_bytes
        self._calls: dict[str, Callable[..., Any]] = {
            "builtins.set": lambda items=(): set(map(check_hashable, _sequence(items))),
            "builtins.frozenset": lambda items=(): frozenset(map(check_hashable, _sequence(items))),
            "builtins.list": lambda items=(): list(_sequence(items)),
            "builtins.bytes": lambda: b"",
            "builtins.bytearray": lambda data=b"", *_encoding: bytearray(_raw(data)),
            "builtins.complex": lambda real, imag: complex(float(real), float(imag)),
            "_codecs.encode": lambda text, _encoding: _raw(text),
            "collections.OrderedDict": _ordered_dict,
            "numpy._reconstruct": lambda _class, _shape, _code: Pending(),
            "numpy._frombuffer": self._from_buffer,
            "numpy.scalar": lambda dtype, raw: self._array((), dtype, False, raw)[()],
            "numpy.dtype": _dtype,
            "torch.Size": lambda sizes: torch.Size(_sizes(sizes)),
            "torch.storage._load_from_bytes": self._storage,
            "torch._utils._rebuild_tensor_v2": _tensor,
            "torch._utils._rebuild_parameter": lambda data, *_rest: data,
        }

    def look_up(self, module: Any, name: Any) -> Global:
        """Return the stand-in of a global.

        Raises:
            RefusedGlobal: it is not in the table.
        """
        full_name = f"{MODULES.get(module, module)}.{name}"
        if full_name not in self._calls and full_name != "numpy.ndarray":
            raise RefusedGlobal(f"{module}.{name}")
        return Global(full_name)

    def call(self, function: Global, arguments: tuple[Any, ...]) -> Any:
        """Build what ``function(*arguments)`` would return."""
        if function.name not in self._calls:
            raise RefusedGlobal(f"{function.name}()")
        return self._calls[function.name](*arguments)

    def set_state(self, target: Any, state: Any) -> Any:
        """Build what ``target`` becomes with the state that the pickle gives it."""
        if type(target) is OrderedDict and type(state) is dict:
            if isinstance(state.get("_metadata"), dict):
                target._metadata = state["_metadata"]  # module versions, as torch writes them
            return target
        if not isinstance(target, Pending) or type(state) is not tuple:
            raise RefusedGlobal(f"state of a {type(target).__name__}")
        if target.dtype is not None:
            if state[1] not in ("|", NATIVE):  # one flipped bit of the other
                raise ValueError("numbers in another machine's byte order")
            return target.dtype
        shape, dtype, fortran, raw = state[-4:]  # before these the version, since NumPy 0.9
        return self._array(shape, dtype, fortran, raw)

    def _from_buffer(self, raw: Any, dtype: Any, shape: Any, order: str = "C") -> np.ndarray:
        return self._array(shape, dtype, order == "F", raw)

    def _array(self, shape: Any, dtype: Any, fortran: Any, raw: Any) -> np.ndarray:
        dtype = dtype.dtype if isinstance(dtype, Pending) else dtype
        if not isinstance(dtype, np.dtype):
            raise TypeError("an array without a dtype")
        data = _raw(raw)
        expected = math.prod(_sizes(shape)) * dtype.itemsize
        if len(data) != expected:
            raise ValueError(f"an array of {expected} bytes has {len(data)}")
        self._spend(expected)
        array = np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if fortran else "C")
        return np.ascontiguousarray(array).reshape(shape)

    def _storage(self, raw: Any) -> torch.Tensor:
        """Read a torch storage, which inside a pickle is a torch file of its own, as a vector."""
        self._spend(len(_raw(raw)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch deprecates what it writes here
            storage = torch.load(io.BytesIO(_raw(raw)), map_location="cpu", weights_only=True)
            if not isinstance(storage, torch.storage.TypedStorage):
                raise TypeError(f"a {type(storage).__name__} in place of a storage")
            return torch.empty(0, dtype=storage.dtype).set_(storage.untyped())

    def _spend(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise ValueError("the arrays are larger than the file")


def _raw(data: Any) -> bytes | bytearray:
    """Bytes, which Python 2 wrote as strings."""
    if isinstance(data, str):
        return data.encode("latin1")
    if not isinstance(data, bytes | bytearray):
        raise TypeError(f"bytes expected, found a {type(data).__name__}")
    return data


def _sequence(items: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(items, list | tuple):
        raise TypeError(f"a list expected, found a {type(items).__name__}")
    return items


def _sizes(shape: Any) -> tuple[int, ...]:
    if any(type(size) is not int or size < 0 for size in _sequence(shape)):
        raise ValueError("a shape of other than whole numbers from 0")  # no repr: it may explode
    return tuple(shape)


def _dtype(code: Any, *_align_and_copy: Any) -> Pending:
    code = _raw(code).decode("latin1")
    if not PLAIN_DTYPE.fullmatch(code):
        raise RefusedGlobal(f"numpy.dtype({code!r:.50})")
    return Pending(np.dtype(code))


def _ordered_dict(pairs: Any = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((check_hashable(key), value) for key, value in _sequence(pairs))


def _tensor(vector: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> torch.Tensor:
    if not isinstance(vector, torch.Tensor) or type(offset) is not int:
        raise TypeError(f"a tensor in a {type(vector).__name__}")
    size, stride = _sizes(size), _sizes(stride)
    if math.prod(size) > vector.numel():
        raise ValueError(f"a tensor of shape {size} in {vector.numel()} numbers")
    return vector.as_strided(size, stride, offset)  # checks the bounds

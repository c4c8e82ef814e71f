"""The table of what a restricted pickle may build: arrays, tensors and plain containers."""

import io
import math
import pickle
import re
import sys
import warnings
from collections import OrderedDict
from typing import Any

import numpy as np
import torch

__all__ = ["LEGACY_TORCH", "ValueBuilder", "as_key", "checked"]

# How a file of torch before 1.6 begins, and a storage inside a pickle: its magic number.
LEGACY_TORCH = pickle.dumps(torch.serialization.MAGIC_NUMBER, 2)
# Numbers and booleans that torch has; no objects, strings, records or sub-arrays.
PLAIN_DTYPE = re.compile(r"[=|]?(?:[iu][1248]|f[248]|c8|c16|b1|\?)")
NATIVE = "<" if sys.byteorder == "little" else ">"
# The same names by Python 2, NumPy 1 and NumPy 2.
MODULES = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy",
    "numpy._core.multiarray": "numpy",
    "numpy.core.numeric": "numpy",
    "numpy._core.numeric": "numpy",
}


def checked(value: Any, kinds: type | tuple[type, ...]) -> Any:
    """Return a value of one of the types that its place in the pickle allows.

    Raises:
        TypeError: another type. The value is not shown: nested tuples grow exponentially.
    """
    if not isinstance(value, kinds):
        raise TypeError(f"a {type(value).__name__} in a wrong place")
    return value


def as_key(key: Any) -> Any:
    """Return a key of a dictionary or set that is hashed at once, and not like many others.

    Nested tuples take exponential time; integers from 2^61 and complex numbers can be made to
    collide.
    """
    is_long = isinstance(key, int) and abs(key) >= sys.hash_info.modulus
    return checked(key, () if is_long else (str, bytes, int, float, type(None)))


class ValueBuilder:
    """Builds the values of one pickle, with at most ``max_bytes`` in all arrays together."""

    def __init__(self, max_bytes: int) -> None:
        # Text is copied into bytes, and these into arrays of bytes.
        self._bytes_left = {"arrays": max_bytes, "copies": 4 * max_bytes}
        self._table: dict[str, Any] = {
            "builtins.set": lambda items=(): set(map(as_key, self._items(items))),
            "builtins.frozenset": lambda items=(): frozenset(map(as_key, self._items(items))),
            "builtins.list": lambda items=(): list(self._items(items)),
            "builtins.bytes": lambda: b"",
            "builtins.bytearray": lambda data=b"", *_encoding: bytearray(self._raw(data)),
            "builtins.complex": lambda real, imag: complex(float(real), float(imag)),
            "_codecs.encode": lambda text, _encoding: self._raw(text),
            "collections.OrderedDict": self._ordered_dict,
            "numpy.ndarray": "the class that follows numpy._reconstruct",
            "numpy._reconstruct": lambda _class, _shape, _code: np.empty(0, np.uint8),
            "numpy._frombuffer": self._from_buffer,
            "numpy.scalar": lambda dtype, raw: self._from_buffer(raw, dtype, ())[()],
            "numpy.dtype": self._dtype,
            "torch.Size": lambda sizes: torch.Size(_sizes(sizes)),
            "torch.storage._load_from_bytes": self._storage,
            "torch._utils._rebuild_tensor_v2": _tensor,
            "torch._utils._rebuild_parameter": lambda data, *_rest: data,
        }

    def look_up(self, module: str, name: str) -> Any:
        """Return what stands for a class or function: a function of ours, or a text.

        Raises:
            pickle.UnpicklingError: it is not in the table.
        """
        full_name = f"{MODULES.get(module, module)}.{name}"
        if full_name not in self._table:
            raise pickle.UnpicklingError(f"GLOBAL {module}.{name}")
        return self._table[full_name]

    def set_state(self, target: Any, state: Any) -> None:
        """Give an object the state that follows it in the pickle."""
        if isinstance(target, OrderedDict):
            metadata = checked(state, dict).get("_metadata")
            if isinstance(metadata, dict):  # module versions, as torch writes them
                target._metadata = metadata  # type: ignore[attr-defined]
        elif isinstance(target, np.dtype):
            if state[1] not in ("|", NATIVE):  # one flipped bit of the other
                raise ValueError("numbers in another machine's byte order")
        else:  # the version comes before these four, since NumPy 0.9
            self._fill(checked(target, np.ndarray), *checked(state, tuple)[-4:])

    def _fill(self, array: np.ndarray, shape: Any, dtype: Any, fortran: Any, raw: Any) -> None:
        """State an array's numbers; NumPy compares their bytes with the shape."""
        shape, itemsize = _sizes(shape), checked(dtype, np.dtype).itemsize
        self._spend("arrays", math.prod(shape) * itemsize)
        array.__setstate__((1, shape, dtype, fortran is True, self._raw(raw)))

    def _from_buffer(self, raw: Any, dtype: Any, shape: Any, order: str = "C") -> np.ndarray:
        array = np.empty(0, np.uint8)
        self._fill(array, shape, dtype, order == "F", raw)
        return array

    def _dtype(self, code: Any, *_align_and_copy: Any) -> np.dtype:
        code = self._raw(code).decode("latin1")
        if not PLAIN_DTYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"GLOBAL numpy.dtype({code!r:.50})")
        return np.dtype(code)

    def _storage(self, raw: Any) -> torch.Tensor:
        """Read a torch storage, which inside a pickle is a torch file of its own, as a vector."""
        raw = self._raw(raw)
        self._spend("arrays", len(raw))
        if not raw.startswith(LEGACY_TORCH):
            raise ValueError("a storage in a format that torch does not write here")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch deprecates what it writes here
            storage = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
            checked(storage, torch.storage.TypedStorage)
            return torch.empty(0, dtype=storage.dtype).set_(storage.untyped())

    def _ordered_dict(self, pairs: Any = ()) -> OrderedDict[Any, Any]:
        return OrderedDict((as_key(key), value) for key, value in self._items(pairs))

    def _items(self, items: Any) -> Any:
        self._spend("copies", len(checked(items, (list, tuple))))
        return items

    def _raw(self, data: Any) -> bytes:
        """Bytes, which Python 2 wrote as text."""
        self._spend("copies", len(checked(data, (str, bytes, bytearray))))
        return data.encode("latin1") if isinstance(data, str) else bytes(data)

    def _spend(self, kind: str, count: int) -> None:
        self._bytes_left[kind] -= count
        if self._bytes_left[kind] < 0:
            raise ValueError(f"the {kind} are larger than the file")


def _sizes(shape: Any, most: int = 1 << 62) -> tuple[int, ...]:
    """Check a shape or strides, of at most ``most`` elements; only then is it safe to multiply."""
    sizes = tuple(checked(shape, (list, tuple)))
    if (
        len(sizes) > 64
        or any(type(size) is not int or not 0 <= size < 1 << 62 for size in sizes)
        or math.prod(sizes) > most
    ):
        raise ValueError(f"a shape of other than whole numbers from 0, or of more than {most}")
    return sizes


def _tensor(vector: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> torch.Tensor:
    vector = checked(vector, torch.Tensor)
    # as_strided checks the bounds, but a stride of 0 repeats a number without end
    return vector.as_strided(_sizes(size, vector.numel()), _sizes(stride), offset)

"""The table of what a restricted pickle may build: arrays, tensors and plain containers."""

import math
import pickle
import posixpath
import sys
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from pointrend_ext.checkpoint.pickle_names import (
    LEGACY_TORCH,
    MAPPINGS,
    MODULES,
    NATIVE,
    OTHER_TENSORS,
    PATHS,
    PLAIN_DTYPE,
    TEXTS,
    TORCH_TYPES,
)


def checked(value: Any, kinds: type | tuple[type, ...]) -> Any:
    """Return a value of one of the types that its place in the pickle allows.

    Raises:
        TypeError: another type. The value is not shown: nested tuples grow exponentially.
    """
    if not isinstance(value, kinds):
        raise TypeError(f"a {type(value).__name__} in a wrong place")
    return value


MAX_READS = 3_000_000  # each operation reads once or twice; 10 000 arrays need 500 000
MAX_ITEMS = 3_000_000  # of containers that are copied
# Numbers and tuples can be chosen so that dictionaries search them all; text cannot.
MAX_KEYS = 1 << 15
KEYS_OF_A_TUPLE = 8  # the same hash for all of them is easily found
KEYS = (str, bytes, int, float, np.integer, np.floating, type(None))

ReadStorage = Callable[[bytes, "ValueBuilder"], torch.Tensor]


class ValueBuilder:
    """Builds the values of one file, within limits that follow from its size.

    Attributes:
        reads_left: how often may still be read.
    """

    def __init__(self, max_bytes: int, read_storage: ReadStorage | None = None) -> None:
        """Set the limits.

        Args:
            max_bytes: of all arrays and storages together.
            read_storage: reads what a pickle holds of a tensor, a torch file of its own; None where
                torch puts nothing of the kind.
        """
        self.reads_left = MAX_READS
        self._read_storage = read_storage
        # Text is copied into bytes, and these into arrays of bytes. Tensors may share a storage,
        # or repeat a number.
        self._left = {"arrays": max_bytes, "copies": 4 * max_bytes, "items": MAX_ITEMS}
        self._left |= {"tensors": 8 * max_bytes + (1 << 26), "keys": MAX_KEYS}
        self._table: dict[str, Any] = {
            "builtins.set": lambda items=(): set(map(self.key, self._items(items))),
            "builtins.frozenset": lambda items=(): frozenset(map(self.key, self._items(items))),
            "builtins.list": lambda items=(): list(self._items(items)),
            "builtins.bytes": lambda: b"",
            "builtins.bytearray": lambda data=b"", *_encoding: bytearray(self._raw(data)),
            "builtins.complex": lambda real, imag: complex(float(real), float(imag)),
            "_codecs.encode": lambda text, _encoding: self._raw(text),
            "copyreg._reconstructor": self._reconstruct,
            "collections.OrderedDict": self._ordered_dict,
            "collections.deque": lambda items=(), _most=None: list(self._items(items)),
            **dict.fromkeys(MAPPINGS, lambda items=None, *_: items if type(items) is dict else {}),
            **dict.fromkeys(PATHS, _path),
            **{text: text for text in TEXTS},
            "numpy._reconstruct": lambda _class, _shape, _code: np.empty(0, np.uint8),
            "numpy._frombuffer": self._from_buffer,
            "numpy.scalar": lambda dtype, raw: self._from_buffer(raw, dtype, ())[()],
            "numpy.dtype": self._dtype,
            "torch.Size": lambda sizes: torch.Size(sizes_of(sizes)),
            "torch.device": lambda *names: tuple(checked(name, (str, int)) for name in names),
            **TORCH_TYPES,
            "torch._utils._rebuild_tensor": self._tensor,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_tensor_v3": self._typed_tensor,
            "torch._utils._rebuild_parameter": lambda data, *_rest: data,
            "torch._utils._rebuild_parameter_with_state": lambda data, *_rest: data,
            "torch._tensor._rebuild_from_type_v2": _rebuilt,
        }
        if read_storage is not None:
            self._table["torch.storage._load_from_bytes"] = self._storage

    def look_up(self, module: str, name: str) -> Any:
        """Return what stands for a class or function: a function of ours, or a text.

        Raises:
            pickle.UnpicklingError: it is not in the table.
        """
        full_name = f"{MODULES.get(module, module)}.{name}"
        if full_name in self._table:
            return self._table[full_name]
        if full_name in OTHER_TENSORS:
            raise ValueError("quantised or sparse tensors; give the original weights")
        raise pickle.UnpicklingError(f"GLOBAL {module}.{name}")

    def key(self, key: Any) -> Any:
        """Return a key of a dictionary or set that is hashed at once, and not like many others.

        Nested tuples take exponential time; integers from 2^61 and complex numbers can be made to
        collide.
        """
        if type(key) in (str, bytes):
            return key
        parts = key if type(key) is tuple else (key,)
        self.spend("keys", len(parts) * KEYS_OF_A_TUPLE if parts is key else 1)
        for part in parts:
            is_number = isinstance(part, int | np.integer)
            is_long = is_number and abs(int(part)) >= sys.hash_info.modulus
            checked(part, () if is_long else KEYS)
        return key

    def set_state(self, target: Any, state: Any) -> None:
        """Give an object the state that follows it in the pickle."""
        if isinstance(target, OrderedDict):
            metadata = checked(state, dict).get("_metadata")
            if isinstance(metadata, dict):  # module versions, as torch writes them
                target._metadata = metadata  # type: ignore[attr-defined]
        elif type(target) is dict:  # attributes
            self.spend("items", len(checked(state, dict)))
            target.update(state)
        elif isinstance(target, np.dtype):
            if state[1] not in ("|", NATIVE):  # one flipped bit of the other
                raise ValueError("numbers in another machine's byte order")
        else:  # the version comes before these four, since NumPy 0.9
            self._fill(checked(target, np.ndarray), *checked(state, tuple)[-4:])

    def _fill(self, array: np.ndarray, shape: Any, dtype: Any, fortran: Any, raw: Any) -> None:
        """State an array's numbers; NumPy compares their bytes with the shape."""
        shape, itemsize = sizes_of(shape), checked(dtype, np.dtype).itemsize
        self.spend("arrays", math.prod(shape) * itemsize)
        state: Any = (1, shape, dtype, fortran is True, self._raw(raw))
        array.__setstate__(state)

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
        raw, read = self._raw(raw), self._read_storage
        if read is None or not raw.startswith(LEGACY_TORCH):
            raise ValueError("a storage in a format that torch does not write here")
        return checked(read(raw, self), torch.Tensor)

    def _tensor(
        self,
        vector: Any,
        offset: Any,
        size: Any,
        stride: Any,
        _grad: Any = False,
        _hooks: Any = None,
        bits: Any = None,
    ) -> torch.Tensor:
        if bits:
            raise ValueError("a tensor that is stored as another's negative or conjugate")
        sizes, vector = sizes_of(size), checked(vector, torch.Tensor)
        # as_strided checks the bounds, but a stride of 0 repeats a number without end
        self.spend("tensors", math.prod(sizes) * vector.itemsize)
        return vector.as_strided(sizes, sizes_of(stride), offset)

    def _typed_tensor(self, vector: Any, *rest: Any) -> torch.Tensor:
        *place, dtype = rest[:6]  # with gradient and hooks
        vector = checked(vector, torch.Tensor).view(checked(dtype, torch.dtype))
        return self._tensor(vector, *place, *rest[6:])

    def _reconstruct(self, make: Any, _base: Any, state: Any) -> Any:
        target = make()
        if state is not None:
            self.set_state(target, state)
        return target

    def _ordered_dict(self, pairs: Any = ()) -> OrderedDict[Any, Any]:
        return OrderedDict((self.key(key), value) for key, value in self._items(pairs))

    def _items(self, items: Any) -> Any:
        self.spend("items", len(checked(items, (list, tuple))))
        return items

    def _raw(self, data: Any) -> bytes:
        """Bytes, which Python 2 wrote as text."""
        self.spend("copies", len(checked(data, (str, bytes, bytearray))))
        return data.encode("latin1") if isinstance(data, str) else bytes(data)

    def spend(self, kind: str, count: int) -> None:
        """Count what is made.

        Raises:
            ValueError: it is more than a file of this size can need.
        """
        self._left[kind] -= count
        if self._left[kind] < 0:
            raise ValueError(f"the {kind} are larger than the file allows")


def sizes_of(shape: Any) -> tuple[int, ...]:
    """Check a shape or strides; only then is it safe to multiply them."""
    sizes = tuple(checked(shape, (list, tuple)))
    most = 1 << 62
    if len(sizes) > 64 or any(type(size) is not int or not 0 <= size < most for size in sizes):
        raise ValueError("a shape of other than whole numbers from 0, or of too many")
    return sizes


def _rebuilt(build: Any, _class: Any, arguments: Any, _attributes: Any) -> Any:
    return build(*checked(arguments, tuple))


def _path(*parts: Any) -> str:
    """Return a path as text; before Python 3.13 its parts are pickled one by one."""
    return posixpath.join("", *(checked(part, str) for part in parts))

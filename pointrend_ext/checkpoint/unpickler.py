"""Reads pickles of arrays and plain containers without running any code in them.

``pickle`` calls what a file names. Here a name stands for a function of ``pickle_values`` or is
refused, so that a file can neither reach a class nor another function.

The unpickler is the standard library's in Python, not the one in C: that one allocates what a file
declares before it reads it (10 GB of a bytearray, a memo of 2^32 entries), and it hashes keys and
sets the state of objects without asking. In Python each operation is a method; those that could do
harm are replaced below.
"""

import mmap
import pickle
import struct
from collections.abc import Callable
from typing import Any, ClassVar

from pointrend_ext.checkpoint.pickle_values import ValueBuilder, as_key, checked

__all__ = ["restricted_load"]

MAX_READS = 5_000_000  # each operation reads once or twice; 10 000 arrays need 500 000
# No weights need these: registered extensions, keyword arguments, buffers beside the file.
UNUSED = (pickle.EXT1 + pickle.EXT2 + pickle.EXT4) + (
    pickle.NEWOBJ_EX + pickle.NEXT_BUFFER + pickle.READONLY_BUFFER
)


def restricted_load(file: mmap.mmap, size: int) -> Any:
    """Read one pickle.

    Args:
        file: positioned at the pickle's start; ``read(n)`` must not allocate more than is there,
            as a memory map does not.
        size: bytes in the file; also the limit of the bytes of all arrays together, so that a small
            file cannot ask for much memory.

    Returns:
        Plain containers, numbers, strings, NumPy arrays and torch tensors.

    Raises:
        pickle.UnpicklingError: ``GLOBAL`` and a name, as torch says it: the file needs a class or
            function that is not in the table.
        Exception: of any type, as damaged bytes make every operation fail in its own way.
    """
    unpickler = _Unpickler(file, size)
    result = unpickler.load()
    if unpickler.stack or unpickler.metastack or file.tell() != size:
        raise pickle.UnpicklingError("something is left over behind the end of the pickle")
    return result


class _Source:
    """A file that is not read without end."""

    def __init__(self, file: mmap.mmap) -> None:
        self.readline = file.readline
        self._read, self._reads_left = file.read, MAX_READS

    def read(self, count: int) -> bytes:
        self._reads_left -= 1
        if self._reads_left < 0:
            raise pickle.UnpicklingError(f"more than {MAX_READS} operations")
        return self._read(count)


class _Unpickler(pickle._Unpickler):
    stack: list[Any]
    metastack: list[list[Any]]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: mmap.mmap, size: int) -> None:
        super().__init__(_Source(file), encoding="latin1")
        self.values = ValueBuilder(size)

    def find_class(self, module: str, name: str) -> Any:
        return self.values.look_up(module, name)

    def load_frame(self) -> None:
        self.read(8)  # a frame's length: it would be copied whole, and its reads not be counted

    def load_bytearray8(self) -> None:
        (length,) = struct.unpack("<Q", self.read(8))
        self.stack.append(bytearray(self.read(length)))

    def load_reduce(self) -> None:
        arguments = checked(self.stack.pop(), tuple)
        self.stack[-1] = self.stack[-1](*arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        self.values.set_state(self.stack[-1], state)

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self._set_items(items)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def load_setitems(self) -> None:
        self._set_items(self.pop_mark())

    def load_additems(self) -> None:
        items = self.pop_mark()
        checked(self.stack[-1], set).update(map(as_key, items))

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        self.stack.append(frozenset(map(as_key, items)))

    def _set_items(self, items: list[Any]) -> None:
        target = checked(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if as_key(key) in target:
                raise pickle.UnpicklingError(f"the key {key!r} occurs twice")
            target[key] = value

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **{code: do for code, do in pickle._Unpickler.dispatch.items() if code not in UNUSED},
        pickle.FRAME[0]: load_frame,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.DICT[0]: load_dict,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
    }

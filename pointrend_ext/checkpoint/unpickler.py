"""Reads pickles of arrays and plain containers without running any code in them.

``pickle`` calls what a file names. Here a name stands for a function of ``pickle_values`` or is
refused, so that a file can neither reach a class nor another function.

The unpickler is the standard library's in Python, not the one in C: that one allocates what a file
declares before it reads it (10 GB of a bytearray, a memo of 2^32 entries), and it hashes keys and
sets the state of objects without asking. In Python each operation is a method; those that could do
harm are replaced below.
"""

import gc
import mmap
import pickle
import struct
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar

from pointrend_ext.checkpoint.pickle_values import ValueBuilder, checked

# No weights need these: registered extensions, keyword arguments, buffers beside the file.
UNUSED = (pickle.EXT1 + pickle.EXT2 + pickle.EXT4) + (
    pickle.NEWOBJ_EX + pickle.NEXT_BUFFER + pickle.READONLY_BUFFER
)


def restricted_load(file: BinaryIO | mmap.mmap, values: ValueBuilder, storages: Any = None) -> Any:
    """Read one pickle of plain containers, numbers, strings, NumPy arrays and torch tensors.

    Args:
        file: positioned at the pickle's start, and behind it afterwards; ``read(n)`` must not
            allocate more than is there, as memory and a memory map do not.
        values: builds what the pickle holds.
        storages: gives the tensor (count,) of what torch saves in place of a storage; None for a
            pickle that may have none.

    Raises:
        pickle.UnpicklingError: ``GLOBAL`` and a name, as torch says it: the file needs a class or
            function that is not in the table.
        Exception: of any type, as damaged bytes make every operation fail in its own way.
    """
    unpickler = _Unpickler(file, values, storages)
    collects = gc.isenabled()
    gc.disable()  # nothing is thrown away here, and going through millions of values takes long
    try:
        result = unpickler.load()
    finally:
        if collects:
            gc.enable()
    if unpickler.stack or unpickler.metastack:
        raise pickle.UnpicklingError("something is left over at the end of the pickle")
    return result


class _Source:
    """A file that is not read without end."""

    def __init__(self, file: BinaryIO | mmap.mmap, values: ValueBuilder) -> None:
        self.readline = file.readline
        self._read, self._values = file.read, values

    def read(self, count: int) -> bytes:
        self._values.reads_left -= 1
        if self._values.reads_left < 0:
            raise pickle.UnpicklingError("more operations than weights need")
        return self._read(count)


class _Unpickler(pickle._Unpickler):
    stack: list[Any]
    metastack: list[list[Any]]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: BinaryIO | mmap.mmap, values: ValueBuilder, storages: Any) -> None:
        super().__init__(_Source(file, values), encoding="latin1")
        self.values, self.storages = values, storages

    def persistent_load(self, pid: Any) -> Any:
        if self.storages is None:
            raise pickle.UnpicklingError("a reference to something outside of the pickle")
        return self.storages(pid)

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
        checked(self.stack[-1], set).update(map(self.values.key, items))

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        self.stack.append(frozenset(map(self.values.key, items)))

    def _set_items(self, items: list[Any]) -> None:
        target = checked(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if self.values.key(key) in target:
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

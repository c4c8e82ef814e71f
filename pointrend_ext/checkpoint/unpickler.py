"""Reads pickles of arrays and plain containers without running any code.

Python's own unpickler calls whatever a file names. This one is a small interpreter of the pickle
language, on the standard library's parser ``pickletools.genops``: a global is only a name here, it
is never imported, and a call is looked up in the table of ``pickle_values``. So nothing in a file
can reach a Python function, attribute or class that is not in that table.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from pointrend_ext.checkpoint.pickle_values import (
    Global,
    Pending,
    RefusedGlobal,
    ValueBuilder,
    check_hashable,
)

__all__ = ["PickleError", "RefusedGlobal", "restricted_load"]

MAX_OPERATIONS = 5_000_000  # a checkpoint of 10 000 arrays has 300 000

PUSH_ARGUMENT = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING UNICODE "
    "SHORT_BINUNICODE BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 FLOAT "
    "BINFLOAT"
)
PUSH_CONSTANT: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}


class PickleError(ValueError):
    """The bytes are no whole, sound pickle."""


def restricted_load(file: BinaryIO, size: int) -> Any:
    """Read one pickle.

    Args:
        file: positioned at the pickle's start; ``read(n)`` must not allocate more than is there
            (a memory map and ``io.BytesIO`` do not, an ordinary file does).
        size: bytes in the file; also the limit of the bytes of all arrays together, so that a small
            file cannot ask for much memory.

    Returns:
        Plain containers, numbers, strings, NumPy arrays and torch tensors.

    Raises:
        RefusedGlobal: the file needs a class or function that is not in the table.
        PickleError: damaged, cut off, with bytes behind its end, or of absurd length.
    """
    machine = _Machine(ValueBuilder(size))
    try:
        result = machine.run(pickletools.genops(file))
    except (RefusedGlobal, PickleError):
        raise
    # Damaged bytes can make the parser and every operation fail in any way.
    except Exception as error:
        raise PickleError(f"{type(error).__name__}: {error}") from error
    behind = size - file.tell()
    if behind:
        raise PickleError(f"{behind} bytes follow the end of the pickle")
    return result


class _Machine:
    """The stack machine of the pickle language."""

    def __init__(self, values: ValueBuilder) -> None:
        self.values = values
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.operations = {
            name[4:]: getattr(self, name) for name in dir(self) if name.startswith("_do_")
        }

    def run(self, operations: Iterator[tuple[Any, Any, Any]]) -> Any:
        push_argument = set(PUSH_ARGUMENT.split())
        for count, (opcode, argument, _position) in enumerate(operations):
            name = opcode.name
            if count > MAX_OPERATIONS:
                raise PickleError(f"more than {MAX_OPERATIONS} operations")
            if name in push_argument:
                self.stack.append(argument)
            elif name in PUSH_CONSTANT:
                self.stack.append(PUSH_CONSTANT[name]())
            elif name in self.operations:
                self.operations[name](argument)
            elif name not in ("PROTO", "FRAME", "STOP"):
                raise RefusedGlobal(f"pickle operation {name}")
        if len(self.stack) != 1 or self.marks:
            raise PickleError("it ends in the middle of an object")
        return self.stack[0]

    def pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.marks.pop()
        return items

    # stack and memo

    def _do_MARK(self, _argument: None) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def _do_POP_MARK(self, _argument: None) -> None:
        self.pop_mark()

    def _do_POP(self, _argument: None) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def _do_DUP(self, _argument: None) -> None:
        self.stack.append(self.stack[-1])

    def _do_MEMOIZE(self, _argument: None) -> None:
        self._do_PUT(len(self.memo))

    def _do_PUT(self, index: int) -> None:
        value = self.memo[int(index)] = self.stack[-1]
        if isinstance(value, Pending):
            value.memo_indices.append(int(index))

    _do_BINPUT = _do_LONG_BINPUT = _do_PUT

    def _do_GET(self, index: int) -> None:
        self.stack.append(self.memo[int(index)])

    _do_BINGET = _do_LONG_BINGET = _do_GET

    # containers

    def _do_TUPLE(self, _argument: None) -> None:
        items = tuple(self.pop_mark())
        self.stack.append(items)

    def _tuple_of(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        if len(items) != count:
            raise PickleError("a tuple lacks items")
        self.stack[-count:] = [items]

    def _do_TUPLE1(self, _argument: None) -> None:
        self._tuple_of(1)

    def _do_TUPLE2(self, _argument: None) -> None:
        self._tuple_of(2)

    def _do_TUPLE3(self, _argument: None) -> None:
        self._tuple_of(3)

    def _do_LIST(self, _argument: None) -> None:
        items = self.pop_mark()
        self.stack.append(items)

    def _do_APPEND(self, _argument: None) -> None:
        self._extend([self.stack.pop()])

    def _do_APPENDS(self, _argument: None) -> None:
        self._extend(self.pop_mark())

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise PickleError(f"items are appended to a {type(self.stack[-1]).__name__}")
        self.stack[-1].extend(items)

    def _do_ADDITEMS(self, _argument: None) -> None:
        items = self.pop_mark()
        if type(self.stack[-1]) is not set:
            raise PickleError(f"items are added to a {type(self.stack[-1]).__name__}")
        self.stack[-1].update(map(check_hashable, items))

    def _do_FROZENSET(self, _argument: None) -> None:
        items = frozenset(map(check_hashable, self.pop_mark()))
        self.stack.append(items)

    def _do_DICT(self, _argument: None) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self._set_items(items)

    def _do_SETITEM(self, _argument: None) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def _do_SETITEMS(self, _argument: None) -> None:
        self._set_items(self.pop_mark())

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict):
            raise PickleError(f"keys are set in a {type(target).__name__}")
        if len(items) % 2:
            raise PickleError("a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if check_hashable(key) in target:
                raise PickleError(f"the key {key!r} occurs twice")
            target[key] = value

    # names and calls

    def _do_GLOBAL(self, argument: str) -> None:
        module, name = argument.split(" ", 1)
        self.stack.append(self.values.look_up(module, name))

    def _do_STACK_GLOBAL(self, _argument: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(self.values.look_up(module, name))

    def _do_REDUCE(self, _argument: None) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global) or type(arguments) is not tuple:
            raise PickleError(f"a call of a {type(function).__name__}")
        self.stack.append(self.values.call(function, arguments))

    _do_NEWOBJ = _do_REDUCE

    def _do_BUILD(self, _argument: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        self.stack[-1] = built = self.values.set_state(target, state)
        if isinstance(target, Pending):
            for index in target.memo_indices:
                self.memo[index] = built

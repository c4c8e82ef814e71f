"""JSON from outside: read fast, a key that is given twice refused, with messages for what is none.

The usual readers take the last of two equal keys and say nothing: half of the annotations would be
lost.
"""

import json
import os
import re
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

T = TypeVar("T")
_MARK = b"\xef\xbb\xbf"  # of UTF-8
_MARKS = {_MARK: "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_COLON, _QUOTE, _WHITE = ord(":"), ord('"'), np.frombuffer(b" \t\n\r", np.uint8)
_CHUNK = 1 << 24  # bytes


def read_json(path: str | os.PathLike[str], what: str = "Annotation file") -> Any:
    """Return the content of a file; ``what`` it is begins messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: see ``parse_json``; also for NaN and numbers without end.
    """
    source = f"{what} {os.fspath(path)!r}"
    return parse_json(Path(path).read_bytes(), source, only_finite=True)


def read_typed_json(path: str | os.PathLike[str], content: type[T], what: str) -> T:
    """Read a file as a type such as a list of dataclasses; ``what`` it is begins messages.

    Raises:
        FileNotFoundError: no such file.
        ValueError: see ``parse_json``, or of another type; the message names the first wrong place.
    """
    source = f"{what} {os.fspath(path)!r}"
    found = parse_json(Path(path).read_bytes(), source)
    try:
        return TypeAdapter(content).validate_python(found)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"]))
        text = f"{place}: {wrong['msg']}" if place else wrong["msg"]
        raise ValueError(f"{source}: {text}.") from error


def parse_json(data: bytes, source: str, *, only_finite: bool = False) -> Any:
    """Read JSON in UTF-8, or UTF-16 with a byte order mark.

    Args:
        data: the content of a file, or a line of it.
        source: where it is from; begins messages.
        only_finite: whether NaN and Infinity, which are no JSON, are refused.

    Raises:
        ValueError: it is not JSON, or gives a key twice; the message tells the place.
    """
    cut = ""
    try:
        # As fast as orjson, whose tree takes three times the size of the file beside its result.
        content = from_json(
            data.removeprefix(_MARK), allow_inf_nan=not only_finite, cache_strings="keys"
        )
        if _num_keys(content) == _most_pairs(data):
            return content  # else a key is given twice, or a text in it looks like a key
    except ValueError as error:
        cut = " It ends in the middle." if data.strip() and "EOF" in str(error) else ""
    constants: list[str] = []
    refused = constants.append if only_finite else None
    try:
        encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
        text = data.decode(encoding)
        content = json.loads(text, parse_constant=refused, object_pairs_hook=_without_repeats)
    except _RepeatedKeyError as error:
        raise ValueError(f"{source}: {error}") from None
    except (ValueError, RecursionError) as error:  # ValueError: also of numbers without end
        raise ValueError(
            f"{source} is not valid JSON: {error}.{cut} It has {len(data)} bytes; "
            "if it is incomplete, write or download it again, and if it is an archive, unpack it."
        ) from error
    if constants:
        raise ValueError(f"{source} is not valid JSON: {_constant_message(text, constants[0])}")
    return content


def _num_keys(content: Any) -> int:
    """Count the keys of all dicts, but for those in lists that begin with something else."""
    number, rest = 0, [content] if isinstance(content, dict | list) else []
    while rest:
        part = rest.pop()
        if part.__class__ is dict:
            number += len(part)
            rest += [x for x in part.values() if x.__class__ is dict or x.__class__ is list]
        elif part and part[0].__class__ in (dict, list):
            rest += [x for x in part if x.__class__ is dict or x.__class__ is list]
    return number


def _most_pairs(data: bytes) -> int:
    """Count the colons that may stand behind a key: as many as pairs, or more for such texts."""
    text, number = np.frombuffer(data, np.uint8), 0
    for start in range(0, len(text), _CHUNK):
        colons = np.flatnonzero(text[start : start + _CHUNK] == _COLON) + start
        before, farther = text[colons - 1], text[colons - 2]
        number += int((before == _QUOTE).sum())
        is_apart = np.isin(before, _WHITE)
        if is_apart.any():
            number += int((is_apart & ((farther == _QUOTE) | np.isin(farther, _WHITE))).sum())
    return number


class _RepeatedKeyError(ValueError):
    """A mapping with a key that is given twice."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _RepeatedKeyError(
                f"the key {key!r} is given twice; only one could count. Take one out."
            )
        result[key] = value
    return result


def _constant_message(text: str, constant: str) -> str:
    """Name the place of the first constant: valid JSON but for those comes before it."""
    try:
        from_json(text, allow_inf_nan=False)
        place = None
    except ValueError as error:
        place = re.search(r"line (\d+) column (\d+)", str(error))
    line, column = map(int, place.groups()) if place else (0, 0)
    before = "".join(text.splitlines()[line - 1 : line])[: max(0, column - 1)][-60:]
    return (
        f"{constant} at line {line} column {column} (after ...{before!r}) is not a number. Remove "
        "the annotation, or correct the number."
    )

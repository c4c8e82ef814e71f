"""Reading an annotation file, with messages for the ways in which files are not JSON."""

import json
import os
from typing import Any, NoReturn

import orjson

__all__ = ["read_json"]

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_json(path: str) -> Any:
    """Return the content of an annotation file; a byte order mark is accepted.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON; the message names the file and the place.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        return orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        pass
    text = ""
    try:
        encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
        text = data.decode(encoding)
        return json.loads(text, parse_constant=_no_number)
    except _NotANumberError as error:
        raise ValueError(_constant_message(path, text, str(error))) from None
    except (json.JSONDecodeError, UnicodeError, RecursionError) as error:
        is_cut = isinstance(error, json.JSONDecodeError) and error.pos >= len(text.rstrip()) > 0
        cut = " It ends in the middle." if is_cut else ""
        raise ValueError(
            f"Annotation file {path!r} is not valid JSON: {error}.{cut} It has "
            f"{os.path.getsize(path)} bytes; if it is incomplete, write or download it again, "
            "and if it is an archive, unpack it."
        ) from error


class _NotANumberError(ValueError):
    pass


def _no_number(constant: str) -> NoReturn:
    raise _NotANumberError(constant)


def _constant_message(path: str, text: str, constant: str) -> str:
    """Name the place of the first constant: valid JSON but for those comes before it."""
    try:
        orjson.loads(text.encode())
        line, column, before = 0, 0, ""
    except orjson.JSONDecodeError as error:
        line, column = error.lineno, error.colno
        before = text[max(0, error.pos - 60) : error.pos]
    return (
        f"Annotation file {path!r} is not valid JSON: {constant} at line {line} column {column} "
        f"(after ...{before!r}) is not a number. Remove the annotation, or correct the number."
    )

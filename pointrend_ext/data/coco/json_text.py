"""Reading an annotation file, with messages for the ways in which files are not JSON."""

import json
import re
from typing import Any

from pydantic_core import from_json

from pointrend_ext.data.strict_yaml import RepeatedKeyError, without_repeats

__all__ = ["read_json"]

_MARK = b"\xef\xbb\xbf"  # of UTF-8
_ENDS_OF_KEYS = (b'":', b'" :')  # as all tools write them
_MARKS = {_MARK: "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_json(path: str) -> Any:
    """Return the content of an annotation file; a byte order mark is accepted.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or gives a key twice; the message names the file and the place.
    """
    with open(path, "rb") as file:
        data = file.read()
    cut = ""
    try:
        # As fast as orjson, whose tree takes three times the size of the file beside its result.
        content = from_json(data.removeprefix(_MARK), allow_inf_nan=False, cache_strings="keys")
        if _num_keys(content) == sum(map(data.count, _ENDS_OF_KEYS)):
            return content  # else a key is given twice, or a text in it looks like a key
    except ValueError as error:
        cut = " It ends in the middle." if data.strip() and "EOF" in str(error) else ""
    constants: list[str] = []
    try:
        encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
        text = data.decode(encoding)
        content = json.loads(
            text, parse_constant=constants.append, object_pairs_hook=without_repeats
        )
    except RepeatedKeyError as error:
        raise ValueError(f"Annotation file {path!r}: {error}") from None
    except (ValueError, RecursionError) as error:  # ValueError: also of numbers without end
        raise ValueError(
            f"Annotation file {path!r} is not valid JSON: {error}.{cut} It has {len(data)} bytes; "
            "if it is incomplete, write or download it again, and if it is an archive, unpack it."
        ) from error
    if constants:
        raise ValueError(_constant_message(path, text, constants[0]))
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


def _constant_message(path: str, text: str, constant: str) -> str:
    """Name the place of the first constant: valid JSON but for those comes before it."""
    try:
        from_json(text, allow_inf_nan=False)
        place = None
    except ValueError as error:
        place = re.search(r"line (\d+) column (\d+)", str(error))
    line, column = map(int, place.groups()) if place else (0, 0)
    before = "".join(text.splitlines()[line - 1 : line])[: max(0, column - 1)][-60:]
    return (
        f"Annotation file {path!r} is not valid JSON: {constant} at line {line} column {column} "
        f"(after ...{before!r}) is not a number. Remove the annotation, or correct the number."
    )

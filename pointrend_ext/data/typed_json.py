"""Reading a JSON file as a value of a given type."""

import os
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

__all__ = ["read_typed_json"]

T = TypeVar("T")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_typed_json(path: str | os.PathLike[str], content: type[T], what: str) -> T:
    """Read a file as a type such as a list of dataclasses; ``what`` it is begins the message.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not JSON, or of another type; the message names the first wrong place.
    """
    try:
        return TypeAdapter(content).validate_json(
            Path(path).read_bytes().removeprefix(_BYTE_ORDER_MARK)
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"]))
        text = f"{place}: {wrong['msg']}" if place else wrong["msg"]
        raise ValueError(f"{what} {str(path)!r}: {text}.") from error

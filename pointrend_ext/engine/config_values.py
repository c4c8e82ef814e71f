"""Giving a value of a configuration the type that its key needs, or saying how to write it."""

import math
from ast import literal_eval
from collections.abc import Sequence
from typing import Any

__all__ = ["fitting_value"]

_SHOWN = 200  # characters of a value in a message
_YES_NO = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MAY_BE_INFINITE = ("SOLVER.CLIP_GRADIENTS.NORM_TYPE",)
_ANY_ITEMS = ("TEST.EXPECTED_RESULTS",)
# Where Detectron2 takes one list for all feature maps instead of one per map, and fractions.
_ANCHORS = "MODEL.ANCHOR_GENERATOR."
# The type of what is None by default, and of the items of lists that are empty by default.
_EXAMPLES: dict[str, Any] = {"SOLVER.WEIGHT_DECAY_BIAS": 0.0, "TEST.KEYPOINT_OKS_SIGMAS": [0.1]}


class _Misfit(Exception):
    pass


def fitting_value(key: str, value: Any, default: Any, *, file: str = "") -> Any:
    """Return a value with the type of the key's default.

    Texts are read as Python's literals, as Detectron2 does: ``"(1, 2)"`` is a tuple. Only what
    means the same is converted: 1 to 1.0, 1e4 to 10000, a list to a tuple, "false" to False.

    Args:
        key: dotted name.
        value: from a file, the command line or Python.
        default: of the key.
        file: where the value stands; empty for the command line.

    Raises:
        ValueError: the value is of another type; the message says how to write it.
    """
    example = _EXAMPLES.get(key, default)
    literal = _literal(value)
    if literal is None and default is None:
        return None
    try:
        return _convert(key, value, literal, example)
    except _Misfit:
        where = f"{file}: " if file else ""
        need = _need(key, example)
        written = _written(_suggestion(literal, example), in_file=bool(file))
        line = f"{key.split('.')[-1]}: {written}" if file else f"{key} {written}"
        raise ValueError(
            f"{where}{key} is {_short(value)}, but {need} is needed. Write it like this: {line}"
        ) from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _literal(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value


def _convert(key: str, value: Any, literal: Any, example: Any) -> Any:
    if isinstance(example, bool):
        literal = _YES_NO.get(literal.lower(), literal) if isinstance(literal, str) else literal
        return _of_type(literal, bool)
    if isinstance(example, int):
        return _whole(literal)
    if isinstance(example, float):
        return _number(literal, infinite=key in _MAY_BE_INFINITE)
    if isinstance(example, str):
        if isinstance(value, str) and literal is not None and not isinstance(literal, str):
            return value  # a folder that is called 2024
        return _of_type(literal, str)
    if isinstance(example, list | tuple):
        if key in _ANY_ITEMS:
            return type(example)(_of_type(literal, list | tuple))
        return type(example)(_items(key, literal, example))
    return literal


def _items(key: str, items: Any, example: Sequence[Any]) -> list[Any]:
    """Convert the items of a list; what Detectron2 computes with keeps its kind of number."""
    kind = example[0] if example else ""
    items = _of_type(items, list | tuple)
    if isinstance(kind, list | tuple):
        if key.startswith(_ANCHORS) and not any(isinstance(item, list | tuple) for item in items):
            return _items(key, items, kind)
        return [type(item)(_items(key, item, kind)) for item in items]
    if isinstance(kind, bool | str):
        return [_of_type(item, type(kind)) for item in items]
    if isinstance(kind, int) and not key.startswith(_ANCHORS):
        return [_whole(item) for item in items]
    for item in items:
        _number(item)
    return list(items)


def _of_type(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        raise _Misfit
    return value


def _whole(value: Any) -> int:
    if _number(value) != int(value):
        raise _Misfit
    return int(value)


def _number(value: Any, *, infinite: bool = False) -> float:
    if infinite and isinstance(value, str) and value.lower() in ("inf", ".inf"):
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Misfit
    try:
        number = float(value)
    except OverflowError:
        raise _Misfit from None
    if math.isnan(number) or (math.isinf(number) and not infinite):
        raise _Misfit
    return number


def _need(key: str, example: Any) -> str:
    if isinstance(example, list | tuple):
        return f"a {type(example).__name__} of {_items_need(key, example)}"
    return {bool: "True or False", int: "a whole number", float: "a number"}.get(
        type(example), "text"
    )


def _items_need(key: str, example: Sequence[Any]) -> str:
    kind = example[0] if example else ""
    if isinstance(kind, list | tuple):
        return f"lists of {_items_need(key, kind)}"
    if isinstance(kind, int) and key.startswith(_ANCHORS):
        return "numbers"
    return {bool: "True and False", int: "whole numbers", float: "numbers"}.get(type(kind), "texts")


def _suggestion(literal: Any, example: Any) -> Any:
    """Return what may have been meant, or else the default."""
    if isinstance(example, str):
        return "" if literal is None else str(literal)
    if isinstance(example, list | tuple):
        kind = example[0] if example else ""
        if isinstance(kind, str) and isinstance(literal, str):
            names = [word.strip(" '\"") for word in literal.strip("()[] ").split(",")]
            literal = [name for name in names if name]
        items = literal if isinstance(literal, list | tuple) else [literal]
        if items and all(type(item) is type(kind) for item in items):
            return type(example)(items)
        return example or type(example)(["name"])
    if isinstance(example, bool):
        return bool(literal) if literal in (0, 1) else example
    is_number = isinstance(literal, float) and math.isfinite(literal)
    return round(literal) if isinstance(example, int) and is_number else example


def _written(value: Any, *, in_file: bool) -> str:
    if isinstance(value, str):
        return f'"{value}"' if in_file else f"\"'{value}'\""
    return f'"{value}"' if isinstance(value, list | tuple) and not in_file else str(value)

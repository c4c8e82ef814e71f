"""Giving a value of a configuration the type that its key needs, or saying how to write it."""

import math
from ast import literal_eval
from collections.abc import Sequence
from typing import Any

_SHOWN = 200  # characters of a value in a message
_YES_NO = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MAY_BE_INFINITE = ("SOLVER.CLIP_GRADIENTS.NORM_TYPE",)
_ANY_ITEMS = ("TEST.EXPECTED_RESULTS",)
# Where Detectron2 takes one list for all feature maps instead of one per map, and fractions.
_ANCHORS = "MODEL.ANCHOR_GENERATOR."
# The type of what is None by default, and of the items of lists that are empty by default.
_EXAMPLES: dict[str, Any] = {"SOLVER.WEIGHT_DECAY_BIAS": 0.0, "TEST.KEYPOINT_OKS_SIGMAS": [0.1]}


# What a kind of value is called, alone and in a list.
_WORDS = {
    bool: ("True or False", "True and False"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("text", "texts"),
}


class _Misfit(Exception):
    pass


def fitting_value(key: str, value: Any, default: Any, *, file: str = "") -> Any:
    """Return a value with the type of the key's default.

    Texts are read as Python's literals, as Detectron2 does: ``"(1, 2)"`` is a tuple. Only what
    means the same is converted: 1 to 1.0, 1e4 to 10000, a list to a tuple, "false" to False.
    ``file`` is where the value stands; empty for the command line.

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
        written = _written(_suggestion(literal, example), in_file=bool(file))
        line = f"{key.split('.')[-1]}: {written}" if file else f"{key} {written}"
        found = repr(value)
        found = found if len(found) <= _SHOWN else f"{found[:_SHOWN]}..."
        raise ValueError(
            f"{f'{file}: ' if file else ''}{key} is {found}, but {_need(key, example)} is needed. "
            f"Write it like this: {line}"
        ) from None


def _literal(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return literal_eval(value.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value


def _convert(key: str, value: Any, literal: Any, example: Any) -> Any:
    kind = type(example)
    if kind is bool and isinstance(literal, str):
        literal = _YES_NO.get(literal.lower(), literal)
    if kind is str and isinstance(value, str) and not isinstance(literal, str | None):
        return value  # a folder that is called 2024
    if isinstance(example, list | tuple):
        return kind(_items(key, literal, example))
    return _scalar(literal, kind, key) if kind in _WORDS else literal


def _items(key: str, items: Any, example: Sequence[Any]) -> list[Any]:
    """Convert the items of a list; what Detectron2 computes with keeps its kind of number."""
    kind, is_anchors = example[0] if example else "", key.startswith(_ANCHORS)
    if not isinstance(items, list | tuple):
        raise _Misfit
    if isinstance(kind, list | tuple):
        if is_anchors and not any(isinstance(item, list | tuple) for item in items):
            return _items(key, items, kind)
        return [type(item)(_items(key, item, kind)) for item in items]
    if key not in _ANY_ITEMS:
        converted = [_scalar(item, float if is_anchors else type(kind)) for item in items]
        if not is_anchors and type(kind) is not float:
            return converted
    return list(items)


def _scalar(value: Any, kind: type, key: str = "") -> Any:
    if kind in (bool, str):
        if isinstance(value, kind):
            return value
        raise _Misfit
    infinite = key in _MAY_BE_INFINITE
    if infinite and isinstance(value, str) and value.lower() in ("inf", ".inf"):
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Misfit
    if kind is int and isinstance(value, int) and abs(value) < 1 << 63:
        return value  # not through a float, which has 53 bits
    try:
        number = float(value)
    except OverflowError:
        raise _Misfit from None
    if math.isnan(number) or (math.isinf(number) and not infinite):
        raise _Misfit
    if kind is int and not (isinstance(value, float) and number.is_integer()):
        raise _Misfit
    return kind(number)


def _need(key: str, example: Any, *, in_list: bool = False) -> str:
    kind = type(example)
    if kind in (list, tuple):
        outer = "lists" if in_list else f"a {kind.__name__}"
        return f"{outer} of {_need(key, example[0] if example else '', in_list=True)}"
    if in_list and key.startswith(_ANCHORS):
        kind = float
    return _WORDS.get(kind, _WORDS[str])[in_list]


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
    # Of a share, such as 0.5, 0 would be no better.
    return (round(literal) or 1) if isinstance(example, int) and is_number else example


def _written(value: Any, *, in_file: bool) -> str:
    if isinstance(value, str):
        return f'"{value}"' if in_file else f"\"'{value}'\""
    return f'"{value}"' if isinstance(value, list | tuple) and not in_file else str(value)

"""Checks of class names, colours and the ignore value, shared by descriptions and Python calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

_LARGEST_ID = 65535  # label maps have at most 16 bits


def check_class_names(classes: Any) -> tuple[str, ...]:
    """Check a list of class names.

    Returns:
        The names as a tuple.

    Raises:
        ValueError: If it is not a list of different, non-empty texts.
    """
    if not isinstance(classes, (list, tuple)) or not classes:
        raise ValueError(f"'classes' is {classes!r}, but a list of class names is needed.")
    for index, name in enumerate(classes):
        if not isinstance(name, str) or not name.strip():
            raise ValueError(
                f"'classes' has {name!r} for class {index}, which is no name. (YAML takes words "
                "like yes, no, on and off for truth values, and digits for numbers: put such a "
                "name in quotes.)"
            )
    repeated = [name for name, count in Counter(classes).items() if count > 1]
    if repeated:
        raise ValueError(f"'classes' names {repeated[0]!r} more than once. Give every class once.")
    return tuple(classes)


def check_ignore_value(ignore_value: Any, num_classes: int) -> int:
    """Check the value of pixels that do not count.

    Args:
        ignore_value: what was given.
        num_classes: number of class names. One class is a binary data set, whose label maps hold
            0 for the background and 1 for the class.

    Raises:
        ValueError: If it is no integer of 0 to 65535, or if it is a class id.
    """
    if isinstance(ignore_value, bool) or not isinstance(ignore_value, int):
        raise ValueError(f"'ignore_value' is {ignore_value!r}, but an integer is needed.")
    highest = max(num_classes - 1, 1)
    if not highest < ignore_value <= _LARGEST_ID:
        used = (
            "0 (background) and 1 (the class)"
            if num_classes == 1
            else f"0 to {highest} (the {num_classes} classes)"
        )
        raise ValueError(
            f"'ignore_value' is {ignore_value}, but the values {used} are taken: it must lie "
            f"between {highest + 1} and {_LARGEST_ID}. If no pixel is ignored, leave it at 255."
        )
    return ignore_value


def check_colors(colors: Any, num_classes: int) -> tuple[tuple[int, int, int], ...]:
    """Check display colours.

    Returns:
        One (red, green, blue) in 0..255 per class.

    Raises:
        ValueError: If there is another number of them, or one is no such triple.
    """
    if not isinstance(colors, (list, tuple)) or len(colors) != num_classes:
        found = len(colors) if isinstance(colors, (list, tuple)) else repr(colors)
        raise ValueError(
            f"'colors' must be a list with one color per class, {num_classes}, but it has {found}."
        )
    for index, color in enumerate(colors):
        is_triple = isinstance(color, (list, tuple)) and len(color) == 3
        if not is_triple or not all(type(v) is int and 0 <= v <= 255 for v in color):
            raise ValueError(
                f"'colors' has {color!r} for class {index}, but [red, green, blue] with integers "
                "of 0 to 255 is needed."
            )
    return tuple((color[0], color[1], color[2]) for color in colors)

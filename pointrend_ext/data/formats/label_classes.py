"""Which classes the label maps of a folder have, and what their numbers or colours mean."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pointrend_ext.data.findings import first_of
from pointrend_ext.data.formats.tree import Tree
from pointrend_ext.data.label_encoding import LabelEncoding
from pointrend_ext.data.label_maps import StoredLabels, decode_label_map
from pointrend_ext.data.pillow_files import opened
from pointrend_ext.data.text_files import read_lines
from pointrend_ext.data.threads import in_threads

_IGNORED = 255
_MOST_COLORS, _MOST_NUMBERS = 256, 255  # that nothing names
_LISTS = ("classes.txt", "class_names.txt", "labels.txt")
_AS_COLORS = LabelEncoding((0,), None, _IGNORED, colors=())


@dataclass(frozen=True)
class _Stated:
    """Classes that a file names, with their numbers or colours, where it has them."""

    file: str
    names: list[str]
    values: list[int] | None = None
    colors: list[list[int]] | None = None


@dataclass
class _Seen:
    """What all label maps hold: numbers or packed colours, and the palette of all of them."""

    codes: Counter[int]
    are_colors: bool
    palette: np.ndarray | None


def class_keys(tree: Tree, label_files: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Return ``classes``, ``values``, ``colors`` of a description, and where they are from.

    Args:
        tree: the folder, which may hold a list of the classes.
        label_files: all label maps.

    Raises:
        ValueError: label maps are no numbers or few colours, or a list does not name what they
            hold.
    """
    seen, stated = _look(label_files), _stated(tree)
    if stated is None:
        return _found_keys(seen)
    keys: dict[str, Any] = {"classes": stated.names}
    if stated.colors is not None:
        keys["colors"] = stated.colors
    if not seen.are_colors:
        values = stated.values
        if values is None and stated.colors is not None and seen.palette is not None:
            values = _places(stated, seen.palette)
        number = max(len(stated.names), 2)  # a single class has a background
        if values is None and number == 2 and seen.codes.keys() == {0, _IGNORED}:
            values = [0, _IGNORED]
        keys |= {} if values in (None, [*range(number)]) else {"values": values}
        unknown = seen.codes.keys() - {*(values or range(number))} - {_IGNORED}
    elif stated.colors is None:
        raise ValueError(
            f"The label maps are coloured, such as {label_files[0]!r}, but {stated.file!r} names "
            "classes without colours. Add a file 'labelmap.txt' with lines NAME:RED,GREEN,BLUE::."
        )
    else:
        unknown = seen.codes.keys() - {_packed(color) for color in stated.colors}
    if unknown:
        shown = [_shown(code, seen.are_colors) for code in sorted(unknown)]
        raise ValueError(
            f"{stated.file!r} names {len(stated.names)} classes, but the label maps also hold "
            f"{first_of(shown, 6)} ({sum(seen.codes[c] for c in unknown)} pixels). Add the classes "
            "to it, or correct the label maps."
        )
    return keys, f"of {stated.file}"


def _found_keys(seen: _Seen) -> tuple[dict[str, Any], str]:
    """Return the keys where nothing names classes."""
    codes = sorted(seen.codes)
    if seen.are_colors:
        if len(codes) > _MOST_COLORS:
            raise ValueError(
                f"The label maps hold {len(codes)} colours, more than {_MOST_COLORS}: photographs, "
                "or maps that were scaled smoothly. Give label maps with one colour per class."
            )
        colors = [[c >> 16, c >> 8 & 255, c & 255] for c in codes]
        names = ["color {} {} {}".format(*color) for color in colors]
        return {"classes": names, "colors": colors}, "one for each colour found"
    if {0, _IGNORED} == set(codes):
        return {"classes": ["object"], "values": [0, _IGNORED]}, "black and white"
    numbers = [code for code in codes if code != _IGNORED] or [0]
    largest = numbers[-1]
    if largest > _MOST_NUMBERS:
        raise ValueError(
            f"The label maps hold numbers up to {largest}: depths, instances, or classes times a "
            "factor? Name the classes in a file '_classes.csv', with lines NUMBER,NAME below "
            "'Pixel Value, Class'."
        )
    if largest <= 1:
        return {"classes": ["object"]}, "0 and 1"
    numbers = numbers if len(numbers) > 1 else [0, largest]
    keys: dict[str, Any] = {"classes": [f"class {n}" for n in numbers]}
    if numbers == [*range(largest + 1)]:
        return keys, f"the numbers 0 to {largest}"
    return {**keys, "values": numbers}, f"the numbers {first_of(numbers, 9)}"


def _look(label_files: Sequence[str]) -> _Seen:
    stored = list(in_threads(_stored, label_files, "reading label maps"))
    codes: Counter[int] = Counter()
    for _, found in stored:
        codes.update(found)
    kinds = {labels.are_colors for labels, _ in stored}
    if len(kinds) > 1:
        names = [next(f for f, (s, _) in zip(label_files, stored, strict=True) if s.are_colors is k)
                 for k in (True, False)]  # fmt: skip
        raise ValueError(
            f"Label maps are coloured ({names[0]!r}) and numbers ({names[1]!r}). Convert one of "
            "them."
        )
    greys = {code for code in codes if code >> 16 == code >> 8 & 255 == code & 255}
    if kinds == {True} and greys == codes.keys():  # numbers in three channels
        return _Seen(Counter({c & 255: n for c, n in codes.items()}), False, None)
    palettes = [labels.palette for labels, _ in stored]
    first = palettes[0]
    is_one = first is not None and all(p is not None and np.array_equal(p, first) for p in palettes)
    return _Seen(codes, kinds == {True}, first if is_one else None)


def _stored(file: str) -> tuple[StoredLabels, dict[int, int]]:
    """Return what a file holds but for its pixels, and how many it has of each code."""
    with opened(file, "Label map") as image:
        encoding = _AS_COLORS if image.mode in ("RGB", "RGBA") else None
    labels = decode_label_map(file, encoding)
    codes, counts = np.unique(labels.codes, return_counts=True)
    kept = StoredLabels(codes[:0], labels.are_colors, labels.palette, labels.note)
    return kept, dict(zip(codes.tolist(), counts.tolist(), strict=True))


def _stated(tree: Tree) -> _Stated | None:
    """Return what a list of classes says: the nearest to the root, the richest first."""
    files = sorted(tree.files, key=lambda file: file.count("/"))
    for file in (f for f in files if Path(f).name == "labelmap.txt"):
        return _labelmap(tree.root / file)
    for file in (f for f in files if f.endswith(".csv")):
        stated = _of_csv(tree.root / file)
        if stated is not None:
            return stated
    for file in (f for f in files if Path(f).name in _LISTS):
        names = [name for name in read_lines(tree.root / file) if name != "__ignore__"]
        return _Stated(Path(file).name, names)
    return None


def _labelmap(file: Path) -> _Stated:
    """Read CVAT's and Datumaro's lines ``name:red,green,blue:parts:actions``."""
    names, colors = [], []
    for line in read_lines(file):
        if line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        try:
            colors.append(_color(rest.split(":")[0].split(",")))
        except ValueError:
            raise ValueError(
                f"A line of {str(file)!r} is {line!r:.60}, not NAME:RED,GREEN,BLUE::."
            ) from None
        names.append(name.strip())
    return _Stated(file.name, names, None, colors)


def _of_csv(file: Path) -> _Stated | None:
    """Read Roboflow's ``Pixel Value, Class`` or a table of ``name, r, g, b``."""
    with file.open(encoding="utf-8-sig", errors="replace") as lines:  # of any table
        title = [cell.strip().lower() for cell in lines.readline().split(",")]
    if title not in (["pixel value", "class"], ["name", "r", "g", "b"]):
        return None
    _, *rows = [[cell.strip() for cell in row] for row in csv.reader(read_lines(file))]
    try:
        if title[0] == "pixel value":
            return _Stated(file.name, [name for _, name in rows], [int(value) for value, _ in rows])
        return _Stated(file.name, [row[0] for row in rows], None, [_color(row[1:]) for row in rows])
    except ValueError:
        raise ValueError(
            f"{str(file)!r} has a line that is not {','.join(title)!r} with whole numbers (colours "
            "from 0 to 255). Correct it."
        ) from None


def _places(stated: _Stated, palette: np.ndarray) -> list[int]:
    """Return the number that each class has by its colour in the palette."""
    places: dict[int, int] = {}
    for number, color in enumerate(palette.tolist()):
        places.setdefault(_packed(color), number)
    absent = [n for n, c in zip(stated.names, stated.colors or (), strict=True)
              if _packed(c) not in places]  # fmt: skip
    if absent:
        raise ValueError(
            f"{stated.file!r} gives {absent[0]!r} a colour that the palette of the label maps does "
            "not have. Correct the list, or leave the colours out."
        )
    return [places[_packed(color)] for color in stated.colors or ()]


def _color(words: Sequence[str]) -> list[int]:
    color = [int(word) for word in words]
    _packed(color)
    return color


def _packed(color: Sequence[int]) -> int:
    red, green, blue = color
    if not all(0 <= value <= 255 for value in color):
        raise ValueError("a colour has values from 0 to 255")
    return (red << 16) | (green << 8) | blue


def _shown(code: int, is_color: bool) -> str:
    return str([code >> 16, code >> 8 & 255, code & 255]) if is_color else str(code)

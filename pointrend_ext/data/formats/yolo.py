"""YOLO's segmentation labels: a text file per picture, a line per object.

A line is the number of a class and the corners of one outline in shares of the picture
(docs.ultralytics.com, "Instance Segmentation Datasets Overview"). ``data.yaml`` names the classes
and the folders of pictures; labels lie in ``labels`` where pictures lie in ``images``.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pointrend_ext.data.findings import Cause, Kind
from pointrend_ext.data.formats.labelled import GONE, NOT_AN_AREA, Labelled, Object, Picture
from pointrend_ext.data.formats.tree import Tree, split_name
from pointrend_ext.data.reading import read_image_size
from pointrend_ext.data.strict_yaml import load_yaml
from pointrend_ext.data.text_files import read_lines, read_text
from pointrend_ext.data.threads import in_threads

_NO_OBJECT = Cause(
    Kind.NOTED, "pictures without a label file, or an empty one: background", True, "pictures"
)
# Roboflow names one in every data.yaml.
_NO_TEST = Cause(Kind.NOTED, "test splits that are named and not there or empty", True, "splits")
_DIGITS = 2  # of a pixel; shares are written with 5 or 6, and no mask changes by less than 0.1


@dataclass(frozen=True)
class YoloExport:
    """An export.

    Attributes:
        file: that names the classes.
        classes: in the order of their numbers.
        splits: the pictures by split.
        has_lost_test: whether ``file`` names a test split without pictures.
    """

    file: Path
    classes: list[str]
    splits: dict[str, list[Path]]
    has_lost_test: bool = False
    kind: str = "YOLO segmentation"

    def read(self) -> Labelled:
        """Read all label files.

        Raises:
            ValueError: a line is no outline of a known class, or there is no outline at all.
        """
        found = Labelled(self.classes)
        if self.has_lost_test:
            found.findings.others["splits"] = len(self.splits) + 1
            found.findings.add(_NO_TEST, repr(str(self.file)))
        named = [(split, file) for split, files in self.splits.items() for file in files]
        there = [(split, file) for split, file in named if file.is_file()]
        for _, file in named:
            if not file.is_file():
                found.findings.add(GONE, str(file))
        sizes = in_threads(lambda x: read_image_size(str(x[1])), there, "opening pictures")
        for (split, file), size_hw in zip(there, sizes, strict=True):
            picture = Picture(file, size_hw, split, list(self._objects(file, size_hw, found)))
            if not picture.objects:
                found.findings.add(_NO_OBJECT, str(file))
            found.pictures.append(picture)
        found.check(f"The YOLO export of {str(self.file)!r}")
        return found

    def _objects(self, file: Path, size_hw: tuple[int, int], found: Labelled) -> Iterator[Object]:
        labels = _label_file(file)
        text = read_text(labels) if labels.is_file() else ""
        for number, line in enumerate(text.splitlines(), start=1):
            words, place = line.split(), f"line {number} of {str(labels)!r}"
            if not words:
                continue
            class_id, shares = self._numbers(words, place)
            if len(shares) in (4, 5):  # a box, with a score perhaps
                found.findings.add(NOT_AN_AREA, place)
                continue
            if len(shares) % 2 or len(shares) < 6:
                raise ValueError(
                    f"{place} has {len(shares)} numbers after the class: an outline has 3 pairs of "
                    "x and y or more. Correct the line."
                )
            sides = size_hw[::-1]
            corners = [round(v * sides[i % 2], _DIGITS) for i, v in enumerate(shares)]
            yield Object(self.classes[class_id], [corners])

    def _numbers(self, words: list[str], place: str) -> tuple[int, list[float]]:
        try:
            class_id, *shares = map(float, words)  # tools write arrays, with classes like 3.0
        except ValueError:
            raise ValueError(
                f"{place} is {' '.join(words)!r:.60}: the number of a class is needed, then x and "
                "y in shares of the picture. Correct the line."
            ) from None
        if class_id not in range(len(self.classes)):
            raise ValueError(
                f"{place} has class {words[0]}, but {str(self.file)!r} names {len(self.classes)} "
                "classes, from 0. Correct one of them."
            )
        wrong = next((v for v in shares if not math.isfinite(v) or not -1 <= v <= 2), None)
        if wrong is not None:
            raise ValueError(
                f"{place} has the coordinate {wrong:g}, not a share of the picture (0 to 1). "
                "Divide x by its width and y by its height."
            )
        return int(class_id), shares


def find_yolo(tree: Tree) -> list[YoloExport]:
    """Find ``data.yaml``, or ``classes.txt`` beside folders ``images`` and ``labels``."""
    tried = map(_of_yaml, (tree.root / name for name in tree.ending(".yaml", ".yml")))
    found = [export for export in tried if export is not None]
    for name in tree.files if not found else ():
        file = tree.root / name
        if file.name == "classes.txt" and any(Path(file.parent, "labels").rglob("*.txt")):
            classes = _class_names(read_lines(file), file)
            found.append(YoloExport(file, classes, {"": _listed(file.parent / "images")}))
    return found


def _of_yaml(file: Path) -> YoloExport | None:
    try:
        content = load_yaml(read_text(file), f"{str(file)!r}")
    except (ValueError, OSError):
        if file.name == "data.yaml":
            raise
        return None
    if not isinstance(content, dict) or not content.get("names") or "task" in content:
        return None
    words = [key for key in content if isinstance(key, str) and key.isalpha() and content[key]]
    stated = {key: content[key] for key in words if split_name(key)}
    if not stated:
        return None
    if "kpt_shape" in content:
        raise ValueError(
            f"{str(file)!r} has 'kpt_shape': its labels are key points, whose lines are no "
            "outlines. Export segmentation."
        )
    splits: dict[str, list[Path]] = {}
    has_lost_test = False
    for key, values in stated.items():
        named = [*map(str, values)] if isinstance(values, list) else [str(values)]
        places = {value: _place(file, content, value) for value in named}
        pictures = dict.fromkeys(p for place in places.values() if place for p in _pictures(place))
        absent = [value for value, place in places.items() if place is None]
        if not pictures and split_name(key) == "test":
            has_lost_test = True
        elif absent or not pictures:
            raise ValueError(
                f"{str(file)!r} names {(absent or named)[0]!r}, which "
                f"{'is not there' if absent else 'holds no picture'}; looked for it below "
                f"{str(file.parent)!r}, with and without its 'path'. Correct it."
            )
        else:
            splits.setdefault(split_name(key), []).extend(pictures)
    return YoloExport(file, _class_names(content["names"], file), splits, has_lost_test)


def _class_names(names: Any, file: Path) -> list[str]:
    if isinstance(names, dict):
        names = {int(key) if str(key).isdecimal() else key: name for key, name in names.items()}
        if {*names} != {*range(len(names))}:
            raise ValueError(
                f"{str(file)!r}: the numbers of 'names' are {[*names]!r:.80}, not 0 to "
                f"{len(names) - 1}. Number the classes without gaps."
            )
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list):
        raise ValueError(f"{str(file)!r}: 'names' is {names!r:.60}, not a list of class names.")
    values = [n for n in names if isinstance(n, bool) or not isinstance(n, str | int | float)]
    if values:
        raise ValueError(
            f"{str(file)!r}: 'names' has {values[0]!r}, which is no text: YAML reads words such "
            "as yes, no, on, off and null as values. Put the name into quotation marks."
        )
    names = [str(name).strip() for name in names]
    wrong = next((name for name in names if not name or names.count(name) > 1), None)
    if wrong is not None:
        raise ValueError(
            f"{str(file)!r}: 'names' has {wrong!r} {names.count(wrong)} times; each class needs "
            "a name of its own. Correct it."
        )
    return names


def _pictures(place: Path) -> list[Path]:
    """Return the pictures of a folder or of a list."""
    if place.is_dir():
        return _listed(place)
    return [_of_list(place.parent, line) for line in read_lines(place)]


def _place(file: Path, content: dict[str, Any], stated: str) -> Path | None:
    """Return the folder or list that exports state in several ways, as on Windows, too."""
    base, place = _plain(str(content.get("path") or "")), _plain(stated)
    inside = Path(*(part for part in place.parts if part != ".."))
    tried = [file.parent / base / place, file.parent / place, file.parent / inside]
    tried += [base / place] if base.parts else []
    return next((path for path in tried if path.exists()), None)


def _of_list(folder: Path, line: str) -> Path:
    """Find a picture of a list; CVAT writes the folder ``data`` before the path."""
    parts = _plain(line).parts
    tried = [Path(folder, *parts[first:]) for first in range(len(parts) or 1)]
    return next((path for path in tried if path.is_file()), tried[0])


def _plain(text: str) -> Path:
    return Path(text.replace("\\", "/"))


def _listed(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"The folder of the pictures, {str(folder)!r}, is not there.")
    return [folder / name for name in Tree.of(folder).pictures]


def _label_file(picture: Path) -> Path:
    """Return where labels lie: ``labels`` instead of the last ``images``, else beside it."""
    parts, beside = list(picture.parts), picture.with_suffix(".txt")
    places = [index for index, part in enumerate(parts[:-1]) if part == "images"]
    if not places or beside.is_file():
        return beside
    parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")

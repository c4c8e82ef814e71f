"""The JSON file of panoptic annotations or predictions, read and checked.

COCO's format (https://cocodataset.org/#format-data, section 4), which Cityscapes' tools write, too.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from pointrend_ext.data.check_cache import file_version, remembered, versions_key
from pointrend_ext.data.strict_json import read_typed_json

_CHECK = "panoptic-categories-1"
_WHAT = "Panoptic annotation file"
_SegmentId = Annotated[int, Field(ge=1, lt=2**24)]  # 0 is a pixel of no segment


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: its id in the picture, its category's id in the file, whether it is a crowd."""

    id: _SegmentId
    category_id: int
    iscrowd: bool = False


@dataclass(frozen=True, slots=True)
class Annotation:
    """The segments of an image, and the name of the picture that holds their ids."""

    image_id: int | str
    file_name: str
    segments_info: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """An image."""

    id: int | str
    file_name: str
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True)
class Category:
    """A class of things or of stuff."""

    id: int
    name: str
    isthing: bool


@dataclass(frozen=True)
class PanopticFile:
    """The content of an annotation file."""

    images: tuple[Picture, ...]
    categories: tuple[Category, ...]
    annotations: tuple[Annotation, ...]

    def class_ids(self, *, things: bool) -> dict[int, str]:
        """Return the names of the classes of things, or of stuff, by id in ascending order."""
        ordered = sorted(self.categories, key=lambda c: c.id)
        return {c.id: c.name for c in ordered if c.isthing == things}


@dataclass(frozen=True)
class _Predictions:
    annotations: tuple[Annotation, ...]


def read_panoptic_file(path: str | os.PathLike[str]) -> PanopticFile:
    """Read and check an annotation file; the two read last are kept while they do not change.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not in COCO's panoptic format; the message names the place.
    """
    return _read(os.fspath(path), tuple(file_version(path)))


@lru_cache(maxsize=2)
def _read(path: str, _version: tuple[Any, ...]) -> PanopticFile:
    content = read_typed_json(path, PanopticFile, _WHAT)
    for what, values in (
        ("categories have the id", (c.id for c in content.categories)),
        ("categories are called", (c.name for c in content.categories)),
        ("images have the id", (image.id for image in content.images)),
    ):
        _check_once(path, what, values)
    known = {image.id for image in content.images}
    _check_annotations(path, content.annotations, {c.id for c in content.categories}, known)
    return content


def read_predictions(
    path: str | os.PathLike[str], truth: PanopticFile
) -> dict[int | str, Annotation]:
    """Read predicted segments in COCO's format of results, by image id.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not in that format, or not about the images and classes of the truth.
    """
    content = read_typed_json(path, _Predictions, "Panoptic predictions")
    known = {a.image_id for a in truth.annotations}
    categories = {c.id for c in truth.categories}
    _check_annotations(os.fspath(path), content.annotations, categories, known)
    predicted = {a.image_id: a for a in content.annotations}
    missing = [a.image_id for a in truth.annotations if a.image_id not in predicted]
    if missing:
        raise ValueError(
            f"Panoptic predictions {str(path)!r}: {len(missing)} of {len(known)} images have no "
            f"entry, the first has the id {missing[0]!r}. Predict all of them; an entry may have "
            "no segment."
        )
    return predicted


def read_categories(path: str | os.PathLike[str]) -> tuple[Category, ...]:
    """Return the categories of an annotation file; kept on disk, since such files are long."""
    key = versions_key(_CHECK, [file_version(path)])
    rows = remembered(
        key, lambda: [[c.id, c.name, c.isthing] for c in read_panoptic_file(path).categories]
    )
    return tuple(Category(*row) for row in rows)


def _check_once(path: str, what: str, values: Iterable[int | str]) -> None:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise ValueError(f"File {path!r}: two {what} {twice[0]!r}. Give each its own.")


def _check_annotations(
    path: str, annotations: Iterable[Annotation], categories: set[int], known: set[int | str]
) -> None:
    """Check that annotations are about images and classes that there are, and about each once."""
    annotations = tuple(annotations)
    _check_once(path, "annotations have the image_id", (a.image_id for a in annotations))
    _check_once(path, "annotations have the file_name", (a.file_name for a in annotations))
    for a in annotations:
        where: Callable[[str], str] = (
            f"File {path!r}, annotation of the image {a.image_id!r}: {{}}".format
        )
        if a.image_id not in known:
            raise ValueError(where("there is no image of this id. Correct or remove it."))
        _check_once(
            path,
            f"segments of the image {a.image_id!r} have the id",
            (s.id for s in a.segments_info),
        )
        unknown = [s for s in a.segments_info if s.category_id not in categories]
        if unknown:
            text = (
                f"segment {unknown[0].id} has the category_id {unknown[0].category_id}, which is "
                "not among the categories. Correct it."
            )
            raise ValueError(where(text))

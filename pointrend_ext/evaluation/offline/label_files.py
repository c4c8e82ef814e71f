"""Predicted label maps from a folder or from a results file."""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pointrend_ext.data.label_encoding import LabelEncoding
from pointrend_ext.data.label_maps import LABEL_ENDINGS, read_label_map
from pointrend_ext.data.strict_json import read_typed_json
from pointrend_ext.evaluation.masks import decode_mask
from pointrend_ext.evaluation.offline.data_sets import SemanticData


@dataclass(frozen=True)
class _Entry:
    """An entry of a results file."""

    file_name: str
    category_id: int
    segmentation: dict[str, Any]


@dataclass(frozen=True)
class _Part:
    """A label map, or one mask of an image: its file and entry, the names its image may have."""

    source: str
    entry: str
    names: tuple[str, ...]
    content: Path | _Entry

    @property
    def place(self) -> str:
        """Where it is, the beginning of a message."""
        return ": ".join(filter(None, (self.source, self.entry)))


@dataclass(frozen=True)
class PredictedLabels:
    """The predictions of one model, one per image of the data set, read when asked for."""

    images: list[list[_Part]]
    label_of_category: dict[int, int]
    background: int
    encoding: LabelEncoding | None = None

    def labels(self, index: int, size_hw: tuple[int, ...]) -> np.ndarray:
        """Return the label map (H, W) of an image by its number, integers.

        ``size_hw`` is that of the image; a label map that is a file has the size of the file.

        Raises:
            ValueError: it cannot be read; the message names the label map or the entry.
        """
        height, width = size_hw
        labels = np.full(size_hw, self.background, dtype=np.int32)
        for part in self.images[index]:
            if isinstance(part.content, Path):
                return read_label_map(str(part.content), self.encoding)
            try:
                mask = decode_mask(part.content.segmentation, (height, width))
                labels[mask] = self.label_of_category[part.content.category_id]
            except (ValueError, TypeError) as error:
                raise ValueError(f"{part.entry}: {error}") from error
        return labels

    def source(self, index: int) -> str:
        """Name the file of an image, for messages."""
        return self.images[index][0].source


def open_predicted_labels(path: str | os.PathLike[str], data: SemanticData) -> PredictedLabels:
    """Find the prediction of every image.

    Args:
        path: a folder of label maps, one per image under the name of the image or of its true label
            map up to the ending; or a results file of Detectron2, ``sem_seg_predictions.json``.
        data: what they will be scored against.

    Raises:
        FileNotFoundError: No such file or folder.
        ValueError: Images without a prediction, predictions without an image, or an entry that
            cannot be used; the message names the file and the entry, counted from 0.
    """
    numbers = _numbers_of_images(data)
    labels = {data.ignore_label: data.ignore_label, **data.label_of_category}
    images: list[list[_Part]] = [[] for _ in data.image_files]
    for part in _in_folder(Path(path)) if os.path.isdir(path) else _in_results(path):
        number = next((numbers[name] for name in part.names if name in numbers), None)
        if number is None:
            raise ValueError(
                f"{part.place} belongs to no image of data set {data.name!r}. Were "
                "the predictions made for this data set?"
            )
        if isinstance(part.content, Path) and images[number]:
            other = images[number][0].source
            raise ValueError(f"{other} and {part.source} are for one image; leave one.")
        if isinstance(part.content, _Entry) and part.content.category_id not in labels:
            raise ValueError(
                f"{part.place}: its category_id {part.content.category_id} is none of "
                f"data set {data.name!r} ({sorted(data.label_of_category)[:5]}, ...)."
            )
        images[number].append(part)
    without = [f for f, parts in zip(data.image_files, images, strict=True) if not parts]
    if without:
        raise ValueError(
            f"{os.fspath(path)!r} has no prediction for image {without[0]!r} ({len(without)} such "
            f"images of {len(images)}). Give one label map per image, named like it."
        )
    return PredictedLabels(images, labels, data.ignore_label, data.encoding)


def _in_folder(folder: Path) -> Iterator[_Part]:
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in LABEL_ENDINGS and not file.name.startswith("."):
            name = file.relative_to(folder).with_suffix("").as_posix()
            yield _Part(f"Label map {str(file)!r}", "", (name,), file)


def _in_results(path: str | os.PathLike[str]) -> Iterator[_Part]:
    for index, entry in enumerate(read_typed_json(path, list[_Entry], "Results file")):
        names = (entry.file_name, Path(entry.file_name).stem)
        place = f"entry {index} ({entry.file_name!r})"
        yield _Part(f"Results file {os.fspath(path)!r}", place, names, entry)


def _numbers_of_images(data: SemanticData) -> dict[str, int]:
    """Return the position of each image by the names that are its alone.

    These are its path, its path below the folder of the images, and its mere name, the last two
    without ending; and the same of its true label map.
    """
    owners: dict[str, set[int]] = defaultdict(set)
    for number, files in enumerate(zip(data.image_files, data.truth_files, strict=True)):
        for file, root in zip(files, (data.image_root, data.label_root), strict=True):
            path = Path(file)
            below = path.relative_to(root) if root and path.is_relative_to(root) else path
            for name in (file, below.with_suffix("").as_posix(), path.stem):
                owners[name].add(number)
    return {name: number for name, (number, *others) in owners.items() if not others}

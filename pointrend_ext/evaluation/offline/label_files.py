"""Predicted label maps from a folder or from a results file."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pointrend_ext.data.reading import LABEL_ENDINGS, read_label_map
from pointrend_ext.evaluation.masks import decode_mask
from pointrend_ext.evaluation.offline.data_sets import SemanticData
from pointrend_ext.evaluation.offline.record import read_typed_json

__all__ = ["PredictedLabels", "open_predicted_labels"]


_BELONGS_TO_NO_IMAGE = (
    "belongs to no image of data set {!r}. Were the predictions made for this data set?"
)


@dataclass(frozen=True)
class _ImageLabels:
    """What is predicted for one image: a label map, or masks over a background label.

    Each mask is (entry of the results file, label, segmentation).
    """

    source: str
    file: Path | None = None
    masks: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)
    background: int = 0


@dataclass(frozen=True)
class PredictedLabels:
    """The predictions of one model, one per image of the data set, read when asked for."""

    images: list[_ImageLabels]

    def labels(self, index: int, size_hw: tuple[int, ...]) -> np.ndarray:
        """Return the label map of an image, (H, W) integers.

        Args:
            index: of the image in the data set.
            size_hw: (H, W) of the image; a label map that is a file has the size of the file.

        Raises:
            ValueError: It cannot be read.
        """
        image = self.images[index]
        if image.file is not None:
            return read_label_map(str(image.file))
        height, width = size_hw
        labels = np.full(size_hw, image.background, dtype=np.int32)
        for entry, label, segmentation in image.masks:
            try:
                labels[decode_mask(segmentation, (height, width))] = label
            except (ValueError, TypeError) as error:
                raise ValueError(f"entry {entry}: {error}") from error
        return labels

    def source(self, index: int) -> str:
        """Name the file of an image, for messages."""
        return self.images[index].source


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
    found = _in_folder(Path(path), data) if os.path.isdir(path) else _in_results(path, data)
    without = [file for number, file in enumerate(data.image_files) if number not in found]
    if without:
        raise ValueError(
            f"{os.fspath(path)!r} has no prediction for image {without[0]!r} ({len(without)} such "
            f"images of {len(data.image_files)}). Give one label map per image, named like it."
        )
    return PredictedLabels([found[number] for number in range(len(data.image_files))])


def _in_folder(folder: Path, data: SemanticData) -> dict[int, _ImageLabels]:
    numbers = _numbers_of_images(data)
    found: dict[int, _ImageLabels] = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() not in LABEL_ENDINGS or file.name.startswith("."):
            continue
        name = file.relative_to(folder).with_suffix("").as_posix()
        source = f"Label map {str(file)!r}"
        if name not in numbers:
            raise ValueError(f"{source} {_BELONGS_TO_NO_IMAGE.format(data.name)}")
        predicted = found.setdefault(numbers[name], _ImageLabels(source, file))
        if predicted.file != file:
            raise ValueError(f"{predicted.source} and {source} are for one image; leave one.")
    return found


@dataclass(frozen=True)
class _Entry:
    file_name: str
    category_id: int
    segmentation: dict[str, Any]


def _in_results(file: str | os.PathLike[str], data: SemanticData) -> dict[int, _ImageLabels]:
    source = f"Results file {os.fspath(file)!r}"
    numbers = _numbers_of_images(data)
    labels = {data.ignore_label: data.ignore_label, **data.label_of_category}
    found: dict[int, _ImageLabels] = {}
    for index, entry in enumerate(read_typed_json(file, list[_Entry], "Results file")):
        what = f"{source}: entry {index} ({entry.file_name!r})"
        number = numbers.get(entry.file_name, numbers.get(Path(entry.file_name).stem))
        if number is None:
            raise ValueError(f"{what} {_BELONGS_TO_NO_IMAGE.format(data.name)}")
        if entry.category_id not in labels:
            raise ValueError(
                f"{what}: its category_id {entry.category_id} is none of data set {data.name!r} ("
                f"{sorted(data.label_of_category)[:5]}, ...)."
            )
        predicted = found.setdefault(number, _ImageLabels(source, background=data.ignore_label))
        predicted.masks.append((index, labels[entry.category_id], entry.segmentation))
    return found


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

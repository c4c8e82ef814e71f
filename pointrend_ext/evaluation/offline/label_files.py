"""Predicted label maps from a folder or from a results file."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pointrend_ext.data.reading import LABEL_ENDINGS, read_label_map
from pointrend_ext.evaluation.masks import decode_mask
from pointrend_ext.evaluation.offline.data_sets import SemanticData
from pointrend_ext.evaluation.offline.typed_json import read_typed_json

__all__ = ["PredictedLabels", "open_predicted_labels"]


class PredictedLabels(Protocol):
    """The predictions of one model, read when they are asked for."""

    def labels(self, index: int, size_hw: tuple[int, int]) -> np.ndarray:
        """Return the label map of an image, (H, W) integers.

        Args:
            index: of the image in the data set.
            size_hw: (H, W) of the image; a label map from a folder has the size of its file.
        """

    def source(self, index: int) -> str:
        """Name the file, for messages."""


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
    return _LabelFolder(Path(path), data) if os.path.isdir(path) else _LabelResults(path, data)


class _LabelFolder:
    def __init__(self, folder: Path, data: SemanticData) -> None:
        source = f"Folder {str(folder)!r}"
        numbers = _numbers_of_images(data)
        self._files: dict[int, Path] = {}
        for file in sorted(folder.rglob("*")):
            if file.suffix.lower() not in LABEL_ENDINGS or file.name.startswith("."):
                continue
            name = file.relative_to(folder).with_suffix("").as_posix()
            what = f"{source} holds {file.name!r}, which"
            number = _known(numbers.get(name), what, data)
            other = self._files.setdefault(number, file)
            if other != file:
                raise ValueError(
                    f"{source} holds {other.name!r} and {file.name!r} for one image; leave one for "
                    "each image."
                )
        _check_complete(self._files, source, data)

    def labels(self, index: int, size_hw: tuple[int, int]) -> np.ndarray:
        return read_label_map(str(self._files[index]))

    def source(self, index: int) -> str:
        return f"Label map {str(self._files[index])!r}"


@dataclass(frozen=True)
class _Entry:
    file_name: str
    category_id: int
    segmentation: dict[str, Any]


class _LabelResults:
    def __init__(self, file: str | os.PathLike[str], data: SemanticData) -> None:
        self._source = f"Results file {os.fspath(file)!r}"
        self._ignore_label = data.ignore_label
        self._masks: dict[int, list[tuple[int, int, dict[str, Any]]]] = defaultdict(list)
        numbers = _numbers_of_images(data)
        labels = {data.ignore_label: data.ignore_label, **data.label_of_category}
        for index, entry in enumerate(read_typed_json(file, list[_Entry], "Results file")):
            what = f"{self._source}: entry {index}: its file_name {entry.file_name!r}"
            moved = numbers.get(Path(entry.file_name).stem)
            number = _known(numbers.get(entry.file_name, moved), what, data)
            if entry.category_id not in labels:
                raise ValueError(
                    f"{self._source}: entry {index} ({entry.file_name!r}): its category_id "
                    f"{entry.category_id!r} is none of data set {data.name!r} ("
                    f"{sorted(data.label_of_category)[:5]}, ...)."
                )
            self._masks[number].append((index, labels[entry.category_id], entry.segmentation))
        _check_complete(self._masks, self._source, data)

    def labels(self, index: int, size_hw: tuple[int, int]) -> np.ndarray:
        labels = np.full(size_hw, self._ignore_label, dtype=np.int32)  # where nothing is said
        for entry, label, segmentation in self._masks[index]:
            try:
                labels[decode_mask(segmentation, size_hw)] = label
            except (ValueError, TypeError) as error:
                raise ValueError(f"entry {entry}: {error}") from error
        return labels

    def source(self, index: int) -> str:
        return self._source


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


def _known(number: int | None, what: str, data: SemanticData) -> int:
    if number is None:
        raise ValueError(
            f"{what} belongs to no image of data set {data.name!r}. Were the predictions made for "
            "this data set?"
        )
    return number


def _check_complete(found: Mapping[int, Any], source: str, data: SemanticData) -> None:
    without = [file for number, file in enumerate(data.image_files) if number not in found]
    if without:
        raise ValueError(
            f"{source} has no prediction for image {without[0]!r} ({len(without)} such images of "
            f"{len(data.image_files)}). Give one label map per image, named like it."
        )

"""Predicted label maps from a folder or from a results file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pycocotools.mask as mask_util

from pointrend_ext.data.reading import read_label_map
from pointrend_ext.data.rle import compress_rle
from pointrend_ext.evaluation.offline.data_sets import SemanticData

__all__ = ["PredictedLabels", "open_predicted_labels"]

_LABEL_ENDINGS = (".bmp", ".pgm", ".png", ".tif", ".tiff")


class PredictedLabels(Protocol):
    """The predictions of one model, read when they are asked for."""

    def labels(self, index: int, size_hw: tuple[int, int]) -> np.ndarray:
        """Return the label map of an image, (H, W) integers.

        Args:
            index: of the image in the data set.
            size_hw: (H, W) of the image.
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
    path = Path(path)
    if path.is_dir():
        return _LabelFolder(path, data)
    if path.is_file():
        return _LabelResults(path, data)
    raise FileNotFoundError(f"There is no results file and no folder of label maps {str(path)!r}.")


class _LabelFolder:
    def __init__(self, folder: Path, data: SemanticData) -> None:
        files: dict[str, list[Path]] = {}
        for file in sorted(folder.rglob("*")):
            if file.suffix.lower() in _LABEL_ENDINGS and not file.name.startswith("."):
                stem = file.relative_to(folder).with_suffix("").as_posix()
                files.setdefault(stem, []).append(file)
        twice = [stem for stem, found in files.items() if len(found) > 1]
        if twice:
            names = " and ".join(repr(file.name) for file in files[twice[0]])
            raise ValueError(f"Folder {str(folder)!r} holds {names}; leave one for each image.")
        self._files = []
        for image, truth in zip(data.image_files, data.truth_files, strict=True):
            wanted = [*_stems(image, data.image_root), *_stems(truth, data.label_root)]
            stem = next((stem for stem in wanted if stem in files), None)
            if stem is None:
                raise ValueError(
                    f"Folder {str(folder)!r} ({len(files)} label maps) has no prediction for image "
                    f"{image!r}: none of {', '.join(f'{s}.png' for s in dict.fromkeys(wanted))}."
                )
            self._files.append(files[stem][0])
        strange = {file[0] for file in files.values()} - set(self._files)
        if strange:
            raise ValueError(
                f"Folder {str(folder)!r} holds {min(strange).name!r}, which belongs to no image of "
                f"data set {data.name!r} ({len(strange)} such files of {len(files)}). Were the "
                "predictions made for this data set?"
            )

    def labels(self, index: int, size_hw: tuple[int, int]) -> np.ndarray:
        labels = read_label_map(str(self._files[index]))
        if labels.shape != size_hw:
            raise ValueError(f"its (height, width) is {labels.shape}, that of the image {size_hw}")
        return labels

    def source(self, index: int) -> str:
        return f"Label map {str(self._files[index])!r}"


class _LabelResults:
    def __init__(self, file: Path, data: SemanticData) -> None:
        self._source = f"Results file {str(file)!r}"
        self._data = data
        self._entries: list[list[tuple[int, int, Any]]] = [[] for _ in data.image_files]
        numbers = _numbers_of_names(data.image_files)
        for index, entry in enumerate(_entries(file, self._source)):
            number, label = self._checked(index, entry, numbers)
            self._entries[number].append((index, label, entry["segmentation"]))
        without = [f for f, e in zip(data.image_files, self._entries, strict=True) if not e]
        if without:
            raise ValueError(
                f"{self._source} has no prediction for image {without[0]!r} ({len(without)} such "
                f"images of {len(data.image_files)}). Evaluate on the whole data set."
            )

    def _checked(self, index: int, entry: Any, numbers: dict[str, int]) -> tuple[int, int]:
        keys = {"file_name", "category_id", "segmentation"}
        if not isinstance(entry, dict) or not keys <= entry.keys():
            raise ValueError(f"{self._source}: entry {index} has not the keys {sorted(keys)}.")
        name, category = str(entry["file_name"]), entry["category_id"]
        number = numbers.get(name, numbers.get(os.path.basename(name)))
        if number is None:
            raise ValueError(
                f"{self._source}: entry {index}: its file_name {name!r} is no image of data set "
                f"{self._data.name!r}."
            )
        labels = self._data.label_of_category
        if not isinstance(category, int) or category not in {*labels, self._data.ignore_label}:
            raise ValueError(
                f"{self._source}: entry {index} ({name!r}): its category_id {category!r} is none "
                f"of data set {self._data.name!r} ({sorted(labels)[:5]}, ...)."
            )
        return number, labels.get(category, category)

    def labels(self, index: int, size_hw: tuple[int, int]) -> np.ndarray:
        labels = np.full(size_hw, self._data.ignore_label, dtype=np.int32)  # where nothing is said
        for entry, label, rle in self._entries[index]:
            try:
                mask = mask_util.decode(compress_rle(rle, size_hw))
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"entry {entry}: {error}") from error
            labels[mask > 0] = label
        return labels

    def source(self, index: int) -> str:
        return self._source


def _entries(file: Path, source: str) -> list[Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{source} is not valid JSON ({error}). Write it again.") from error
    if not isinstance(content, list):
        raise ValueError(f"{source} holds a {type(content).__name__}, not a list of predictions.")
    return content


def _stems(file: str, root: str | None) -> list[str]:
    """Return the path below the root and the mere name, both without ending."""
    stems = [Path(file).stem]
    if root is not None and Path(file).is_relative_to(root):
        stems.insert(0, Path(file).relative_to(root).with_suffix("").as_posix())
    return stems


def _numbers_of_names(image_files: Iterable[str]) -> dict[str, int]:
    """Return positions by whole path, and by mere name where only one image has it."""
    numbers: dict[str, int] = {}
    names: dict[str, list[int]] = {}
    for number, file in enumerate(image_files):
        numbers[file] = number
        names.setdefault(os.path.basename(file), []).append(number)
    numbers.update({name: n[0] for name, n in names.items() if len(n) == 1})
    return numbers

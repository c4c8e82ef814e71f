"""Reading and checking a description of a data set. docs/datasets.md explains every key."""

from __future__ import annotations

import difflib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pointrend_ext.data.descriptions.class_values import (
    check_class_names,
    check_colors,
    check_ignore_value,
)

_REQUIRED = {
    "semantic": ("name", "task", "root", "classes", "splits"),
    "instance": ("name", "task", "root", "splits"),
}
_OPTIONAL = {
    "semantic": ("ignore_value", "image_suffix", "label_suffix", "colors"),
    "instance": ("classes",),
}
_TRUTH_KEY = {"semantic": "labels", "instance": "annotations"}


@dataclass(frozen=True)
class DatasetDescription:
    """What a description says, checked, with absolute paths. No data file was looked at.

    Attributes:
        name: the data set of a split is called ``<name>_<split>``.
        task: ``"semantic"`` or ``"instance"``.
        splits: split -> (image folder, label folder or COCO annotation file).
        classes: class names by contiguous id; None where the annotation file alone has them.
        ignore_value: value of label map pixels that do not count; semantic only.
        image_suffix: end of the image file names; None for any image format; semantic only.
        label_suffix: end of the label file names; None for any lossless format; semantic only.
        colors: one (red, green, blue) in 0..255 per class, or None; semantic only.
    """

    name: str
    task: str
    splits: dict[str, tuple[Path, Path]]
    classes: tuple[str, ...] | None = None
    ignore_value: int = 255
    image_suffix: str | None = None
    label_suffix: str | None = None
    colors: tuple[tuple[int, int, int], ...] | None = None


def read_description(path: str | os.PathLike[str]) -> DatasetDescription:
    """Read a description; whether the data are there is not checked yet.

    Args:
        path: a file in JSON when it ends in ``.json``, else in YAML.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not valid; the message names the file, the key and what is allowed.
    """
    path = Path(path)
    try:
        return _parse(_load(path), path.resolve().parent)
    except ValueError as error:
        raise ValueError(
            f"Data set description {str(path)!r}: {error} (docs/datasets.md lists the keys.)"
        ) from error


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, json.JSONDecodeError, UnicodeDecodeError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise ValueError(f"It is not valid {kind}: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict) or not content:
        raise ValueError("It holds no keys; 'name: ...', 'task: ...' and so on are needed.")
    return content


def _parse(content: dict[str, Any], folder: Path) -> DatasetDescription:
    task = content.get("task")
    if task not in _REQUIRED:
        raise ValueError(f"'task' is {task!r}. Choose from: {', '.join(_REQUIRED)}.")
    _check_keys(content, _REQUIRED[task], _OPTIONAL[task], f"the task {task!r}")
    name = content["name"]
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"'name' is {name!r}, but letters, digits and '_', '-', '.' are needed.")
    root = _resolve_root(_text(content, "root"), folder)
    values: dict[str, Any] = {}
    if "classes" in content:
        values["classes"] = check_class_names(content["classes"])
    if "ignore_value" in content or task == "semantic":
        value = content.get("ignore_value", DatasetDescription.ignore_value)
        values["ignore_value"] = check_ignore_value(value, len(values["classes"]))
    for key in ("image_suffix", "label_suffix"):
        if key in content:
            values[key] = _text(content, key)
    if "colors" in content:
        values["colors"] = check_colors(content["colors"], len(values["classes"]))
    splits = _parse_splits(content["splits"], root, _TRUTH_KEY[task])
    return DatasetDescription(name=name, task=task, splits=splits, **values)


def _resolve_root(root: str, folder: Path) -> Path:
    """Apply the one rule of ``root``: a leading dot is the description's folder."""
    if root.split("/")[0] in (".", ".."):
        return Path(os.path.abspath(folder / root))
    datasets = Path(os.path.expanduser(os.environ.get("DETECTRON2_DATASETS", "datasets")))
    return Path(os.path.abspath(datasets / os.path.expanduser(root)))


def _parse_splits(splits: Any, root: Path, truth_key: str) -> dict[str, tuple[Path, Path]]:
    if not isinstance(splits, dict) or not splits:
        raise ValueError(
            f"'splits' is {splits!r}, but a mapping of split names is needed, such as 'train: "
            f"{{images: FOLDER, {truth_key}: ...}}'."
        )
    parsed = {}
    for split, entry in splits.items():
        if not isinstance(split, str) or not re.fullmatch(r"[\w.-]+", split):
            raise ValueError(
                f"'splits' has the name {split!r}, but a text of letters, digits and '_', '-', "
                "'.' is needed; put digits in quotes."
            )
        if not isinstance(entry, dict):
            raise ValueError(f"The split {split!r} is {entry!r}, not {{images: ..., ...}}.")
        _check_keys(entry, ("images", truth_key), (), f"the split {split!r}")
        paths = [root / os.path.expanduser(_text(entry, key)) for key in ("images", truth_key)]
        parsed[split] = (paths[0], paths[1])
    return parsed


def _check_keys(
    content: dict[str, Any], required: tuple[str, ...], optional: tuple[str, ...], where: str
) -> None:
    missing = [key for key in required if key not in content]
    unknown = [key for key in content if key not in required + optional]
    if unknown:
        nearest = difflib.get_close_matches(str(unknown[0]), required + optional, n=1)
        guess = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(
            f"{unknown[0]!r} is no key of {where}.{guess} Known are: "
            f"{', '.join(required + optional)}."
        )
    if missing:
        raise ValueError(f"{where[0].upper()}{where[1:]} needs the key {missing[0]!r}; add it.")


def _text(content: dict[str, Any], key: str) -> str:
    value = content[key]
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key!r} is {value!r}, but a text is needed; put digits in quotes.")
    return value

"""Registering what a description describes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from detectron2.data.datasets import load_coco_json

from pointrend_ext.data.descriptions.catalog import register_once
from pointrend_ext.data.descriptions.description import DatasetDescription, read_description
from pointrend_ext.data.descriptions.semantic_folder import register_semantic_folder
from pointrend_ext.model_zoo import get_dataset_file

__all__ = ["register_description"]


def register_description(path: str | os.PathLike[str]) -> list[str]:
    """Register every split of a described data set; no data file is opened.

    Again with the same content it does nothing.

    Args:
        path: a description, or the name of one that this package ships, such as
            ``"datasets/camvid.yaml"``. A file that exists wins.

    Returns:
        The registered names, ``<name>_<split>``.

    Raises:
        FileNotFoundError: If there is no such description.
        ValueError: If it is not valid, or a name is taken by something else.
    """
    file = Path(path)
    if not file.is_file():
        file = Path(get_dataset_file(file.as_posix().removeprefix("configs/")))
    description = read_description(file)
    return [_register_split(description, split, file) for split in description.splits]


def _register_split(description: DatasetDescription, split: str, file: Path) -> str:
    name = f"{description.name}_{split}"
    images, truth = map(str, description.splits[split])
    try:
        if description.task == "semantic":
            register_semantic_folder(
                name,
                images,
                truth,
                description.classes,
                ignore_value=description.ignore_value,
                image_suffix=description.image_suffix,
                label_suffix=description.label_suffix,
                colors=description.colors,
            )
        else:
            _register_instances(name, images, truth, description.classes)
    except ValueError as error:
        raise ValueError(f"Data set description {str(file)!r}: {error}") from error
    return name


def _register_instances(
    name: str, image_dir: str, json_file: str, classes: tuple[str, ...] | None
) -> None:
    """Do what Detectron2's ``register_coco_instances`` does, but twice without complaint."""
    metadata: dict[str, Any] = {
        "evaluator_type": "coco",
        "json_file": json_file,
        "image_root": image_dir,
    }
    if classes is not None:  # pointrend_ext.data.checks compares them with the file
        metadata["thing_classes"] = list(classes)
    register_once(name, lambda: load_coco_json(json_file, image_dir, name), metadata)

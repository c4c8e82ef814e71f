"""Registering what a description describes."""

import os
from pathlib import Path

from detectron2.data.datasets import register_coco_instances

from pointrend_ext.data.catalog import is_registered
from pointrend_ext.data.descriptions.description import (
    InstanceDescription,
    PanopticDescription,
    read_description,
)
from pointrend_ext.data.descriptions.semantic_folder import register_semantic_folder
from pointrend_ext.data.descriptions.values import LabelValues
from pointrend_ext.data.panoptic import register_panoptic
from pointrend_ext.model_zoo import get_dataset_file


def register_description(path: str | os.PathLike[str]) -> list[str]:
    """Register every split as ``<name>_<split>``, and return these names; no data file is opened.

    Again with the same content it does nothing.

    Args:
        path: a description, or the name of one that this package ships, such as
            ``"datasets/camvid.yaml"``. A file that exists wins.

    Raises:
        FileNotFoundError: there is no such description.
        ValueError: it is not valid, or a name is taken by something else.
    """
    file = Path(path)
    if not file.is_file():
        file = Path(get_dataset_file(file.as_posix().removeprefix("configs/")))
    description = read_description(file)
    names = []
    for split, entry in description.splits.items():
        names.append(f"{description.name}_{split}")
        images, truth, *others = (
            path and str(Path(description.root, os.path.expanduser(path)))
            for path in entry.model_dump().values()
        )
        if isinstance(description, PanopticDescription):
            register_panoptic(names[-1], images, truth, *others)
        elif isinstance(description, InstanceDescription):
            classes = {} if description.classes is None else {"thing_classes": description.classes}
            metadata = {"evaluator_type": "coco", "json_file": truth, "image_root": images}
            if not is_registered(names[-1], {**metadata, **classes}):
                register_coco_instances(names[-1], classes, truth, images)
        else:
            options = {key: getattr(description, key) for key in LabelValues.model_fields}
            register_semantic_folder(names[-1], images, truth, **options, names=others[0])
    return names

"""Registering a panoptic data set of the user's, from its files alone."""

import os
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from pointrend_ext.data.catalog import is_registered
from pointrend_ext.data.panoptic.file import read_categories
from pointrend_ext.data.panoptic.records import THINGS, load_panoptic

_IGNORED = 255  # the label of pixels of no segment


class PanopticLoader:
    """The function in the catalogue, which tells that ``load_registered`` can do it by itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> list[dict[str, Any]]:
        """Return the records; see ``load_panoptic``."""
        return load_panoptic(self.name)[0]


def register_panoptic(name: str, image_dir: str, panoptic_dir: str, annotations: str) -> None:
    """Register a data set in COCO's panoptic format. Again with the same files it does nothing.

    Classes are those of the annotation file, things and stuff each in the order of their ids. They
    are not known while there is no such file.

    Args:
        name: name for ``DATASETS.TRAIN`` or ``DATASETS.TEST``.
        image_dir: folder of the images, which may lie in folders below it.
        panoptic_dir: folder of the pictures of segment ids.
        annotations: the JSON file.

    Raises:
        ValueError: the file is not valid, or the name is taken by something else.
    """
    metadata: dict[str, Any] = {
        "evaluator_type": "coco_panoptic_seg",
        "image_root": os.path.abspath(image_dir),
        "panoptic_root": os.path.abspath(panoptic_dir),
        "panoptic_json": os.path.abspath(annotations),
        "ignore_label": _IGNORED,
    }
    known = is_registered(name, metadata)
    if known and "thing_classes" in MetadataCatalog.get(name).as_dict():
        return
    classes = _classes(annotations) if os.path.isfile(annotations) else {}
    if not known:
        DatasetCatalog.register(name, PanopticLoader(name))
    MetadataCatalog.get(name).set(**metadata, **classes)


def _classes(annotations: str) -> dict[str, Any]:
    ordered = sorted(read_categories(annotations), key=lambda c: c.id)
    things = [c for c in ordered if c.isthing]
    stuff = [c for c in ordered if not c.isthing]
    if len(stuff) >= _IGNORED:
        raise ValueError(
            f"The panoptic annotation file {annotations!r} has {len(stuff)} classes of stuff, but "
            f"label maps hold {_IGNORED - 1} beside things and ignored pixels. Merge some."
        )
    labels = {c.id: label for label, c in enumerate(stuff, start=1)}
    return {
        "thing_classes": [c.name for c in things],
        "stuff_classes": [THINGS, *(c.name for c in stuff)],
        "thing_dataset_id_to_contiguous_id": {c.id: place for place, c in enumerate(things)},
        "stuff_dataset_id_to_contiguous_id": {0: 0, **labels},
    }

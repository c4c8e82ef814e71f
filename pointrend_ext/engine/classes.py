"""What the class ids of a model are called."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from pointrend_ext.checkpoint import INSTANCE, SEMANTIC
from pointrend_ext.data import register_description
from pointrend_ext.data.checks import ROI_ARCHITECTURES
from pointrend_ext.data.mapper import SEMANTIC_ARCHITECTURES
from pointrend_ext.data.toy import register_toy_datasets

__all__ = ["Classes", "find_classes"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classes:
    """Names and colours by contiguous id.

    Attributes:
        things: names of instance classes; empty where they are not known.
        stuff: names of the classes of label maps; empty where they are not known.
        stuff_colors: RGB per class of label maps; empty for colours of our own.
        thing_ids: ids of instance classes in the data set's own annotations; empty where they are
            not known.
    """

    things: tuple[str, ...] = ()
    stuff: tuple[str, ...] = ()
    stuff_colors: tuple[tuple[int, int, int], ...] = ()
    thing_ids: tuple[int, ...] = ()

    def by_kind(self) -> dict[str, list[str]]:
        """Return the known names as a checkpoint holds them, by ``INSTANCE`` and ``SEMANTIC``."""
        names = {INSTANCE: list(self.things), SEMANTIC: list(self.stuff)}
        return {kind: values for kind, values in names.items() if values}

    def thing(self, class_id: int) -> str:
        """Return the name of an instance class, "class 3" where it is not known."""
        return self.things[class_id] if self.things else f"class {class_id}"

    def stuff_name(self, class_id: int) -> str:
        """Return the name of a class of label maps, "class 3" where it is not known."""
        return self.stuff[class_id] if class_id < len(self.stuff) else f"class {class_id}"

    def category_id(self, class_id: int) -> int:
        """Return an instance class' id in COCO's format; where it is not known, the next number."""
        return self.thing_ids[class_id] if self.thing_ids else class_id + 1


def find_classes(cfg: CfgNode, stored_names: Mapping[str, Sequence[str]] | None = None) -> Classes:
    """Look for class names in a checkpoint, then in the data sets of the configuration.

    The files of the data sets need not be there. Names whose number is not that of the model's
    classes are passed over.

    Args:
        cfg: ``DATASETS`` and the numbers of classes are read.
        stored_names: what the checkpoint holds, by ``INSTANCE`` and ``SEMANTIC``.
    """
    _register(cfg)
    names = [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]
    known = [MetadataCatalog.get(name) for name in names if name in DatasetCatalog.list()]
    stored = stored_names or {}
    found: dict[str, Any] = {}
    if cfg.MODEL.META_ARCHITECTURE in ROI_ARCHITECTURES:
        number = cfg.MODEL.ROI_HEADS.NUM_CLASSES
        found["things"] = _first([stored.get(INSTANCE)], known, "thing_classes", number)
        for metadata in known:
            ids = metadata.get("thing_dataset_id_to_contiguous_id", {})
            if found["things"] == tuple(metadata.get("thing_classes", ())) and len(ids) == number:
                found["thing_ids"] = tuple(sorted(ids, key=ids.get))
                break
    if cfg.MODEL.META_ARCHITECTURE in SEMANTIC_ARCHITECTURES:
        # A binary model has one class, but a label map of it has the background as well.
        number = max(cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, 2)
        found["stuff"] = _first([stored.get(SEMANTIC)], known, "stuff_classes", number)
        colors = _first([], known, "stuff_colors", number)
        found["stuff_colors"] = tuple(tuple(int(v) for v in color) for color in colors)
    return Classes(**found)


def _first(stated: Sequence[Any], known: Sequence[Any], key: str, number: int) -> tuple[Any, ...]:
    """Return the first list of the wanted length; an empty one if there is none."""
    for values in (*stated, *(metadata.get(key, None) for metadata in known)):
        if values and len(values) == number:
            return tuple(values)
    return ()


def _register(cfg: CfgNode) -> None:
    if any(name.startswith("toy_") for name in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)):
        register_toy_datasets(os.environ.get("DETECTRON2_DATASETS", "datasets"))
    for description in cfg.DATASETS.DESCRIPTIONS:
        try:
            register_description(description)
        except (FileNotFoundError, ValueError) as error:
            logger.warning("Class names cannot be read from a description: %s", error)

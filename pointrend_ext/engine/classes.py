"""What the class ids of a model are called."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from pointrend_ext.checkpoint import INSTANCE, SEMANTIC
from pointrend_ext.data import class_names_of, register_datasets
from pointrend_ext.data.checks import ROI_ARCHITECTURES
from pointrend_ext.data.coco_dataset import audit_dataset
from pointrend_ext.data.mapper import SEMANTIC_ARCHITECTURES
from pointrend_ext.structures.classes import Classes

__all__ = ["Classes", "find_class_names", "find_classes"]

logger = logging.getLogger(__name__)

_KEYS = {INSTANCE: "thing_classes", SEMANTIC: "stuff_classes"}


def find_classes(cfg: CfgNode, stored_names: Mapping[str, Sequence[str]] | None = None) -> Classes:
    """Look for class names in a checkpoint, then in the data sets of the configuration.

    An annotation file is read only where its data set is registered without the names or the ids
    of its classes. Names whose number is not that of the model's classes are passed over.
    ``stored_names`` are those of the checkpoint, by ``INSTANCE`` and ``SEMANTIC``.
    """
    names = [*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN]
    for descriptions in ((), *((d,) for d in cfg.DATASETS.DESCRIPTIONS)):
        try:
            register_datasets(names, descriptions)
        except (FileNotFoundError, ValueError) as error:
            logger.warning("Class names cannot be read from a description: %s", error)
    known = [MetadataCatalog.get(name) for name in names if name in DatasetCatalog]
    stored, numbers = stored_names or {}, _numbers_of_classes(cfg)

    def find(key: str, number: int, *first: Sequence[Any] | None) -> tuple[Any, ...]:
        return _fitting((*first, *(metadata.get(key, None) for metadata in known)), number)

    found: dict[str, Any] = {}
    if INSTANCE in numbers:
        number = numbers[INSTANCE]
        ids_by_name = [_category_ids(name) for name in names if name in DatasetCatalog]
        named = (tuple(ids) for ids in ids_by_name)
        found["things"] = find("thing_classes", number, stored.get(INSTANCE), *named)
        for ids in ids_by_name:
            if found["things"] and found["things"] == tuple(ids):
                found["thing_ids"] = tuple(ids.values())
                break
    if SEMANTIC in numbers:
        # A binary model has one class, but a label map of it has the background as well.
        number = max(numbers[SEMANTIC], 2)
        found["stuff"] = find("stuff_classes", number, stored.get(SEMANTIC))
        colors = find("stuff_colors", number)
        found["stuff_colors"] = tuple(tuple(int(v) for v in color) for color in colors)
    return Classes(**found)


def find_class_names(cfg: CfgNode, dataset_names: Sequence[str]) -> dict[str, list[str]]:
    """Return the class names of the first data sets that have as many as the model, by kind.

    Kinds are ``INSTANCE`` and ``SEMANTIC``. Sets that are not registered are passed over; of others
    the annotation file is read where they are registered without names.
    """
    registered = [name for name in dataset_names if name in DatasetCatalog]
    found = {
        kind: _fitting((class_names_of(name, _KEYS[kind]) for name in registered), number)
        for kind, number in _numbers_of_classes(cfg).items()
    }
    return {kind: list(names) for kind, names in found.items() if names}


def _category_ids(name: str) -> dict[str, Any]:
    """Return the ids of a data set's categories by their names, in the order of the classes."""
    metadata = MetadataCatalog.get(name)
    classes = metadata.get("thing_classes", None)
    ids = metadata.get("thing_dataset_id_to_contiguous_id", None)
    if classes is None or ids is None:
        try:
            audit = audit_dataset(name)
        except (FileNotFoundError, ValueError) as error:
            logger.warning("Ids of classes cannot be read: %s", error)
            audit = None
        if audit is None:
            return {}
        classes, ids = audit.class_names, audit.contiguous_ids
    places = {place: number for number, place in ids.items()}
    return {name: places[place] for place, name in enumerate(classes) if place in places}


def _numbers_of_classes(cfg: CfgNode) -> dict[str, int]:
    numbers = {}
    if cfg.MODEL.META_ARCHITECTURE in ROI_ARCHITECTURES:
        numbers[INSTANCE] = cfg.MODEL.ROI_HEADS.NUM_CLASSES
    if cfg.MODEL.META_ARCHITECTURE in SEMANTIC_ARCHITECTURES:
        numbers[SEMANTIC] = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    return numbers


def _fitting(candidates: Iterable[Sequence[Any] | None], number: int) -> tuple[Any, ...]:
    """Return the first list of the wanted length; an empty one if there is none."""
    return next((tuple(values) for values in candidates if values and len(values) == number), ())

"""Register the toy data sets in Detectron2's catalogs; files are read when a set is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_coco_json, load_sem_seg
from detectron2.data.datasets.cityscapes import (
    load_cityscapes_instances,
    load_cityscapes_semantic,
)
from detectron2.data.datasets.coco_panoptic import merge_to_panoptic

from pointrend_ext.data.descriptions.catalog import is_registered

from .classes import (
    CITYSCAPES_SEM_SEG_CLASSES,
    CITYSCAPES_THING_CLASSES,
    IGNORE_LABEL,
    STUFF_COLORS,
    STUFF_IDS,
    THING_COLORS,
    THING_IDS,
    THINGS_LABEL,
    TOY_SEM_SEG_CLASSES,
    TOY_STUFF_CLASSES,
    TOY_THING_CLASSES,
)
from .layout import SPLITS

DatasetDicts = list[dict[str, Any]]
Entry = tuple[Callable[[], DatasetDicts], dict[str, Any]]
"""How a data set is loaded, and its metadata."""


def register_toy_datasets(root: str | os.PathLike[str]) -> list[str]:
    """Register every ``toy_*`` data set below a data root.

    A second call with the same root does nothing; another root replaces the first. No file is
    read before a data set is loaded, so this may come before ``ensure_toy_data``.

    Args:
        root: Detectron2's data root, the ``root`` of ``ensure_toy_data``.

    Returns:
        The registered names: ``toy_SPLIT`` (COCO instances), ``toy_sem_seg_SPLIT``,
        ``toy_panoptic_SPLIT`` (instances and panoptic-FPN semantics in each record),
        ``toy_cityscapes_instance_SPLIT`` and ``toy_cityscapes_sem_seg_SPLIT``.

    Raises:
        ValueError: another program registered one of these names.
    """
    base = Path(os.path.abspath(os.path.expanduser(root))) / "toy"
    names = []
    for split in SPLITS:
        entries = {**_coco_entries(base, split), **_cityscapes_entries(base, split)}
        for name, (load, metadata) in entries.items():
            known = MetadataCatalog.get(name).get("toy_dir") if name in DatasetCatalog else None
            if known not in (None, str(base)):
                DatasetCatalog.remove(name)
                MetadataCatalog.remove(name)
            if not is_registered(name, {"toy_dir": str(base)}):
                DatasetCatalog.register(name, _checked(load, base))
                MetadataCatalog.get(name).set(toy_dir=str(base), **metadata)
            names.append(name)
    return names


def _checked(load: Callable[[], DatasetDicts], base: Path) -> Callable[[], DatasetDicts]:
    """Return the loader with a clear error for a data set that was not generated."""

    def load_checked() -> DatasetDicts:
        if not (base / "toy.json").is_file():
            raise FileNotFoundError(
                f"The toy data set is not in {base} (no toy.json). Generate it with `python "
                f"tools/make_toy_data.py --root {base.parent}`, or point DETECTRON2_DATASETS to "
                "the folder that holds `toy`."
            )
        return load()

    return load_checked


def _coco_entries(base: Path, split: str) -> dict[str, Entry]:
    """Return the data sets in COCO layout by name."""
    images, instances = str(base / split), str(base / "annotations" / f"instances_{split}.json")
    semantic, stuff = str(base / f"sem_seg_{split}"), str(base / f"panoptic_stuff_{split}")
    name, panoptic_name = f"toy_{split}", f"toy_panoptic_{split}"
    coco = {
        "image_root": images,
        "json_file": instances,
        "thing_classes": list(TOY_THING_CLASSES),
        "thing_colors": [list(color) for color in THING_COLORS],
        "thing_dataset_id_to_contiguous_id": {
            THING_IDS[name]: index for index, name in enumerate(TOY_THING_CLASSES)
        },
    }
    sem_seg = {
        "image_root": images,
        "sem_seg_root": semantic,
        "stuff_classes": list(TOY_SEM_SEG_CLASSES),
        "stuff_colors": [list(color) for color in STUFF_COLORS + THING_COLORS],
        "ignore_label": IGNORE_LABEL,
    }
    stuff_ids = {STUFF_IDS[name]: index + 1 for index, name in enumerate(TOY_STUFF_CLASSES)}
    panoptic = {
        "panoptic_root": str(base / f"panoptic_{split}"),
        "panoptic_json": str(base / "annotations" / f"panoptic_{split}.json"),
        "sem_seg_root": stuff,
        # Stuff of Panoptic FPN: class 0 is everything that is a thing.
        "stuff_classes": ["things", *TOY_STUFF_CLASSES],
        "stuff_colors": [[82, 18, 128], *(list(color) for color in STUFF_COLORS)],
        "stuff_dataset_id_to_contiguous_id": {0: THINGS_LABEL, **stuff_ids},
        "ignore_label": IGNORE_LABEL,
    }

    def load_panoptic() -> DatasetDicts:
        things = load_coco_json(instances, images, panoptic_name)
        return merge_to_panoptic(things, load_sem_seg(stuff, images))

    return {
        name: (
            lambda: load_coco_json(instances, images, name),
            {"evaluator_type": "coco", **coco},
        ),
        f"toy_sem_seg_{split}": (
            lambda: load_sem_seg(semantic, images),
            {"evaluator_type": "sem_seg", **sem_seg},
        ),
        panoptic_name: (
            load_panoptic,
            {"evaluator_type": "coco_panoptic_seg", **coco, **panoptic},
        ),
    }


def _cityscapes_entries(base: Path, split: str) -> dict[str, Entry]:
    """Return the data sets of the Cityscapes copy by name.

    Instances come from the exact ``instanceIds`` maps as bitmasks: Detectron2's polygon path
    drops holes.
    """
    images = str(base / "cityscapes" / "leftImg8bit" / split)
    truth = str(base / "cityscapes" / "gtFine" / split)
    metadata = {
        "image_dir": images,
        "gt_dir": truth,
        "thing_classes": list(CITYSCAPES_THING_CLASSES),
        "stuff_classes": list(CITYSCAPES_SEM_SEG_CLASSES),
    }
    return {
        f"toy_cityscapes_instance_{split}": (
            lambda: load_cityscapes_instances(images, truth, from_json=False, to_polygons=False),
            {"evaluator_type": "cityscapes_instance", **metadata},
        ),
        f"toy_cityscapes_sem_seg_{split}": (
            lambda: load_cityscapes_semantic(images, truth),
            {"evaluator_type": "cityscapes_sem_seg", "ignore_label": IGNORE_LABEL, **metadata},
        ),
    }
